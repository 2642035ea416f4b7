"""A run as one HTML page that loads nothing from the net.

d2e2s report outputs/14res --out report.html
d2e2s report outputs/14res --split dev --sentences 14res-dev-7 14res-dev-12 --out report.html
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from markupsafe import Markup

from .. import __version__
from ..checkpoints import WEIGHTS, load_checkpoint
from ..collator_d2e2s import DataCollatorForTripletExtraction
from ..data_scripts.files import write_text
from ..data_scripts.records import SENTIMENTS, Record, read_records
from ..errors_d2e2s import UserError
from ..evaluation import analysis
from ..evaluation.analysis import OUTCOMES, Outcome, Sentence
from ..evaluation.results import predictions_file, trained_with
from ..evaluation.results import read_run as read_figures
from ..evaluation.thresholds import to_triplets
from ..metrics.aste.scoring import Triplet
from ..modeling_d2e2s import D2E2SForTripletExtraction
from ..processing_d2e2s import D2E2SProcessor
from . import charts, drawing
from .card import KINDS
from .compare import describe
from .markdown import asset, style

PREFIXES = {"test": "test", "dev": "eval"}  # of the figures of a split
GRAPHS, GRAPH_WORDS = 6, 24  # sentences whose graphs are drawn, and their most words
BATCH_SIZE = 32


@dataclass
class Run:
    """An output folder of `run_aste.py`, one split of it.

    Attributes:
        figures: what `all_results.json` holds. history: `log_history` and `best_global_step` of the training, or {}.
        model, processor: None if the folder holds no weights. The candidates are the predicted triplets then.
    """

    folder: Path
    split: str
    figures: Mapping[str, Any]
    history: Mapping[str, Any]
    records: Sequence[Record]
    sentences: Sequence[Sentence]
    model: D2E2SForTripletExtraction | None
    processor: D2E2SProcessor | None

    def figure(self, name: str) -> float | None:
        """A figure of the split, such as `triplet_f1`."""
        return self.figures.get(f"{PREFIXES[self.split]}_{name}")


def read_run(folder: Path, split: str | None = None, device: str = "cpu") -> Run:
    """Read a run, and score its split's candidates again with the weights, if there are any.

    Args:
        split: `test` or `dev`; default: test if it was predicted, else dev.

    Raises:
        OSError, ValueError: the folder is no run, the split was not predicted, or a file is damaged.
    """
    figures = read_figures(folder)
    split = split or next((name for name in PREFIXES if predictions_file(folder, name).is_file()), "test")
    path = predictions_file(folder, split)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file; run_aste.py writes it with --do_eval (dev), --do_predict (test)"
        )
    records = read_records(path)
    if not records:
        raise UserError(f"{path}: no sentences; expected the predictions of a run")
    state = folder / "trainer_state.json"
    history = json.loads(state.read_text(encoding="utf-8")) if state.is_file() else {}
    model, processor = load_model(folder, device)
    scored = candidates(model, processor, records) if model and processor else [{}] * len(records)
    sentences = [_sentence(record, found, str(path)) for record, found in zip(records, scored, strict=True)]
    return Run(folder, split, figures, history, records, sentences, model, processor)


def _sentence(record: Record, candidates: Mapping[Triplet, float], path: str) -> Sentence:
    try:
        predicted = {_triplet(triplet): float(triplet["score"]) for triplet in record["predicted_triplets"]}
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{path}: {record['id']}: predicted_triplets is not what run_aste.py writes") from None
    gold = frozenset(map(_triplet, record["triplets"]))
    return Sentence(record["id"], record["tokens"], gold, predicted, candidates or predicted)


def _triplet(triplet: Mapping[str, Any]) -> Triplet:
    (a, b), (c, d) = triplet["aspect"], triplet["opinion"]
    return int(a), int(b), int(c), int(d), triplet["sentiment"]


def load_model(folder: Path, device: str) -> tuple[D2E2SForTripletExtraction, D2E2SProcessor] | tuple[None, None]:
    """Model and processor of the folder, if it holds weights.

    Raises:
        UserError: a checkpoint that `load_checkpoint` refuses, or a device that is not there.
    """
    if not list(folder.glob(WEIGHTS)):
        return None, None
    model, processor = load_checkpoint(str(folder.resolve()))
    try:
        return model.eval().to(device), processor
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"{folder}: the model cannot be loaded on {device}: {error}") from None


@torch.inference_mode()
def candidates(
    model: D2E2SForTripletExtraction, processor: D2E2SProcessor, records: Sequence[Record]
) -> list[dict[Triplet, float]]:
    """Score of every triplet that the model decodes at threshold 0, with the heads that the records give."""
    collate = DataCollatorForTripletExtraction(processor, return_labels=False)
    found: list[dict[Triplet, float]] = []
    for start in range(0, len(records), BATCH_SIZE):
        inputs = collate(records[start : start + BATCH_SIZE]).to(model.device)
        output = model(**inputs, threshold=0.0)
        triplets = to_triplets(output.triplets.cpu().numpy(), model.config.sentiment_labels)
        # Padding stands behind the triplets; falling scores: of a triplet that comes twice, the first is the best.
        for sentence, scores in zip(triplets, output.scores.tolist(), strict=True):
            found.append(dict(reversed(list(zip(sentence, scores, strict=False)))))
    return found


def page(run: Run, sentences: Sequence[str] | None = None) -> Markup:
    """The page.

    Args:
        sentences: ids of the sentences whose graphs are drawn; default: the richest ones.

    Raises:
        UserError: an id that is not there.
    """
    found = [(sentence, analysis.outcomes(sentence)) for sentence in run.sentences]
    return drawing.render(
        "report.html.jinja",
        style=style("drawing.css", "blocks.css", "page.css"),
        script=asset("drawing.js") + asset("report.js"),
        title=f"{run.folder.resolve().name}: {run.split}",
        described=describe(run.figures),
        run=run,
        kinds=KINDS,
        curves=charts.learning_curves(run.history.get("log_history", []), run.history.get("best_global_step")),
        score_charts=[
            charts.threshold_curve(analysis.threshold_curve(run.sentences), run.figures["decision_threshold"]),
            charts.reliability_diagram(analysis.reliability(*analysis.scores_and_rights(run.sentences))),
        ],
        group_charts=[
            *(charts.f1_bars(title, analysis.f1_by(run.sentences, group)) for title, group in analysis.GROUPS.items()),
            charts.confusion_matrix(analysis.confusion(run.sentences, SENTIMENTS), [*SENTIMENTS, analysis.NO_PAIR]),
        ],
        cards=[(sentence, outcomes, *sides(sentence, outcomes)) for sentence, outcomes in found],
        outcomes=OUTCOMES,
        counts=Counter(outcome.kind for _, outcomes in found for outcome in outcomes),
        graphs=[drawn_graphs(run, record) for record in chosen(run.records, sentences)] if run.model else [],
        details=details(run),
        version=__version__,
    )


def sides(sentence: Sentence, found: Sequence[Outcome]) -> list[Markup]:
    """A sentence with its gold and with its predicted triplets; those that are not on both sides are dashed."""
    right = {outcome.gold for outcome in found if outcome.kind == "right"}
    return [
        drawing.sentence(" ".join(sentence.tokens), [_placed(t, sentence.tokens, t not in right) for t in sorted(side)])
        for side in (sentence.gold, sentence.predicted)
    ]


def _placed(triplet: Triplet, tokens: Sequence[str], wrong: bool) -> dict[str, Any]:
    """A triplet with the characters of the joined words, as the pipeline gives it."""
    starts = list(accumulate((len(token) + 1 for token in tokens), initial=0))

    def term(start: int, end: int) -> dict[str, Any]:
        return {"text": " ".join(tokens[start:end]), "start": starts[start], "end": starts[end] - 1}

    return {"aspect": term(*triplet[:2]), "opinion": term(*triplet[2:4]), "sentiment": triplet[4], "wrong": wrong}


def chosen(records: Sequence[Record], ids: Iterable[str] | None) -> list[Record]:
    """The sentences of these ids; without any, short ones with many triplets.

    Raises:
        UserError: an id that is not there.
    """
    if ids is None:
        short = [record for record in records if len(record["tokens"]) <= GRAPH_WORDS]
        return sorted(short, key=lambda record: -len(record["triplets"]))[:GRAPHS]
    by_id = {record["id"]: record for record in records}
    if missing := [name for name in ids if name not in by_id]:
        raise UserError(f"--sentences: no sentence {missing[0]!r}; the ids are those of the predictions file")
    return [by_id[name] for name in ids]


@torch.inference_mode()
def drawn_graphs(run: Run, record: Record) -> dict[str, Any]:
    """What the model sees in one sentence: `tree` is the one it was given, or its own; a graph it has not is absent."""
    assert run.model is not None and run.processor is not None
    inputs = DataCollatorForTripletExtraction(run.processor, return_labels=False)([record]).to(run.model.device)
    output = run.model(**inputs, return_relations=True)
    words = record["tokens"]
    drawn: dict[str, Any] = {"id": record["id"], "text": " ".join(words), "maps": []}
    if record.get("heads") and run.model.config.syntax != "predicted":
        drawn["tree"] = drawing.tree(words, record["heads"], record.get("deprels"))
    elif output.heads is not None:
        labels = run.model.config.deprel_labels
        relations = output.relation_logits
        deprels = [labels[i] for i in relations[0].argmax(-1).tolist()] if relations is not None else None
        drawn["tree"] = drawing.tree(words, output.heads[0].tolist(), deprels)
    for title, graph in (("Semantic attention", output.semantic_graph), ("Syntactic graph", output.syntactic_graph)):
        if graph is not None:
            drawn["maps"].append(drawing.heat_map(words, graph[0].tolist(), title))
    return drawn


def details(run: Run) -> list[tuple[str, Any]]:
    """What the figures depend on."""
    arguments, figures = run.figures["arguments"], run.figures
    rows = {f"--{name}": value for name, value in arguments["config"].items()}
    if "ensemble_size" not in figures:  # what it was made with is not what its models were trained with
        rows |= {f"--{name}": value for name, value in trained_with(figures).items()}
    names = ("ensemble_size", "parameters", "encoder_parameters", "device", "processes", "temperature", "score_shift")
    rows |= {name: figures.get(name) for name in names}
    for split in ("train", "dev", "test"):
        rows |= {f"{split} {name}": figures.get(f"{split}_{name}") for name in ("sentences", "triplets")}
    rows |= {f"{name} version": version for name, version in figures.get("versions", {}).items()}
    return [(name.replace("_", " ") if name[0] != "-" else name, v) for name, v in rows.items() if v is not None]


def run(options: argparse.Namespace) -> None:
    if options.out.suffix not in (".html", ".htm"):
        raise UserError(f"{options.out}: cannot write this kind of file; expected .html")
    write_text(options.out, page(read_run(options.run, options.split, options.device), options.sentences))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("run", type=Path, metavar="RUN", help="output folder of run_aste.py")
    add("--out", type=Path, required=True, metavar="FILE", help="the page, .html")
    add("--split", choices=tuple(PREFIXES), help="default: test if it was predicted, else dev")
    drawn = "sentences whose graphs are drawn; default: some with many triplets"
    add("--sentences", nargs="+", metavar="ID", help=drawn)
    add("--device", default="cpu", help="for the model (default: %(default)s)")
