"""How training and prediction grow with sentence length, span width, batch size and candidates, beside the encoder.

    python -m benchmarks.scaling --encoder_name_or_path all-MiniLM-L6-v2 --data data/14res/test.jsonl \
        --out results/scaling.json --page docs/speed.md

Sentences of a given length are the file's, joined and cut. `behind` is the model less the encoder.
"""

import argparse
import copy
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from .report import markdown_table, publish
from .timing import about, interleaved
from .workload import MAIN, VARIANTS, Workload, bare_step, encode, evaluate, model_step, work_parser

# What varies, one at a time, from a batch of 16 sentences of 32 words.
AXES: dict[str, tuple[int, ...]] = {
    "sentence_length": (16, 32, 64, 128, 256),
    "max_span_width": (2, 4, 8, 16),
    "batch_size": (4, 16, 64),
    "max_candidates": (8, 16, 32, 64),
}
LENGTH = 32
Point = dict[str, float]


def measure_point(options: argparse.Namespace, axis: str, value: int) -> Point:
    """Median seconds of one batch: the encoder's forward pass and step, the model to triplets and its step."""
    options = copy.copy(options)
    options.limit, options.sentence_length = 1, options.sentence_length or LENGTH
    config = dict(VARIANTS[MAIN])
    if axis in vars(options):
        setattr(options, axis, value)
    else:
        config[axis] = value
    work = Workload(options)
    (batch,) = work.batches()
    inputs = work.collate(batch)
    sides: dict[str, Callable[[], object]] = {
        "encoder_forward": partial(encode, work, work.bare_encoder(), inputs),
        "model_forward": partial(evaluate, work, work.model(**config), batch),
        "encoder_step": partial(bare_step(work), inputs),
        "model_step": partial(model_step(work, **config), inputs),
    }
    times = interleaved({name: [job] for name, job in sides.items()}, options.rounds, work.device)
    found = {name: statistics.median(values) for name, values in times.items()}
    for kind in ("forward", "step"):
        found[f"behind_{kind}"] = found[f"model_{kind}"] - found[f"encoder_{kind}"]
    return {axis: value, "sentences": len(batch), **found}


def exponent(points: Sequence[Point], axis: str, name: str, first: float = 0) -> float | None:
    """Slope of log(seconds) over log(axis) from `first` on, least squares; None where it is not defined."""
    used = [point for point in points if point[axis] >= first]
    if len(used) < 2 or min(point[name] for point in used) <= 0:
        return None
    x, y = ([math.log(point[key]) for point in used] for key in (axis, name))
    return statistics.linear_regression(x, y).slope


def growth(axes: Mapping[str, Sequence[Point]]) -> dict[str, dict[str, float | None]]:
    """Exponents of the encoder, the model and what is behind the encoder; of length, from 32 words on."""
    kinds = [f"{side}_{kind}" for kind in ("forward", "step") for side in ("encoder", "model", "behind")]
    return {
        axis: {name: exponent(points, axis, name, LENGTH if axis == "sentence_length" else 0) for name in kinds}
        for axis, points in axes.items()
    }


def table(result: Mapping[str, Any]) -> str:
    """A row for each point: milliseconds of encoder and model, and their ratio."""
    rows = []
    for axis, points in result["points"].items():
        for point in points:
            cells = [f"`{axis}` {point[axis]}"]
            for kind in ("forward", "step"):
                encoder, model = point[f"encoder_{kind}"], point[f"model_{kind}"]
                cells += [f"{1000 * encoder:.0f}", f"{1000 * model:.0f}", f"{model / encoder:.2f}"]
            rows.append(cells)
    header = ("", "encoder, ms", "to triplets, ms", "ratio", "encoder step, ms", "step, ms", "ratio")
    return markdown_table(header, rows)


def section(result: Mapping[str, Any]) -> str:
    found = result["growth"]["sentence_length"]

    def power(name: str) -> str:
        return "not defined" if found[name] is None else f"{found[name]:.2f}"

    return (
        f"`{result['command']}`\n\n"
        "Seconds grow with the sentence length to the power of (32 to 256 words): encoder "
        f"{power('encoder_forward')}, what stands behind it {power('behind_forward')}; in training "
        f"{power('encoder_step')} and {power('behind_step')}.\n\n{table(result)}"
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = work_parser(__doc__)
    parser.add_argument("--axes", nargs="+", choices=tuple(AXES), default=tuple(AXES))
    parser.add_argument("--most_values", type=int, help="only the first values of each axis")
    options = parser.parse_args(argv)
    points = {
        axis: [measure_point(options, axis, value) for value in AXES[axis][: options.most_values]]
        for axis in options.axes
    }
    result = {**about(options.device), "variant": VARIANTS[MAIN], "growth": growth(points), "points": points}
    publish(options, result, section(result), "scaling")


if __name__ == "__main__":
    main()
