"""Turn a parser's tree over its own tokens into a tree over the sentence's tokens.

The dependency files of D2E2S were made by a parser that dropped characters (brackets, hyphens, `$`, `:`), split
tokens, and cut some sentences in several, whose numbering starts again at 1. Three steps mend that:

1. :func:`read_arcs` puts the sentences of the parser behind each other in one numbering.
2. :func:`align` finds for each parser token the token it is a part of, by their characters.
3. :func:`transfer` carries the arcs over: a token takes the head of its highest parser token, so depth strictly
   falls along the new heads and no cycle can arise; a token that the parser dropped hangs on its neighbour.
"""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import NamedTuple

from d2e2s.data_scripts.records import unrooted_words

# What treebank tokenizers write for brackets and quotes, and typographic signs, as plain characters.
PLAIN = {
    "-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]", "-LCB-": "{", "-RCB-": "}",
    "``": '"', "''": '"', "“": '"', "”": '"', "‘": "'", "’": "'", "`": "'", "–": "-", "—": "-",
}  # fmt: skip
OPENING = set("([{<$#`“‘") | {"``"}  # belong to what follows them


@dataclass(frozen=True)
class Parse:
    """A tree over the parser's own tokens: heads 1-based, 0 = root (one for each of the parser's sentences)."""

    tokens: list[str]
    heads: list[int]
    deprels: list[str]


def read_arcs(tokens: Sequence[str], arcs: Sequence[Sequence]) -> Parse:
    """Number arcs `(deprel, head, dependent)` through, where each `ROOT` arc begins a sentence counted from 1.

    Raises:
        ValueError: arcs that are no trees over `tokens`, with the fault.
    """
    sentences: list[list[Sequence]] = []
    for arc in arcs:
        if arc[0].lower() == "root" or not sentences:
            sentences.append([])
        sentences[-1].append(arc)
    heads, deprels = list[int](), list[str]()
    for sentence in sentences:
        size, offset = len(sentence), len(heads)
        by_word = sorted(sentence, key=lambda arc: arc[2])
        if [arc[2] for arc in by_word] != list(range(1, size + 1)):
            raise ValueError(f"dependents {[arc[2] for arc in by_word]} are not 1 to {size}, once each")
        for _, head, word in by_word:
            if not 0 <= head <= size:
                raise ValueError(f"head {head} of word {word} is out of range 0 to {size}")
        heads += [head + offset if head else 0 for _, head, _ in by_word]
        deprels += ["root" if arc[1] == 0 else arc[0] for arc in by_word]
    if len(heads) != len(tokens):
        raise ValueError(f"{len(heads)} arcs for {len(tokens)} parser tokens")
    if cycle := unrooted_words(heads):
        raise ValueError(f"words {[word + 1 for word in cycle]} hang on a cycle")
    return Parse(list(tokens), heads, deprels)


def align(tokens: Sequence[str], parser_tokens: Sequence[str]) -> list[int]:
    """For each parser token the index of the token that holds most of its characters, -1 where none does.

    Characters are matched by the longest common blocks (Ratcliff and Obershelp, as in :mod:`difflib`).
    """
    if list(tokens) == list(parser_tokens):
        return list(range(len(tokens)))
    theirs, their_owner = _characters(parser_tokens)
    ours, our_owner = _characters(tokens)
    votes: list[Counter[int]] = [Counter() for _ in parser_tokens]
    for block in SequenceMatcher(None, theirs, ours, autojunk=False).get_matching_blocks():
        for step in range(block.size):
            votes[their_owner[block.a + step]][our_owner[block.b + step]] += 1
    return [max(ballot, key=lambda token: ballot[token]) if ballot else -1 for ballot in votes]


def _characters(tokens: Sequence[str]) -> tuple[str, list[int]]:
    """The characters of all tokens, made plain, and the token that each is of."""
    plain = [unicodedata.normalize("NFKC", PLAIN.get(token, token)) for token in tokens]
    plain = ["".join(PLAIN.get(character, character) for character in token) for token in plain]
    return "".join(plain), [number for number, token in enumerate(plain) for _ in token]


class Tree(NamedTuple):
    """A tree over the sentence's tokens."""

    heads: list[int]  # 1-based, 0 = root
    deprels: list[str]
    attached: list[int]  # tokens (0-based) that the parser had dropped, now hanging on a neighbour


def transfer(tokens: Sequence[str], parse: Parse) -> Tree:
    """The tree of `parse` over `tokens`.

    Raises:
        ValueError: the parse has no token in common with the sentence.
    """
    place = align(tokens, parse.tokens)
    depths = _depths(parse.heads)
    highest: dict[int, int] = {}  # token -> its parser token nearest the root
    for number, token in enumerate(place):
        if token >= 0 and (token not in highest or depths[number] < depths[highest[token]]):
            highest[token] = number
    if not highest:
        raise ValueError("the parse shares no token with the sentence")
    heads, deprels = [0] * len(tokens), [""] * len(tokens)
    for token in range(len(tokens)):
        if token in highest:
            heads[token] = _token_above(highest[token], parse.heads, place) + 1
            deprels[token] = parse.deprels[highest[token]] if heads[token] else "root"
        else:
            heads[token] = _neighbour(token, tokens, highest) + 1
            deprels[token] = "dep" if any(character.isalnum() for character in tokens[token]) else "punct"
    return Tree(heads, deprels, [token for token in range(len(tokens)) if token not in highest])


def _depths(heads: Sequence[int]) -> list[int]:
    """Steps from each word (0-based) up to the root."""
    depths = []
    for word in range(len(heads)):
        depth = 0
        while word >= 0:
            word, depth = heads[word] - 1, depth + 1
        depths.append(depth)
    return depths


def _token_above(number: int, heads: Sequence[int], place: Sequence[int]) -> int:
    """Token of the nearest ancestor of a parser token that has one, -1 for the root."""
    number = heads[number] - 1
    while number >= 0 and place[number] < 0:
        number = heads[number] - 1
    return place[number] if number >= 0 else -1


def _neighbour(token: int, tokens: Sequence[str], kept: dict[int, int]) -> int:
    """The nearest token with a parse: to the right of an opening sign, else to the left, else on the other side."""
    left = max((other for other in kept if other < token), default=None)
    right = min((other for other in kept if other > token), default=None)
    first, second = (right, left) if tokens[token] in OPENING else (left, right)
    return first if first is not None else second if second is not None else -1


def literal_heads(length: int, arcs: Sequence[Sequence]) -> tuple[list[int], list[str], int]:
    """The arcs as they stand, unrepaired, for `length` tokens; for studies of what the repair is worth.

    A word takes the first arc that names it; a head beyond the sentence, or no arc at all, becomes the root.

    Returns:
        heads, deprels, and how many arcs or words did not fit (clipped, doubled, beyond the sentence or without arc).
    """
    found: dict[int, tuple[int, str]] = {}
    unfit = 0
    for deprel, head, word in arcs:
        if not 1 <= word <= length or word in found:
            unfit += 1
            continue
        fits = 0 <= head <= length
        unfit += not fits
        found[word] = (head if fits else 0, deprel if fits and head else "root")
    unfit += length - len(found)
    pairs = [found.get(word, (0, "root")) for word in range(1, length + 1)]
    return [head for head, _ in pairs], [deprel for _, deprel in pairs], unfit
