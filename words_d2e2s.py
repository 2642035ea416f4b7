"""From raw text to words with exact character offsets, and from words to sentences and windows.

Nothing here knows of a tokenizer's vocabulary or of the model. Wherever a `Word` goes,
`source[word.start : word.end] == word.text` stays true.
"""

import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from numbers import Number
from typing import Any, NamedTuple

from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from tokenizers.pre_tokenizers import PreTokenizer

from .errors_d2e2s import UserError

MAX_WORD_CHARACTERS = 100
# Eight in ten sentences of the benchmarks have no more words, and 99 in 100 not twice as many.
WINDOW_WORDS = 24


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
# Spaces of no width, soft hyphens, joiners and marks of direction: none of a word where they stand at its edge.
_INVISIBLE = "\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff"
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
# Stops without a space behind them: "good.The" in version 1. Version 2 parts runs of letters, "food.slow" and "food.I",
# unless the right one ends a name: node.js, booking.com; what no space belongs before, "food.好"; and the number of an
# item, "1.great", but not "9.am".
_STOP_1 = r"(?<=\p{Ll}\p{Ll}\.)\p{Lu}\p{Ll}"
_ENDINGS = (
    "com|org|net|edu|gov|mil|int|info|biz|io|ai|co|tv|fm|uk|de|fr|es|nl|eu|ca|au|nz|jp|cn|ru|pl|ch|se|dk|fi|pt|br|mx"
    "|js|ts|py|cpp|cs|rb|rs|sh|php|aspx?|html?|xml|json|ya?ml|css|sql|ini|cfg|log|md|tex|txt|rtf|csv|tsv|pdf|docx?|xlsx?"
    "|pptx?|odt|epub|mobi|jpe?g|png|gif|bmp|svg|tiff?|psd|mp[34]|avi|mkv|mov|wav|flac|zip|rar|tar|gz|7z|exe|dll|msi|dmg|apk"
    "|iso|bin|jar"
)
_NAME = rf"(?:[\p{{L}}\p{{N}}_-]{{1,63}}\.){{0,4}}(?i:{_ENDINGS})(?![\p{{L}}\p{{N}}])"
_STOP_2 = (
    rf"(?:[{_UNSPACED}]|(?<=[\p{{L}}'’]\p{{L}}\.)(?!{_NAME})(?:\p{{L}}\p{{L}}|[aiAI](?![\p{{L}}\p{{N}}.]))"
    rf"|(?<=(?:^|\s)\p{{N}}\.|(?:^|\s)\p{{N}}\p{{N}}\.)(?!{_NAME}|(?i:[ap]m)(?!\p{{L}}))"
    r"(?:\p{L}\p{L}|[AI](?![\p{L}\p{N}.])))"
)


def _inside(stop: str) -> str:
    """Marks inside a word: 9:30, 1,000, 3.25, U.S, 5'6 and y'all, but no dot before what `stop` matches."""
    return (
        r"(?<=\d)[,:](?=\d)"
        rf"|(?<=[\p{{L}}\p{{N}}])\.(?!{stop})(?=[\p{{L}}\p{{N}}])"
        rf"|(?!{_CLITIC})(?<=[\p{{L}}\p{{N}}])['’](?=[\p{{L}}\p{{N}}])"
    )


def _penn(word: str) -> str:
    special = (_URL, _EMAIL, _TAG, _ENTITY, _NEGATION, _CLITIC, _ELISION, _CANNOT, _TITLES, _INITIALS, _RUNS)
    return "|".join((*special, _UNSPACED_CHARACTER, r"\.\d+", word, _GRAPHEME))


def _unicode(joint: str, spaced: str) -> str:
    return "|".join((_UNSPACED_CHARACTER, rf"{spaced}(?:{joint}{spaced})*", _GRAPHEME))


_PENN_1 = _penn(rf"(?:(?!{_NEGATION}|--)(?:{_LETTER}|{_inside(_STOP_1)}))+")
# Version 2: what lists and Markdown put around words is none of them (-great, *great*, _great_, service-); between
# letters it stays (built-in, f*ck, snake_case), and so does the sign of a number.
_EDGE = r"*_\\•·‣⁃∙→\u2010-\u2012\u2212-"
_CORE = rf"(?:(?!{_NEGATION}|--)(?:(?![{_EDGE}]){_LETTER}|{_inside(_STOP_2)}))"
_PENN_2 = _penn(
    rf"[{_INVISIBLE}]+|[*_]{{2,}}|(?<=^|\n)\+|(?:-(?=\d))?(?![.,:'’]){_CORE}+"
    rf"(?:(?!--)[{_EDGE}]{{1,9}}[{_INVISIBLE}]{{0,9}}(?![{_INVISIBLE}]){_CORE}+)*(?:(?<=\d)-(?!-))?"
)
_SPACED = rf"[[\p{{L}}\p{{M}}\p{{N}}]&&[^{_UNSPACED}]]+"
_UNICODE_1 = _unicode("['’.-]", rf"[[\p{{L}}\p{{M}}\p{{N}}_]&&[^{_UNSPACED}]]+")
_UNICODE_2 = _INITIALS + "|" + _unicode(rf"(?:['’-]|_+|[{_INVISIBLE}]+|\.(?!{_STOP_2}))", _SPACED)


def _matches(pattern: str) -> PreTokenizer:
    """Pre-tokenizer whose words are the matches of `pattern`."""
    return pre_tokenizers.Split(Regex(pattern), behavior="removed", invert=True)


WORD_SPLITTERS: dict[str, tuple[str, ...]] = {
    "penn": (_PENN_1, _PENN_2),
    "unicode": (_UNICODE_1, _UNICODE_2),
    "whitespace": (r"\S+", r"\S+"),
}
"""Word splitters by name, each with the pattern of its words in every version. `penn`: Penn Treebank style, as in the
English benchmarks (`do n't`, `$ 10`); `unicode`: words, single characters for scripts without spaces, punctuation
apart; `whitespace`."""
SPLITTER_VERSION = 2
_VISIBLE = re.compile(rf"[^{_INVISIBLE}](?:.*[^{_INVISIBLE}])?", re.DOTALL)
_SEEN = re.compile(rf"[^\s{_INVISIBLE}]")


class WordSplitter:
    """Splits raw text into words with exact offsets, by any pre-tokenizer of the `tokenizers` library.

    `spec` is a name in `WORD_SPLITTERS`, a `PreTokenizer` (so that a language can bring its own), or the
    dictionary that `config` gave for one. `config` is what is saved with a checkpoint.
    Words longer than `MAX_WORD_CHARACTERS` are cut into pieces of that length.

    `version` says by which rules: a checkpoint splits for ever as it did in training. 1: those of checkpoints that name
    no version. 2: signs of lists and Markdown around a word are none of it, nor are invisible characters at its edge,
    and a stop without a space behind it ends a word.

    Raises:
        UserError: unknown name or version, or a pre-tokenizer that cannot be saved (one written in Python).
    """

    def __init__(self, spec: str | dict[str, Any] | PreTokenizer = "penn", version: int = SPLITTER_VERSION) -> None:
        if isinstance(spec, str) and spec not in WORD_SPLITTERS:
            raise UserError(f"unknown word_splitter {spec!r}: choose from {sorted(WORD_SPLITTERS)}")
        if version not in range(1, SPLITTER_VERSION + 1):
            raise UserError(f"word splitter of version {version!r}: expected 1 to {SPLITTER_VERSION}; upgrade d2e2s")
        self._trims = version > 1
        if isinstance(spec, str):
            self.config: str | dict[str, Any] = spec
            self._split = _matches(WORD_SPLITTERS[spec][version - 1])
        elif isinstance(spec, Mapping):
            self.config = dict(spec)
            self._split = _read_pre_tokenizer(self.config)
        else:
            self.config = _write_pre_tokenizer(spec)
            self._split = spec

    def __call__(self, text: str) -> list[Word]:
        """Words of `text` in order, without overlap, covering every character that is seen."""
        spans = (span for _, span in self._split.pre_tokenize_str(without_surrogates(text)))
        if self._trims:
            found = (_VISIBLE.search(text, *span) for span in spans)
            spans = (match.span() for match in found if match)
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


def is_blank(text: Any) -> bool:
    """Whether there is no text: None, NaN (pandas' NA and NaT too), no words, or only what is not seen."""
    if isinstance(text, str):
        return not _SEEN.search(text)
    if isinstance(text, list | tuple):
        return not text
    return text is None or type(text).__name__ in ("NAType", "NaTType") or (isinstance(text, Number) and text != text)


def remedy_for(inputs: Any) -> str | None:
    """What to say of inputs that hold no texts, though some of them can be iterated over; None for any others."""
    if isinstance(inputs, bytes | bytearray):
        return ": decode it"
    lists = [name for name in inputs if isinstance(inputs[name], list)] if isinstance(inputs, Mapping) else []
    if hasattr(inputs, "columns") or len({*lists} - {"aspects"}) > 1:  # the items of a DataFrame are names of columns
        return ": give one column of it, such as table['text']"
    return None if hasattr(inputs, "__iter__") or hasattr(inputs, "__getitem__") else ": give a str"


def placed_words(words: Sequence[Any], where: str) -> list[Word]:
    """Given words with their places in `" ".join(words)`."""
    placed, start = [], 0
    for i, word in enumerate(words):
        if not isinstance(word, str):
            raise TypeError(f"{where}: got a list, in which word {i} is {type(word).__name__}: expected str")
        if not word:
            raise UserError(f"{where}: word {i} is empty: leave it out")
        if is_sentence(word):
            raise UserError(
                f"{where}: word {i} is a sentence: {word[:40]!r}: a text goes as a str, many texts as one list of str "
                "(a column of a table: table['text'])"
            )
        placed.append(Word(word, start, start + len(word)))
        start += len(word) + 1
    return placed


def is_sentence(word: str) -> bool:
    """Words of some languages hold a blank or two ("nhà hàng"), but no stop behind them, and none within."""
    parts = word.split()
    stops_within = any(mark in word[:-1].strip() for mark in "。！？")
    return stops_within or len(parts) > 3 or (len(parts) > 1 and parts[-1][-1] in ".!?…")


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
    if word.text in _BULLETS or _is_capital(word.text):
        return True
    token = _TOKEN.match(text, word.start)
    length = text.index("\n", end) - text.rfind("\n", 0, end) - 1
    return width > _WIDEST or token is None or length + 1 + len(token[0]) <= width


def _is_capital(word: str) -> bool:
    return word[0].isupper() and word[:2] not in ("I", "I'", "I’")


def _ends(word: str) -> bool:
    return all(character in _SENTENCE_END for character in word)


def _closes(word: Word, gap: str) -> bool:
    """A closing bracket belongs to what precedes it, a quotation mark only without a space between."""
    return word.text in _BRACKETS or (word.text in _QUOTES and not gap)


def pack_words(words: Sequence[str], sizes: Sequence[int], room: int, most: int | None = None) -> list[tuple[int, int]]:
    """Ranges of words whose sizes sum to at most `room`, cut after clause punctuation if it is near. They follow one
    another without gap or overlap.

    Every size must be at most `room`. With `most`, a range has at most so many words, and may begin with a capital too:
    where nothing ends a sentence, it often tells that one begins.
    """
    longest = most or len(words)
    ranges, start, used, pause = [], 0, 0, 0
    for i, size in enumerate(sizes):
        if most and _is_capital(words[i]):
            pause = i
        while used + size > room or i - start >= longest:
            cut = pause if pause - start > (i - start) // 2 else i
            ranges.append((start, cut))
            start, used = cut, sum(sizes[cut:i])
        used += size
        if words[i] in _CLAUSE_END:
            pause = i + 1
    return [*ranges, (start, len(words))] if words else []


def halve_long(sentence: Sequence[Word], sizes: Sequence[int], room: int) -> list[Word]:
    """Cut each word of more than `room` pieces into two, offsets exact.

    Raises:
        UserError: a single character needs more than `room` pieces.
    """
    words: list[Word] = []
    for word, size in zip(sentence, sizes, strict=True):
        if size <= room:
            words.append(word)
            continue
        if len(word.text) == 1:
            raise UserError(f"character {word.text!r} has {size} word pieces, more than the {room} that fit")
        half = len(word.text) // 2
        words.append(Word(word.text[:half], word.start, word.start + half))
        words.append(Word(word.text[half:], word.start + half, word.end))
    return words


def checked_window(words: int | None) -> int | None:
    """Raises: UserError: less than no word."""
    if words is not None and (type(words) is not int or words < 0):
        raise UserError(f"window_words must be a whole number (0: as many as fit the encoder), got {words!r}")
    return words
