"""Score the triplets that a checkpoint finds in raw text, by exact strings and by overlap.

    python -m benchmarks.raw_scores outputs/quickstart tests/data/challenge.jsonl --out results/challenge.json

The gold is a JSONL file, each line a `text` with triplets in characters, as the pipeline gives them, or a record with
`tokens`. Exact: the strings of aspect and opinion and the sentiment are equal. Overlap: aspect and opinion share a word
each, the sentiment is equal, and no triplet counts twice. A text is right if all of it is by overlap.
"""

import argparse
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from d2e2s.data_scripts.aste_lines import ROLES
from d2e2s.data_scripts.records import RecordError, parse_json, utf8_lines, validate_record
from d2e2s.metrics.aste.scoring import Count
from d2e2s.prediction.predict import load_pipeline

from .report import markdown_table, write_json
from .timing import command_line

Triplet = dict[str, Any]
Text = dict[str, Any]  # with `text`, `triplets` as the pipeline gives them, `kind` where the file names one
MEASURES = ("precision", "recall", "f1", "gold")
CLOSING = re.compile(r"[.,;:!?%)\]}]+|n['’]t|['’](?:s|m|d|re|ve|ll)|''", re.IGNORECASE)
OPENING = ("(", "[", "{", "$", "``")


def read_gold(path: Path, detokenise: bool = False) -> tuple[list[Text], int]:
    """The texts of a file, and how many lines were left out because their triplets are unknown (null).

    Raises:
        RecordError: a line that is neither a record nor a text with its triplets, or a term that is not where it says.
    """
    texts, unknown = [], 0
    for number, line in utf8_lines(path):
        where = f"{path}:{number}"
        row = parse_json(line, where, "one object a line")
        if not isinstance(row, dict) or "triplets" not in row:
            raise RecordError(where, f"{line.strip():.60}", "an object with triplets")
        if row["triplets"] is None:
            unknown += 1
            continue
        texts.append(row if "text" in row else from_record(row, detokenise, where))
        for term in (triplet[role] for triplet in texts[-1]["triplets"] for role in ROLES):
            if texts[-1]["text"][term["start"] : term["end"]] != term["text"]:
                raise RecordError(where, f"{term} is not what stands there", "characters [start, end) of the text")
    return texts, unknown


def from_record(record: dict[str, Any], detokenise: bool = False, where: str = "record") -> Text:
    """A record's tokens joined by blanks, or as people write them, with its triplets in characters."""
    validate_record(record, where)
    text, places, before = "", list[tuple[int, int]](), "("
    for token in record["tokens"]:
        glued = before in OPENING or CLOSING.fullmatch(token) if detokenise else not places
        text += token if glued else " " + token
        places.append((len(text) - len(token), len(text)))
        before = token

    def term(span: Sequence[int]) -> dict[str, Any]:
        start, end = places[span[0]][0], places[span[1] - 1][1]
        return {"text": text[start:end], "start": start, "end": end}

    triplets = [{**triplet, **{role: term(triplet[role]) for role in ROLES}} for triplet in record["triplets"]]
    return {**record, "text": text, "triplets": triplets}


def count_exact(found: Iterable[Triplet], gold: Iterable[Triplet], count: Count) -> None:
    """Count the triplets of a text by their strings, each once."""
    count.add(*({(*(t[role]["text"] for role in ROLES), t["sentiment"]) for t in side} for side in (found, gold)))


def count_overlap(found: Sequence[Triplet], gold: Sequence[Triplet], count: Count) -> None:
    """Count the triplets of a text by overlap: as many pairs of found and gold as can be made at once."""
    partners: dict[int, Triplet] = {}  # of the gold, by number

    def pair(triplet: Triplet, tried: set[int]) -> bool:
        for i in range(len(gold)):
            if i not in tried and _overlap(triplet, gold[i]):
                tried.add(i)
                if i not in partners or pair(partners[i], tried):
                    partners[i] = triplet
                    return True
        return False

    count.correct += sum(pair(triplet, set()) for triplet in found)
    count.predicted += len(found)
    count.gold += len(gold)


def _overlap(one: Triplet, other: Triplet) -> bool:
    terms = [(one[role], other[role]) for role in ROLES]
    shared = all(a["start"] < b["end"] and b["start"] < a["end"] for a, b in terms)
    return shared and one["sentiment"] == other["sentiment"]


def score(found: Sequence[Sequence[Triplet]], texts: Sequence[Text]) -> dict[str, Any]:
    """Scores of the triplets found in each text: `exact` and `overlap` for all and each sentiment, and the share of
    texts that are right: of `all`, of those `with_triplets`, and of each kind.
    """
    right: dict[str, list[bool]] = {}
    for predicted, text in zip(found, texts, strict=True):
        count_overlap(predicted, text["triplets"], count := Count())
        for group in ("all", "with_triplets" if text["triplets"] else "", text.get("kind", "")):
            right.setdefault(group, []).append(count.correct == count.predicted == count.gold)
    scores = {by: _scores(found, texts, add) for by, add in (("exact", count_exact), ("overlap", count_overlap))}
    return {**scores, "right": {group: sum(values) / len(values) for group, values in right.items() if group}}


def _scores(found: Any, texts: Sequence[Text], add: Callable[..., None]) -> dict[str, dict[str, float]]:
    counts = {"all": Count()}
    for sides in zip(found, (text["triplets"] for text in texts), strict=True):
        add(*sides, counts["all"])
        for name in sorted({triplet["sentiment"] for side in sides for triplet in side}):
            of_name = ([triplet for triplet in side if triplet["sentiment"] == name] for side in sides)
            add(*of_name, counts.setdefault(name, Count()))
    return {name: {key: getattr(count, key) for key in MEASURES} for name, count in counts.items()}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder or Hub name of a D2E2S checkpoint")
    parser.add_argument("gold", type=Path, help="JSONL of texts or records with triplets")
    parser.add_argument("--threshold", type=float, help="lowest score of a triplet (default: the checkpoint's)")
    parser.add_argument("--detokenise", action="store_true", help="write a record's tokens as people do")
    parser.add_argument("--out", type=Path, help="also write the scores to this JSON file")
    options = parser.parse_args(argv)
    texts, unknown = read_gold(options.gold, options.detokenise)
    found = load_pipeline(options.model)([text["text"] for text in texts], threshold=options.threshold)
    scores = score(found, texts)
    for by in ("exact", "overlap"):
        rows = [(name, *(f"{value[key]:.4g}" for key in MEASURES)) for name, value in scores[by].items()]
        print(markdown_table((f"by {by}", *MEASURES), rows))
    print(markdown_table(("texts", "right"), [(name, f"{share:.4g}") for name, share in scores["right"].items()]))
    print(f"{len(texts)} texts; {unknown} left out, their triplets are unknown")
    if options.out:
        about = {"command": command_line(), "texts": len(texts), "unknown": unknown, "threshold": options.threshold}
        write_json(options.out, {**about, **scores})


if __name__ == "__main__":
    main()
