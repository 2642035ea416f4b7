"""Add dependency trees to records with an installed parser of spaCy or Stanza.

    pip install 'd2e2s[parse]' && python -m spacy download en_core_web_sm
    python data_scripts/parse.py --input reviews.jsonl --output parsed.jsonl --parser spacy:en_core_web_sm

    pip install 'd2e2s[stanza]' && python -c "import stanza; stanza.download('en')"
    python data_scripts/parse.py --input reviews.jsonl --output parsed.jsonl --parser stanza:en

The words of a record stay as they are. `heads` and `deprels` that it has already are replaced. Where the parser sees
several sentences in one record, each of their roots hangs on the record's root, node 0. spaCy also takes the folder of
a pipeline (`spacy:path/to/pipeline`). Relations are the parser's own: spaCy's English pipelines use other names than
Universal Dependencies.
"""

import argparse
import importlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from d2e2s.data_scripts.command import exit_code
from d2e2s.data_scripts.records import Record, read_records, write_records
from d2e2s.errors_d2e2s import UserError

Words = Sequence[str]
Tree = tuple[list[int], list[str]]
# Components that cost time and say nothing about the tree.
NOT_NEEDED = ["ner", "entity_linker", "textcat", "textcat_multilabel", "lemmatizer", "spancat"]


def add_trees(records: Iterable[Record], parser: str, batch_size: int = 64) -> Iterator[Record]:
    """The records with `heads` and `deprels`, in their order.

    Args:
        records: with `tokens`.
        parser: `spacy:PIPELINE` or `stanza:LANGUAGE`.
        batch_size: sentences parsed at a time.

    Raises:
        UserError: unknown, not installed, or no dependency parser.
    """
    rows = list(records)
    for row, (heads, deprels) in zip(rows, trees([row["tokens"] for row in rows], parser, batch_size), strict=True):
        yield {**row, "heads": heads, "deprels": deprels}


def trees(sentences: Sequence[Words], parser: str, batch_size: int = 64) -> Iterator[Tree]:
    """1-based heads, 0 for roots, and relations of each sentence's words. Arguments and errors as for `add_trees`."""
    kind, _, name = parser.partition(":")
    if kind not in PARSERS or not name:
        raise UserError(f"unknown parser {parser!r}: expected spacy:PIPELINE or stanza:LANGUAGE")
    return PARSERS[kind](sentences, name, batch_size)


def spacy_trees(sentences: Sequence[Words], name: str, batch_size: int) -> Iterator[Tree]:
    """Trees by a spaCy pipeline, such as `en_core_web_sm`, or the folder of one."""
    spacy = _package("spacy", "parse")
    try:
        pipeline = spacy.load(name, exclude=NOT_NEEDED)
    except OSError:
        raise UserError(f"no spaCy pipeline {name!r} is installed; run: python -m spacy download {name}") from None
    documents = importlib.import_module("spacy.tokens").Doc
    given = (documents(pipeline.vocab, words=list(words)) for words in sentences)
    for document in pipeline.pipe(given, batch_size=batch_size):
        if not document.has_annotation("DEP"):
            raise UserError(f"spaCy pipeline {name!r} has no dependency parser; choose one that has")
        yield _spacy_tree(document)


def _spacy_tree(document: Any) -> Tree:
    """A root is its own head there, and its relation is written `ROOT`."""
    heads = [0 if token.head.i == token.i else token.head.i + 1 for token in document]
    return heads, ["root" if token.head.i == token.i else token.dep_ for token in document]


def stanza_trees(sentences: Sequence[Words], name: str, batch_size: int) -> Iterator[Tree]:
    """Trees by Stanza's models of a language, such as `en`."""
    stanza = _package("stanza", "stanza")
    options = {"processors": "tokenize,pos,lemma,depparse", "tokenize_pretokenized": True, "download_method": None}
    try:
        pipeline = stanza.Pipeline(name, verbose=False, **options)
    except Exception as error:  # Stanza has several errors of its own for missing models
        fetch = f"python -c \"import stanza; stanza.download('{name}')\""
        raise UserError(f"no Stanza models of {name!r} ({type(error).__name__}); run: {fetch}") from None
    for start in range(0, len(sentences), batch_size):
        batch = [list(words) for words in sentences[start : start + batch_size]]
        for words, parsed in zip(batch, pipeline(batch).sentences, strict=True):
            if [word.text for word in parsed.words] != words:
                raise UserError(f"Stanza changed the words of {' '.join(words)!r}: a tree over others is of no use")
            yield [word.head for word in parsed.words], [word.deprel for word in parsed.words]


PARSERS = {"spacy": spacy_trees, "stanza": stanza_trees}


def _package(name: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise UserError(f"{name} is not installed; run: pip install 'd2e2s[{extra}]'") from None


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Add dependency trees to records.")
    parser.add_argument("--input", type=Path, required=True, help="records, .jsonl or .parquet")
    parser.add_argument("--output", type=Path, required=True, help="the same records with heads and deprels")
    parser.add_argument("--parser", required=True, help="spacy:PIPELINE or stanza:LANGUAGE: spacy:en_core_web_sm")
    parser.add_argument("--batch_size", type=int, default=64, help="sentences parsed at a time (default: 64)")
    return exit_code(lambda: parse_file(parser.parse_args(argv)))


def parse_file(options: argparse.Namespace) -> None:
    """Parse one file to another. Errors as for `add_trees` and `read_records`."""
    records = read_records(options.input)
    parsed = add_trees(records, options.parser, options.batch_size)
    write_records(options.output, tqdm(parsed, total=len(records), unit=" sentences", disable=None))
    words = sum(len(record["tokens"]) for record in records)
    print(f"{options.output}: {len(records)} sentences, {words} words, parsed by {options.parser}")


if __name__ == "__main__":
    sys.exit(main())
