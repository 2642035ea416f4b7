"""Raw ASTE-Data-V2 and D2E2S files to records."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pooch
import pytest

from d2e2s.data_scripts import prepare_aste_v2, public_sets
from d2e2s.data_scripts.files import sha256
from d2e2s.data_scripts.prepare_aste_v2 import main
from d2e2s.data_scripts.records import is_tree, read_records, write_records

SPLITS = ("train", "dev", "test")
SIZES = {
    "14res": {"train": (1266, 2338), "dev": (310, 577), "test": (492, 994)},
    "14lap": {"train": (906, 1460), "dev": (219, 346), "test": (328, 543)},
    "15res": {"train": (605, 1013), "dev": (148, 249), "test": (322, 485)},
}
LINE = "The food is great ( really ) .####[([1], [3], 'POS')]"


# The real files


@pytest.fixture(scope="module")
def prepared(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prepared")
    raw = ["--text_dir", str(shared_data / "aste_v2"), "--parse_dir", str(shared_data / "d2e2s_parsed")]
    assert main(["--name", *SIZES, *raw, "--output_dir", str(out)]) == 0
    return out


def report(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES)
def test_counts_of_the_real_sets(prepared: Path, name: str) -> None:
    for split, (sentences, triplets) in SIZES[name].items():
        records = read_records(prepared / name / f"{split}.jsonl")
        assert (len(records), sum(len(record["triplets"]) for record in records)) == (sentences, triplets)
        counts = report(prepared / name)["splits"][split]
        assert (counts["sentences"], counts["triplets"]) == (sentences, triplets)
        assert not counts["faults"] and not counts["unused_parses"]


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES)
def test_text_is_kept_and_trees_are_repaired(prepared: Path, shared_data: Path, name: str) -> None:
    """Tokens are the text file's; a parse that fitted is not touched; every other one is a tree now."""
    for split in SPLITS:
        records = read_records(prepared / name / f"{split}.jsonl")
        lines = (shared_data / "aste_v2" / name / f"{split}_triplets.txt").read_text(encoding="utf-8").split("\n")
        file = shared_data / "d2e2s_parsed" / name / f"{split}_dep_triple_polarity_result.json"
        broken = 0
        for record, line, parse in zip(records, lines, json.loads(file.read_text(encoding="utf-8")), strict=False):
            assert " ".join(record["tokens"]) == line.split("####")[0].strip()
            assert is_tree(record["heads"])
            by_word = sorted(parse["dependency"], key=lambda arc: arc[2])
            fits = [word for word, _ in parse["pos"]] == record["tokens"]
            if fits and sum(arc[0] == "ROOT" for arc in by_word) == 1:
                assert record["heads"] == [arc[1] for arc in by_word]
                assert record["deprels"] == ["root" if arc[0] == "ROOT" else arc[0] for arc in by_word]
            else:
                broken += 1
                assert 1 <= record["heads"].count(0) <= sum(arc[0] == "ROOT" for arc in by_word)
        counts = report(prepared / name)["splits"][split]
        assert 0 < counts["trees_repaired"] <= broken
        assert 0.14 < broken / len(records) < 0.25


@pytest.mark.slow
def test_known_faults_are_found(prepared: Path) -> None:
    res14, lap14, res15 = (report(prepared / name)["splits"] for name in SIZES)
    assert [entry["id"] for entry in res14["train"]["token_disagreements"]] == ["14res-train-749"]
    assert [entry["id"] for entry in res15["train"]["token_disagreements"]] == ["15res-train-437"]
    assert len(lap14["train"]["duplicates_with_other_triplets"]) == 4
    assert lap14["test"]["duplicate_triplets"] == ["14lap-test-282"] * 2
    widths = [entry["span"][1] - entry["span"][0] for entry in res14["train"]["long_spans"]]
    assert max(widths) == 21 and min(widths) == 9
    overlaps = sum(len(split["aspect_opinion_overlaps"]) for name in (res14, lap14, res15) for split in name.values())
    assert overlaps == 25


@pytest.mark.slow
def test_arcs_join_the_words_that_they_joined_in_the_parse(prepared: Path) -> None:
    """A sentence with a dropped bracket, checked by hand."""
    records = {record["id"]: record for record in read_records(prepared / "14res" / "test.jsonl")}
    record = records["14res-test-77"]
    assert record["tokens"][:8] == ["The", "food", "is", "great", "(", "big", "selection", ","]
    arcs = {
        (word, deprel, record["tokens"][head - 1] if head else "")
        for word, head, deprel in zip(record["tokens"], record["heads"], record["deprels"], strict=True)
    }
    assert {
        ("big", "amod", "selection"),
        ("(", "punct", "big"),
        (")", "punct", "prices"),
        ("reasonable", "amod", "prices"),
        ("drinks", "conj", "selection"),
        ("really", "advmod", "good"),
        ("good", "root", ""),
        (".", "punct", "good"),
    } <= arcs


@pytest.mark.slow
def test_sets_that_share_sentences_are_warned_of_and_can_be_parted(
    prepared: Path, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = ["--text_dir", str(shared_data / "aste_v2"), "--parse_dir", str(shared_data / "d2e2s_parsed")]
    assert main(["--name", "14res", "15res", *raw, "--output_dir", str(tmp_path / "two")]) == 0
    warnings = capsys.readouterr().err
    assert "sentences in both 14res/train and 15res/dev: 85\n" in warnings
    assert warnings.count("join.py") == 1
    other = prepared / "15res"
    assert main(["--name", "14res", *raw, "--output_dir", str(tmp_path), "--exclude_shared_with", str(other)]) == 0
    held_out = {
        " ".join(record["tokens"]) for split in ("dev", "test") for record in read_records(other / f"{split}.jsonl")
    }
    train = read_records(tmp_path / "train.jsonl")
    excluded = report(tmp_path)["splits"]["train"]["excluded"]
    assert not held_out & {" ".join(record["tokens"]) for record in train}
    assert len(train) + len(excluded) == 1266 and len(excluded) >= 85
    assert len(read_records(tmp_path / "test.jsonl")) == 492


def test_without_repair_the_arcs_stand_as_they_were(shared_data: Path, tmp_path: Path) -> None:
    raw = ["--text_dir", str(shared_data / "aste_v2"), "--parse_dir", str(shared_data / "d2e2s_parsed")]
    assert main(["--name", "15res", *raw, "--output_dir", str(tmp_path), "--no_repair", "--format", "parquet"]) == 0
    records = read_records(tmp_path / "dev.parquet")
    file = shared_data / "d2e2s_parsed" / "15res" / "dev_dep_triple_polarity_result.json"
    for record, parse in zip(records, json.loads(file.read_text(encoding="utf-8")), strict=True):
        first: dict[int, int] = {}
        for _, head, word in parse["dependency"]:
            first.setdefault(word, head)
        length = len(record["tokens"])
        literal = [first.get(word, 0) for word in range(1, length + 1)]
        assert record["heads"] == [head if head <= length else 0 for head in literal]
    assert report(tmp_path)["splits"]["dev"]["unfit_arcs"] > 0
    assert report(tmp_path)["splits"]["dev"]["trees_repaired"] == 0


# Small files of our own


def parse_of(line: str) -> dict:
    """A D2E2S record whose parser dropped the brackets: every word hangs on the first."""
    tokens = line.split("####")[0].split()
    kept = [token for token in tokens if token not in "()"]
    arcs = [["ROOT", 0, 1]] + [["dep", 1, word] for word in range(2, len(kept) + 1)]
    return {"tokens": tokens, "pos": [[token, "X"] for token in kept], "dependency": arcs}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    for split in SPLITS:
        lines = [LINE.replace("food", f"{split}{number}") for number in range(3)]
        (folder / f"{split}_triplets.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        parses = json.dumps([parse_of(line) for line in lines])
        (folder / f"{split}_dep_triple_polarity_result.json").write_text(parses, encoding="utf-8")
    return folder


def run(raw: Path, *more: str) -> int:
    out = str(raw.parent / "out")
    return main(["--name", "16res", "--text_dir", str(raw), "--parse_dir", str(raw), "--output_dir", out, *more])


def change_line(raw: Path, new: str) -> None:
    """Put `new` in the place of the second line of train."""
    path = raw / "train_triplets.txt"
    lines = path.read_text(encoding="utf-8").split("\n")
    lines[1] = new
    path.write_text("\n".join(lines), encoding="utf-8")


def change_parse(raw: Path, **changes: object) -> None:
    """Change the second parse of train."""
    path = raw / "train_dep_triple_polarity_result.json"
    parses = json.loads(path.read_text(encoding="utf-8"))
    parses[1].update(changes)
    path.write_text(json.dumps(parses), encoding="utf-8")


def test_a_small_set(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(raw) == 0
    records = read_records(raw.parent / "out" / "train.jsonl")
    assert records[1] == {
        "id": "16res-train-2",
        "tokens": ["The", "train1", "is", "great", "(", "really", ")", "."],
        "heads": [0, 1, 1, 1, 6, 1, 6, 1],
        "deprels": ["root", "dep", "dep", "dep", "punct", "dep", "punct", "dep"],
        "triplets": [{"aspect": [1, 2], "opinion": [3, 4], "sentiment": "POS"}],
    }
    assert "trees repaired                 3" in capsys.readouterr().out


def test_a_name_folder_is_looked_into(raw: Path) -> None:
    inner = raw / "16res"
    inner.mkdir()
    for file in list(raw.glob("*_*")):
        shutil.move(file, inner / file.name)
    assert run(raw) == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("The train1 is great", "0 '####' in the line"),
        ("a####[]####[]####b", "3 '####' in the line"),
        ("####[([0], [1], 'POS')]", "empty text"),
        (" ####[([0], [1], 'POS')]", "empty text"),
        ("", "0 '####'"),
        ("The food####[([0], [1], 'POS')", "unreadable triplets"),
        ("The food####open('x')", "unreadable triplets"),
        ("The food####7", "are no list"),
        ("The food####[([0], [1])]", "triplet ([0], [1])"),
        ("The food####[([0], [1], 'GOOD')]", "sentiment 'GOOD'; expected one of POS, NEG, NEU"),
        ("The food####[([0], [2], 'POS')]", "opinion: word indices [2] are out of range; expected 0 to 1"),
        ("The food####[([], [1], 'POS')]", "aspect: word indices []"),
        ("The good food####[([0, 2], [1], 'POS')]", "aspect: word indices [0, 2] have gaps"),
        ("The food####[([-1], [1], 'POS')]", "aspect: implicit term (index -1)"),
        ("Some other words####[([0], [1], 'POS')]", "another sentence than"),
        ("The \u00a0 train1 is great ( really ) .####[([2], [4], 'POS')]", "token '\\xa0'; expected text that is not"),
    ],
)
def test_malformed_lines(raw: Path, line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    change_line(raw, line)
    assert run(raw) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("error: ") and error.count("\n") == 1
    assert "train_triplets.txt:2: " in error or "train_dep_triple_polarity_result.json: record 2: " in error
    assert "; expected " in error
    assert not (raw.parent / "out").exists()
    assert run(raw, "--on_error", "skip") == 0
    assert len(read_records(raw.parent / "out" / "train.jsonl")) == 2
    counts = report(raw.parent / "out")["splits"]["train"]
    assert message in counts["faults"][0] and counts["trees_repaired"] == 2
    assert message in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dependency": [["ROOT", 0, 1]]}, "1 arcs for 6 parser tokens"),
        (
            {"dependency": [["ROOT", 0, 1], *[["dep", 9, word] for word in range(2, 7)]]},
            "head 9 of word 2 is out",
        ),
        (
            {"dependency": [["ROOT", 0, 1], ["a", 3, 2], ["a", 2, 3], *[["a", 1, w] for w in (4, 5, 6)]]},
            "cycle",
        ),
        ({"dependency": None}, "not a parsed sentence"),
        ({"dependency": [["ROOT", "0", 1]]}, "not a parsed sentence"),
        ({"dependency": [["\ud800", 0, 1]]}, "not a parsed sentence"),
        ({"tokens": {"good": 0}}, "not a parsed sentence"),
        ({"pos": [], "dependency": []}, "shares no token"),
    ],
)
def test_malformed_parses(raw: Path, changes: dict, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    change_parse(raw, **changes)
    assert run(raw) == 2
    error = capsys.readouterr().err
    assert message in error and "train_dep_triple_polarity_result.json: record 2: " in error
    assert error.count("\n") == 1 and not (raw.parent / "out").exists()
    assert run(raw, "--on_error", "skip") == 0
    assert len(read_records(raw.parent / "out" / "train.jsonl")) == 2


@pytest.mark.parametrize("text", ["{", "{}", "\udcff"])
def test_a_parse_file_that_is_none(raw: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = raw / "dev_dep_triple_polarity_result.json"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    assert run(raw) == 2
    assert f"error: {path}: " in capsys.readouterr().err


def test_a_sentence_without_parse(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = raw / "train_triplets.txt"
    path.write_text(path.read_text(encoding="utf-8") + LINE + "\n", encoding="utf-8")
    assert run(raw) == 2
    assert "no parse of 'The food is great" in capsys.readouterr().err


def test_parses_in_another_order_and_left_over_are_found(raw: Path) -> None:
    path = raw / "train_dep_triple_polarity_result.json"
    parses = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps([*parses[::-1], parse_of("Nobody asked####")]), encoding="utf-8")
    assert run(raw) == 0
    assert report(raw.parent / "out")["splits"]["train"]["unused_parses"] == [f"{path}: record 4"]


def test_implicit_terms_are_dropped_and_counted(raw: Path) -> None:
    change_line(raw, "The train1 is great ( really ) .####[([-1], [3], 'POS'), ([1], [3], 'POS')]")
    assert run(raw, "--implicit", "drop") == 0
    assert report(raw.parent / "out")["splits"]["train"]["implicit_triplets"] == ["16res-train-2"]
    assert len(read_records(raw.parent / "out" / "train.jsonl")[1]["triplets"]) == 1


def test_disagreements_overlaps_and_doubles_are_reported(raw: Path) -> None:
    change_line(raw, "The train1 is great ( really ) .####[([0, 1], [1], 'POS'), ([0, 1], [1], 'POS')]")
    entities = [{"type": "target", "start": 1, "end": 2}, {"type": "opinion", "start": 3, "end": 4}]
    change_parse(raw, entities=entities, sentiments=[{"type": "NEGATIVE", "head": 0, "tail": 1}])
    assert run(raw, "--max_span_width", "1") == 0
    counts = report(raw.parent / "out")["splits"]["train"]
    assert counts["triplet_disagreements"] == [
        {"id": "16res-train-2", "text": [[0, 2, 1, 2, "POS"]], "parse": [[1, 2, 3, 4, "NEG"]]}
    ]
    assert counts["aspect_opinion_overlaps"] == ["16res-train-2"]
    assert counts["duplicate_triplets"] == ["16res-train-2"]
    assert counts["long_spans"] == [{"id": "16res-train-2", "role": "aspect", "span": [0, 2]}]


def test_sentences_in_different_splits_are_leaks(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Within a set and between sets, whichever the splits are; the same split of two sets is none."""
    assert run(raw) == 0
    assert "WARNING" not in capsys.readouterr().err
    command = ["--name", "14res", "15res", "--text_dir", str(raw), "--parse_dir", str(raw)]
    assert main([*command, "--output_dir", str(tmp_path / "two")]) == 2
    assert "train_triplets.txt: is read as 14res and as 15res; expected a folder for each" in capsys.readouterr().err
    for file in list(raw.glob("*_*")):  # two sets of the same sentences, the first with its train in dev as well
        for name in ("14res", "15res"):
            (raw / name).mkdir(exist_ok=True)
            shutil.copy(file, raw / name / file.name)
    for kind in ("triplets.txt", "dep_triple_polarity_result.json"):
        shutil.copy(raw / f"train_{kind}", raw / "14res" / f"dev_{kind}")
        shutil.copy(raw / f"test_{kind}", raw / "15res" / f"dev_{kind}")
    assert main([*command, "--output_dir", str(tmp_path / "two")]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("WARNING")]
    pairs = [
        ("14res/train", "14res/dev"),
        ("14res/dev", "15res/train"),
        ("14res/test", "15res/dev"),
        ("15res/dev", "15res/test"),
    ]
    assert lines == [f"WARNING: sentences in both {first} and {second}: 3" for first, second in pairs]
    own = ["--exclude_shared_with", str(tmp_path / "two" / "14res"), str(tmp_path / "two" / "15res")]
    assert main([*command, "--output_dir", str(tmp_path / "parted"), *own]) == 0
    assert "WARNING" not in capsys.readouterr().err
    arguments = report(tmp_path / "parted" / "14res")["arguments"]
    assert arguments["name"] == arguments["exclude_shared_with"] == ["14res", "15res"]
    assert str(tmp_path) not in json.dumps(arguments)


def test_a_missing_file_is_named(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (raw / "test_triplets.txt").unlink()
    assert run(raw) == 2
    assert capsys.readouterr().err.startswith("error: no test_triplets.txt for 16res: looked for ")
    assert not (raw.parent / "out").exists()


def test_exclusion_wants_a_prepared_folder(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(raw, "--exclude_shared_with", str(raw)) == 2
    assert "takes a prepared folder" in capsys.readouterr().err
    other = raw.parent / "other"
    tokens = ["The", "train0", "is", "great", "(", "really", ")", "."]
    write_records(other / "test.jsonl", [{"id": "x", "tokens": tokens, "triplets": []}])
    write_records(other / "dev.jsonl", [])
    assert run(raw, "--exclude_shared_with", str(other)) == 0
    assert report(raw.parent / "out")["splits"]["train"]["excluded"] == ["16res-train-1"]


# Download


def test_files_are_downloaded_and_checked(
    raw: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: dict[str, str | None] = {}

    def retrieve(url: str, known_hash: str | None, fname: str, path: Path, progressbar: bool) -> str:
        assert progressbar and path.name == url.split("/")[-2]
        asked[url] = known_hash
        return str(raw / fname)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    assert main(["--name", "14lap", "--output_dir", str(raw.parent / "out")]) == 0
    assert len(asked) == 6 and all(str(pin).startswith("sha256:") for pin in asked.values())
    assert f"{public_sets.TEXTS_URL}/14lap/dev_triplets.txt" in asked
    assert f"{public_sets.PARSES_URL}/14lap/dev_dep_triple_polarity_result.json" in asked
    assert "no checksum" not in capsys.readouterr().err


def test_a_file_without_a_known_checksum_is_downloaded_on_demand_only(
    raw: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def retrieve(url: str, known_hash: str | None, fname: str, **_: object) -> str:
        assert known_hash is None
        asked.append(url)
        return str(raw / fname)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    command = ["--name", "16res", "--output_dir", str(raw.parent / "out")]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: 16res/train_triplets.txt: no checksum is known") and error.count("\n") == 1
    assert "--text_dir" in error and "--allow_unverified" in error
    assert not asked and not (raw.parent / "out").exists()
    assert main([*command, "--text_dir", str(raw)]) == 2
    assert main([*command, "--allow_unverified"]) == 0
    assert len(asked) == 6
    assert "WARNING: 16res/dev_triplets.txt: no checksum is known" in capsys.readouterr().err


@pytest.mark.parametrize("error", [OSError("no\nnetwork"), ValueError("SHA256 hash does not match")])
def test_a_download_that_fails(
    tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def retrieve(*_: object, **__: object) -> str:
        raise error

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    assert main(["--name", "14lap", "--output_dir", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: cannot download https://") and "pass --text_dir" in message
    assert message.count("\n") == 1 and not (tmp_path / "out").exists()


def test_pins_are_those_of_the_public_files(shared_data: Path) -> None:
    folders = ("aste_v2", "d2e2s_parsed", "")
    places = {
        key: next(place for folder in folders if (place := shared_data / folder / key).is_file())
        for key in public_sets.SHA256
    }
    assert {key: sha256(place) for key, place in places.items()} == public_sets.SHA256
    texts = {path for path in shared_data.glob("*/**/*.txt") if "licen" not in path.name.lower()}
    assert texts < set(places.values())  # and the parses


@pytest.mark.parametrize(
    "arguments", [["--name", "17res", "--output_dir", "x"], ["--name", "14res", "14res", "--output_dir", "x"]]
)
def test_names_are_checked(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_it_runs_as_a_file(raw: Path) -> None:
    script = Path(prepare_aste_v2.__file__)
    command = [
        sys.executable,
        str(script),
        "--name",
        "16res",
        "--text_dir",
        str(raw),
        "--parse_dir",
        str(raw),
    ]
    done = subprocess.run(
        [*command, "--output_dir", "out"], cwd=raw.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(read_records(raw.parent / "out" / "train.jsonl")) == 3
