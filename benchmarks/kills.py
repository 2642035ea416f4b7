"""Prediction over a corpus whose processes are killed again and again: is every row there once, is memory flat?

    python -m benchmarks.kills --rows 200000 --bad_rows 200 --kills 10 --out results/faults.json

A corpus of short review sentences, some of its rows bad in every way that `BAD` knows, and a tiny model with random
weights are made on the spot. The corpus is predicted by one process, by two, and by two that are killed with SIGKILL at
random moments (one of them first, the other a random while later) and started again with as many processes as chance
wants, one to three. Every run is the command `d2e2s predict`, in a process with the variables that torchrun sets; the
processes are forks of one that has the libraries loaded, so that kills hit the work, not the imports.
"""

import argparse
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil
import torch
import transformers
from torch.distributed.elastic.utils.distributed import get_free_port
from transformers import BertConfig, BertTokenizer

from d2e2s import D2E2SConfig, D2E2SForTripletExtraction, D2E2SProcessor, cli
from d2e2s.prediction.shards import Output, read_predictions, read_rejects

from .report import option_parser, write_json
from .timing import about, quarters

ASPECTS = ("food", "service", "battery", "screen", "wine list", "staff", "pizza", "keyboard", "room", "price")
OPINIONS = ("great", "slow", "terrible", "very friendly", "too loud", "fresh", "cold", "not bad", "average", "superb")
SENTENCES = ("The {a} was {o}.", "We found the {a} {o}!", "{o} {a}, but a {p} {b}", "I loved the {a}.")
# Ways for a row to be bad; each gets the row's number.
BAD: dict[str, Callable[[int], bytes]] = {
    "broken JSON": lambda i: b'{"id": %d, "text": "The fo' % i,
    "no object": lambda i: b"[%d]" % i,
    "number": lambda i: b'{"id": %d, "text": 5}' % i,
    "not UTF-8": lambda i: b'{"id": %d, "text": "caf\xe9"}' % i,
    "half a surrogate pair": lambda i: b'{"id": %d, "text": "\\ud83d"}' % i,
    "empty word": lambda i: b'{"id": %d, "text": ["good", ""]}' % i,
}
FILES = 4
SIZES: dict[str, Any] = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
HEADS: dict[str, Any] = dict(head_size=16, parser_size=8, graph_size=8, fusion_heads=2, gcn_heads=2, max_span_width=3)
MOST_PROCESSES = 3
SAMPLE_SECONDS, SHOWN_SAMPLES = 0.05, 200


# --- corpus and model -------------------------------------------------------------------------------------


@dataclass
class Made:
    """A corpus: its folder, the numbers of its good rows in order, and places of the bad ones, (file, line)."""

    folder: Path
    good: list[int] = field(default_factory=list)
    bad: set[tuple[str, int]] = field(default_factory=set)


def make_corpus(folder: Path, rows: int, bad_rows: int, chance: random.Random) -> Made:
    """Write `rows` rows, `bad_rows` of them bad ones at random places, to `FILES` files of JSONL."""
    made = Made(folder)
    folder.mkdir()
    bad, ways = set(chance.sample(range(rows), bad_rows)), list(BAD.values())
    for number in range(FILES):
        path = folder / f"reviews-{number}.jsonl"
        with path.open("wb") as file:
            for line, row in enumerate(range(rows * number // FILES, rows * (number + 1) // FILES), start=1):
                if row in bad:
                    made.bad.add((str(path.resolve()), line))
                    file.write(ways[len(made.bad) % len(ways)](row) + b"\n")
                else:
                    made.good.append(row)
                    file.write(json.dumps({"id": row, "text": sentence(chance)}).encode() + b"\n")
    return made


def sentence(chance: random.Random) -> str:
    (a, b), (o, p) = chance.sample(ASPECTS, 2), chance.sample(OPINIONS, 2)
    return chance.choice(SENTENCES).format(a=a, b=b, o=o, p=p)


def make_model(folder: Path) -> Path:
    """A checkpoint with random weights: one layer, 16 wide, all parts of the default model."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = " ".join((*ASPECTS, *OPINIONS, *SENTENCES)).lower().replace(".", " . ").replace("!", " ! ").split()
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys([*special, *words]))}
    tokenizer = BertTokenizer(vocab=vocabulary, model_max_length=64)
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **SIZES)
    model = D2E2SForTripletExtraction(D2E2SConfig(encoder_config=config, **HEADS))
    for scorer in (model.span_scorer, model.pair_scorer):  # scores far enough apart for some triplets to be found
        scorer.output.weight.data.mul_(5)
    model.save_pretrained(folder)
    D2E2SProcessor(tokenizer).save_pretrained(folder)
    return folder


# --- processes --------------------------------------------------------------------------------------------

# Forks of a process that has the libraries loaded, but has never run anything.
FORKS = multiprocessing.get_context("forkserver")


def work(words: list[str], place: dict[str, str]) -> None:
    """`d2e2s WORDS`, in a process that torchrun would have started with this environment."""
    os.environ.update(place)
    torch.set_num_threads(1)
    sys.exit(cli.main(words))


def start(words: list[str], count: int) -> list[Any]:
    """`count` processes that share the work."""
    address = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(get_free_port())}
    size = dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), str(count))
    processes = []
    for rank in range(count):
        place = {**address, **size, **dict.fromkeys(("RANK", "LOCAL_RANK"), str(rank))} if count > 1 else {}
        processes.append(FORKS.Process(target=work, args=(words, place)))
        processes[-1].start()
    return processes


class Run:
    """The command, at work on an output folder in some processes.

    Attributes:
        memory: for each process, (seconds since the start, megabytes that it holds), as often as was looked.
    """

    def __init__(self, words: list[str], out: Path, count: int) -> None:
        self._out, self._started = Output(out), time.perf_counter()
        self._processes = start([*words, "--out", str(out)], count)
        self.memory: list[list[tuple[float, float]]] = [[] for _ in self._processes]

    def seconds(self) -> float:
        return time.perf_counter() - self._started

    def shards(self) -> int:
        return len(self._out.done())

    def look(self) -> bool:
        """Wait a little, then note what each process holds; False when all have ended."""
        time.sleep(SAMPLE_SECONDS)
        for process, seen in zip(self._processes, self.memory, strict=True):
            with suppress(psutil.Error):  # it has ended
                megabytes = psutil.Process(process.pid).memory_info().rss / 1e6
                seen.append((round(self.seconds(), 2), round(megabytes, 1)))
        return any(process.is_alive() for process in self._processes)

    def finish(self) -> Self:
        """Wait for the end.

        Raises:
            RuntimeError: a process has failed.
        """
        while self.look():
            pass
        if any(codes := [process.exitcode for process in self._processes]):
            raise RuntimeError(f"exit codes {codes}; expected 0")
        return self

    def kill(self, shards: int, chance: random.Random, gap: float) -> int:
        """Kill the processes one after the other, a random while of at most `gap` seconds before each, as soon as so
        many shards are there; how many were killed, not counting those that had ended.
        """
        while self.look() and self.shards() < shards:
            pass
        for process in chance.sample(self._processes, len(self._processes)):
            until = self.seconds() + chance.uniform(0, gap)
            while self.look() and self.seconds() < until:
                pass
            process.kill()
        for process in self._processes:
            process.join()
        return sum(process.exitcode == -signal.SIGKILL for process in self._processes)


def run_with_kills(
    words: list[str], out: Path, kills: int, shards: int, gap: float, chance: random.Random
) -> list[dict[str, int]]:
    """Kill the run and start it again `kills` times, then let it finish; what was killed, and when.

    Each kill comes as soon as a random number of the `shards` is there; `gap` is that of `Run.kill`.
    """
    log = []
    for moment in sorted(chance.randrange(max(1, shards * 3 // 4)) for _ in range(kills)):
        count = chance.randint(1, MOST_PROCESSES)
        run = Run(words, out, count)
        if killed := run.kill(moment, chance, gap):
            log.append({"processes": count, "killed": killed, "shards_done": run.shards()})
    Run(words, out, 2).finish()
    return log


# --- what came of it --------------------------------------------------------------------------------------


def check(out: Path, made: Made) -> dict[str, Any]:
    """Every row against the corpus: once, in order, or rejected at its place."""
    rows = [row["id"] for row in read_predictions(out)]
    rejects = Counter((reject["file"], reject["line"]) for reject in read_rejects(out))
    counts = Counter(rows)
    return {
        "rows_in": len(made.good) + len(made.bad),
        "rows_out": len(rows),
        "rejected": rejects.total(),
        "duplicates": sum(count - 1 for count in (*counts.values(), *rejects.values())),
        "lost": len(set(made.good) - set(counts)) + len(made.bad - set(rejects)),
        "in_order": rows == sorted(rows),
    }


def shards(out: Path) -> dict[str, bytes]:
    """What an output folder holds, byte for byte."""
    return {path.name: path.read_bytes() for path in (out / "shards").iterdir()}


def memory_of(run: Run) -> dict[str, Any]:
    """Peak megabytes of each process, in all and in each quarter of its time, and about `SHOWN_SAMPLES` samples."""
    held = [[megabytes for _, megabytes in seen] for seen in run.memory]
    return {
        "peak_mb": list(map(max, held)),
        "peak_mb_by_quarter": [[max(part, default=0.0) for part in quarters(each)] for each in held],
        "samples": [seen[:: 1 + len(seen) // SHOWN_SAMPLES] for seen in run.memory],
    }


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    chance = random.Random(options.seed)
    made = make_corpus(folder / "corpus", options.rows, options.bad_rows, chance)
    sizes = ["--rows_per_shard", str(options.rows_per_shard), "--batch_size", str(options.batch_size)]
    words = ["predict", str(made.folder), "--model", str(make_model(folder / "model")), "--device", "cpu", *sizes]
    runs = {count: Run(words, folder / f"out-{count}", count).finish() for count in (1, 2)}
    seconds = {str(count): run.memory[0][-1][0] for count, run in runs.items()}
    count = runs[2].shards()
    # Between two shards of one process, so that a kill falls anywhere in the work on one.
    gap = 2 * seconds["2"] / count
    log = run_with_kills(words, folder / "out-kills", options.kills, count, gap, chance)
    return {
        **check(folder / "out-kills", made),
        "kills": len(log),
        "processes_killed": sum(entry["killed"] for entry in log),
        "same_shards_as_without_kills": shards(folder / "out-1") == shards(folder / "out-kills"),
        "same_shards_with_1_and_2_processes": shards(folder / "out-1") == shards(folder / "out-2"),
        "seconds": seconds,
        "rows_per_second": {count: round(options.rows / value, 1) for count, value in seconds.items()},
        "shards": count,
        "log": log,
        "memory": memory_of(runs[2]),
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = option_parser(__doc__, page=False)
    add = parser.add_argument
    add("--rows", type=int, default=200_000)
    add("--bad_rows", type=int, default=200, help="of them")
    add("--kills", type=int, default=10)
    add("--rows_per_shard", type=int, default=1000)
    add("--batch_size", type=int, default=256)
    add("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    transformers.logging.disable_progress_bar()
    FORKS.set_forkserver_preload(["d2e2s.prediction.corpus"])
    first = FORKS.Process(target=int)  # waits for the libraries, so that no run does
    first.start()
    first.join()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(options, Path(folder))
    write_json(options.out, {**about(), **result})
    print(json.dumps({name: value for name, value in result.items() if name not in ("log", "memory")}))


if __name__ == "__main__":
    main()
