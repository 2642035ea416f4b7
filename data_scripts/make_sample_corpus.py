"""Write the sample corpus: review sentences with their gold trees and triplets, from a seeded grammar.

    python data_scripts/make_sample_corpus.py --output_dir data_scripts/sample_corpus

Its words and clauses stand in `sample_grammar.yaml`, as small dependency trees. In `form/deprel/head` the head is the
position (1-based) of another item of the same phrase; without it, the item hangs on the phrase's own head, which is the
one item without a slash. Items in capitals are slots, replaced by a phrase; a digit says which aspect a slot is about:

    A1, A2, A3   aspect terms (A0: a thing that nobody judges)   P1     predicate opinion of aspect 1
    J1           adjective opinion of aspect 1                   J12    one opinion of aspects 1 and 2
    V1           verb opinion ("loved")                          W1     the same after "did" ("not enjoy")
    BE1, IT1     agree with aspect 1 (BE: plural)                R, T   intensifier, time
    S1, S2, S3   clauses

So `the/det/2 A1/nsubj BE1/cop P1` is a clause with its tree and its triplet.
"""

import argparse
import random
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from d2e2s.data_scripts.dataset_card import write_dataset_card
from d2e2s.data_scripts.records import Record, write_records

ABOUT = """Made-up review sentences with gold dependency trees (Universal Dependencies relations) and gold triplets, so
that everything in this project can be tried without a network.

- **Licence:** CC0 1.0. The text is our own: no line is taken from any review.
- **How it was made:** by the seeded grammar in `../make_sample_corpus.py`;
  `python data_scripts/make_sample_corpus.py` writes these very bytes again.
- **What it holds:** aspects and opinions of one or several words, several triplets in a sentence, opinions shared by
  two or three aspects, aspects with two opinions, negation ("not good", "never disappointing"), neutral opinions
  ("average", "nothing special"), sentences without a triplet.
- **What test asks:** all its clauses are built on patterns that stand neither in train nor in dev, and about a quarter
  of its terms are words that train never showed. Dev has the patterns of train and a few of its own. No sentence stands
  twice.

It is far easier than real reviews: a score on it shows that an installation works, not how good a model is."""

GRAMMAR = Path(__file__).with_name("sample_grammar.yaml")
SEED = 2
SIZES = {"train": 900, "dev": 120, "test": 150}

SLOT = re.compile(r"(A|P|J|V|W|BE|IT|S|R|T|POS|NEG|NEU)(\d*)")


@dataclass(eq=False)
class Word:
    """A word of a tree; without a head, it is the one that heads its phrase."""

    form: str
    deprel: str = "root"
    head: "Word | None" = None


class Grammar:
    """Draws the sentences of one split."""

    def __init__(self, split: str, rng: random.Random) -> None:
        self.grammar = yaml.safe_load(GRAMMAR.read_text(encoding="utf-8"))
        self.split = split
        self.rng = rng
        names = ["train", "dev"] if split == "dev" else [split]
        self.clauses = [line for name in names for line in self.grammar["clauses"][name].splitlines()]
        self.used: set[str] = set()  # no term stands in a sentence twice
        self.domain: list[str] = []
        self.triplets: list[tuple[list[Word], list[Word], str]] = []
        self.category = ""  # of the clause being written
        self.aspects: dict[str, list[Word]] = {}  # of this clause, by number
        self.plural: dict[str, bool] = {}
        self.opinions: list[tuple[str, list[Word], str]] = []  # about which aspects ("12"), words, sentiment
        self.sentiments: dict[str, str] = {}  # about them; "rude and helpful" would be no sentence

    def record(self, key: str) -> Record:
        """One sentence, with its capital letter, tree and triplets."""
        self.used, self.triplets = set(), []
        self.domain = self.rng.choice([["food", "service", "place"], ["laptop"]])
        words = self.expand(self.rng.choice(self.grammar["frames"].splitlines()))
        words[0].form = words[0].form.capitalize()
        return {
            "id": key,
            "tokens": [word.form for word in words],
            "heads": [words.index(word.head) + 1 if word.head else 0 for word in words],
            "deprels": [word.deprel for word in words],
            "triplets": [
                {"aspect": span(words, aspect), "opinion": span(words, opinion), "sentiment": sentiment}
                for aspect, opinion, sentiment in self.triplets
            ],
        }

    def expand(self, text: str) -> list[Word]:
        """The phrase of a text in the notation above, its slots filled."""
        items = [item.split("/") for item in text.split()]
        parts = [self.fill(item[0]) for item in items]
        anchors = [next(word for word in part if word.head is None) for part in parts]
        main = next(anchor for anchor, item in zip(anchors, items, strict=True) if len(item) == 1)
        for anchor, (_, *relation) in zip(anchors, items, strict=True):
            if relation:
                anchor.deprel = relation[0]
                anchor.head = anchors[int(relation[1]) - 1] if len(relation) > 1 else main
        return [word for part in parts for word in part]

    def fill(self, form: str) -> list[Word]:
        """A word, or the phrase that a slot stands for."""
        match = SLOT.fullmatch(form)
        if not match:
            return [Word(form)]
        slot, aspects = match.groups()
        if slot == "S":
            return self.clause()
        if slot == "A":
            return self.aspect(aspects)
        if slot in ("P", "J", "V", "W"):
            return self.opinion(slot, aspects)
        if slot in ("POS", "NEG", "NEU"):
            return self.adjective(slot)
        if slot == "BE":
            return [Word("were" if self.plural.get(aspects, True) else "was")]
        if slot == "IT":
            return [Word("they" if self.plural[aspects] else "it")]
        return self.pick(self.grammar[slot])

    def clause(self) -> list[Word]:
        """A clause with a triplet for every opinion and aspect that belong together."""
        allowed = [text for text in self.clauses if ":" not in text or text.split(":")[0] in self.domain]
        category, _, text = self.rng.choice(allowed).rpartition(": ")
        self.category = category or self.rng.choice(self.domain)
        self.aspects, self.plural, self.opinions, self.sentiments = {}, {}, [], {}
        words = self.expand(text)
        self.triplets += [
            (self.aspects[number], opinion, sentiment)
            for numbers, opinion, sentiment in self.opinions
            for number in numbers
        ]
        return words

    def aspect(self, number: str) -> list[Word]:
        """An aspect term; its number in the grammar's sense is noted for the verb."""
        self.plural[number] = self.rng.random() < 0.35
        terms = self.grammar["aspects"][self.category]
        self.aspects[number] = self.pick(terms["many" if self.plural[number] else "one"])
        return self.aspects[number]

    def opinion(self, slot: str, aspects: str) -> list[Word]:
        """An opinion term about the aspects whose numbers are given, with a sentiment."""
        sentiment = self.rng.choice(["POS", "NEG"] if slot in "VW" else ["POS", "POS", "NEG", "NEG", "NEU"])
        sentiment = self.sentiments.setdefault(aspects, sentiment)
        if slot in "VW":
            words = self.pick(self.grammar["verbs"][sentiment][slot])
        elif slot == "P" and self.rng.random() < 0.5:
            words = self.pick(self.grammar["predicates"][sentiment])
        else:
            words = self.adjective(sentiment)
        self.opinions.append((aspects, words, sentiment))
        return words

    def adjective(self, sentiment: str) -> list[Word]:
        """An adjective that suits the clause's category."""
        adjectives = self.grammar["adjectives"]
        own = adjectives[self.category].get(sentiment)
        return self.pick(own if own and self.rng.random() < 0.5 else adjectives["any"][sentiment])

    def pick(self, choices: str) -> list[Word]:
        """One of `a; b | c`, not yet used in this sentence; those after the bar are for test only."""
        allowed = choices.replace(" | ", "; ") if self.split == "test" else choices.partition(" | ")[0]
        texts = allowed.split("; ")
        text = self.rng.choice([text for text in texts if text not in self.used] or texts)
        self.used.add(text)
        return self.expand(text)


def span(words: list[Word], term: list[Word]) -> list[int]:
    """Where a term stands: [start, end)."""
    start = words.index(term[0])
    return [start, start + len(term)]


def make_corpus(seed: int = SEED) -> dict[str, list[Record]]:
    """The splits of the sample corpus: the same for the same seed, and no sentence stands in it twice."""
    rng, seen, corpus = random.Random(seed), set[str](), dict[str, list[Record]]()
    for split, size in SIZES.items():
        grammar, corpus[split] = Grammar(split, rng), []
        while len(corpus[split]) < size:
            record = grammar.record(f"sample-{split}-{len(corpus[split]) + 1}")
            text = " ".join(record["tokens"])
            if text not in seen:
                seen.add(text)
                corpus[split].append(record)
    return corpus


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Write the sample corpus.")
    parser.add_argument("--output_dir", type=Path, default=Path(__file__).parent / "sample_corpus")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args(argv)
    corpus = make_corpus(options.seed)
    for split, records in corpus.items():
        write_records(options.output_dir / f"{split}.jsonl", records)
        triplets = sum(len(record["triplets"]) for record in records)
        print(f"{options.output_dir / split}.jsonl: {len(records)} sentences, {triplets} triplets")
    write_dataset_card(options.output_dir, "Sample corpus", ABOUT, corpus, licence="cc0-1.0", language="en")


if __name__ == "__main__":
    main()
