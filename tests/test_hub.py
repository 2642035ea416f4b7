"""Pushing to and pulling from the Hub: its HTTP API on 127.0.0.1, and its cache folder without any network."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset
from elsewhere import run_elsewhere
from hub_double import HubDouble, running
from huggingface_hub import HfApi, ModelCard
from huggingface_hub.utils import get_session
from tiny_models import tiny_checkpoint, tiny_encoder
from tiny_runs import main as train
from tiny_runs import make_trainer, write_data

from d2e2s import D2E2SForTripletExtraction, D2E2SProcessor, TripletExtractionPipeline, cli
from d2e2s.checkpoints import keep_private
from d2e2s.data_scripts.dataset_card import write_dataset_card
from d2e2s.data_scripts.records import read_records, write_records
from d2e2s.prediction.predict import load_pipeline

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "data_scripts" / "sample_corpus"
TEXT = "We had the pizza, and the waiter was not friendly. Great wine at a bad place!"
# What a repository holds that loading does not need, and a pipeline does not save.
BESIDE = {"README.md", "all_results.json", "handler.py", "requirements.txt"}
# What makes a checkpoint, in one repository.
WHOLE = {
    "README.md",
    "all_results.json",
    "config.json",
    "handler.py",
    "model.safetensors",
    "processor_config.json",
    "requirements.txt",
    "tokenizer.json",
    "tokenizer_config.json",
    *(f"{name}_d2e2s.py" for name in ("configuration", "modeling", "pipeline", "processing", "spans", "graph")),
}

LOAD = """
import json
from transformers import AutoConfig, AutoModel, AutoProcessor, pipeline

name, text = sys.argv[1:]
model = AutoModel.from_pretrained(name, trust_remote_code=True)
processor = AutoProcessor.from_pretrained(name, trust_remote_code=True)
assert type(model).__name__ == "D2E2SForTripletExtraction" and "d2e2s" not in sys.modules
with torch.inference_mode():
    scores = model(**processor(words=[text.split()], return_tensors="pt"), threshold=0.0).scores
extract = pipeline(model=name, trust_remote_code=True)
print(json.dumps({"scores": scores.tolist(), "triplets": extract(text, threshold=0.0)}))
"""

ENDPOINT = """
import json
sys.path.insert(0, sys.argv[1])
from handler import EndpointHandler

handler = EndpointHandler(sys.argv[1])
found = handler({"inputs": sys.argv[2], "parameters": {"threshold": 0.0}})
print(json.dumps([found, handler({"inputs": 3})]))
"""

LOAD_DATA = """
import json
from datasets import load_dataset

loaded = load_dataset(sys.argv[1])
print(json.dumps({split: list(rows) for split, rows in loaded.items()}))
"""


def here(folder: Path) -> dict[str, Any]:
    """What `LOAD` prints, from the installed package."""
    model = D2E2SForTripletExtraction.from_pretrained(folder)
    extract = TripletExtractionPipeline(model=model, processor=D2E2SProcessor.from_pretrained(folder))
    scores = extract.model(**extract.processor(words=[TEXT.split()], return_tensors="pt"), threshold=0.0).scores
    return {"scores": scores.tolist(), "triplets": extract(TEXT, threshold=0.0)}


def same(found: dict[str, Any], expected: dict[str, Any]) -> bool:
    """Equal, scores within what another process may round differently."""
    scores = [triplet.pop("score") for side in (found, expected) for triplet in side["triplets"]]
    half = len(scores) // 2
    assert scores[:half] == pytest.approx(scores[half:], abs=1e-5)
    assert found["scores"][0] == pytest.approx(expected["scores"][0], abs=1e-5)
    return found["triplets"] == expected["triplets"] and half > 0


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubDouble]:
    """A running double, known to this process and to those that it starts."""
    with running() as double:
        double.connect(monkeypatch, tmp_path_factory.mktemp("cache"))
        yield double


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Command line of a short run into `FOLDER/out`; its data has a card."""
    folder = tmp_path_factory.mktemp("run")
    splits = {}
    for split in ("train", "dev", "test"):
        splits[split] = [r for r in read_records(SAMPLE / f"{split}.jsonl") if len(r["tokens"]) < 12][:12]
        write_records(folder / "data" / f"{split}.jsonl", splits[split])
    write_dataset_card(folder / "data", "Short ones", "A few sentences.", splits, licence="cc0-1.0", language="en")
    values = {
        "encoder_name_or_path": tiny_encoder("bert", folder / "encoder"),
        "train_file": folder / "data" / "train.jsonl",
        "validation_file": folder / "data" / "dev.jsonl",
        "test_file": folder / "data" / "test.jsonl",
        "output_dir": folder / "out",
        **{"num_train_epochs": 1, "head_size": 16, "parser_size": 16, "disable_tqdm": True, "use_cpu": True},
        **{"do_train": True, "do_eval": True, "do_predict": True},
    }
    return [f"--{name}={value}" for name, value in values.items()]


@pytest.fixture(scope="module")
def trained(command: list[str]) -> Path:
    """Output folder of the run, which has pushed nothing."""
    assert train(command) == 0
    return Path(next(word for word in command if word.startswith("--output_dir=")).split("=")[1])


# --- pull -------------------------------------------------------------------------------------------------


def lay_out(folder: Path, cache: Path, repository: str) -> None:
    """A cache folder as `huggingface_hub` documents it: `refs`, `blobs` by their etag, `snapshots` of links to them."""
    home = cache / f"models--{repository.replace('/', '--')}"
    commit = hashlib.sha1(repository.encode()).hexdigest()
    snapshot, blobs = home / "snapshots" / commit, home / "blobs"
    for each in (snapshot, blobs, home / "refs"):
        each.mkdir(parents=True)
    (home / "refs" / "main").write_text(commit)
    for file in (path for path in folder.iterdir() if path.is_file()):
        content = file.read_bytes()
        large = file.suffix == ".safetensors"
        etag = (
            hashlib.sha256(content).hexdigest()
            if large
            else hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        )
        (blobs / etag).write_bytes(content)
        (snapshot / file.name).symlink_to(Path("../../blobs") / etag)


@pytest.mark.slow
def test_loads_by_name_from_the_cache_without_a_network(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "checkpoint")
    lay_out(folder, tmp_path / "hub", "someone/tiny")
    printed = run_elsewhere(LOAD, tmp_path, "someone/tiny", TEXT, HF_HUB_CACHE=str(tmp_path / "hub"))
    assert same(json.loads(printed), here(folder))


@pytest.mark.slow
def test_trainer_pushes_what_a_fresh_process_loads_by_name(
    hub: HubDouble, command: list[str], trained: Path, tmp_path: Path
) -> None:
    """Trained and pushed by one process, loaded and its card's snippets run by others, the last one offline."""
    out = f"--output_dir={tmp_path / 'out'}"
    words = [*(word for word in command if not word.startswith("--output_dir=")), out]
    words += ["--push_to_hub=true", "--hub_model_id=someone/tiny"]
    done = subprocess.run(
        [sys.executable, "run_aste.py", *words],
        cwd=ROOT,
        env={**os.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    files = hub.repositories["models", "someone/tiny"].files
    assert set(files) >= WHOLE
    assert not [name for name in files if name.startswith(("predictions_", "checkpoint-")) or name.endswith(".bin")]
    assert files["README.md"] == (tmp_path / "out" / "README.md").read_bytes()
    assert str(tmp_path).encode() not in files["config.json"] + files["tokenizer_config.json"] + files["README.md"]
    assert any(request.startswith("PUT /lfs/") for request in hub.requests)

    printed = run_elsewhere(LOAD, tmp_path, "someone/tiny", TEXT, **hub.environment)
    assert same(json.loads(printed), here(tmp_path / "out"))
    pulled = [request for request in hub.requests if request.startswith("GET /someone/tiny/resolve/")]
    assert {request.rpartition("/")[2] for request in pulled} >= WHOLE - BESIDE

    snippets = re.findall(r"```python\n(.*?)```", files["README.md"].decode(), flags=re.DOTALL)
    assert len(snippets) == 2
    hub.requests.clear()
    run_elsewhere("\n".join(snippets), tmp_path)  # the cache that the double filled, without the double
    assert not hub.requests


@pytest.mark.slow
def test_trains_on_data_that_was_pushed_by_its_name_and_offline_from_the_cache(
    hub: HubDouble, trained: Path, tmp_path: Path
) -> None:
    assert cli.main(["push", str(trained.parent / "data"), "someone/reviews"]) == 0
    values = {"dataset_name": "someone/reviews", "encoder_name_or_path": trained.parent / "encoder", "max_steps": 2}
    flags = {"do_train": True, "do_predict": True, "use_cpu": True, "disable_tqdm": True, "head_size": 16}
    words = [f"--{name}={value}" for name, value in {**values, **flags}.items()]
    assert train([*words, f"--output_dir={tmp_path / 'online'}"]) == 0
    first = json.loads((tmp_path / "online" / "all_results.json").read_text(encoding="utf-8"))
    assert first["data_label"] == "someone/reviews" and first["data_card"]["licence"] == "cc0-1.0"
    assert (first["train_sentences"], first["test_sentences"]) == (12, 12)
    hub.requests.clear()
    command = [sys.executable, "-m", "d2e2s.cli", "train", *words, f"--output_dir={tmp_path / 'offline'}"]
    done = subprocess.run(
        command, env={**os.environ, "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    again = json.loads((tmp_path / "offline" / "all_results.json").read_text(encoding="utf-8"))
    assert not hub.requests and again["test_triplet_f1"] == first["test_triplet_f1"]


# --- push -------------------------------------------------------------------------------------------------


def test_saved_folder_is_pushed_whole_with_its_card(hub: HubDouble, trained: Path) -> None:
    assert cli.main(["push", str(trained), "someone/pushed", "--private", "--license", "apache-2.0"]) == 0
    repository = hub.repositories["models", "someone/pushed"]
    assert set(repository.files) >= WHOLE
    assert repository.settings.get("visibility") == "private" or repository.settings.get("private")
    assert not [name for name in repository.files if name.startswith(("predictions_", "checkpoint-"))]
    for name in WHOLE - {"README.md"}:
        assert repository.files[name] == (trained / name).read_bytes()
    card = ModelCard(repository.files["README.md"].decode())
    assert card.data.license == "apache-2.0"
    assert 'pipeline(model="someone/pushed", trust_remote_code=True)' in card.text


@pytest.mark.slow
def test_an_endpoint_answers_from_what_was_pushed(hub: HubDouble, trained: Path, tmp_path: Path) -> None:
    """As an inference endpoint does it: the repository's files in a folder, its handler, and no package of ours."""
    assert cli.main(["push", str(trained), "someone/pushed"]) == 0
    for name, content in hub.repositories["models", "someone/pushed"].files.items():
        (tmp_path / name).write_bytes(content)
    printed = run_elsewhere(ENDPOINT, tmp_path, str(tmp_path), TEXT)
    expected = load_pipeline(str(trained), device="cpu")(TEXT, threshold=0.0)
    found, error = json.loads(printed)
    assert [one["aspect"] for one in found] == [one["aspect"] for one in expected] and found
    assert error["error"].startswith("inputs are no text and no list of texts; expected")


def test_hub_accepts_the_card(hub: HubDouble, trained: Path) -> None:
    assert cli.main(["push", str(trained), "someone/pushed"]) == 0
    card = {"repoType": "model", "content": (trained / "README.md").read_text(encoding="utf-8")}
    # As `ModelCard.validate` does it, which in older versions knows no other address than the Hub's own.
    assert get_session().post(f"{hub.endpoint}/api/validate-yaml", json=card).status_code == 200


def test_second_push_changes_only_what_changed(hub: HubDouble, trained: Path) -> None:
    assert cli.main(["push", str(trained), "someone/pushed"]) == 0
    assert cli.main(["push", str(trained), "someone/pushed"]) == 0
    assert sum(request.startswith("PUT /lfs/") for request in hub.requests) == 1


PICKLES = ("training_args.bin", "optimizer.pt", "rng_state.pth", "features.pkl", "below/pytorch_model.bin")


def plant(folder: Path) -> None:
    """What a folder may hold and nobody should push."""
    for name in (*PICKLES, "checkpoint-9/model.safetensors", "predictions_test.jsonl", ".writing-x/config.json"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}")


def is_planted(name: str) -> bool:
    return name in PICKLES or name.startswith(("checkpoint-", "predictions_", ".writing-"))


@pytest.mark.parametrize("kind", ["model", "dataset", "space"])
def test_what_is_private_stays_here_whatever_the_folder(
    hub: HubDouble, trained: Path, tmp_path: Path, kind: str
) -> None:
    source = {"model": trained, "dataset": trained.parent / "data", "space": ROOT / "metrics" / "aste"}[kind]
    folder = shutil.copytree(source, tmp_path / "folder")
    plant(folder)
    assert cli.main(["push", str(folder), "someone/all"]) == 0
    files = hub.repositories[f"{kind}s", "someone/all"].files
    assert "README.md" in files and not [name for name in files if is_planted(name)]


def test_every_way_pushes_the_same_files(hub: HubDouble, trained: Path, tmp_path: Path) -> None:
    """`d2e2s push`, a Trainer's own push, and any other program, which knows nothing but the `.gitignore`."""
    folder = shutil.copytree(trained, tmp_path / "out")
    plant(folder)
    data = write_data(tmp_path / "data", train=4, dev=4)
    make_trainer(data, folder, hub_model_id="someone/trainer").push_to_hub()
    assert cli.main(["push", str(folder), "someone/command"]) == 0
    HfApi().create_repo("someone/by-hand")
    HfApi().upload_folder(repo_id="someone/by-hand", folder_path=folder)
    trainer, command, by_hand = (
        set(hub.repositories["models", f"someone/{name}"].files) for name in ("trainer", "command", "by-hand")
    )
    assert trainer == command == by_hand >= WHOLE
    assert (folder / "training_args.bin").is_file() and not any(map(is_planted, trainer))


def test_a_pipeline_pushes_all_that_it_needs(hub: HubDouble, tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "mine")
    extract = TripletExtractionPipeline(
        D2E2SForTripletExtraction.from_pretrained(folder), processor=D2E2SProcessor.from_pretrained(folder)
    )
    extract.push_to_hub("someone/pipeline")
    extract.save_pretrained(folder, push_to_hub=True)
    for name in ("someone/pipeline", "user/mine"):
        assert set(hub.repositories["models", name].files) >= WHOLE - BESIDE


# --- what somebody wrote ----------------------------------------------------------------------------------


def test_a_card_that_somebody_changed_is_pushed_as_it_is(
    hub: HubDouble, trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its last line still says that we wrote it."""
    folder = shutil.copytree(trained, tmp_path / "out")
    card = folder / "README.md"
    assert cli.main(["push", str(folder), "someone/first"]) == 0 and not caplog.text
    assert "someone/first" in card.read_text(encoding="utf-8")
    mine = card.read_text(encoding="utf-8").replace("## Training", "Ask me before you use it.\n\n## Training")
    card.write_text(mine, encoding="utf-8")
    assert cli.main(["push", str(folder), "someone/second"]) == 0
    assert hub.repositories["models", "someone/second"].files["README.md"].decode() == mine
    assert f"{card}: kept, for somebody wrote or changed it; delete it to have a new one" in caplog.text
    card.unlink()
    assert cli.main(["push", str(folder), "someone/third"]) == 0
    assert b"someone/third" in hub.repositories["models", "someone/third"].files["README.md"]


def test_a_run_keeps_the_files_of_a_project(
    command: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("README.md", ".gitignore"):
        (tmp_path / name).write_text("# Mine\n*.pt\n")
    words = [word for word in command if not word.startswith("--output_dir=")]
    assert train([*words, f"--output_dir={tmp_path}"]) == 0
    for name in ("README.md", ".gitignore"):
        assert (tmp_path / name).read_text() == "# Mine\n*.pt\n"
        assert f"{tmp_path / name}: kept" in caplog.text
    assert "*.bin" in caplog.text and "*.pt " not in caplog.text  # what the .gitignore lacks


def test_our_gitignore_is_written_again_until_somebody_changes_it(tmp_path: Path) -> None:
    path = tmp_path / ".gitignore"
    keep_private(tmp_path)
    written = path.read_text()
    assert "training_args" not in written and "*.bin" in written.splitlines()
    keep_private(tmp_path)
    assert path.read_text() == written
    path.write_text(f"{written}*.mine\n")
    keep_private(tmp_path)
    assert path.read_text() == f"{written}*.mine\n"


# --- data -------------------------------------------------------------------------------------------------


@pytest.fixture
def splits() -> dict[str, list[dict[str, Any]]]:
    """A few records of each split; the first ones of dev have no triplets, and what those of one are is not known."""
    records = {split: read_records(SAMPLE / f"{split}.jsonl")[:12] for split in ("train", "dev", "test")}
    records["dev"].sort(key=lambda record: len(record["triplets"]))
    records["dev"][0]["triplets"] = None
    return records


def load_fresh(name: str, folder: Path, **environment: str) -> dict[str, list[dict[str, Any]]]:
    """The splits of a data set as plain `datasets` in a process of its own sees them."""
    printed = run_elsewhere(LOAD_DATA, folder, name, **environment)
    return json.loads(printed.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_pushed_data_loads_by_its_name_and_from_the_cache_offline(
    hub: HubDouble, splits: dict[str, list[dict[str, Any]]], suffix: str, tmp_path: Path
) -> None:
    for split, records in splits.items():
        write_records(tmp_path / "mine" / f"{split}.{suffix}", records)
    write_dataset_card(tmp_path / "mine", "Mine", "Reviews.", splits, "cc0-1.0", "en", suffix)
    assert cli.main(["push", str(tmp_path / "mine"), "someone/mine"]) == 0
    files = hub.repositories["datasets", "someone/mine"].files
    assert set(files) == {"README.md", *(f"{split}.{suffix}" for split in splits)}

    expected = {"train": splits["train"], "validation": splits["dev"], "test": splits["test"]}
    assert load_fresh("someone/mine", tmp_path, **hub.environment) == expected
    hub.requests.clear()
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    assert load_fresh("someone/mine", tmp_path, **{**hub.environment, **offline}) == expected
    assert not hub.requests


def test_data_that_is_pushed_again_is_loaded_anew(
    hub: HubDouble, splits: dict[str, list[dict[str, Any]]], tmp_path: Path
) -> None:
    """In this process, which `hub` has connected."""
    for records in (splits["train"], splits["train"][::-1]):
        write_records(tmp_path / "train.jsonl", records)
        write_dataset_card(tmp_path, "Mine", "Reviews.", {"train": records}, "cc0-1.0")
        assert cli.main(["push", str(tmp_path), "someone/mine"]) == 0
        assert load_dataset("someone/mine", split="train").to_list() == records


def test_data_without_a_licence_is_pushed_as_private_only(
    hub: HubDouble, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_records(tmp_path / "train.jsonl", rows := read_records(SAMPLE / "dev.jsonl")[:2])
    assert cli.main(["push", str(tmp_path), "someone/mine"]) == 2
    assert "no README.md" in capsys.readouterr().err
    write_dataset_card(tmp_path, "Mine", "Reviews.", {"train": rows})
    assert cli.main(["push", str(tmp_path), "someone/mine"]) == 2
    assert "states no licence" in capsys.readouterr().err and not hub.repositories
    assert cli.main(["push", str(tmp_path), "someone/mine", "--private"]) == 0
    assert "train.jsonl" in hub.repositories["datasets", "someone/mine"].files


def test_private_data_does_not_go_to_a_public_repository(
    hub: HubDouble, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_records(tmp_path / "train.jsonl", rows := read_records(SAMPLE / "dev.jsonl")[:2])
    write_dataset_card(tmp_path, "Mine", "Reviews.", {"train": rows})
    HfApi().create_repo("someone/public", repo_type="dataset")
    assert cli.main(["push", str(tmp_path), "someone/public", "--private"]) == 2
    assert "is there already, and public" in capsys.readouterr().err
    assert not hub.repositories["datasets", "someone/public"].files


def test_metric_is_pushed_as_a_space(hub: HubDouble) -> None:
    assert cli.main(["push", str(ROOT / "metrics" / "aste"), "someone/aste"]) == 0
    repository = hub.repositories["spaces", "someone/aste"]
    assert repository.settings["sdk"] == "gradio"
    assert {"README.md", "app.py", "aste.py", "scoring.py", "requirements.txt"} <= set(repository.files)
    assert not [name for name in repository.files if "__pycache__" in name]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pipeline_d2e2s.py", "pipeline_d2e2s.py missing"),
        ("model.safetensors", "model.safetensors missing"),
        ("all_results.json", "all_results.json missing"),
        ("config.json", "found none of them"),
    ],
)
def test_incomplete_folder_is_refused(
    name: str, message: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in (path for path in trained.iterdir() if path.is_file() and path.suffix != ".jsonl"):
        if file.name != name:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    assert cli.main(["push", str(tmp_path), "someone/half"]) == 2
    assert message in capsys.readouterr().err


def test_a_run_that_cannot_reach_the_hub_is_one_line(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    words = [word for word in command if not word.startswith("--output_dir=")]
    assert train([*words, f"--output_dir={tmp_path}", "--push_to_hub=true", "--hub_model_id=someone/tiny"]) == 2
    assert "error: http://127.0.0.1:9 cannot be reached" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a/b/c", "some one/x", "a..b", "x" * 120])
def test_what_is_no_name_of_a_repository_is_one_line(
    hub: HubDouble, name: str, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["push", str(trained), name]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and name in error and not hub.repositories


def test_a_card_of_data_that_cannot_be_read_is_one_line(
    hub: HubDouble, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_records(tmp_path / "train.jsonl", read_records(SAMPLE / "dev.jsonl")[:2])
    (tmp_path / "README.md").write_text("---\nlicense: [mit\n---\n")
    assert cli.main(["push", str(tmp_path), "someone/mine"]) == 2
    assert "README.md: unreadable metadata" in capsys.readouterr().err


def test_refusal_and_silence_of_the_hub_are_one_line(
    hub: HubDouble, trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert cli.main(["push", str(trained), "someone/pushed"]) == 2
    assert capsys.readouterr().err.startswith("error: ") and not hub.repositories
    hub.server.server_close()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert cli.main(["push", str(trained), "someone/pushed"]) == 2
    error = capsys.readouterr().err
    assert "http://127.0.0.1:9 cannot be reached" in error and error.count("\n") == 1
