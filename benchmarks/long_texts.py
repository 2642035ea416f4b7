"""Long text without full stops: of the triplets that are found in single sentences, how many are found again.

    python -m benchmarks.long_texts --model outputs/14lap --text data/aste_v2/14lap/test_triplets.txt \
        --out results/long_texts.json

Sentences lose the stop at their end, and as many as `--sentences` are joined with blanks: text as people write it on
telephones. A triplet is found again where aspect, opinion (to the character) and sentiment are the same. With
`--window_words 0` the text is read as far as the encoder's window goes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from d2e2s import TripletExtractionPipeline
from d2e2s.prediction.predict import load_pipeline
from d2e2s.words_d2e2s import WordSplitter, split_sentences

from .report import option_parser, write_json


def sentences_of(path: Path) -> list[str]:
    """The sentences of ASTE text that are one sentence to our splitter, without the stops at their end."""
    lines = path.read_text(encoding="utf-8").splitlines()
    texts = [line.split("####")[0].strip().rstrip(" .!?…") for line in lines]
    split = WordSplitter("penn")
    return [text for text in texts if len(split_sentences(text, split(text))) == 1]


def places(triplets: Sequence[dict[str, Any]], start: int = 0) -> set[tuple[Any, ...]]:
    """Triplets by character offsets, moved by `start`, and sentiment."""
    roles = ("aspect", "opinion")
    return {
        (*(start + triplet[role][end] for role in roles for end in ("start", "end")), triplet["sentiment"])
        for triplet in triplets
    }


def found_again(
    extract: TripletExtractionPipeline, sentences: Sequence[str], count: int, window_words: int | None
) -> dict[str, Any]:
    """How many of the triplets of single sentences are found in texts of `count` of them."""
    alone, texts, expected = extract(list(sentences)), [], []
    for first in range(0, len(sentences), count):
        text, wanted = "", set[tuple[Any, ...]]()
        for sentence, triplets in zip(sentences[first : first + count], alone[first : first + count], strict=True):
            text += " " * bool(text)
            wanted |= places(triplets, len(text))
            text += sentence
        texts.append(text)
        expected.append(wanted)
    joined = extract(texts, window_words=window_words)
    again = sum(len(wanted & places(triplets)) for wanted, triplets in zip(expected, joined, strict=True))
    total = sum(map(len, expected))
    return {"triplets": total, "again": again, "share": round(again / total, 4) if total else 0.0}


def main(argv: Sequence[str] | None = None) -> None:
    parser = option_parser(__doc__, page=False)
    add = parser.add_argument
    add("--model", required=True)
    add("--text", type=Path, required=True, help="ASTE text: sentence####triplets, a line each")
    add("--sentences", type=int, default=32, help="of a text (default: %(default)s)")
    add("--window_words", nargs="+", type=int, default=[24, 32, 0], help="windows to compare (default: 24 32 0)")
    options = parser.parse_args(argv)
    extract, sentences = load_pipeline(options.model, device="cpu"), sentences_of(options.text)
    windows = {}
    for words in options.window_words:
        windows[words] = found_again(extract, sentences, options.sentences, words)
        print(f"windows of {words or 'any number of'} words: {windows[words]}", flush=True)
    write_json(options.out, {"sentences": len(sentences), "of_a_text": options.sentences, "windows": windows})


if __name__ == "__main__":
    main()
