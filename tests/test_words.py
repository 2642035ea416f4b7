"""Raw text to words, sentences and windows: any text, exact offsets."""

from __future__ import annotations

import unicodedata
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from any_text import TEXTS
from hypothesis import given, settings
from hypothesis import strategies as st

from d2e2s.words_d2e2s import WORD_SPLITTERS, WordSplitter, is_blank, pack_words, split_sentences


# The benchmarks leave marks on some words (`*not*`, `spicy-`, `-the`, `2.The`), which version 2 takes off.
@pytest.mark.parametrize(("version", "least"), [(1, 0.994), (2, 0.987)])
@pytest.mark.parametrize("name", ["14res", "14lap", "15res"])
def test_benchmark_sentences_come_back(shared_data: Path, name: str, version: int, least: float) -> None:
    files = sorted((shared_data / "aste_v2" / name).glob("*.txt"))
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    sentences = [line.split("####")[0].strip() for line in lines]
    split = WordSplitter("penn", version)
    same = sum([word.text for word in split(sentence)] == sentence.split(" ") for sentence in sentences)
    print(f"{name}: {same} of {len(sentences)} sentences, {same / len(sentences):.4f}")
    assert same / len(sentences) >= least


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
@pytest.mark.parametrize("version", [1, 2])
def test_penn_words(text: str, words: str, version: int) -> None:
    assert [word.text for word in WordSplitter("penn", version)(text)] == words.split(" ")


MARKED = [
    ("-great screen", "- great screen", "-great screen"),
    ("- great\n*great* **screen**", "- great * great * ** screen **", "- great *great* **screen**"),
    ("_great_ __screen__ a_b", "_ great _ __ screen __ a_b", "_great_ __screen__ a_b"),
    ("+great\n•great ·x", "+ great • great · x", "+great •great ·x"),
    ("service- slow, built-in", "service - slow , built-in", "service- slow , built-in"),
    ("-5 C++ A+ 10-5 a--b x---", "-5 C++ A+ 10-5 a -- b x ---", "-5 C++ A+ 10-5 a -- b x ---"),
    ("food.slow service", "food . slow service", "food.slow service"),
    ("good.i did, food.I", "good . i did , food . I", "good.i did , food.I"),
    ("еда.плохо SLOW.BAD", "еда . плохо SLOW . BAD", "еда.плохо SLOW.BAD"),
    ("1.great\n2.slow", "1 . great 2 . slow", "1.great 2.slow"),
    ("1.Good  2.I 10.Bad", "1 . Good 2 . I 10 . Bad", "1.Good 2.I 10.Bad"),
    ("9.am 3.x 3.5mm 1.com", "9.am 3.x 3.5mm 1.com", "9.am 3.x 3.5mm 1.com"),
    ("it's.slow don't.go", "it 's . slow do n't . go", "it 's .slow do n't .go"),
    ("好.bad good.好", "好 . bad good . 好", "好 .bad good. 好"),
    ("v2.0 3.25 node.js", "v2.0 3.25 node.js", "v2.0 3.25 node.js"),
    ("booking.com bbc.co.uk a.txt", "booking.com bbc.co.uk a.txt", "booking.com bbc.co.uk a.txt"),
    ("e.g. a.m. U.S. Ph.D will.i.am", "e.g. a.m. U.S. Ph.D will.i.am", "e.g. a.m. U.S. Ph.D will.i.am"),
    ("http://a.b/c.great x.y@z.org", "http://a.b/c.great x.y@z.org", "http://a.b/c.great x.y@z.org"),
    ("food\u200b \u00adwas\u200d.", "food was .", "food\u200b \u00adwas\u200d ."),
    ("\u200b-great\ufeff \u2060", "- great", "\u200b-great\ufeff \u2060"),
    ("great-\u200b food\u034f", "great - food", "great-\u200b food\u034f"),
    ("fo\u200bod 👨‍👩‍👧", "fo\u200bod 👨‍👩‍👧", "fo\u200bod 👨‍👩‍👧"),
]


@pytest.mark.parametrize(("text", "words", "before"), MARKED)
def test_marks_around_words_are_none_of_them(text: str, words: str, before: str) -> None:
    """In version 2; version 1 goes on as it did."""
    for version, expected in ((1, before), (2, words)):
        found = WordSplitter("penn", version)(text)
        assert [word.text for word in found] == expected.split(" ")
        assert all(text[word.start : word.end] == word.text for word in found)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("_great_ -screen a_b", "_ great _ - screen a_b"),
        ("food.slow node.js v2.0", "food . slow node.js v2.0"),
        ("it's.slow e.g. a.m. in U.S.", "it's . slow e.g. a.m. in U.S."),
        ("می\u200cخواهم food\u200b", "می\u200cخواهم food"),
    ],
)
def test_marks_around_words_of_other_languages(text: str, words: str) -> None:
    assert [word.text for word in WordSplitter("unicode")(text)] == words.split(" ")


def test_a_splitter_of_the_future_is_refused() -> None:
    with pytest.raises(ValueError, match="word splitter of version 3: expected 1 to 2; upgrade d2e2s"):
        WordSplitter("penn", 3)


@pytest.mark.parametrize("blank", ["", " \n", "\u200b \u00ad", None, float("nan"), [], Decimal("nan")])
def test_blank(blank: Any) -> None:
    assert is_blank(blank)
    assert not any(map(is_blank, ("a", ["a"], 0, 0.0, False, "\u200ba", b"")))


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


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(WORD_SPLITTERS))
@settings(deadline=None, max_examples=300)
@given(text=TEXTS)
def test_offsets_of_any_text(name: str, text: str) -> None:
    words = WordSplitter(name)(text)
    assert all(word.text == text[word.start : word.end] != "" for word in words)
    assert all(a.end <= b.start for a, b in zip(words, words[1:], strict=False))
    covered = {i for word in words for i in range(word.start, word.end)}
    assert all(i in covered or is_blank(character) for i, character in enumerate(text))
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


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(["a", "B", ",", "I"]), max_size=60), st.integers(1, 9), st.integers(3, 12))
def test_windows_cover_every_word_once(words: list[str], most: int, room: int) -> None:
    sizes = [1 + ord(word) % 3 for word in words]
    ranges = pack_words(words, sizes, room, most)
    assert [i for start, end in ranges for i in range(start, end)] == list(range(len(words)))
    assert all(0 < end - start <= most and sum(sizes[start:end]) <= room for start, end in ranges)


def test_windows_begin_behind_pauses_and_at_capitals() -> None:
    words = ["it", "was", "good", "and", "cheap", "Our", "waiter", "was", ",", "sadly", ",", "slow", "and", "rude"]
    ranges = pack_words(words, [1] * len(words), 99, 7)
    assert [" ".join(words[start:end]) for start, end in ranges] == [
        "it was good and cheap",
        "Our waiter was , sadly ,",
        "slow and rude",
    ]
