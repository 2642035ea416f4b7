"""From raw text to words with exact character offsets, and from words to sentences and windows.

Nothing here knows of a tokenizer's vocabulary or of the model. Wherever a `Word` goes,
`source[word.start : word.end] == word.text` stays true.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from tokenizers.pre_tokenizers import PreTokenizer

from .errors_d2e2s import UserError

MAX_WORD_CHARACTERS = 100


# --- raw text to words ------------------------------------------------------------------------------------


class Word(NamedTuple):
    """A word and its place: `source[start:end] == text` for the source string it was split from."""

    text: str
    start: int
    end: int


# Scripts written without spaces: one word a character, with its combining marks.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}ー\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_UNSPACED_CHARACTER = rf"[{_UNSPACED}]\p{{M}}*"
# One character as a reader sees it (an emoji sequence, a letter with its accents), never white space.
_GRAPHEME = r"(?=\S)\X"
# Every repetition that may fail late is bounded: a text of any shape is split in linear time.
_URL = r"(?i:https?://|www\.)[^\s<>\"]{0,2000}[^\s<>\"'’”.,;:!?)\]]"
_EMAIL = r"[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64}){1,8}"
_ATTRIBUTE = r"\s{1,9}[A-Za-z-]{1,20}\s{0,9}=\s{0,9}(?:\"[^\"<>]{0,999}\"|'[^'<>]{0,999}'|[^\s<>\"']{1,999})"
_TAG = rf"</?[A-Za-z][A-Za-z0-9]{{0,10}}(?:{_ATTRIBUTE}){{0,10}}\s{{0,9}}/?>"
_ENTITY = r"&(?:[A-Za-z]{2,8}|#\d{1,6});"
_NOT_INSIDE = r"(?!-?[\p{L}\p{N}])"
_CLITIC = rf"['’](?i:s|m|d|re|ve|ll){_NOT_INSIDE}"
_NEGATION = rf"(?i:n['’]t){_NOT_INSIDE}"
_CANNOT = rf"(?i:can)(?=(?i:not){_NOT_INSIDE})"
_TITLES = r"(?:Mr|Mrs|Ms|Dr|St|Jr|Sr|Prof|Inc|Co|Corp|Ltd|Ave|Blvd|vs|Nov|Dec|Jan|Feb|Aug|Sept|Oct)\.(?!\w)"
_INITIALS = r"(?:\p{L}\.){2,9}(?!\w)"
_ELISION = r"['’](?i:em|til|tis|twas|cause|round|n)(?![\p{L}\p{N}])"
_RUNS = r"\.{2,}|-{2,}|``|''"
_PUNCTUATION = r",;:?!()\[\]{}\"“”‘„‚«»‹›…—–¿¡،؛؟۔।॥。、！？，：；（）「」『』【】《》〈〉・%$€£¥₹#&@<>=|~^`"
_LETTER = rf"[^\s.'’{_PUNCTUATION}\p{{So}}{_UNSPACED}]"
# Inside a word: 9:30, 1,000, 3.25, U.S, 5'6 and y'all, but not "good.The" (two sentences without a space).
_INSIDE = (
    r"(?<=\d)[,:](?=\d)"
    r"|(?<=[\p{L}\p{N}])\.(?!(?<=\p{Ll}\p{Ll}\.)\p{Lu}\p{Ll})(?=[\p{L}\p{N}])"
    rf"|(?!{_CLITIC})(?<=[\p{{L}}\p{{N}}])['’](?=[\p{{L}}\p{{N}}])"
)
_PENN_WORD = rf"(?:(?!{_NEGATION}|--)(?:{_LETTER}|{_INSIDE}))+"
_PENN = "|".join(
    (_URL, _EMAIL, _TAG, _ENTITY, _NEGATION, _CLITIC, _ELISION, _CANNOT, _TITLES, _INITIALS, _RUNS)
    + (_UNSPACED_CHARACTER, r"\.\d+", _PENN_WORD, _GRAPHEME)
)
_SPACED_WORD = rf"[[\p{{L}}\p{{M}}\p{{N}}_]&&[^{_UNSPACED}]]+"
_UNICODE = "|".join((_UNSPACED_CHARACTER, rf"{_SPACED_WORD}(?:['’.-]{_SPACED_WORD})*", _GRAPHEME))


def _matches(pattern: str) -> PreTokenizer:
    """Pre-tokenizer whose words are the matches of `pattern`."""
    return pre_tokenizers.Split(Regex(pattern), behavior="removed", invert=True)


WORD_SPLITTERS: dict[str, Callable[[], PreTokenizer]] = {
    "penn": lambda: _matches(_PENN),
    "unicode": lambda: _matches(_UNICODE),
    "whitespace": lambda: _matches(r"\S+"),
}
"""Word splitters by name. `penn`: Penn Treebank style, as in the English benchmarks (`do n't`, `$ 10`);
`unicode`: words, single characters for scripts without spaces, punctuation apart; `whitespace`."""


class WordSplitter:
    """Splits raw text into words with exact offsets, by any pre-tokenizer of the `tokenizers` library.

    `spec` is a name in `WORD_SPLITTERS`, a `PreTokenizer` (so that a language can bring its own), or the
    dictionary that `config` gave for one. `config` is what is saved with a checkpoint.
    Words longer than `MAX_WORD_CHARACTERS` are cut into pieces of that length.

    Raises:
        ValueError: unknown name, or a pre-tokenizer that cannot be saved (one written in Python).
    """

    def __init__(self, spec: str | dict[str, Any] | PreTokenizer = "penn") -> None:
        if isinstance(spec, str) and spec not in WORD_SPLITTERS:
            raise UserError(f"unknown word_splitter {spec!r}: choose from {sorted(WORD_SPLITTERS)}")
        if isinstance(spec, str):
            self.config: str | dict[str, Any] = spec
            self._split = WORD_SPLITTERS[spec]()
        elif isinstance(spec, Mapping):
            self.config = dict(spec)
            self._split = _read_pre_tokenizer(self.config)
        else:
            self.config = _write_pre_tokenizer(spec)
            self._split = spec

    def __call__(self, text: str) -> list[Word]:
        """Words of `text` in order, without overlap, covering every character that is not white space."""
        spans = (span for _, span in self._split.pre_tokenize_str(without_surrogates(text)))
        return [Word(text[a:b], a, b) for start, end in spans for a, b in _chunks(start, end)]


def _chunks(start: int, end: int) -> Iterable[tuple[int, int]]:
    """Cut [start, end) into ranges of at most MAX_WORD_CHARACTERS."""
    for a in range(start, end, MAX_WORD_CHARACTERS):
        yield a, min(a + MAX_WORD_CHARACTERS, end)


def _write_pre_tokenizer(pre_tokenizer: PreTokenizer) -> dict[str, Any]:
    try:
        return json.loads(pre_tokenizer.__getstate__())
    except Exception as error:
        raise UserError(
            f"word_splitter {pre_tokenizer!r} cannot be saved: build it from tokenizers.pre_tokenizers"
        ) from error


def _read_pre_tokenizer(state: dict[str, Any]) -> PreTokenizer:
    carrier = json.loads(Tokenizer(models.WordLevel({"": 0}, unk_token="")).to_str())
    return Tokenizer.from_str(json.dumps({**carrier, "pre_tokenizer": state})).pre_tokenizer


_SURROGATE = re.compile("[\ud800-\udfff]")


def without_surrogates(text: str) -> str:
    """Unpaired surrogates cannot be encoded: U+FFFD stands in for each, and every offset stays."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


# --- words to sentences and windows -----------------------------------------------------------------------

_SENTENCE_END = frozenset(".!?。！？．؟۔।॥…")
_BRACKETS = frozenset(")]}）】」』")
_QUOTES = frozenset(('"', "'", "”", "’", "»", "''"))
_BULLETS = frozenset("-*+•·‣–—")
_NARROWEST, _WIDEST = 40, 100  # characters; text whose longest line is shorter, or longer, was not wrapped
_TOKEN = re.compile(r"\S+")
_CLAUSE_END = frozenset(",;:-–—，；：、،؛") | {"--"}


def split_sentences(text: str, words: Sequence[Word]) -> list[list[Word]]:
    """Group the words of `text` into sentences; their concatenation is `words`, nothing is left out.

    A sentence ends after final punctuation with the brackets and quotes that close it, at a blank line, or with its
    line, unless that was only wrapped. "..." ends one only before a capital, "etc." only if no small letter follows.
    """
    width = max(_NARROWEST, *map(len, text.split("\n")))
    borders = [i for i in range(1, len(words)) if _is_border(text, words, i, width)]
    return [list(words[a:b]) for a, b in itertools.pairwise([0, *borders, len(words)]) if b > a]


def _is_border(text: str, words: Sequence[Word], i: int, width: int) -> bool:
    """Whether a sentence begins at word `i` (> 0); `width` is that of the longest line."""
    word, gap = words[i], text[words[i - 1].end : words[i].start]
    if gap.count("\n") > 1:
        return True
    if _closes(word, gap) or _ends(word.text):
        return False
    if "\n" in gap and _begins_line(text, words[i - 1].end, word, width):
        return True
    last = i - 1
    while last > 0 and _closes(words[last], text[words[last - 1].end : words[last].start]):
        last -= 1
    end = words[last].text
    if not _ends(end):
        return False
    if len(end) > 1 or end == "…":
        return word.text[0].isupper()
    after_etc = last > 0 and words[last - 1].text.lower() == "etc"
    return not (after_etc and end == "." and word.text[0].islower())


def _begins_line(text: str, end: int, word: Word, width: int) -> bool:
    """Whether the line that a word stands at the beginning of is meant as one, or was wrapped there.

    It is meant where the line before, whose last word ends at `end`, had room for the word with what stands at it
    without a space, in a text that has longer lines than wrapped ones are, and before a bullet or a capital, but for
    that of "I".
    """
    if word.text in _BULLETS or (word.text[0].isupper() and word.text[:2] not in ("I", "I'", "I’")):
        return True
    token = _TOKEN.match(text, word.start)
    length = text.index("\n", end) - text.rfind("\n", 0, end) - 1
    return width > _WIDEST or token is None or length + 1 + len(token[0]) <= width


def _ends(word: str) -> bool:
    return all(character in _SENTENCE_END for character in word)


def _closes(word: Word, gap: str) -> bool:
    """A closing bracket belongs to what precedes it, a quotation mark only without a space between."""
    return word.text in _BRACKETS or (word.text in _QUOTES and not gap)


def pack_words(words: Sequence[str], sizes: Sequence[int], room: int) -> list[tuple[int, int]]:
    """Ranges of words whose sizes sum to at most `room`, cut after clause punctuation if it is near.

    Every size must be at most `room`.
    """
    ranges, start, used, pause = [], 0, 0, 0
    for i, size in enumerate(sizes):
        while used + size > room:
            cut = pause if pause - start > (i - start) // 2 else i
            ranges.append((start, cut))
            start, used = cut, sum(sizes[cut:i])
        used += size
        if words[i] in _CLAUSE_END:
            pause = i + 1
    return [*ranges, (start, len(words))] if words else []
