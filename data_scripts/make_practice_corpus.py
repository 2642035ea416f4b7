"""Write the practice corpus: made-up review sentences of many trades, with what benchmarks hardly hold.

    python data_scripts/make_practice_corpus.py --output_dir data/practice

Negation and its scope, "not so much X as Y", superlatives, comparisons, questions, sarcasm, conditions, slips of the
keyboard, and facts that judge nothing; about meals, hotels, gadgets, clothes, the home, and services. The sentences
have triplets and no trees. Their words and templates stand in `practice_grammar.yaml`, where

    <1>, <2>         are aspects; <0> a thing that nobody judges; <1s>, <0s> plural ones; <1p> of either number
    (1-:not {good})  is an opinion about aspect 1, here negative (+ positive, = neutral; 12: about both)
    {good} {very}    are slots, filled from the word lists
    is@1             agrees with aspect 1
"""

import argparse
import random
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from d2e2s.data_scripts.command import exit_code
from d2e2s.data_scripts.dataset_card import write_dataset_card
from d2e2s.data_scripts.records import Record, write_records
from d2e2s.words_d2e2s import WordSplitter

ABOUT = """Made-up review sentences with gold triplets, for what a model of real reviews needs and the benchmarks
hardly hold: negation, comparison, questions, sarcasm, conditions, slips of the keyboard, facts. Licence: CC0 1.0; the
text is our own. `python data_scripts/make_practice_corpus.py` writes these very bytes again."""

GRAMMAR = Path(__file__).with_name("practice_grammar.yaml")
SEED, SIZE = 7, 9000
SLIPS, SMALL = 0.2, 0.15  # shares of the sentences with slips, and of the others without capitals
SLIP, HEARD = 0.35, 0.5  # shares of the words of such a sentence, and of its slips that are errors of spelling
FRAMED = 0.15  # share of the sentences with a lead, and of those with a tail
MANY = 0.4  # share of plurals where a template takes either
PLURAL = {
    **{"was": "were", "is": "are", "has": "have", "does": "do", "isn't": "aren't", "wasn't": "weren't"},
    **{"doesn't": "don't", "hasn't": "haven't"},
}
SENTIMENTS = {"+": "POS", "-": "NEG", "=": "NEU"}
WORD = re.compile(r"[A-Za-z]+(?:'[A-Za-z]+)?")
PART = re.compile(r"<(\d)([sp]?)>|\((\d+)([-+=]):|\)|\{(\w+)\}|(\S+?)@(\d)|[^<({)@ ]+|.")
Trade = dict[str, list[str]]


class Term(NamedTuple):
    """A term of a text: "aspect" or its sentiment, the numbers of its aspects ("12"), characters [start, end)."""

    role: str
    about: str
    start: int
    end: int


class Grammar:
    """Draws sentences; the same ones for the same seed."""

    def __init__(self, seed: int = SEED) -> None:
        grammar = yaml.safe_load(GRAMMAR.read_text(encoding="utf-8"))
        trades = grammar["trades"].values()
        self.trades: list[Trade] = [{name: words.split(", ") for name, words in trade.items()} for trade in trades]
        self.words = {slot: words.split(", ") for slot, words in grammar["words"].items()}
        self.templates = {kind: text.splitlines() for kind, text in grammar["templates"].items()}
        self.rng = random.Random(seed)
        self.split = WordSplitter("penn")
        self.leads, self.tails = grammar["lead"].split(", "), grammar["tail"].split(", ")
        self.confused: dict[str, str] = grammar["confused"]
        self.sounds = [pair.split("/") for pair in grammar["sounds"].split(", ")]
        self.sloppy = False  # in the sentence that is being written

    def record(self, key: str) -> Record:
        """One sentence with its triplets."""
        self.sloppy = self.rng.random() < SLIPS
        template = self.rng.choice(self.templates[self.rng.choice(list(self.templates))])
        text, terms = self.expand(self.framed(template), self.rng.choice(self.trades))
        return self.written(key, text, terms)

    def framed(self, template: str) -> str:
        """The template with something before or behind it that judges nothing; a question takes no tail."""
        if self.rng.random() < FRAMED:
            rest = template if re.match(r"I\b", template) else template[0].lower() + template[1:]
            template = f"{self.rng.choice(self.leads)}{self.rng.choice((', ', ': '))}{rest}"
        if template.endswith(".") and self.rng.random() < FRAMED:
            template = f"{template[:-1]}, {self.rng.choice(self.tails)}."
        return template

    def expand(self, template: str, trade: Trade) -> tuple[str, list[Term]]:
        """The text of a template, and its terms."""
        suffixes = dict(re.findall(r"<(\d)([sp]?)>", template))
        plural = {number: self.is_plural(suffix) for number, suffix in suffixes.items()}
        text, terms, used = "", list[Term](), set[str]()
        opened = ("", "", 0)
        for match in PART.finditer(template):
            aspect, suffix, about, sign, slot, verb, agrees = match.groups()
            piece = match[0]
            if about:
                opened = (SENTIMENTS[sign], about, len(text))
                continue
            if piece == ")":
                terms.append(Term(*opened, len(text)))
                continue
            if aspect:
                many = plural[aspect] if aspect != "0" else self.is_plural(suffix)
                piece = self.pick(trade["many" if many else "one"], used)
            elif slot:
                piece = self.pick(self.choices(slot, trade), used)
            elif verb:
                piece = PLURAL.get(verb, verb.removesuffix("s")) if plural[agrees] else verb
            piece = self.slips(piece) if self.sloppy else piece
            if aspect and aspect != "0":
                terms.append(Term("aspect", aspect, len(text), len(text) + len(piece)))
            text += piece
        return text, terms

    def is_plural(self, suffix: str) -> bool:
        return suffix == "s" or (suffix == "p" and self.rng.random() < MANY)

    def choices(self, slot: str, trade: Trade) -> list[str]:
        """What a slot may be filled with: words of the trade as often as those for everything; `own_`: of the trade."""
        if slot.startswith("own_"):
            return trade[slot.removeprefix("own_")]
        if slot not in self.words or (slot in trade and self.rng.random() < 0.5):
            return trade[slot]
        return self.words[slot]

    def pick(self, words: list[str], used: set[str]) -> str:
        """One that does not stand in the sentence yet."""
        word = self.rng.choice([word for word in words if word not in used] or words)
        used.add(word)
        return word

    def written(self, key: str, text: str, terms: list[Term]) -> Record:
        """The record of a text: its words, and a triplet for each aspect and opinion that belong together."""
        words = self.split(text)

        def span(term: Term) -> list[int]:
            inside = [i for i, word in enumerate(words) if word.start < term.end and term.start < word.end]
            return [inside[0], inside[-1] + 1]

        aspects = {term.about: span(term) for term in terms if term.role == "aspect"}
        triplets = [
            {"aspect": aspects[number], "opinion": span(term), "sentiment": term.role}
            for term in terms
            for number in term.about
            if term.role != "aspect" and number in aspects
        ]
        return {"id": key, "tokens": self.typed([word.text for word in words]), "triplets": triplets}

    def typed(self, tokens: list[str]) -> list[str]:
        """The words with a capital in front, or without any, and with the right articles."""
        tokens = [tokens[0][0].upper() + tokens[0][1:], *tokens[1:]]
        if self.sloppy or self.rng.random() < SMALL:
            tokens = [token.lower() for token in tokens]
        return [with_article(token, after) for token, after in zip(tokens, [*tokens[1:], ""], strict=True)]

    def slips(self, piece: str) -> str:
        """A piece of text as it is typed in haste."""
        return WORD.sub(lambda match: self.slip(match[0]) if self.rng.random() < SLIP else match[0], piece)

    def slip(self, word: str) -> str:
        """A word confused with another, without its apostrophe, as it is heard, or with letters as the fingers fell."""
        if word.lower() in self.confused:
            return self.confused[word.lower()]
        if "'" in word:
            return word.replace("'", "")
        if len(word) < 4:
            return word
        heard = [word.replace(letters, sound, 1) for letters, sound in self.sounds if letters in word]
        if heard and self.rng.random() < HEARD:
            return self.rng.choice(heard)
        place = self.rng.randrange(1, len(word) - 1)
        a, b = word[place], word[place + 1]
        return word[:place] + self.rng.choice([b + a, a, b, a + a + b, a + b + b]) + word[place + 2 :]

    def with_slips(self, record: Record) -> Record:
        """A record of any source as if it had been typed in haste; its words are as many as before."""
        return {**record, "id": f"{record['id']} in haste", "tokens": [self.slips(token) for token in record["tokens"]]}


def with_article(token: str, after: str) -> str:
    """`a` or `an` as the next word wants it; any other word as it is."""
    if token.lower() not in ("a", "an"):
        return token
    return token[0] + ("n" if after and after[0].lower() in "aeiou" else "")


def make_corpus(size: int = SIZE, seed: int = SEED) -> list[Record]:
    """That many records, no sentence twice."""
    grammar, seen, records = Grammar(seed), set[str](), list[Record]()
    while len(records) < size:
        record = grammar.record(f"practice-{len(records) + 1}")
        text = " ".join(record["tokens"]).lower()
        if text not in seen:
            seen.add(text)
            records.append(record)
    return records


def write(folder: Path, size: int, seed: int) -> None:
    records = make_corpus(size, seed)
    write_records(folder / "train.jsonl", records)
    write_dataset_card(folder, "Practice corpus", ABOUT, {"train": records}, licence="cc0-1.0", language="en")
    print(f"{folder}: {len(records)} sentences, {sum(len(record['triplets']) for record in records)} triplets")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write the practice corpus.")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--size", type=int, default=SIZE, help="sentences")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args(argv)
    return exit_code(lambda: write(options.output_dir, options.size, options.seed))


if __name__ == "__main__":
    sys.exit(main())
