"""Write the sample corpus: review sentences with their gold trees and triplets, from a seeded grammar.

    python data_scripts/make_sample_corpus.py --output_dir data_scripts/sample_corpus

The grammar is written as small dependency trees. In `form/deprel/head` the head is the position (1-based) of
another item of the same phrase; without it, the item hangs on the phrase's own head, which is the one item
without a slash. Items in capitals are slots, replaced by a phrase; a digit says which aspect a slot is about:

    A1, A2, A3   aspect terms (A0: a thing that nobody judges)   P1     predicate opinion of aspect 1
    J1           adjective opinion of aspect 1                   J12    one opinion of aspects 1 and 2
    V1           verb opinion ("loved")                          W1     the same after "did" ("not enjoy")
    BE1, IT1     agree with aspect 1 (BE: plural)                R, T   intensifier, time
    S1, S2, S3   clauses

So `the/det/2 A1/nsubj BE1/cop P1` is a clause with its tree and its triplet.
"""

from __future__ import annotations

import argparse
import random
import re
from dataclasses import dataclass, field
from pathlib import Path

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

SEED = 2
SIZES = {"train": 900, "dev": 120, "test": 150}

FRAMES = [
    "S1 ./punct",
    "S1 ./punct",
    "S1 !/punct",
    "S1 ,/punct/4 but/cc/4 S2/conj ./punct",
    "S1 and/cc/3 S2/conj ./punct",
    "S1 ;/punct/3 S2/parataxis ./punct",
    "S1 ,/punct/3 S2/conj ,/punct/6 but/cc/6 S3/conj ./punct",
]

# Train uses its own clauses; dev those and a few new ones; test only clauses that neither has.
# A clause for one category only begins with the category's name and a colon.
CLAUSES = {
    "train": [
        "the/det/2 A1/nsubj BE1/cop P1",
        "the/det/2 A1/nsubj BE1/cop P1",
        "their/nmod/2 A1/nsubj BE1/cop R/advmod J1",
        "the/det/2 A1/nsubj BE1/cop J1 and/cc/6 P1/conj",
        "the/det/2 A1/nsubj and/cc/5 the/det/5 A2/conj/2 BE/cop P12",
        "A1/nsubj ,/punct/3 A2/conj/1 and/cc/5 A3/conj/1 BE/cop J123",
        "the/det/2 A1/nsubj BE1/cop P1 and/cc/8 the/det/7 A2/nsubj/8 P2/conj",
        "we/nsubj V1 the/det/4 A1/obj",
        "i/nsubj V1 their/nmod/4 A1/obj",
        "we/nsubj really/advmod V12 the/det/5 A1/obj and/cc/8 the/det/8 A2/conj/5",
        "we/nsubj did/aux W1 the/det/5 A1/obj",
        "they/nsubj have J1/amod/4 A1/obj",
        "this/det/2 place/nsubj has R/advmod/5 J1/amod/6 A1/obj and/cc/9 J2/amod/9 A2/conj/6",
        "J1/amod/2 A1",
        "J1/amod/2 A1 and/cc/5 J2/amod/5 A2/conj",
        "J1/amod/2 A1 ,/punct/5 J2/amod/5 A2/conj ,/punct/8 J3/amod/8 A3/conj",
        "i/nsubj found the/det/4 A1/nsubj/6 R/advmod/6 J1/xcomp",
        "food: the/det/2 A1/nsubj tasted J1/xcomp T/obl",
        "food: my/nmod/2 friend/nsubj ordered the/det/5 A1/obj ,/punct/9 which/nsubj/9 BE1/cop/9 P1/acl/5",
        "T/obl ,/punct the/det/4 A1/nsubj BE1/cop P1",
        "when/mark/3 we/nsubj/3 arrived/advcl ,/punct the/det/6 A1/nsubj BE1/cop P1",
        "people/nsubj say that/mark/7 the/det/5 A1/nsubj/7 BE1/cop/7 J1/ccomp",
        "we/nsubj went there/advmod with/case/6 some/det/6 friends/obl",
        "food: i/nsubj ordered the/det/4 A0/obj and/cc/7 the/det/7 A0/conj/4 T/obl",
        "my/nmod/2 sister/nsubj asked about/case/6 the/det/6 A0/obl",
        "we/nsubj stayed for/case/5 two/nummod/5 hours/obl",
        "food: they/nsubj have the/det/4 A0/obj too/advmod",
        "food: we/nsubj shared the/det/4 A0/obj instead/case/8 of/fixed/5 the/det/8 A0/obl",
    ],
    "dev": [
        "we/nsubj tried the/det/4 A1/obj ,/punct/10 and/cc/10 IT1/nsubj/10 BE1/cop/10 R/advmod/10 J1/conj",
        "all/nsubj of/case/3 us/nmod/1 V1 the/det/6 A1/obj T/obl",
        "of/case/2 course/obl the/det/4 A1/nsubj BE1/cop P1",
        "i/nsubj called them/obj about/case/6 the/det/6 A0/obl T/obl",
    ],
    "test": [
        "both/cc/3 the/det/3 A1/nsubj and/cc/6 the/det/6 A2/conj/3 BE/cop J12",
        "we/nsubj thought the/det/4 A1/nsubj/6 BE1/cop/6 P1/ccomp",
        "while/mark/5 the/det/3 A1/nsubj/5 BE1/cop/5 P1/advcl ,/punct the/det/8 A2/nsubj BE2/cop P2",
        "the/det/3 J1/amod/3 A1/nsubj made up/compound for/case/9 the/det/9 J2/amod/9 A2/obl",
        "as/case/4 for/fixed/1 the/det/4 A1/obl ,/punct IT1/nsubj BE1/cop P1",
        "everyone/nsubj at/case/4 our/nmod/4 table/nmod/1 V12 the/det/7 A1/obj and/cc/9 A2/conj/7",
        "their/nmod/2 A1/nsubj BE1/cop always/advmod J1 and/cc/7 J1/conj",
        "you/nsubj get J1/amod/4 A1/obj and/cc/7 J2/amod/7 A2/conj/4 for/case/10 your/nmod/10 money/obl",
        "the/det/2 A1/nsubj that/obj/5 we/nsubj/5 got/acl/2 BE1/cop P1",
        "my/nmod/2 brother/nsubj did/aux W1 the/det/6 A1/obj T/obl",
        "honestly/advmod ,/punct the/det/4 A1/nsubj seemed P1/xcomp",
        "my/nmod/2 parents/nsubj drove past/case/6 the/det/6 building/obl T/obl",
        "food: someone/nsubj behind/case/3 us/nmod/1 had the/det/6 A0/obj",
    ],
}

# Aspect terms of each category, singular and plural; "|" parts what all splits use from what only test uses.
ASPECTS = {
    "food": (
        "soup; pizza; spicy/amod tuna/compound/3 roll; chicken/compound curry; steak; pasta; "
        "dessert/compound menu; glass of/case/3 wine/nmod; sushi; fried/amod rice; coffee; bread; "
        "cheese/compound cake; duck; beef/compound burger; house/compound salad; food | risotto; "
        "lamb/compound stew; bowl of/case/3 ramen/nmod",
        "noodles; spring/compound rolls; desserts; fish/compound tacos; cocktails; portions; "
        "french/amod fries; appetizers; oysters; side/compound dishes | dumplings; pork/compound "
        "ribs; plates of/case/3 olives/nmod",
    ),
    "service": (
        "service; staff; waiter; hostess; bartender; manager; wait/compound staff; delivery/compound "
        "service; front/compound/2 desk/compound clerk; owner; chef | waitress; customer/compound "
        "support; valet",
        "waiters; servers; bartenders; owners; table/compound manners | cooks; phone/compound agents",
    ),
    "place": (
        "atmosphere; decor; dining/compound room; view; music; patio; location; wine/compound bar; "
        "live/amod music; back/amod garden; lighting; place | ambience; roof/compound terrace; view "
        "of/case/4 the/det/4 river/nmod",
        "tables; outdoor/amod seats; bathrooms; rooms; bar/compound stools | booths; floor/compound tiles",
    ),
    "laptop": (
        "screen; battery; battery/compound life; keyboard; touch/compound pad; operating/compound "
        "system; hard/amod drive; processor; fan; price; power/compound cord; quality of/case/4 "
        "the/det/4 display/nmod; webcam | trackpad; graphics/compound card; start/compound "
        "up/compound/1 time",
        "speakers; keys; usb/compound ports; graphics; apps; built/amod/3 in/advmod/1 games | hinges; "
        "function/compound keys; drivers",
    ),
}

# Adjectives of each category and sentiment, used before a noun or as a predicate.
ADJECTIVES = {
    "any": {
        "POS": "great; good; excellent; amazing; wonderful; fantastic; perfect; superb; lovely; "
        "impressive; nice; incredible | terrific; outstanding; brilliant",
        "NEG": "terrible; bad; awful; horrible; disappointing; poor; mediocre; overpriced; dreadful; "
        "pathetic | atrocious; lousy; appalling",
        "NEU": "average; ordinary; standard; okay; typical | adequate; passable",
    },
    "food": {
        "POS": "delicious; fresh; tasty; flavorful; tender | yummy; mouthwatering",
        "NEG": "bland; greasy; soggy; stale; burnt; salty | flavorless; rancid",
    },
    "service": {
        "POS": "friendly; attentive; helpful; polite; prompt | courteous; welcoming",
        "NEG": "rude; slow; careless; unfriendly; arrogant | clueless; impolite",
    },
    "place": {
        "POS": "cozy; beautiful; romantic; spacious; charming | stylish; inviting",
        "NEG": "noisy; cramped; dirty; dark; crowded | shabby; filthy",
    },
    "laptop": {
        "POS": "fast; reliable; crisp; sturdy; responsive | speedy; durable",
        "NEG": "sluggish; unreliable; flimsy; loud; defective | buggy; fragile",
    },
}

# Opinions that only stand as predicates; POS, NEG and NEU in them are any adjective of that sentiment.
PREDICATES = {
    "POS": "never/advmod NEG; never/advmod NEG; second to/case/3 none/obl; worth every/det/3 "
    "penny/obj; top/amod notch | beyond/case compare; worth the/det/3 trip/obj",
    "NEG": "not/advmod POS; not/advmod POS; too/advmod NEG; far/advmod/2 from/case POS; not/advmod worth it/obj",
    "NEU": "nothing special/amod; just/advmod NEU; neither/cc POS nor/cc/4 NEG/conj | nothing fancy/amod",
}

# Verbs that are an opinion of their object: after "we", and after "we did" (with the negation in the term).
VERBS = {
    "POS": ("loved; enjoyed; liked; adored | savored; praised", "love; enjoy | praise"),
    "NEG": (
        "hated; disliked; regretted | despised; detested",
        "not/advmod like; not/advmod enjoy | not/advmod fancy",
    ),
}

INTENSIFIERS = "very; really; so; quite; extremely"
TIMES = "last/amod night; this/det time; on/case friday; at/case lunch; yesterday; after/case a/det/3 while"

SLOT = re.compile(r"(A|P|J|V|W|BE|IT|S|R|T|POS|NEG|NEU)(\d*)")


@dataclass
class Term:
    """An aspect or opinion: slot letter, aspects it is or is about ("12"), words [start, end), sentiment."""

    slot: str
    aspects: str
    start: int
    end: int
    sentiment: str = ""

    @property
    def span(self) -> list[int]:
        return [self.start, self.end]


@dataclass
class Phrase:
    """Words with a tree of their own: `heads` are 1-based inside the phrase, 0 for the one that heads it."""

    tokens: list[str] = field(default_factory=list)
    heads: list[int] = field(default_factory=list)
    deprels: list[str] = field(default_factory=list)
    terms: list[Term] = field(default_factory=list)
    triplets: list[dict] = field(default_factory=list)

    @property
    def anchor(self) -> int:
        """Position (1-based) of the word that heads the phrase."""
        return self.heads.index(0) + 1

    def append(self, other: Phrase) -> None:
        """Put `other` behind, all its positions moved on; its heads already count from here."""
        offset = len(self.tokens)
        self.tokens += other.tokens
        self.heads += other.heads
        self.deprels += other.deprels
        self.terms += [
            Term(term.slot, term.aspects, term.start + offset, term.end + offset, term.sentiment)
            for term in other.terms
        ]
        self.triplets += [
            {
                "aspect": [index + offset for index in triplet["aspect"]],
                "opinion": [index + offset for index in triplet["opinion"]],
                "sentiment": triplet["sentiment"],
            }
            for triplet in other.triplets
        ]


def combine(parts: list[tuple[Phrase, str, int]]) -> Phrase:
    """Join (phrase, deprel, head) to one phrase; head is the number (from 1) of a part, 0 for the main part."""
    offsets = [sum(len(part.tokens) for part, _, _ in parts[:number]) for number in range(len(parts))]
    anchors = [0] + [offset + part.anchor for offset, (part, _, _) in zip(offsets, parts, strict=True)]
    whole = Phrase()
    for offset, (part, deprel, head) in zip(offsets, parts, strict=True):
        place = part.anchor - 1
        heads = [old + offset for old in part.heads]
        heads[place] = anchors[head]
        deprels = [*part.deprels[:place], deprel, *part.deprels[place + 1 :]]
        whole.append(Phrase(part.tokens, heads, deprels, part.terms, part.triplets))
    return whole


class Grammar:
    """Draws the sentences of one split."""

    def __init__(self, split: str, rng: random.Random) -> None:
        self.split = split
        self.rng = rng
        self.clauses = CLAUSES["train"] + CLAUSES["dev"] if split == "dev" else CLAUSES[split]
        self.used: set[str] = set()  # no term stands in a sentence twice
        self.domain: list[str] = []
        self.category = ""  # of the clause being written
        self.plural: dict[str, bool] = {}  # of the aspects of this clause
        self.sentiments: dict[str, str] = {}  # about them; "rude and helpful" would be no sentence

    def sentence(self) -> Phrase:
        """One sentence, with its capital letter, tree and triplets."""
        self.used = set()
        self.domain = self.rng.choice([["food", "service", "place"], ["laptop"]])
        whole = self.expand(self.rng.choice(FRAMES))
        whole.tokens[0] = whole.tokens[0].capitalize()
        return whole

    def expand(self, text: str) -> Phrase:
        """The phrase of a text in the notation above, its slots filled."""
        items = [item.split("/") for item in text.split()]
        main = next(number for number, item in enumerate(items, start=1) if len(item) == 1)
        parts = []
        for item in items:
            deprel = item[1] if len(item) > 1 else "root"
            head = int(item[2]) if len(item) > 2 else main if len(item) > 1 else 0
            parts.append((self.fill(item[0]), deprel, head))
        return combine(parts)

    def fill(self, form: str) -> Phrase:
        """A word, or the phrase that a slot stands for."""
        match = SLOT.fullmatch(form)
        if not match:
            return Phrase([form], [0], ["root"])
        slot, aspects = match.groups()
        if slot == "S":
            return self.clause()
        if slot == "A":
            return self.aspect(aspects)
        if slot in ("P", "J", "V", "W"):
            return self.opinion(slot, aspects)
        if slot in ADJECTIVES["any"]:
            return self.adjective(slot)
        if slot == "BE":
            return self.fill("were" if self.plural.get(aspects, True) else "was")
        if slot == "IT":
            return self.fill("they" if self.plural[aspects] else "it")
        return self.expand(self.pick(INTENSIFIERS if slot == "R" else TIMES))

    def clause(self) -> Phrase:
        """A clause with a triplet for every opinion and aspect that belong together."""
        allowed = [text for text in self.clauses if ":" not in text or text.split(":")[0] in self.domain]
        category, _, text = self.rng.choice(allowed).rpartition(": ")
        self.category = category or self.rng.choice(self.domain)
        self.plural, self.sentiments = {}, {}
        whole = self.expand(text)
        aspects = {term.aspects: term for term in whole.terms if term.slot == "A"}
        for term in whole.terms:
            if term.slot != "A":
                whole.triplets += [
                    {"aspect": aspects[number].span, "opinion": term.span, "sentiment": term.sentiment}
                    for number in term.aspects
                ]
        whole.terms = []
        return whole

    def aspect(self, number: str) -> Phrase:
        """An aspect term; its number in the grammar's sense is noted for the verb."""
        plural = self.rng.random() < 0.35
        phrase = self.expand(self.pick(ASPECTS[self.category][plural]))
        self.plural[number] = plural
        phrase.terms = [Term("A", number, 0, len(phrase.tokens))]
        return phrase

    def opinion(self, slot: str, aspects: str) -> Phrase:
        """An opinion term about the aspects whose numbers are given, with a sentiment."""
        sentiment = self.rng.choice(["POS", "NEG"] if slot in "VW" else ["POS", "POS", "NEG", "NEG", "NEU"])
        sentiment = self.sentiments.setdefault(aspects, sentiment)
        if slot in "VW":
            phrase = self.expand(self.pick(VERBS[sentiment][slot == "W"]))
        elif slot == "P" and self.rng.random() < 0.5:
            phrase = self.expand(self.pick(PREDICATES[sentiment]))
        else:
            phrase = self.adjective(sentiment)
        phrase.terms = [Term(slot, aspects, 0, len(phrase.tokens), sentiment)]
        return phrase

    def adjective(self, sentiment: str) -> Phrase:
        """An adjective that suits the clause's category."""
        own = ADJECTIVES[self.category].get(sentiment)
        choices = own if own and self.rng.random() < 0.5 else ADJECTIVES["any"][sentiment]
        return self.expand(self.pick(choices))

    def pick(self, choices: str) -> str:
        """One of `a; b | c`, not yet used in this sentence; those after the bar are for test only."""
        common, _, held_out = choices.partition(" | ")
        texts = common.split("; ") + (held_out.split("; ") if held_out and self.split == "test" else [])
        fresh = [text for text in texts if text not in self.used] or texts
        text = self.rng.choice(fresh)
        self.used.add(text)
        return text


def make_corpus(seed: int = SEED) -> dict[str, list[Record]]:
    """The splits of the sample corpus: the same for the same seed, and no sentence stands in it twice."""
    rng = random.Random(seed)
    seen: set[str] = set()
    corpus: dict[str, list[Record]] = {}
    for split, size in SIZES.items():
        grammar, corpus[split] = Grammar(split, rng), []
        while len(corpus[split]) < size:
            phrase = grammar.sentence()
            text = " ".join(phrase.tokens)
            if text in seen:
                continue
            seen.add(text)
            corpus[split].append(
                {
                    "id": f"sample-{split}-{len(corpus[split]) + 1}",
                    "tokens": phrase.tokens,
                    "heads": phrase.heads,
                    "deprels": phrase.deprels,
                    "triplets": phrase.triplets,
                }
            )
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
