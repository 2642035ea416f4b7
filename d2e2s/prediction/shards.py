"""The output folder of a prediction over many files, and the protocol that makes it safe to be killed.

    manifest.json                  what is to be done: settings, input files, parts; written once, before anything else
    shards/part-00000000.parquet   rows of part 0 with their triplets; it is there if, and only if, the part is done
    rejects/part-00000000.jsonl    rows of part 0 that could not be read, with place and reason, if there are any
    summary.json                   how many rows there were, written when the last part is done

A part is a range of rows of one input file, and its shard depends on nothing else: not on who makes it, nor on how many
processes there are, nor on what was done before. Each file appears whole, under a name that follows from the part. So
a part may be made anywhere, at any time, even twice at once, and no row is lost or doubled. Nobody waits for anybody.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

import pyarrow
import pyarrow.parquet
from datasets import Features, IterableDataset

from ..data_scripts.files import sha256, write_atomically, write_text
from ..errors_d2e2s import UserError
from .parts import Part
from .text_lines import Row

FORMAT_VERSION = 1


@dataclass(frozen=True)
class InputFile:
    """A file as it was when the work was planned."""

    path: str
    bytes: int
    modified_ns: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Self:
        before = path.stat()
        return cls(str(path), before.st_size, before.st_mtime_ns, sha256(path))

    def check(self) -> None:
        """Whether it is still the same; what it holds is read only if its time has changed.

        Raises:
            UserError: it holds something else.
            OSError: it is gone.
        """
        now = os.stat(self.path)
        if (now.st_size, now.st_mtime_ns) == (self.bytes, self.modified_ns):
            return
        if now.st_size != self.bytes or InputFile.of(Path(self.path)).sha256 != self.sha256:
            raise UserError(f"{self.path}: has changed since the work was begun; begin again with another --out")


@dataclass(frozen=True)
class Manifest:
    """What is to be done.

    Attributes:
        settings: what the triplets depend on beside the input: model, columns, threshold, ...
        files: input files in order.
        parts: in the order of the input.
        features: columns of the shards.
        as_json: those that are kept as JSON text.
    """

    settings: dict[str, Any]
    files: list[InputFile]
    parts: list[Part]
    features: Features
    as_json: list[str]

    def to_json(self) -> str:
        """One line a file and a part, for people."""
        head = {"format_version": FORMAT_VERSION, "settings": self.settings, "features": self.features.to_dict()}
        head["as_json"] = self.as_json
        lists: dict[str, list[Any]] = {"files": list(map(asdict, self.files)), "parts": self.parts}
        text = json.dumps(head, ensure_ascii=False).removesuffix("}")
        for name, items in lists.items():
            text += f',\n"{name}": [\n' + ",\n".join(map(json.dumps, items)) + "\n]"
        return text + "}\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises: UserError: another format."""
        values = json.loads(text)
        if values.get("format_version") != FORMAT_VERSION:
            raise UserError(f"format_version {values.get('format_version')!r}; expected {FORMAT_VERSION}")
        files = [InputFile(**file) for file in values["files"]]
        parts = [Part(*part) for part in values["parts"]]
        return cls(values["settings"], files, parts, Features.from_dict(values["features"]), values["as_json"])


# Consecutive rows of a part: the good ones with the columns of the manifest, the rejected ones, how many of the good
# ones have no words.
Predicted = tuple[pyarrow.Table, list[Row], int]


class Counts(NamedTuple):
    """Rows that were read, written, rejected, and among those written the ones without words."""

    rows_in: int
    rows_out: int
    rejected: int
    without_text: int

    def __add__(self, other: Any) -> Self:
        return type(self)(*(a + b for a, b in zip(self, other, strict=True)))


class Output:
    """An output folder."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.manifest_path = self.folder / "manifest.json"
        self._shards, self._rejects = self.folder / "shards", self.folder / "rejects"

    def shard(self, number: int) -> Path:
        return self._shards / f"part-{number:08d}.parquet"

    def rejects(self, number: int) -> Path:
        return self._rejects / f"part-{number:08d}.jsonl"

    @cached_property
    def manifest(self) -> Manifest:
        """Read once.

        Raises:
            UserError: it is damaged, or of another version.
            OSError: there is none.
        """
        if not self.manifest_path.is_file():
            raise FileNotFoundError(f"{self.folder}: no manifest.json: no prediction was begun there")
        try:
            return Manifest.from_json(self.manifest_path.read_text(encoding="utf-8"))
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{self.manifest_path}: no manifest that can be read: {error}") from None

    def begin(self, manifest: Manifest) -> None:
        """Write the manifest.

        Raises:
            UserError: there are shards already, of which nobody knows what they hold.
        """
        if self.done():
            raise UserError(f"{self.folder}: holds shards but no manifest.json; give another --out")
        write_text(self.manifest_path, manifest.to_json())

    def done(self) -> set[int]:
        """Numbers of the parts that have their shard."""
        names = os.listdir(self._shards) if self._shards.is_dir() else []
        return {number for name in names if self.shard(number := _number(name)).name == name}

    def missing(self) -> list[int]:
        """Numbers of the parts that are not done, in order."""
        done = self.done()
        return [number for number in range(len(self.manifest.parts)) if number not in done]

    def write(self, number: int, predicted: Iterable[Predicted]) -> Counts:
        """Write a part: its rejected rows first, then its shard, which makes it done.

        Args:
            predicted: all its rows, as they come.

        Returns:
            what it came to; if another process has made it meanwhile and this one could not, what that one wrote.

        Raises:
            UserError: not as many rows as were planned, or a file that has changed.
            OSError: the folder cannot be written to. The part is not done then.
        """
        counts = Counts(0, 0, 0, 0)
        part = self.manifest.parts[number]
        file = self.manifest.files[part.file]

        def write(temporary: Path) -> None:
            nonlocal counts
            rejected: list[Row] = []
            with pyarrow.parquet.ParquetWriter(temporary, self.manifest.features.arrow_schema) as writer:
                for table, bad, empty in predicted:
                    if len(table):  # a row group without rows is more than `datasets` can read
                        writer.write_table(table)
                    rejected += bad
                    counts += Counts(len(table) + len(bad), len(table), len(bad), empty)
                writer.add_key_value_metadata({"d2e2s": json.dumps(counts._asdict())})
            file.check()
            if counts.rows_in != part.rows:
                raise UserError(f"{file.path}: {counts.rows_in} rows where {part.rows} were planned (part {number})")
            if rejected:
                write_atomically(self.rejects(number), lambda path: _write_rejects(path, file.path, rejected))

        try:
            write_atomically(self.shard(number), write)
        except OSError:  # such as a temporary file that `finish` of another process has deleted
            if not self.shard(number).is_file():
                raise
            return self.counts(number)
        return counts

    def counts(self, number: int) -> Counts:
        """What a part came to, as its shard says.

        Raises:
            UserError: a damaged shard.
        """
        try:
            metadata = pyarrow.parquet.read_metadata(self.shard(number)).metadata
            return Counts(**json.loads(metadata[b"d2e2s"]))
        except (ValueError, KeyError, TypeError, pyarrow.ArrowException) as error:
            path = self.shard(number)
            raise UserError(f"{path}: damaged ({error}): delete it and run the same command again") from None

    def finish(self) -> Counts | None:
        """If every part is done, write `summary.json` and return the counts of all."""
        if self.missing():
            return None
        total = sum(map(self.counts, range(len(self.manifest.parts))), Counts(0, 0, 0, 0))
        text = json.dumps({**total._asdict(), "shards": len(self.manifest.parts)}, indent=2) + "\n"
        write_text(self.folder / "summary.json", text)
        self._clear_leftovers()
        return total

    def _clear_leftovers(self) -> None:
        """Delete what killed processes left unfinished.

        Only once all is done: nothing tells a leftover from a file that is being written, but then nobody needs either.
        """
        unfinished = ((self.folder, ".manifest.json.*"), (self._shards, ".part-*"), (self._rejects, ".part-*"))
        for folder, pattern in unfinished:
            for path in folder.glob(pattern):
                path.unlink(missing_ok=True)


def read_predictions(folder: str | Path) -> IterableDataset:
    """All rows with their triplets, streamed in the order of the input.

    Raises:
        UserError: some parts are not done yet.
        OSError: no such folder.
    """
    output = Output(folder)
    if missing := output.missing():
        total = len(output.manifest.parts)
        raise UserError(f"{folder}: {len(missing)} of {total} shards are missing: run the same command again")
    shards = [output.shard(number) for number in range(len(output.manifest.parts))]
    return IterableDataset.from_generator(_rows_of, features=output.manifest.features, gen_kwargs={"shards": shards})


def _rows_of(shards: Sequence[Path]) -> Iterator[dict[str, Any]]:
    for shard in shards:
        with pyarrow.parquet.ParquetFile(shard) as file:
            for batch in file.iter_batches():
                yield from batch.to_pylist()


def read_rejects(folder: str | Path) -> Iterator[dict[str, Any]]:
    """Rejected rows in the order of the input: `file`, `line` (Parquet: number of the row), `reason`, `row` (how it
    begins).
    """
    output = Output(folder)
    for number in range(len(output.manifest.parts)):
        if output.rejects(number).is_file():
            with output.rejects(number).open(encoding="utf-8") as lines:
                yield from map(json.loads, lines)


def _number(name: str) -> int:
    """The part that a file belongs to, -1 if to none."""
    digits = name.removeprefix("part-").split(".")[0]
    return int(digits) if digits.isdecimal() else -1


def _write_rejects(path: Path, file: str, rows: Iterable[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as lines:
        for row in rows:
            reject = {"file": file, "line": row.line, "reason": row.reason, "row": row.raw}
            lines.write(json.dumps(reject, ensure_ascii=False) + "\n")
