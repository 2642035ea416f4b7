"""Trees from installed parsers: a spaCy pipeline trained on the spot, and Stanza's interface."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from d2e2s.data_scripts import parse
from d2e2s.data_scripts.parse import add_trees, main, trees
from d2e2s.data_scripts.records import is_tree, read_records, write_records
from d2e2s.errors_d2e2s import UserError

SAMPLE = Path(__file__).parents[1] / "data_scripts" / "sample_corpus"


@pytest.fixture(scope="module")
def spacy() -> Any:
    """The package; in CI it has to be there."""
    if os.environ.get("CI") == "true":
        import spacy
    else:
        spacy = pytest.importorskip("spacy", reason="spaCy is not installed: pip install 'd2e2s[parse]'")
    return spacy


@pytest.fixture(scope="module")
def gold() -> list[dict[str, Any]]:
    """Short sentences of the sample corpus with their gold trees."""
    return [record for record in read_records(SAMPLE / "train.jsonl") if len(record["tokens"]) < 13][:80]


@pytest.fixture(scope="module")
def pipeline(spacy: Any, gold: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a small pipeline that has learned these trees."""
    from spacy.training import Example
    from spacy.util import fix_random_seed

    fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe("parser", config={"min_action_freq": 1})  # else rare relations become `dep`
    examples = []
    for record in gold:
        heads = [i if head == 0 else head - 1 for i, head in enumerate(record["heads"])]
        document = spacy.tokens.Doc(nlp.vocab, words=record["tokens"])
        examples.append(Example.from_dict(document, {"heads": heads, "deps": record["deprels"]}))
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(8):
        for start in range(0, len(examples), 8):
            nlp.update(examples[start : start + 8], sgd=optimizer)
    folder = tmp_path_factory.mktemp("spacy") / "pipeline"
    nlp.to_disk(folder)
    return f"spacy:{folder}"


@pytest.mark.slow
def test_spacy_gives_the_trees_that_it_has_learned(pipeline: str, gold: list[dict[str, Any]]) -> None:
    bare = [{key: record[key] for key in ("id", "tokens", "triplets")} for record in gold]
    parsed = list(add_trees(bare, pipeline, batch_size=7))
    assert [{**record, "heads": 0, "deprels": 0} for record in gold] == [
        {**r, "heads": 0, "deprels": 0} for r in parsed
    ]
    assert all(is_tree(record["heads"]) for record in parsed)
    pairs = [
        (found, wanted)
        for record, truth in zip(parsed, gold, strict=True)
        for key in ("heads", "deprels")
        for found, wanted in zip(record[key], truth[key], strict=True)
    ]
    assert sum(found == wanted for found, wanted in pairs) / len(pairs) > 0.9
    assert {d for record in parsed for d, h in zip(record["deprels"], record["heads"], strict=True) if h == 0} == {
        "root"
    }


def test_words_stay_as_they_are(pipeline: str) -> None:
    """Words that spaCy would split, join or call space; each root of several sentences hangs on node 0."""
    words = ["do", "n't", "n't", "e.g.", "New York", "(", "\u200b", "great!!"]
    ((heads, deprels),) = trees([words], pipeline)
    assert len(heads) == len(deprels) == len(words) and is_tree(heads)


def test_several_sentences_in_one_record(spacy: Any) -> None:
    document = spacy.tokens.Doc(
        spacy.blank("en").vocab,
        words=["Food", "rocks", ".", "Go", "!"],
        heads=[1, 1, 1, 3, 3],
        deps=["nsubj", "ROOT", "punct", "ROOT", "punct"],
    )
    expected = ([2, 0, 2, 0, 4], ["nsubj", "root", "punct", "root", "punct"])
    assert len(list(document.sents)) == 2 and parse._spacy_tree(document) == expected


def test_command_keeps_everything_else(
    pipeline: str, gold: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out" / "parsed.jsonl"
    write_records(source, [{**record, "stars": 4, "heads": [0] * len(record["tokens"])} for record in gold[:9]])
    assert main(["--input", str(source), "--output", str(target), "--parser", pipeline]) == 0
    assert f"{target}: 9 sentences" in capsys.readouterr().out
    for record, truth in zip(read_records(target), gold, strict=False):
        assert record["triplets"] == truth["triplets"] and record["stars"] == 4 and sum(record["heads"]) > 0


def test_what_is_missing_is_named_with_its_command(
    spacy: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    write_records(source, [{"id": "1", "tokens": ["Good"], "triplets": []}])
    blank = tmp_path / "blank"
    spacy.blank("en").to_disk(blank)
    monkeypatch.setitem(sys.modules, "stanza", None)
    cases = {
        "spacy:no_such_model": "run: python -m spacy download no_such_model",
        f"spacy:{blank}": "has no dependency parser",
        "stanza:en": "stanza is not installed; run: pip install 'd2e2s[stanza]'",
        "spacy": "unknown parser 'spacy': expected spacy:PIPELINE or stanza:LANGUAGE",
        "corenlp:en": "unknown parser 'corenlp:en'",
    }
    for parser, message in cases.items():
        assert main(["--input", str(source), "--output", str(target), "--parser", parser]) == 2
        error = capsys.readouterr().err.strip()
        assert error.startswith("error: ") and message in error and "\n" not in error
        assert not target.exists()


def fake_stanza(spoil: bool = False) -> Any:
    """The part of Stanza's interface that is used: sentences given as words, each word below the next one."""

    class Pipeline:
        def __init__(self, language: str, **options: Any) -> None:
            if language != "en":
                raise FileNotFoundError(language)
            assert options["tokenize_pretokenized"] and options["download_method"] is None

        def __call__(self, sentences: list[list[str]]) -> Any:
            return SimpleNamespace(sentences=[self._sentence(words) for words in sentences])

        def _sentence(self, words: list[str]) -> Any:
            heads = [*range(2, len(words) + 1), 0]
            texts = [word.lower() if spoil else word for word in words]
            made = zip(texts, heads, ["dep"] * (len(words) - 1) + ["root"], strict=True)
            return SimpleNamespace(words=[SimpleNamespace(text=t, head=h, deprel=d) for t, h, d in made])

    return SimpleNamespace(Pipeline=Pipeline)


def test_stanza(monkeypatch: pytest.MonkeyPatch) -> None:
    sentences = [["Good", "food"], ["Yes"], ["Not", "so", "bad"]]
    monkeypatch.setitem(sys.modules, "stanza", fake_stanza())
    assert list(trees(sentences, "stanza:en", batch_size=2)) == [
        ([2, 0], ["dep", "root"]),
        ([0], ["root"]),
        ([2, 3, 0], ["dep", "dep", "root"]),
    ]
    with pytest.raises(UserError, match=r"stanza.download\('xx'\)"):
        list(trees(sentences, "stanza:xx"))
    monkeypatch.setitem(sys.modules, "stanza", fake_stanza(spoil=True))
    with pytest.raises(UserError, match="changed the words of 'Good food'"):
        list(trees(sentences, "stanza:en"))
