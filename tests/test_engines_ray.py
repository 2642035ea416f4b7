"""Ray, as it comes from PyPI, on this machine: a column for a data set, and the parts of a corpus as tasks."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # as the command does: no port that others can reach
ray = pytest.importorskip("ray")

from lake import BAD, BATCH_SIZE, ROWS, Lake, check_rows, check_triplets, make_lake  # noqa: E402

from d2e2s import cli  # noqa: E402
from d2e2s.engines import ray as engine  # noqa: E402
from d2e2s.engines.extractor import TripletExtractor  # noqa: E402
from d2e2s.errors import UserError  # noqa: E402
from d2e2s.prediction.columns import TRIPLETS_TYPE  # noqa: E402
from d2e2s.prediction.shards import read_predictions, read_rejects  # noqa: E402

pytestmark = pytest.mark.slow
MIDDLE = ROWS // 2
ROWS_PER_SHARD = 1000
BLOCKS = 20  # work for both actors


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return make_lake(tmp_path_factory.mktemp("lake"))


@pytest.fixture(scope="module", autouse=True)
def local_ray() -> Iterator[None]:
    engine._connect(None)
    yield
    ray.shutdown()


def command(lake: Lake, out: Path, *words: str) -> int:
    sizes = ["--rows_per_shard", str(ROWS_PER_SHARD), "--batch_size", str(BATCH_SIZE), "--device", "cpu"]
    return cli.main(["predict", str(lake.folder), "--out", str(out), "--model", str(lake.model), *sizes, *words])


@pytest.fixture(scope="module")
def alone(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus by one process, without Ray."""
    out = tmp_path_factory.mktemp("alone") / "out"
    assert command(lake, out) == 0
    return out


def files(out: Path) -> dict[str, bytes]:
    """Shards, rejects and the summary."""
    names = [*sorted(out.glob("[sr]*/*")), out / "summary.json"]
    return {str(path.relative_to(out)): path.read_bytes() for path in names}


def killed_once(marker: Path) -> type[TripletExtractor]:
    """An extractor whose process gets SIGKILL when it comes to the middle for the first time."""

    class KilledOnce(TripletExtractor):
        def __call__(self, table: Any) -> Any:
            if MIDDLE in table["id"].to_pylist() and not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().__call__(table)

    return KilledOnce


def test_nothing_but_this_machine_reaches_it() -> None:
    assert [node["NodeManagerAddress"] for node in ray.nodes()] == ["127.0.0.1"]


@pytest.mark.parametrize("killed", [False, True], ids=["", "an actor is killed"])
def test_data_set(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: bool) -> None:
    marker = tmp_path / "killed"
    if killed:
        monkeypatch.setattr(engine, "TripletExtractor", killed_once(marker))
    monkeypatch.setattr(ray.data.DataContext.get_current().execution_options, "preserve_order", True)
    data = ray.data.read_parquet(str(lake.folder), override_num_blocks=BLOCKS)
    data = engine.extract_triplets(data, str(lake.model), concurrency=2, num_cpus=0.5, batch_size=BATCH_SIZE)
    data = data.drop_columns(["text"])
    tables = list(data.iter_batches(batch_size=5000, batch_format="pyarrow"))
    assert {table.schema.field("triplets").type for table in tables} == {TRIPLETS_TYPE}
    rows = [row for table in tables for row in table.to_pylist()]
    assert [row["id"] for row in rows] == list(range(ROWS))
    check_rows(rows, lake)
    assert marker.exists() == killed


def test_corpus(lake: Lake, alone: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Begun by a share without Ray: Ray goes on with it. Files are those of one process, byte for byte."""
    assert command(lake, tmp_path / "out", "--share", "0/4") == 0
    assert command(lake, tmp_path / "out", "--engine", "ray") == 0
    assert f"{ROWS} rows: {ROWS - BAD} with their triplets in shards/, {BAD} rejected" in capfd.readouterr().err
    assert files(tmp_path / "out") == files(alone)
    rows = list(read_predictions(tmp_path / "out"))
    assert len(rows) + len(list(read_rejects(tmp_path / "out"))) == ROWS
    assert [row["id"] for row in rows] == [row for row, found in enumerate(lake.expected) if found is not None]
    for row in rows:
        check_triplets(row["predicted_triplets"], lake.expected[row["id"]] or [])


def test_corpus_of_which_a_process_is_killed(
    lake: Lake, alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker, do_part = tmp_path / "killed", engine._do_part

    def doomed(worker: tuple[Any, ...], number: int) -> Any:
        if number == MIDDLE // ROWS_PER_SHARD and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return do_part(worker, number)

    monkeypatch.setattr(engine, "_do_part", doomed)
    assert command(lake, tmp_path / "out", "--engine", "ray") == 0
    assert marker.exists() and files(tmp_path / "out") == files(alone)


def test_a_mistake_that_a_task_finds_is_one_line(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refusing(worker: tuple[Any, ...], number: int) -> Any:
        raise UserError("reviews.parquet: has changed")

    monkeypatch.setattr(engine, "_do_part", refusing)
    assert command(lake, tmp_path / "out", "--engine", "ray") == 2
    assert capfd.readouterr().err.splitlines()[-1] == "error: reviews.parquet: has changed"


def test_aspects_that_stand_nowhere_are_named(lake: Lake, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """By all tasks together: each knows only of its own texts."""
    aspects = ["--aspects", "food", "pasta", "--rows_per_shard", "5000"]
    assert command(lake, tmp_path / "out", "--engine", "ray", *aspects) == 0
    assert capfd.readouterr().err.splitlines()[0].endswith("hold nowhere, as whole words of one sentence: 'pasta'")
