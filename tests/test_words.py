"""Raw text to words, sentences and windows: any text, exact offsets."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from any_text import TEXTS
from hypothesis import given, settings

from d2e2s.words_d2e2s import WORD_SPLITTERS, WordSplitter, split_sentences


@pytest.mark.parametrize("name", ["14res", "14lap", "15res"])
def test_benchmark_sentences_come_back(shared_data: Path, name: str, record_property: pytest.RecordProperty) -> None:
    files = sorted((shared_data / "aste_v2" / name).glob("*.txt"))
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    sentences = [line.split("####")[0].strip() for line in lines]
    split = WordSplitter("penn")
    same = sum([word.text for word in split(sentence)] == sentence.split(" ") for sentence in sentences)
    record_property("share", same / len(sentences))
    print(f"{name}: {same} of {len(sentences)} sentences, {same / len(sentences):.4f}")
    assert same / len(sentences) >= 0.99


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I'm sure it can't, doesn't and WON'T.", "I 'm sure it ca n't , does n't and WO N'T ."),
        ("They're John’s; I’ve", "They 're John ’s ; I ’ve"),
        ("cannot y'all 5'6 did'nt", "can not y'all 5'6 did'nt"),
        ("$10.50 is 20% of 1,000", "$ 10.50 is 20 % of 1,000"),
        ("at 9:30 a.m. in the U.S. etc.", "at 9:30 a.m. in the U.S. etc ."),
        ("Wait...what? (Yes!)", "Wait ... what ? ( Yes ! )"),
        ("well-made and/or 'nice' food--good", "well-made and/or ' nice ' food -- good"),
        ("great.The staff", "great . The staff"),
        ("Dr. Lee, St. John", "Dr. Lee , St. John"),
        ("<b>good</b><br/>food &amp; wine", "<b> good </b> <br/> food &amp; wine"),
        ("2 < 3 and b > a", "2 < 3 and b > a"),
        ("see http://a.b/c?d=e. me@x.org", "see http://a.b/c?d=e . me@x.org"),
        ("great😀👨‍👩‍👧 e\u0301clair", "great 😀 👨‍👩‍👧 e\u0301clair"),
        ("a  b\t\nc", "a b c"),
    ],
)
def test_penn_words(text: str, words: str) -> None:
    assert [word.text for word in WordSplitter("penn")(text)] == words.split(" ")


@pytest.mark.parametrize("name", ["penn", "unicode"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("菜很好吃。", "菜 很 好 吃 。"),
        ("ラーメンが美味しい", "ラ ー メ ン が 美 味 し い"),
        ("الطعام رائع،", "الطعام رائع ،"),
        ("Еда вкусная!", "Еда вкусная !"),
    ],
)
def test_other_scripts(name: str, text: str, words: str) -> None:
    assert [word.text for word in WordSplitter(name)(text)] == words.split(" ")


@pytest.mark.parametrize("name", sorted(WORD_SPLITTERS))
@settings(deadline=None, max_examples=300)
@given(text=TEXTS)
def test_offsets_of_any_text(name: str, text: str) -> None:
    words = WordSplitter(name)(text)
    assert all(word.text == text[word.start : word.end] != "" for word in words)
    assert all(a.end <= b.start for a, b in zip(words, words[1:], strict=False))
    covered = {i for word in words for i in range(word.start, word.end)}
    assert all(i in covered or character.isspace() for i, character in enumerate(text))
    sentences = split_sentences(text, words)
    assert [word for sentence in sentences for word in sentence] == words and all(sentences)


LONG_LINE = "we went there on a Friday evening and our first"
WRAPPED = "although it was rather crowded and somewhat loud"  # longer by a bracket's room, but not by a word's


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Good food. Bad service!", ["Good food .", "Bad service !"]),
        ("Good (really good.) Bad", ["Good ( really good . )", "Bad"]),
        ('He said "great." Fine?! Yes', ['He said " great . "', "Fine ? !", "Yes"]),
        ("Well... good. Hm... Bad", ["Well ... good .", "Hm ...", "Bad"]),
        ("Pizza, etc. and wine. Dr. Lee", ["Pizza , etc . and wine .", "Dr. Lee"]),
        ("good food\n\nbad wine", ["good food", "bad wine"]),
        ("Great food\nSlow service\r\nrude staff", ["Great food", "Slow service", "rude staff"]),
        ("Pros:\n- great food\n2) cheap\n\n* wine list", ["Pros :", "- great food", "2 ) cheap", "* wine list"]),
        (f"{LONG_LINE}\nwaiter was rude\nand slow", [f"{LONG_LINE} waiter was rude", "and slow"]),
        (f"{LONG_LINE}\n({WRAPPED}", [f"{LONG_LINE} ( {WRAPPED}"]),
        (f"{LONG_LINE} {LONG_LINE} {LONG_LINE}\ngood wine", [f"{LONG_LINE} {LONG_LINE} {LONG_LINE}", "good wine"]),
        (f"{LONG_LINE}\nI'd forget", [f"{LONG_LINE} I 'd forget"]),
        (f"{LONG_LINE}\nStill fine", [LONG_LINE, "Still fine"]),
        ("菜很好。服务差！", ["菜 很 好 。", "服 务 差 ！"]),
        ("", []),
        (" \n ", []),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    found = split_sentences(text, WordSplitter("penn")(text))
    assert [" ".join(word.text for word in sentence) for sentence in found] == sentences


def test_unknown_splitter() -> None:
    with pytest.raises(ValueError, match="penn"):
        WordSplitter("french")


def test_normal_forms_are_not_changed() -> None:
    """Offsets are those of the given text, composed or not."""
    for form in ("NFC", "NFD"):
        text = unicodedata.normalize(form, "café très bon")
        assert [text[word.start : word.end] for word in WordSplitter()(text)] == text.split(" ")
