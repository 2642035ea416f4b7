"""Triplets for many files: in parts, by any number of processes, with a restart that goes on where a kill left off.

d2e2s predict reviews/ --out predictions/ --model outputs/14res
torchrun --nproc_per_node 8 -m d2e2s.cli predict "reviews/*.jsonl" --out predictions/ --model outputs/14res

How the folder is laid out, and why it can be trusted, stands in `shards`.
"""

import glob
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow
import torch
from accelerate import PartialState
from datasets import Features, Value

from ..checkpoints import weights_digest
from ..errors_d2e2s import UserError
from ..pipeline_d2e2s import TripletExtractionPipeline
from ..words_d2e2s import is_blank
from .columns import triplets_array
from .parts import ColumnKinds, Part, plan_parts, read_part
from .predict import TORCH, load_pipeline, say_faster, say_missing, with_progress
from .shards import Counts, InputFile, Manifest, Output, Predicted
from .tables import FORMATS, OUTPUT_COLUMN, Table, check_columns
from .text_lines import TEXT_COLUMN
from .writers import TRIPLETS

# Enough for the shards of 100 million rows to be 20,000 files, few enough to be lost by a kill.
ROWS_PER_SHARD = 5000
# Process 0 plans while the others wait.
PLANNING_LIMIT = timedelta(days=1)
AGAIN = "give the same to go on, or another --out"
# Of a model's configuration, what changes no triplet.
ORIGIN = {"_name_or_path", "transformers_version", "_commit_hash"}


def find_files(inputs: Sequence[str], out: str) -> list[Path]:
    """The files that are named: each a file, a pattern such as `reviews/**/*.jsonl`, or a folder with all below it.

    Returns:
        absolute paths; of a pattern or a folder in the order of their names.

    Raises:
        UserError: files of several kinds, of a kind that cannot be read, named twice, among the output, or no file.
        FileNotFoundError: a name that nothing has.
    """
    files = [path for name in inputs for path in _matches(name)]
    _check_apart([*files, *map(Path, inputs)], Path(out).resolve())
    kinds = sorted({path.suffix.lower() for path in files})
    if unknown := [path for path in files if path.suffix.lower() not in FORMATS]:
        raise UserError(f"{unknown[0]}: cannot read this kind of file; expected {', '.join(FORMATS)}")
    if len(kinds) != 1:
        found = f"files of several kinds ({', '.join(kinds)}): name one, such as" if kinds else "no file such as"
        raise UserError(f"{' '.join(inputs)}: {found} 'folder/*{kinds[0] if kinds else '.jsonl'}'")
    path, times = Counter(files).most_common(1)[0]
    if times > 1:
        raise UserError(f"{path}: named twice")
    return files


def _check_apart(inputs: Iterable[Path], out: Path) -> None:
    """Else the shards would be input when the run goes on."""
    for path in inputs:
        if out in path.parents or (path.is_dir() and out.is_relative_to(path.resolve())):
            raise UserError(f"{path}: lies in the output folder, or that in it; give an --out outside the input")


def _matches(name: str) -> list[Path]:
    path = Path(name)
    if path.is_dir():
        below = (file for file in sorted(path.rglob("*")) if file.is_file())
        return [file.resolve() for file in below if not any(part[0] in "._" for part in file.relative_to(path).parts)]
    found = [name] if path.is_file() else sorted(glob.glob(name, recursive=True))
    files = [Path(file).resolve() for file in found if Path(file).is_file()]
    if not files:
        raise FileNotFoundError(f"{name}: no such file or folder")
    return files


def fingerprint(extract: TripletExtractionPipeline) -> str:
    """A name for all that a pipeline's triplets depend on: weights, configuration, tokenizer, splitting of words."""
    digest, processor = weights_digest(extract.model), extract.processor
    for settings in (_without_origin(extract.model.config.to_dict()), processor.splitting):
        digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    digest.update(processor.tokenizer.backend_tokenizer.to_str().encode())
    return digest.hexdigest()


def _without_origin(config: Any) -> Any:
    if isinstance(config, dict):
        return {name: _without_origin(value) for name, value in config.items() if name not in ORIGIN}
    return config


def plan_corpus(
    files: Sequence[Path],
    out: str,
    extract: TripletExtractionPipeline,
    text_column: str = TEXT_COLUMN,
    output_column: str = OUTPUT_COLUMN,
    file_column: str | None = None,
    rows_per_shard: int = ROWS_PER_SHARD,
    **options: Any,
) -> Output:
    """Divide the files into parts and write the manifest, or check the one that is there.

    Args:
        files: all of one kind, see `find_files`.
        file_column: name of a further column, with the path of the file that a row is from.
        options: of the pipeline's call, such as `threshold`.

    Raises:
        UserError: no rows, no such column, columns that do not fit together; or the folder was begun with other
            files, another model or other settings.
        OSError: a file or the folder cannot be used.
    """
    extract([], **options)  # for the errors of bad ones
    settings = {
        "model": fingerprint(extract),
        "text_column": text_column,
        "output_column": output_column,
        "file_column": file_column,
        "rows_per_shard": rows_per_shard,
        "options": {name: value for name, value in sorted(options.items()) if value is not None},
    }
    output = Output(out)
    if output.manifest_path.is_file():
        _check_same(output, settings, files)
    else:
        output.begin(_plan(files, settings))
    return output


def _plan(files: Sequence[Path], settings: dict[str, Any]) -> Manifest:
    columns, parts, kept = ColumnKinds(), list[Part](), list[InputFile]()
    for number, path in enumerate(files):
        kept.append(InputFile.of(path))
        parts += plan_parts(path, number, columns, settings["text_column"], settings["rows_per_shard"])
        kept[-1].check()
    if not parts:
        raise UserError(f"{files[0]}{' and the others' * (len(files) > 1)}: no rows")
    if settings["text_column"] not in columns.features:
        raise UserError(f"{files[0]}: no row with text in column {settings['text_column']!r}; give --text_column")
    table = Table(str(files[0]), columns.features, [])
    check_columns(table, settings["text_column"], settings["output_column"])
    file = settings["file_column"]
    if file in (*table.features, settings["output_column"]):
        raise UserError(f"{table.name}: has a column {file!r} already; give another --file_column")
    added = {} if file is None else {file: Value("string")}
    features = Features({**table.features, **added, settings["output_column"]: TRIPLETS})
    return Manifest(settings, kept, parts, features, columns.as_json)


def _check_same(output: Output, settings: dict[str, Any], files: Sequence[Path]) -> None:
    begun = output.manifest
    for name, value in settings.items():
        if begun.settings.get(name) != value:
            change = "" if name == "model" else f" ({begun.settings.get(name)!r}, now {value!r})"
            raise UserError(f"{output.folder}: was begun with another {name}{change}; {AGAIN}")
    if different := {file.path for file in begun.files} ^ set(map(str, files)):
        raise UserError(
            f"{output.folder}: was begun with other files ({min(different)} is in one of both only); {AGAIN}"
        )
    for file in begun.files:
        file.check()


def predict_parts(output: Output, numbers: Iterable[int], extract: TripletExtractionPipeline) -> Iterator[Counts]:
    """Do those of the parts that are not done, each when the next of the iterator is asked for.

    Raises:
        UserError: another model than the one that was planned with; else see `rows.read_part` and `Output.write`.
        OSError: the input or the folder cannot be used. What was done before stays.
    """
    check_model(output, extract)
    for number in sorted(set(numbers) - output.done()):
        yield predict_part(output, number, extract)


def check_model(output: Output, extract: TripletExtractionPipeline) -> None:
    """Raises: UserError: the work was planned with another model."""
    if fingerprint(extract) != output.manifest.settings["model"]:
        raise UserError(f"{output.folder}: was begun with another model; {AGAIN}")


def predict_part(output: Output, number: int, extract: TripletExtractionPipeline) -> Counts:
    """Do a part, whoever does it as well; for errors see `predict_parts`."""
    return output.write(number, _predicted(output.manifest, output.manifest.parts[number], extract))


def _predicted(manifest: Manifest, part: Part, extract: TripletExtractionPipeline) -> Iterator[Predicted]:
    settings, path = manifest.settings, Path(manifest.files[part.file].path)
    triplets, file = settings["output_column"], settings.get("file_column")
    features = Features({name: kind for name, kind in manifest.features.items() if name not in (triplets, file)})
    schema = manifest.features.arrow_schema
    for rows in read_part(path, part, features, settings["text_column"], manifest.as_json):
        table, found = rows.table, extract(rows.texts, **settings["options"])
        if file is not None:
            table = table.append_column(schema.field(file), pyarrow.repeat(str(path), len(table)))
        table = table.append_column(schema.field(triplets), triplets_array(found))
        yield table, rows.rejected, sum(map(is_blank, rows.texts))


def predict_corpus(
    inputs: Sequence[str],
    out: str,
    model: str,
    device: str | int | torch.device | None = None,
    dtype: str = "auto",
    batch_size: int | None = None,
    backend: str = TORCH,
    share: tuple[int, int] | None = None,
    **settings: Any,
) -> Counts | None:
    """Predict the triplets of many files into a folder, or go on with it; this process does its share of the parts.

    What came of it is said on stderr.

    Args:
        inputs: see `find_files`.
        model, device, dtype, backend: see `load_pipeline`; of several processes, each takes the device that it was
            launched for.
        share: (i, n): of the parts every nth from the ith on; default: what torchrun or `accelerate launch` say.
        settings: columns, rows of a shard and options of `plan_corpus`.

    Returns:
        the rows of all processes; None if not all is done yet.

    Raises:
        UserError, OSError: input, output, model or settings that cannot be used, or that have changed since.
    """
    files, begins = find_files(inputs, out), not Path(out).is_dir()
    on_cpu = str(device) == "cpu" or not torch.accelerator.is_available()
    state = PartialState(cpu=on_cpu, timeout=PLANNING_LIMIT)
    place = device if state.num_processes == 1 else state.device
    extract = load_pipeline(model, place, dtype, backend, batch_size=batch_size)
    with state.main_process_first():
        output = plan_corpus(files, out, extract, **settings)
    if begins and state.is_main_process:
        say_faster(extract)
    first, step = share or (state.process_index, state.num_processes)
    done = predict_parts(output, range(first, len(output.manifest.parts), step), extract)
    read = sum(counts.rows_in for counts in (with_progress(extract, done) if state.is_main_process else done))
    return conclude(output, extract, read, settings.get("aspects"), alone=state.num_processes == 1)


def conclude(
    output: Output, extract: TripletExtractionPipeline, read: int, aspects: Sequence[str] | None, alone: bool = True
) -> Counts | None:
    """Write the summary if all is done, and say on stderr what came of a run that has read so many rows.

    Args:
        aspects: those that were asked for.
        alone: no other process says it, so that a run that leaves something to do says so too.
    """
    if read:
        say_missing(extract, aspects, f"the {read} rows read now")
    total = output.finish()
    if total is not None:
        why = " (rejects/ says why)" if total.rejected else ""
        rows = f"{total.rows_in} rows: {total.rows_out} with their triplets in shards/, {total.rejected} rejected"
        print(f"{output.folder}: {rows}{why}, {total.without_text} without text", file=sys.stderr)
    elif alone:
        parts = len(output.manifest.parts)
        print(f"{output.folder}: {parts - len(output.missing())} of {parts} shards are done", file=sys.stderr)
    return total
