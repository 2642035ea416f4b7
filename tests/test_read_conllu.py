"""CoNLL-U treebanks to records."""

from __future__ import annotations

from pathlib import Path

import pytest

from d2e2s.data_scripts.read_conllu import main, read_conllu, split_documents
from d2e2s.data_scripts.records import RecordError, read_records

SAMPLE = """\
# newdoc id = one
# sent_id = one-1
1-2\tDon't\t_\t_\t_\t_\t_\t_\t_\t_
1\tDo\tdo\tAUX\t_\t_\t3\taux\t_\t_
2\tn't\tnot\tPART\t_\t_\t3\tadvmod\t_\t_
3\tgo\tgo\tVERB\t_\t_\t0\troot\t_\t_
3.1\tgo\tgo\tVERB\t_\t_\t_\t_\t_\t_

# sent_id = one-2
1\tMy\tmy\tPRON\t_\t_\t2\tnmod:poss\t_\t_
2\tfood\tfood\tNOUN\t_\t_\t0\troot\t_\t_

# newdoc id = two
1\tGood\tgood\tADJ\t_\t_\t0\troot\t_\t_
"""


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    path = tmp_path / "sample.conllu"
    path.write_text(SAMPLE, encoding="utf-8")
    return path


def test_words_documents_and_ids(sample: Path) -> None:
    first, second = read_conllu(sample)
    assert first == [
        {
            "id": "one-1",
            "tokens": ["Do", "n't", "go"],
            "heads": [3, 3, 0],
            "deprels": ["aux", "advmod", "root"],
            "triplets": None,
        },
        {
            "id": "one-2",
            "tokens": ["My", "food"],
            "heads": [2, 0],
            "deprels": ["nmod", "root"],
            "triplets": None,
        },
    ]
    assert [record["id"] for record in second] == ["sample-13"]


def test_subtypes_stay_if_asked_for(sample: Path) -> None:
    assert read_conllu(sample, keep_subtypes=True)[0][1]["deprels"] == ["nmod:poss", "root"]


def test_without_documents_each_sentence_is_one(sample: Path) -> None:
    sample.write_text("\n".join(line for line in SAMPLE.split("\n") if "newdoc" not in line), encoding="utf-8")
    assert [len(document) for document in read_conllu(sample)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("3\tgo\tgo\tVERB\t_\t_\t0", "3 go\tgo\tVERB\t_\t_\t0", ":6: 9 columns"),
        ("2\tn't", "4\tn't", ":5: word number 4; expected 2"),
        ("2\tn't", "x\tn't", ":5: word number 'x'"),
        ("_\t3\taux", "_\t_\taux", ":4: head '_'"),
        ("_\t3\taux", "_\t9\taux", ":1: head 9 of word 1 is out of range"),
        ("_\t0\troot", "_\t1\troot", ":1: words 1, 2, 3 hang on a cycle"),
    ],
)
def test_faults_name_file_and_line(
    sample: Path, old: str, new: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sample.write_text(SAMPLE.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(RecordError) as caught:
        read_conllu(sample)
    assert message in str(caught.value)
    out = sample.parent / "out"
    assert main(["--input", str(sample), "--output_dir", str(out)]) == 2
    assert capsys.readouterr().err == f"error: {caught.value}\n"
    assert not out.exists()


def test_documents_of_several_files_by_id(sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only those that were asked for, each whole."""
    other = tmp_path / "other.conllu"
    other.write_text(SAMPLE.replace("= one", "= on"), encoding="utf-8")
    words = ["--input", str(sample), str(other), "--output_dir", str(tmp_path / "out"), "--documents"]
    assert main([*words, "on"]) == 0
    splits = (read_records(tmp_path / "out" / f"{split}.jsonl") for split in ("train", "dev", "test"))
    found = [record["id"] for records in splits for record in records]
    assert found == ["on-1", "on-2", "one-1", "one-2"]
    assert main([*words, "x"]) == 2
    assert "no sentence has an id that begins with 'x'" in capsys.readouterr().err


def test_split_keeps_order_and_documents_whole() -> None:
    documents = [[{"id": f"{number}-{part}"} for part in range(number % 3 + 1)] for number in range(20)]
    splits = split_documents(documents)
    assert sum(splits.values(), []) == sum(documents, [])
    assert [{record["id"].split("-")[0] for record in splits[split]} for split in ("dev", "test")] == [
        {"16", "17"},
        {"18", "19"},
    ]


def test_the_reviews_of_ewt(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "ud_ewt_reviews" / "reviews.conllu"
    assert main(["--input", str(source), "--output_dir", str(tmp_path)]) == 0
    splits = {split: read_records(tmp_path / f"{split}.jsonl") for split in ("train", "dev", "test")}
    records = sum(splits.values(), [])
    # As in the file, which holds the reviews alone, so they can be taken from the whole treebank.
    assert main(["--input", str(source), "--output_dir", str(tmp_path / "again"), "--documents", "reviews-"]) == 0
    assert [read_records(tmp_path / "again" / f"{split}.jsonl") for split in splits] == [*splits.values()]
    assert len(records) == 3814
    assert sum(len(record["tokens"]) for record in records) == 55588
    assert all(record["heads"].count(0) == 1 for record in records)
    documents = [{record["id"].rsplit("-", 1)[0] for record in rows} for rows in splits.values()]
    assert not documents[0] & documents[1] and not (documents[0] | documents[1]) & documents[2]
