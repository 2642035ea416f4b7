"""What `test_distributed.py` launches on two processes: python two_processes.py DATA OUTPUT_DIR."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from tiny_runs import command, main, make_trainer

from d2e2s.training.steps import DivergedError

# Nothing random but the order of the sentences: dropout would differ between processes.
PLAIN = {"dropout": 0, "predicted_graph_rate": 0, "token_mask_rate": 0, "logging_steps": 1, "learning_rate": 1e-3}
SIZES = (1, 2, 3, 7, 8, 9)
written: list[str] = []


def watch_writes(event: str, arguments: tuple[Any, ...]) -> None:
    """Keep the paths that Python makes, opens for writing or renames to."""
    if event == "open" and isinstance(arguments[0], str) and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR):
        written.append(arguments[0])
    elif event in ("os.mkdir", "os.rename"):
        written.append(os.fsdecode(arguments[1] if event == "os.rename" else arguments[0]))


def scores(data: Path, out: Path) -> dict[str, Any]:
    """Figures and triplets of the first sentences of dev, by how many they are; gold is its second and third guess."""
    trainer = make_trainer(data, out, per_device_eval_batch_size=2, **PLAIN)
    trainer.model.config.decision_threshold = 0.0  # all guesses of a model that has learned nothing
    dataset: Any = trainer.eval_dataset
    guesses = [[row for row in rows[1:3] if row[0] >= 0] for rows in rows_of(trainer.predict(dataset))]
    dataset = dataset.remove_columns("labels").add_column("labels", guesses)
    found = {}
    for size in SIZES:
        output: Any = trainer.predict(dataset.select(range(size)))
        figures = {
            name: value for name, value in output.metrics.items() if name.endswith(("f1", "precision", "recall"))
        }
        found[str(size)] = {"figures": figures, "triplets": [[r for r in s if r[0] >= 0] for s in rows_of(output)]}
    return found


def rows_of(output: Any) -> list[list[list[int]]]:
    return output.predictions[0].tolist()


def divergence(data: Path, out: Path) -> str:
    """The error that this process gets when the loss of the last process is no number."""
    trainer = make_trainer(data, out, **PLAIN)
    forward = trainer.model.forward

    def diverge(**inputs: Any) -> Any:
        output = forward(**inputs)
        for name in output.losses:
            output.losses[name] = output.losses[name] * (float("nan") if trainer.args.process_index else 1.0)
        return output

    trainer.model.forward = diverge
    try:
        trainer.train()
    except DivergedError as error:
        return str(error)
    return "no error"


def report(data: Path, out: Path) -> None:
    """Each process writes what it saw to `OUTPUT_DIR-RANK.json`."""
    sys.addaudithook(watch_writes)
    rank, found = os.environ["RANK"], {"scores": scores(data, out)}
    written.clear()
    found["code"] = main(command(data, out, do_predict=None, **PLAIN))
    found["written"] = [path for path in written if path.startswith(str(out))]
    found["error"] = divergence(data, out)
    Path(f"{out}-{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    report(Path(sys.argv[1]), Path(sys.argv[2]))
