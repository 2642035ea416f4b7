"""One name for each aspect, however it is written: capitals, articles, plurals, and synonyms that a person gives."""

from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml

from ..errors_d2e2s import UserError

MOST_KNOWN = 100_000  # keys that are remembered
ARTICLES = {
    *("a", "an", "the", "this", "that", "these", "those", "some", "any"),
    *("my", "our", "your", "his", "her", "its", "their"),
}


class Names:
    """The key that an aspect is counted by.

    Args:
        merged: for a name the further ones that mean the same.
    """

    def __init__(self, merged: Mapping[str, list[str]] | None = None) -> None:
        self.synonyms = {key_of(other): key_of(name) for name, others in (merged or {}).items() for other in others}

    def __call__(self, aspect: str) -> str:
        key = key_of(aspect)
        return self.synonyms.get(key, key)


@lru_cache(MOST_KNOWN)
def key_of(aspect: str) -> str:
    """The words in small letters, without articles in front, the last of them in the singular."""
    words = aspect.casefold().split()
    while len(words) > 1 and words[0] in ARTICLES:
        del words[0]
    return " ".join([*words[:-1], singular(words[-1])]) if words else ""


@lru_cache(MOST_KNOWN)
def singular(word: str) -> str:
    """An English noun in the singular, as `inflect` has it; what is none is left as it is."""
    if len(word) < 4 or not word.isalpha() or word.endswith("ss"):
        return word
    return str(_engine().singular_noun(word) or word)


@cache
def _engine() -> Any:
    import inflect

    return inflect.engine()


def read_merged(path: Path) -> dict[str, list[str]]:
    """Synonyms from a YAML file: `battery: [battery life, accumulator]`, a line for each aspect.

    Raises:
        UserError: something else.
        OSError: no such file.
    """
    expected = 'expected lines such as "battery: [battery life, accumulator]"'
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {' '.join(str(error).split())}; {expected}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: no names; {expected}")
    merged = {}
    for name, others in content.items():
        others = [others] if isinstance(others, str) else others
        if not isinstance(name, str) or not isinstance(others, list) or not all(isinstance(o, str) for o in others):
            raise UserError(f"{path}: {name!r:.60}; {expected}")
        merged[name] = others
    return merged
