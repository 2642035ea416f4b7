"""Many ways of training compared fairly: every row on every data set with every seed, dev-selected, then the tests.

    d2e2s study configs/study.yaml
    d2e2s study configs/study.yaml --workers 4              # processes at once; GPUs are shared in turn
    d2e2s study configs/study.yaml --only 14res/            # runs whose name contains this
    d2e2s study configs/study.yaml --report_only            # no run: tables, plots and p-values from what there is

Each run is `d2e2s train RUN.yaml`, which is what `run_aste.py` calls. A finished run leaves a line of results
and is not run again; one that was interrupted goes on from its last whole checkpoint. The configuration:

    base          arguments of `run_aste.py` for all runs; `{dataset}` in them stands for the data set's name
    rows          name: arguments that this row changes. Or `{without_heads_of: ROW}`: the same runs of that row,
                  scored with the given heads of the test sentences hidden
    datasets      name: {rows: [...]}, the rows to run there; nothing after the name = all rows
    seeds         a run for each
    questions     {against: ROW, rows: [...]}: what is tested, together; without rows: all others; default: all others
                  against the first row
    output_dir    logs and predictions of the runs, and checkpoints while they train
    results       JSONL, a line for each finished run, with the counts that p-values are made from
    page          Markdown page; the part between its `study` marks is written
    extends       another configuration, of which this one replaces blocks; of `base`, single arguments
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from queue import SimpleQueue

import torch
import yaml

from ..checkpoints import last_whole
from ..errors_d2e2s import UserError
from ..evaluation.results import RESULTS
from .page import write_report
from .plan import PREDICTIONS, Run, Study, Values, check_runs, collect, read_results, read_study, write_yaml

LOG = "log.txt"


@dataclass
class Runner:
    """Runs what is not finished, several at once.

    Attributes:
        workers: processes at once.
        threads: CPU threads of each.
        keep_models: leave the weights in the folders of finished runs.
    """

    study: Study
    workers: int
    threads: int
    keep_models: bool = False
    processes: set[subprocess.Popen] = field(default_factory=set)

    def execute(self, runs: Sequence[Run]) -> list[str]:
        """Run all; a run that fails does not stop the others. Returns what failed, and where it says why."""
        places: SimpleQueue[str | None] = SimpleQueue()
        for _, device in zip(range(self.workers), cycle(devices()), strict=False):
            places.put(device)
        failed = []
        with ThreadPoolExecutor(self.workers) as pool, self._ending_children(pool):
            waiting = {pool.submit(self._perform, run, places): run for run in runs}
            for number, done in enumerate(as_completed(waiting), start=1):
                run, error = waiting[done], done.exception()
                if error is not None:
                    failed.append(f"{run.name}: {error}")
                said = f"failed: {error}" if error else f"test triplet F1 {100 * done.result()['test_triplet_f1']:.2f}"
                print(f"[{number}/{len(runs)}] {run.name}: {said}", flush=True)
        return failed

    @contextmanager
    def _ending_children(self, pool: ThreadPoolExecutor) -> Iterator[None]:
        """If the study is interrupted, what waits does not begin, and its processes end."""
        try:
            yield
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in list(self.processes):
                process.terminate()
            raise

    def _perform(self, run: Run, places: SimpleQueue[str | None]) -> Values:
        """One run, on a device that is free. The worker that calls this waits for it."""
        folder = self.study.folder(run)
        if not self._finished(run):
            device = places.get()
            try:
                self._train(run, device)
            finally:
                places.put(device)
        result = collect(self.study, run, {"workers": self.workers, "threads": self.threads})
        for checkpoint in folder.glob("checkpoint-*"):
            shutil.rmtree(checkpoint)
        if not self.keep_models:
            (folder / "model.safetensors").unlink(missing_ok=True)
        return result

    def _finished(self, run: Run) -> bool:
        """Whether it came to its end, and only its line of results is missing."""
        return (self.study.folder(run) / RESULTS).is_file() and self._same_arguments(run)

    def _same_arguments(self, run: Run) -> bool:
        path = self.study.folder(run) / "run.yaml"
        return path.is_file() and yaml.safe_load(path.read_text(encoding="utf-8")) == self._file_arguments(run)

    def _file_arguments(self, run: Run) -> Values:
        return {**run.arguments, "output_dir": str(self.study.folder(run)), "disable_tqdm": True}

    def _train(self, run: Run, device: str | None) -> None:
        """Start the run, or go on with it, in a process of its own.

        Raises:
            RuntimeError: it failed; the last line of its log.
        """
        folder = self.study.folder(run)
        resumes = self._same_arguments(run) and last_whole(folder) is not None
        for name in (RESULTS,) if resumes else (RESULTS, *PREDICTIONS.values()):
            (folder / name).unlink(missing_ok=True)
        write_yaml(folder / "run.yaml", self._file_arguments(run))
        choice = "--resume_from_checkpoint" if resumes else "--overwrite_output_dir"
        command = [sys.executable, "-m", "d2e2s.cli", "train", str(folder / "run.yaml"), choice, "true"]
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.threads)}
        if device is not None:
            environment["CUDA_VISIBLE_DEVICES"] = device
        with (folder / LOG).open("a", encoding="utf-8") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
            self.processes.add(process)
            code = process.wait()
            self.processes.discard(process)
        if code:
            raise RuntimeError(f"exit code {code}: {_last_line(folder / LOG)} (see {folder / LOG})")


def devices() -> list[str | None]:
    """GPUs by what `CUDA_VISIBLE_DEVICES` calls them; `[None]` without any."""
    count = torch.cuda.device_count()
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return [*(named or map(str, range(count)))] if count else [None]


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "no output")


# --- the command ------------------------------------------------------------------------------------------


def run(options: argparse.Namespace) -> int:
    """Run a study: exit code 1 if some of its runs failed, 130 if it was interrupted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a KeyboardInterrupt
    try:
        failed = finish(options)
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from here", file=sys.stderr)
        return 130
    for line in failed:
        print("error:", line, file=sys.stderr)
    return 1 if failed else 0


def finish(options: argparse.Namespace) -> list[str]:
    """Run what is missing, then write the plots and the page. Returns the runs that failed.

    Raises:
        UserError, OSError: a configuration, data or results that do not fit; nothing is run then.
    """
    study = read_study(options.configuration)
    wanted = [run for run in study.runs() if options.only in run.name]
    if not wanted:
        raise UserError(f"--only {options.only}: no run's name contains it; such as {study.runs()[0].name}")
    finished = read_results(study)
    missing = [run for run in wanted if run.name not in finished]
    failed: list[str] = []
    if not options.report_only:
        check_runs(missing)
        print(f"{len(wanted)} runs, {len(wanted) - len(missing)} of them finished before", flush=True)
        workers = options.workers or len(devices())
        threads = options.threads or max(1, (os.cpu_count() or 1) // workers)
        failed = Runner(study, workers, threads, options.keep_models).execute(missing)
    write_report(study, options.configuration)
    return failed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("configuration", type=Path, metavar="STUDY.yaml")
    add("--workers", type=_count, help="runs at once; default: one for each GPU, or one")
    add("--threads", type=_count, help="CPU threads of a run; default: the cores, shared out")
    add("--only", default="", metavar="TEXT", help="only runs whose name (DATASET/ROW-seedSEED) contains this")
    add("--report_only", action="store_true", help="run nothing: write the report of what there is")
    add("--keep_models", action="store_true", help="keep the weights of each run (default: figures and predictions)")


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}; expected at least 1")
    return number
