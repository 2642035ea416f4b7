"""Careless and hostile input: the documented result, or one line that says where, what and what to do; exit code 2."""

from __future__ import annotations

import ast
import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from tiny_models import tiny_checkpoint
from tiny_runs import ROOT, command, write_data
from tiny_runs import main as train

from d2e2s import TripletExtractionPipeline, cli
from d2e2s.checkpoints import SUMS, seal
from d2e2s.data_scripts import from_doccano, from_label_studio, prepare_aste_v2, read_conllu
from d2e2s.data_scripts.records import read_records
from d2e2s.prediction.predict import load_pipeline

DEEP = "[" * 100_000
DIGITS = "9" * 5000
Main = Callable[[list[str]], int]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"), train=8, dev=4)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def extract(model: Path) -> TripletExtractionPipeline:
    return load_pipeline(str(model), device="cpu", threshold=0.0)


def predict(words: list[str]) -> int:
    return cli.main(["predict", *words])


def refused(main: Main, argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line with which the command ends, exit code 2."""
    capsys.readouterr()
    try:
        code = main(argv)
    except SystemExit as exit_:  # argparse prints its usage first
        code = exit_.code
    error = capsys.readouterr().err
    assert code == 2, error
    assert "Traceback" not in error and sum("error: " in line for line in error.splitlines()) == 1
    return error.strip().splitlines()[-1]


# --- records ----------------------------------------------------------------------------------------------

GOOD: dict[str, Any] = {
    "id": "1",
    "tokens": ["Good", "food"],
    "heads": [2, 0],
    "deprels": ["amod", "root"],
    "triplets": [{"aspect": [1, 2], "opinion": [0, 1], "sentiment": "POS"}],
}


def record(**changes: Any) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def triplet(**changes: Any) -> bytes:
    return record(triplets=[{**GOOD["triplets"][0], **changes}])


RECORDS: dict[str, tuple[bytes, str]] = {
    "no byte": (b"", "no records; expected at least one"),
    "blank lines": (b"\n \n\n", "no records"),
    "no JSON": (b"The food was good.", ":1: no JSON"),
    "cut off in the second line": (record() + b"\n" + record()[:40], ":2: no JSON"),
    "a list": (b"[1]", ":1: JSON list"),
    "a number": (b"1", ":1: JSON int"),
    "nested without end": (DEEP.encode(), ":1: no JSON"),
    "a number of 5000 digits": (b'{"id": ' + DIGITS.encode() + b"}", ":1: no JSON"),
    "Latin-1": (record() + b'\n{"id": "caf\xe9"}', ":2: not UTF-8"),
    "UTF-16": (record().decode().encode("utf-16"), ":1: not UTF-8"),
    "null bytes": (b"\0\0\0\0", ":1: no JSON"),
    "no id": (record(id=None), ":1: id is None"),
    "id a number": (record(id=1), ":1: id is 1"),
    "no tokens": (record(tokens=[]), ":1: tokens is []"),
    "tokens a text": (record(tokens="Good food"), ":1: tokens is 'Good food'"),
    "blank token": (record(tokens=["Good", " "]), ":1: token ' '"),
    "token a number": (record(tokens=["Good", 7]), ":1: token 7"),
    "half a character": (record(tokens=["Good", "\ud83d"]), ":1: token '\\ud83d'"),
    "too few heads": (record(heads=[0]), ":1: 1 heads for 2 tokens"),
    "head out of range": (record(heads=[3, 0]), ":1: head 3 of word 1 is out of range"),
    "heads in a circle": (record(heads=[2, 1]), ":1: words 1, 2 hang on a cycle"),
    "head a truth value": (record(heads=[2, False]), ":1: heads is [2, False]"),
    "deprels of another length": (record(deprels=["root"]), ":1: 1 deprels for 2 tokens"),
    "no triplets": (record(triplets={}), ":1: triplets is {}; expected a list, empty where there are none"),
    "triplet of another form": (record(triplets=[[1, 2, 0, 1, "POS"]]), ":1: triplet [1, 2, 0, 1, 'POS']"),
    "triplet with more keys": (triplet(score=1), ":1: triplet {"),
    "span backwards": (triplet(aspect=[2, 1]), ":1: aspect [2, 1] does not fit"),
    "empty span": (triplet(aspect=[1, 1]), ":1: aspect [1, 1] does not fit"),
    "span outside": (triplet(opinion=[1, 99]), ":1: opinion [1, 99] does not fit"),
    "span beyond all numbers": (triplet(opinion=[0, 10**30]), ":1: opinion [0, 1000000000"),
    "span of halves": (triplet(aspect=[0.5, 1]), ":1: aspect [0.5, 1]"),
    "sentiment with a blank": (triplet(sentiment="POS "), ":1: sentiment 'POS '; expected a label such as POS"),
    "sentiment a list": (triplet(sentiment=["POS"]), ":1: sentiment ['POS']"),
    "sentence that no window holds": (
        record(tokens=["good"] * 5000, heads=None, deprels=None),
        "5002 word pieces, more than the 128 that fit",
    ),
}


@pytest.mark.parametrize("case", RECORDS)
def test_records(case: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, message = RECORDS[case]
    bad = tmp_path / "bad.jsonl"
    bad.write_bytes(content)
    last = refused(train, command(data, tmp_path / "out", train_file=bad), capsys)
    place = "train: sentence 0" if "window" in case else f"error: {bad}"
    assert place in last and message in last
    assert len(last) < 600


FILES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "no file": ("x.jsonl", lambda path: None, "no such file"),
    "a folder": ("x.jsonl", lambda path: path.mkdir(), "no such file"),
    "no Parquet": ("x.parquet", lambda path: path.write_bytes(record()), "no Parquet"),
    "empty Parquet": ("x.parquet", lambda path: path.write_bytes(b""), "no Parquet"),
    "Parquet of something else": (
        "x.parquet",
        lambda path: pyarrow.parquet.write_table(pyarrow.table({"text": ["a"]}), path),
        ":1: id is None",
    ),
    "Parquet cut off": (
        "x.parquet",
        lambda path: (pyarrow.parquet.write_table(pyarrow.table({"id": ["a"]}), path), os.truncate(path, 40)),
        "no Parquet",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_files_of_records(case: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, make, message = FILES[case]
    make(tmp_path / name)
    last = refused(train, command(data, tmp_path / "out", train_file=tmp_path / name), capsys)
    assert last.startswith(f"error: {tmp_path / name}") and message in last


def test_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(b"\xef\xbb\xbf" + record())
    assert read_records(tmp_path / "x.jsonl") == [GOOD]


# --- configurations of a run ------------------------------------------------------------------------------

LAUGHS = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))

YAML: dict[str, tuple[bytes, str]] = {
    "a list": (b"- seed", "expected `argument: value` lines, found a list"),
    "a word": (b"seed", "found a str"),
    "unknown key": (b"lerning_rate: 1", "unknown key 'lerning_rate'; did you mean 'learning_rate'?"),
    "key no text": (b"1: 2", "unknown key 1"),
    "Python object": (b"seed: !!python/object/apply:os.system ['true']", "not YAML"),
    "nested without end": (b"seed: " + DEEP.encode(), "not YAML"),
    "two documents": (b"seed: 1\n---\nseed: 2", "not YAML"),
    "control character": (b"seed: \x01", "not YAML"),
    "Latin-1": (b"dataset_name: caf\xe9", "not YAML"),
    "references that grow": (
        LAUGHS.replace("a: &a", "parser_file: &a", 1).replace("\nb: ", "\ndataset_name: ").encode(),
        "dataset_name: expected a value, a list of values",
    ),
    "month of 13": (b"dataset_name: 2026-13-45", "not YAML"),
}


@pytest.mark.parametrize("case", YAML)
def test_configuration_files(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, message = YAML[case]
    (tmp_path / "run.yaml").write_bytes(content)
    last = refused(train, [str(tmp_path / "run.yaml")], capsys)
    assert last.startswith(f"error: {tmp_path / 'run.yaml'}") and message in last


ARGUMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "no whole number": ({"seed": "many"}, "argument --seed: invalid int value: 'many'"),
    "no sentence a step": ({"per_device_train_batch_size": 0}, "--per_device_train_batch_size must be at least 1"),
    "negative batch": ({"per_device_eval_batch_size": -4}, "--per_device_eval_batch_size must be at least 1"),
    "no accumulation": ({"gradient_accumulation_steps": 0}, "--gradient_accumulation_steps must be at least 1"),
    "epochs without end": ({"num_train_epochs": "inf"}, "--num_train_epochs must lie in [0, 1e6)"),
    "epochs no number": ({"num_train_epochs": "nan"}, "--num_train_epochs must lie in [0, 1e6)"),
    "no such scheduler": ({"lr_scheduler_type": "steep"}, "invalid choice: 'steep'"),
    "no such figure": ({"metric_for_best_model": "luck"}, "--metric_for_best_model 'luck' is no figure of dev"),
    "patience without dev": (
        {"early_stopping_patience": 1, "eval_strategy": "no", "load_best_model_at_end": False},
        "--early_stopping_patience waits for a better dev figure",
    ),
    "span of no word": ({"max_span_width": 0}, "max_span_width must be greater than 0"),
    "both half precisions": ({"fp16": True, "bf16": True}, "At most one of fp16 and bf16"),
    "learning rate no number": (
        {"learning_rate": "nan", "warmup_steps": 0},
        "--learning_rate must be a number of at least 0, got nan",
    ),
    "learning rate too high": ({"learning_rate": 1e30, "head_learning_rate": 1e30, "warmup_steps": 0}, "at step 2"),
}


@pytest.mark.parametrize("case", ARGUMENTS)
def test_arguments(case: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extra, message = ARGUMENTS[case]
    assert message in refused(train, command(data, tmp_path / "out", **extra), capsys)


# --- checkpoints ------------------------------------------------------------------------------------------


def edit_config(**changes: Any) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return edit


def spoil(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


def flip_last_bit(folder: Path) -> None:
    seal(folder, "*.safetensors")
    path = folder / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def pickled_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


HUGE_HEADER = struct.pack("<Q", 2**62) + b"{}"
CHECKPOINTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, ": no such folder"),
    "no configuration": (lambda folder: (folder / "config.json").unlink(), "holds no config.json"),
    "configuration no JSON": (spoil("config.json", b"{"), "config.json: no JSON object"),
    "configuration a list": (spoil("config.json", b"[]"), "config.json: no JSON object"),
    "another kind of model": (edit_config(model_type="bert"), "no D2E2S checkpoint (model_type 'bert')"),
    "newer version": (edit_config(format_version=99), "checkpoint format 99 is newer than"),
    "unknown fusion": (edit_config(fusion_type="sum"), "fusion_type"),
    "negative size": (edit_config(head_size=-1), "head_size must be greater than 0"),
    "size no number": (edit_config(head_size="big"), "head_size"),
    "repeated labels": (edit_config(sentiment_labels=["POS", "POS"]), "holds a label twice"),
    "other sizes than the weights": (edit_config(head_size=24), "weights do not fit its own configuration"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors"),
    "weights empty": (spoil("model.safetensors", b""), "the weights are damaged"),
    "weights no safetensors": (spoil("model.safetensors", b"not at all"), "the weights are damaged"),
    "weights with a header of exabytes": (spoil("model.safetensors", HUGE_HEADER), "the weights are damaged"),
    "weights cut off": (lambda folder: os.truncate(folder / "model.safetensors", 5000), "the weights are damaged"),
    "a bit of the weights changed": (flip_last_bit, "damaged or changed since it was saved"),
    "checksums of another folder": (spoil(SUMS, b"0" * 64 + b"  ../model.safetensors\n"), "no checksum and name"),
    "only pickled weights": (pickled_weights, "model.safetensors"),
    "no tokenizer": (lambda folder: [path.unlink() for path in folder.glob("*token*")], ""),
    "tokenizer no JSON": (spoil("tokenizer.json", b"{"), ""),
    "tokenizer empty": (spoil("tokenizer.json", b"{}"), ""),
}


@pytest.mark.parametrize("case", CHECKPOINTS)
def test_checkpoints(case: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, message = CHECKPOINTS[case]
    folder = shutil.copytree(model, tmp_path / "model")
    make(folder)
    assert message in refused(predict, ["Good food.", "--model", str(folder)], capsys)


@pytest.mark.parametrize(
    "case", ["weights cut off", "a bit of the weights changed", "newer version", "only pickled weights"]
)
def test_checkpoints_to_go_on_from(
    case: str, data: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, message = CHECKPOINTS[case]
    folder = shutil.copytree(model, tmp_path / "model")
    make(folder)
    words = command(data, tmp_path / "out", encoder_name_or_path=None, model_name_or_path=folder, head_size=None)
    assert message in refused(train, [word for word in words if "parser_size" not in word], capsys)


@pytest.mark.parametrize("content", [b"", b"not at all", HUGE_HEADER])
def test_damaged_encoder(content: bytes, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    encoder = shutil.copytree(data / "encoder", tmp_path / "encoder")
    (encoder / "model.safetensors").write_bytes(content)
    last = refused(train, command(data, tmp_path / "out", encoder_name_or_path=encoder), capsys)
    assert str(encoder) in last and "the weights are damaged" in last


def test_code_in_a_checkpoint_is_not_run(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """This package predicts with its own code, whatever lies in the folder."""
    folder, trace = shutil.copytree(model, tmp_path / "model"), tmp_path / "trace"
    for path in folder.glob("*.py"):
        path.write_text(f"import pathlib\npathlib.Path({str(trace)!r}).touch()\n")
    assert cli.main(["predict", "Good food.", "--model", str(folder)]) == 0
    assert not trace.exists()


# --- tables of raw text -----------------------------------------------------------------------------------

TABLES: dict[str, tuple[str, bytes, str]] = {
    "no byte": (".csv", b"", ""),
    "header alone": (".csv", b"text\n", ""),
    "no column of text": (
        ".csv",
        b"id,review\n1,good\n",
        "no column 'text'; choose --text_column from: 'id', 'review'",
    ),
    "Latin-1 table": (".csv", b"text\ncaf\xe9\n", "not UTF-8"),
    "number for text": (".jsonl", b'{"text": 1}\n', "row 1: text is 1; expected text"),
    "null for text": (".jsonl", b'{"text": null}\n{"text": NaN}\n', "no text in column"),
    "an object for text": (".jsonl", b'{"text": "a"}\n{"text": {}}\n', "row 2: text is {}; expected text"),
    "JSON cut off": (".jsonl", b'{"text": "a"}\n{"text": ', "cannot be read"),
    "JSON nested without end": (".jsonl", b'{"text": ' + DEEP.encode(), "cannot be read"),
    "no table": (".parquet", b"PAR1", "cannot be read"),
    "only blanks": (".txt", b" \n\t\n", "no text in column"),
    "a picture": (".txt", b"\x89PNG\r\n\x1a\n\xff\xfe", "not UTF-8"),
    "own column in the way": (".jsonl", b'{"text": "a", "predicted_triplets": 1}\n', "give another --output_column"),
    "another kind of file": (".docx", b"PK", "cannot read .docx files"),
}


@pytest.mark.parametrize("case", TABLES)
def test_tables(case: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suffix, content, message = TABLES[case]
    path, out = tmp_path / f"x{suffix}", tmp_path / "out.jsonl"
    path.write_bytes(content)
    out.write_text("before")
    if suffix == ".docx":  # a word with a dot is a text; where a file lies it is a file
        assert path.is_file()
    last = refused(predict, [str(path), "--model", str(model), "--out", str(out)], capsys)
    assert str(path) in last and message in last
    assert out.read_text() == "before" and {p.name for p in tmp_path.iterdir()} == {path.name, out.name}


# --- texts ------------------------------------------------------------------------------------------------

TEXTS = {
    "markup": "<script>alert('food')</script> was great & <b>good</b>",
    "formula": '=HYPERLINK("http://x", "good food")',
    "null bytes": "good\0food\0",
    "control characters": "good\x07 food \x1b[31mred\x1b[0m",
    "half a character": "good \ud83d food \udc00",
    "right to left": "האוכל היה טוב \u202e doog saw doof",
    "joined emoji": "the 👩‍👩‍👧‍👦 food 🏳️‍🌈 was great",
    "combining marks": "g" + "\u0301" * 3000 + "ood food",
    "no space in 20,000 characters": "good" * 5000,
    "20,000 spaces": "good" + " " * 20_000 + "food",
    "3,000 full stops": "good food" + "." * 3000,
    "invisible": "\u200b\u200d\ufeff",
    "private use": "good \ue000 food \U0010ffff",
    "template": "{{ food }} was {% good %} ${good} %s %n",
    "path": "../../../../etc/passwd was great",
    "special tokens": "[CLS] the food [SEP] [MASK] was great [PAD]",
}


@pytest.mark.parametrize("case", TEXTS)
def test_texts_are_read_as_text(case: str, extract: TripletExtractionPipeline) -> None:
    """Triplets, if there are any, with the very characters at their offsets."""
    text = TEXTS[case]
    for found in extract(text):
        for term in (found["aspect"], found["opinion"]):
            assert text[term["start"] : term["end"]] == term["text"] != ""


# --- readers of other formats -----------------------------------------------------------------------------

ROW = "1\tGood\tgood\tADJ\t_\t_\t0\troot\t_\t_\n"
OTHERS: dict[str, tuple[Main, str, bytes, str]] = {
    "CoNLL-U with spaces": (read_conllu.main, "x.conllu", b"1 Good good ADJ _ _ 0 root _ _\n", ":1: 1 columns"),
    "CoNLL-U of a superscript": (read_conllu.main, "x.conllu", ("²" + ROW[1:]).encode(), ":1: word number '²'"),
    "CoNLL-U that begins at 2": (read_conllu.main, "x.conllu", ("2" + ROW[1:]).encode(), ":1: word number 2"),
    "CoNLL-U without heads": (read_conllu.main, "x.conllu", ROW.replace("\t0\t", "\t_\t").encode(), ":1: head '_'"),
    "CoNLL-U in a circle": (read_conllu.main, "x.conllu", ROW.replace("\t0\t", "\t1\t").encode(), "hang on a cycle"),
    "CoNLL-U in Latin-1": (read_conllu.main, "x.conllu", ROW.encode() + b"# caf\xe9\n", ":2: not UTF-8"),
    "Label Studio: no JSON": (from_label_studio.main, "x.json", b"{", "no JSON"),
    "Label Studio: nested": (from_label_studio.main, "x.json", DEEP.encode(), "no JSON"),
    "Label Studio: an object": (from_label_studio.main, "x.json", b"{}", "a JSON dict"),
    "Label Studio: no tasks": (from_label_studio.main, "x.json", b"[1, null]", "task 1: 1 is no object"),
    "Doccano: no JSON": (from_doccano.main, "x.jsonl", b"text", ":1: no JSON"),
    "Doccano: many digits": (from_doccano.main, "x.jsonl", DIGITS.encode(), ":1: no JSON"),
    "Doccano: offsets outside": (
        from_doccano.main,
        "x.jsonl",
        json.dumps(
            {
                "id": 1,
                "text": "Good food",
                "entities": [{"id": 1, "label": "Aspect", "start_offset": 5, "end_offset": 99}],
                "relations": [],
            }
        ).encode(),
        ":1: span [5, 99)",
    ),
    "ASTE: no mark": (prepare_aste_v2.main, "train_triplets.txt", b"Good food", "0 '####' in the line"),
    "ASTE: code": (prepare_aste_v2.main, "train_triplets.txt", b"Good####exit()", "unreadable triplets"),
    "ASTE: a list as key": (prepare_aste_v2.main, "train_triplets.txt", b"Good####{[]: 1}", "unreadable triplets"),
    "ASTE: nested": (prepare_aste_v2.main, "train_triplets.txt", b"Good####" + DEEP.encode(), "unreadable triplets"),
    "ASTE: null byte": (prepare_aste_v2.main, "train_triplets.txt", b"Good####[\0]", "unreadable triplets"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_readers_of_other_formats(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main, name, content, message = OTHERS[case]
    (tmp_path / name).write_bytes(content)
    out = tmp_path / "out"
    argv = ["--input", str(tmp_path / name), "--output_dir", str(out)]
    if case.startswith(("Label", "Doccano")):
        argv += ["--split", "1", "0", "0"]
    if case.startswith("ASTE"):
        for split in ("train", "dev", "test"):
            (tmp_path / f"{split}_dep_triple_polarity_result.json").write_text("[]")
            (tmp_path / f"{split}_triplets.txt").touch()
        folder = str(tmp_path)
        argv = ["--name", "14res", "--text_dir", folder, "--parse_dir", folder, "--output_dir", str(out)]
    last = refused(main, argv, capsys)
    assert str(tmp_path / name) in last and message in last
    assert not out.exists()


def test_there_are_enough_cases() -> None:
    groups = (RECORDS, FILES, YAML, ARGUMENTS, CHECKPOINTS, TABLES, TEXTS, OTHERS)
    assert sum(map(len, groups)) >= 120


# --- the code itself --------------------------------------------------------------------------------------


def test_no_call_of_ours_reads_a_pickle() -> None:
    """No call that can run what it reads: `pickle`, `torch.load`, `eval`, `yaml.load`, `numpy.load` with pickles."""
    forbidden = {"pickle.load", "pickle.loads", "torch.load", "yaml.load", "yaml.unsafe_load", "eval", "exec"}
    sources = [*ROOT.glob("*.py"), *(path for name in ("d2e2s", "data_scripts", "metrics", "benchmarks")
                                     for path in (ROOT / name).rglob("*.py"))]  # fmt: skip
    calls = {
        (path.name, ast.unparse(node.func))
        for path in sources
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    }
    assert len(sources) > 30 and ("config_files.py", "yaml.safe_load") in calls
    assert {call for call in calls if call[1] in forbidden} == set()
