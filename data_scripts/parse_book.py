"""The dependency files of D2E2S: which parse belongs to a sentence, and which triplets it tells."""

from collections import defaultdict
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from d2e2s.data_scripts.documents import read_list
from d2e2s.data_scripts.records import RecordError

SAME_SENTENCE = 0.5  # a parse whose tokens are less alike than this belongs to another sentence


class ParseBook:
    """Finds the parse of each sentence: the one with its tokens, else the one at its place if that is much alike.

    Raises:
        RecordError: the file is no JSON list.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.parses = read_list(path, "a list of parsed sentences")
        self.by_tokens: dict[str, list[int]] = defaultdict(list)
        for number, parse in enumerate(self.parses):
            if is_parse(parse):  # else it is reported at the sentence that needs it, by find()
                self.by_tokens[" ".join(parse["tokens"])].append(number)
        self.unused = set(range(len(self.parses)))

    def find(self, tokens: list[str], place: int) -> tuple[dict, str]:
        """The parse of the sentence on line `place` (from 0), and where it stands.

        Raises:
            RecordError: there is none, or it is no D2E2S record.
        """
        text = " ".join(tokens)
        same = [number for number in self.by_tokens.get(text, []) if number in self.unused]
        number = place if place in same or not same else same[0]
        where = f"{self.path}: record {number + 1}"
        if number not in self.unused:
            raise RecordError(f"{self.path}", f"no parse of {text[:60]!r}", "one for every sentence of the text file")
        parse = self.parses[number]
        if not is_parse(parse):
            raise RecordError(where, "not a parsed sentence", "tokens, pos and dependency as in D2E2S")
        if not same and SequenceMatcher(None, tokens, parse["tokens"], autojunk=False).ratio() < SAME_SENTENCE:
            raise RecordError(where, f"another sentence than {text[:60]!r}", "a parse for every sentence of the text")
        self.unused.discard(number)
        return parse, where


def is_parse(parse: Any) -> bool:
    """Whether it is a record of a D2E2S file, with tokens, pos and dependency."""
    try:
        are_lists = all(isinstance(parse[name], list) for name in ("tokens", "pos", "dependency"))
        " ".join(parse["tokens"]).encode()  # half a surrogate pair, which JSON can escape, is in no UTF-8 file
        " ".join(pair[0] for pair in parse["pos"])
        " ".join(deprel for deprel, _, _ in parse["dependency"]).encode()
        return are_lists and all(type(head) is type(word) is int for _, head, word in parse["dependency"])
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        return False


def told_triplets(parse: dict) -> list[tuple[int, int, int, int, str]] | None:
    """The triplets of a D2E2S record, None where it does not tell them."""
    try:
        spans, pairs = [(entity["start"], entity["end"]) for entity in parse["entities"]], parse["sentiments"]
        return sorted({(*spans[pair["head"]], *spans[pair["tail"]], pair["type"][:3].upper()) for pair in pairs})
    except (KeyError, TypeError, IndexError, AttributeError):
        return None
