"""Time training, evaluation and the way from raw text against the bare encoder on the same batches, in one process.

    python -m benchmarks.speed --encoder_name_or_path all-MiniLM-L6-v2 --data data/14res/test.jsonl \
        --out results/speed.json --page docs/speed.md

writes medians, ratios with their spread and peak memory as JSON, and the page's tables.
"""

import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch

from d2e2s import TripletExtractionPipeline

from . import memory, raw_text
from .reference import literal_forward
from .report import markdown_table, publish
from .timing import Job, about, interleaved, ratio
from .workload import MAIN, VARIANTS, Batch, Workload, bare_step, encode, evaluate, model_step, work_parser

BARE = "bare"
Times = dict[str, list[float]]
Ratios = dict[str, dict[str, float]]


def train_steps(work: Workload) -> Times:
    """A training step of each side on a few batches spread over the file, in seconds a round."""
    batches = [work.collate(batch) for batch in spread(work.batches(), work.options.train_batches)]
    steps = {BARE: bare_step(work), **{name: model_step(work, **config) for name, config in VARIANTS.items()}}
    return run(work, {name: jobs(step, batches) for name, step in steps.items()})


def evaluations(work: Workload) -> Times:
    """The whole file: the encoder's forward pass in file order, and each variant to triplets, in both orders."""
    encoder = work.bare_encoder()
    sides = {BARE: jobs(partial(encode, work, encoder), [work.collate(batch) for batch in work.batches()])}
    for name, config in VARIANTS.items():
        triplets_of = partial(evaluate, work, work.model(**config))
        sides[f"file_order_{name}"] = jobs(triplets_of, work.batches())
        sides[f"grouped_{name}"] = jobs(triplets_of, work.batches(grouped=True))
    return run(work, sides)


def raw_texts(work: Workload) -> tuple[Times, dict[str, float]]:
    """The whole file from strings to triplets with offsets, beside the encoder alone; and its steps."""
    settings: dict[str, Any] = {"device": work.device, "batch_size": work.options.batch_size}
    extract = TripletExtractionPipeline(model=work.model(**VARIANTS[MAIN]), processor=work.processor, **settings)
    forward = partial(encode, work, work.bare_encoder())

    def whole() -> None:
        with work.precision():
            extract(raw_text.texts(work))

    sides: dict[str, list[Job]] = {
        BARE: jobs(forward, raw_text.text_batches(work)),
        "bare_same_rows": jobs(forward, raw_text.row_batches(work, extract)),
        "raw_text": [whole],
    }
    times = run(work, sides)
    steps = [raw_text.breakdown(work, extract) for _ in range(work.options.rounds)]
    return times, {step: statistics.median_high(each[step] for each in steps) for step in steps[0]}


def literal(work: Workload) -> tuple[Times, Times]:
    """Training steps and evaluation of the literal formulation, with the same sides beside it; few batches."""
    chosen = spread(work.batches(), work.options.literal_batches)
    batches = [work.collate(batch) for batch in chosen]
    config = VARIANTS[MAIN]
    slow_step = model_step(work, literal_forward, **config)
    steps = {BARE: bare_step(work), "model": model_step(work, **config), "literal": slow_step}
    training = run(work, {name: jobs(step, batches) for name, step in steps.items()}, work.options.literal_rounds)
    encoder, model = work.bare_encoder(), work.model(**config)

    def slow(batch: Batch) -> None:
        with torch.inference_mode():
            literal_forward(model, batch)

    sides = {
        BARE: jobs(partial(encode, work, encoder), batches),
        "model": jobs(partial(evaluate, work, model), chosen),
        "literal": jobs(slow, [work.collate(batch, labels=False) for batch in chosen]),
    }
    return training, run(work, sides, work.options.literal_rounds)


def run(work: Workload, sides: Mapping[str, list[Job]], rounds: int | None = None) -> Times:
    return interleaved(sides, rounds or work.options.rounds, work.device)


def jobs(function: Callable[[Any], object], batches: list[Any]) -> list[Job]:
    return [partial(function, batch) for batch in batches]


def spread(items: list[Any], count: int) -> list[Any]:
    """`count` items at even distances."""
    return [items[i * len(items) // count] for i in range(min(count, len(items)))]


def against_bare(times: Times, prefix: str) -> Ratios:
    return {f"{prefix}{name}": ratio(each, times[BARE]) for name, each in times.items() if name != BARE}


def measure(work: Workload, arguments: list[str]) -> dict[str, Any]:
    times = {"train_step": train_steps(work), "evaluate": evaluations(work)}
    times["raw_text"], steps = raw_texts(work)
    ratios = against_bare(times["train_step"], "train_step_") | against_bare(times["evaluate"], "evaluate_")
    ratios |= {f"evaluate_{order}": ratios[f"evaluate_{order}_{MAIN}"] for order in ("file_order", "grouped")}
    ratios["raw_text"] = ratio(times["raw_text"]["raw_text"], times["raw_text"][BARE])
    ratios["raw_text_same_rows"] = ratio(times["raw_text"]["raw_text"], times["raw_text"]["bare_same_rows"])
    if work.options.literal_rounds:
        times["literal_train_step"], times["literal_evaluate"] = literal(work)
        for name in ("train_step", "evaluate"):
            measured = times[f"literal_{name}"]
            ratios[f"{name}_literal"] = ratio(measured["literal"], measured[BARE])
    peaks = {side: memory.measure(arguments, side) for side in work.options.memory_sides}
    return {
        **about(work.device),
        "settings": {name: value for name, value in vars(work.options).items() if name not in ("out", "page")},
        "sentences": len(work.records),
        "ratios": {name: value["ratio"] for name, value in ratios.items()},
        "quartiles": {name: [value["low"], value["high"]] for name, value in ratios.items()},
        "memory_gb": peaks,
        "sentences_per_second": throughput(work, times),
        "raw_text_steps": steps,
        "seconds": times,
    }


def throughput(work: Workload, times: Mapping[str, Times]) -> dict[str, float]:
    """Sentences a second of the runs over the whole file, and of training."""
    sentences = len(work.records)
    trained = sum(map(len, spread(work.batches(), work.options.train_batches)))
    found = {f"train_{name}": trained / statistics.median(each) for name, each in times["train_step"].items()}
    found |= {f"evaluate_{name}": sentences / statistics.median(each) for name, each in times["evaluate"].items()}
    return found | {"raw_text": sentences / statistics.median(times["raw_text"]["raw_text"])}


# --- tables


GOALS = {
    "train_step_cross_attention": ("training step, `cross_attention` + `enhanced`", 1.35),
    "train_step_tin": ("training step, `tin` + `basic`", 1.6),
    "evaluate_file_order": ("evaluation with decoding, file order", 1.25),
    "evaluate_grouped": ("evaluation with decoding, grouped by length", 0.9),
    "raw_text": ("raw text to triplets with offsets", 1.3),
}


def goal_table(result: Mapping[str, Any]) -> str:
    rows = [(text, spread_of(result, name), f"at most {goal}") for name, (text, goal) in GOALS.items()]
    rows.append(("peak memory in training", peak_of(result, MAIN), "at most 1.6 GB"))
    return markdown_table(("", "times the bare encoder (quartiles)", "goal"), rows)


def variant_table(result: Mapping[str, Any]) -> str:
    """Each fusion, and the literal formulation."""
    kinds = ("train_step", "evaluate_file_order", "evaluate_grouped")
    rows = [
        (
            f"`{name}`",
            *(spread_of(result, f"{kind}_{name}") for kind in kinds),
            f"{result['sentences_per_second'][f'evaluate_grouped_{name}']:.0f}",
            peak_of(result, name),
        )
        for name in VARIANTS
    ]
    if "train_step_literal" in result["ratios"]:
        literal = (spread_of(result, f"{kind}_literal") for kind in ("train_step", "evaluate"))
        rows.append(("literal formulation", *literal, "", "", ""))
    seconds = result["sentences_per_second"]["evaluate_bare"]
    rows.append(("bare encoder", "1", "1", "", f"{seconds:.0f}", peak_of(result, BARE)))
    header = ("", "training step", "evaluation, file order", "grouped", "sentences a second", "peak memory")
    return markdown_table(header, rows)


def steps_table(result: Mapping[str, Any]) -> str:
    steps = dict(result["raw_text_steps"])
    total = steps.pop("total")
    rows = [(name, f"{100 * value / total:.1f} %") for name, value in steps.items()]
    return markdown_table(("raw text", "share"), rows)


def peak_of(result: Mapping[str, Any], side: str) -> str:
    return f"{result['memory_gb'][side]['peak']:.2f} GB" if side in result["memory_gb"] else "not measured"


def spread_of(result: Mapping[str, Any], name: str) -> str:
    low, high = result["quartiles"][name]
    return f"{result['ratios'][name]:.2f} ({low:.2f} to {high:.2f})"


def section(result: Mapping[str, Any]) -> str:
    """The generated part of the page. The goals are for a CPU, so a GPU has no table of them."""
    found = result["environment"]
    where = f"{found.get('gpu', found['cpu'])}, {found['threads']} threads, torch {found['torch']}"
    line = (
        f"`{result['command']}`\n\n{where}; {result['sentences']} sentences, batch {result['settings']['batch_size']}, "
        f"{result['settings']['dtype']}. From raw text: {result['sentences_per_second']['raw_text']:.0f} sentences a "
        f"second, {spread_of(result, 'raw_text_same_rows')} of the encoder on the pipeline's own batches.\n\n"
    )
    goals = [] if on_gpu(result) else [goal_table(result)]
    return line + "\n".join([*goals, variant_table(result), steps_table(result)])


def on_gpu(result: Mapping[str, Any]) -> bool:
    return "gpu" in result["environment"]


def main(argv: Sequence[str] | None = None) -> None:
    parser = work_parser(__doc__)
    parser.add_argument("--train_batches", type=int, default=8, help="batches of a round of training steps")
    parser.add_argument("--literal_batches", type=int, default=2)
    parser.add_argument("--literal_rounds", type=int, default=2, help="0 leaves the literal formulation out")
    sides = (BARE, *VARIANTS)
    parser.add_argument("--memory_sides", nargs="*", choices=sides, default=sides, help="whose peak memory to measure")
    arguments = sys.argv[1:] if argv is None else list(argv)
    options = parser.parse_args(arguments)
    result = measure(Workload(options), arguments)
    publish(options, result, section(result), "speed-gpu" if on_gpu(result) else "speed")


if __name__ == "__main__":
    main()
