"""The web service: what it answers and refuses, in one process and as the command with its replicas."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from inspect import signature
from pathlib import Path
from typing import Any, get_args

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")
psutil = pytest.importorskip("psutil")

import httpx  # noqa: E402
from fastapi.testclient import TestClient  # noqa: E402
from prometheus_client import generate_latest  # noqa: E402
from prometheus_client.mmap_dict import MmapedDict, mmap_key  # noqa: E402

from d2e2s import TripletExtractionPipeline, cli  # noqa: E402
from d2e2s.prediction.predict import BACKENDS  # noqa: E402
from d2e2s.serving import app as service  # noqa: E402
from d2e2s.serving.batching import AT_ONCE, Batcher, FailedError, FullError  # noqa: E402
from d2e2s.serving.settings import Settings  # noqa: E402

TEXT = "The food was great but the service was slow."
ALL = {"threshold": 0.0}
SECRET = "Zanzibar"


@pytest.fixture
def settings() -> Settings:
    return Settings(max_waiting=100, timeout=30)


@pytest.fixture
def client(extract: TripletExtractionPipeline, settings: Settings) -> Iterator[TestClient]:
    with TestClient(service.app_of(extract, settings), raise_server_exceptions=False) as found:
        yield found


class Slow:
    """A pipeline that returns the length of a text once it may, and knows what it was given."""

    def __init__(self) -> None:
        self.located: set[str] = set()
        self.read: list[list[str]] = []
        self.may = threading.Event()

    def __call__(self, texts: list[str], **options: Any) -> list[int]:
        assert self.may.wait(30)
        self.read.append(texts)
        if "bug" in texts:
            raise KeyError(SECRET)
        return [len(text) for text in texts]


# --- requests -------------------------------------------------------------------------------------------------


def test_it_answers_as_the_pipeline_does(client: TestClient, extract: TripletExtractionPipeline) -> None:
    parameters = {**ALL, "top_k": 2, "return_terms": True}
    wanted = extract([TEXT, ""], **parameters)
    assert wanted[0]["triplets"]
    assert client.post("/extract", json={"inputs": TEXT}).json() == extract(TEXT)
    assert client.post("/extract", json={"inputs": TEXT, "parameters": parameters}).json() == wanted[0]
    assert client.post("/extract", json={"inputs": [TEXT, ""], "parameters": parameters}).json() == wanted
    assert client.post("/extract", json={"inputs": []}).json() == []
    asked = {"aspects": ["service", [4, 8]], **ALL}
    found = client.post("/extract", json={"inputs": TEXT, "parameters": asked}).json()
    assert not extract.located  # they would grow for ever
    assert found == extract(TEXT, aspects=["service", (4, 8)], threshold=0.0)


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"inputs": 3}, 422, "inputs: input should be a valid"),
        ({"inputs": [TEXT, None]}, 422, "inputs.1: input should be a valid string"),
        ({"input": TEXT}, 422, "inputs: field required; there is no input; expected {"),
        ({"inputs": TEXT, "parameters": {"treshold": 1}}, 422, "there is no parameters.treshold; expected {"),
        ({"inputs": TEXT, "parameters": {"threshold": 2}}, 422, "parameters.threshold: input should be less than"),
        ({"inputs": ["a"] * 1001}, 422, "inputs: list should have at most 1000 items"),
        ({"inputs": [TEXT, "a"], "parameters": {"aspects": [[4, 8]]}}, 400, "text 0: aspect [4, 8) does not fit"),
        ({"inputs": ["a"] * 101}, 503, "too many texts are waiting: try again"),
        ({"inputs": "a" * 4_000_000}, 413, "a request has at most 4,000,000 bytes"),
        (b"{", 422, "no JSON; expected {"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(body: Any, status: int, error: str, client: TestClient) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = client.post("/extract", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert error in answer.json()["error"]
    assert list(answer.json()) == ["error"]
    assert ("Retry-After" in answer.headers) == (status == 503)


def test_characters_that_are_none(client: TestClient, extract: TripletExtractionPipeline) -> None:
    text = "The \ud800 food was great."
    body = json.dumps({"inputs": text, "parameters": ALL}).encode()
    answer = client.post("/extract", content=body, headers={"Content-Type": "application/json"})
    assert extract(text, **ALL) and answer.json() == extract(text, **ALL)


def test_pages_that_machines_read(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok", "model": "reviews-en"}
    client.post("/extract", json={"inputs": [TEXT] * 3})
    client.post("/extract", json={})
    figures = client.get("/metrics").text
    for status in (200, 422):
        assert re.search(rf'^d2e2s_requests_total{{status="{status}"}} [1-9]', figures, re.M)
    assert re.search(r"^d2e2s_texts_waiting 0\.0", figures, re.M)
    assert re.search(r"^d2e2s_texts_read_at_once_sum [1-9]", figures, re.M)
    page = client.get("/openapi.json").json()
    assert {200, 400, 413, 422, 503, 504} <= {*map(int, page["paths"]["/extract"]["post"]["responses"])}
    examples = page["components"]["schemas"]["Extraction"]["examples"]
    assert all(client.post("/extract", json=example).status_code == 200 for example in examples)
    assert client.get("/extract").status_code == 405 and client.get("/nothing").json() == {"error": "Not Found"}


def test_what_waited_in_a_dead_replica_is_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for pid in (dead.pid, os.getpid()):
        values = MmapedDict(str(tmp_path / f"gauge_livesum_{pid}.db"))
        values.write_value(mmap_key("d2e2s_texts_waiting", "d2e2s_texts_waiting", [], [], ""), 3.0, 0.0)
        values.close()
    assert b"d2e2s_texts_waiting 3.0" in generate_latest(service.registry())


def test_an_answer_that_takes_too_long_is_given_up() -> None:
    slow: Any = Slow()
    with TestClient(service.app_of(slow, Settings(timeout=0.2))) as client:
        answer = client.post("/extract", json={"inputs": TEXT})
        slow.may.set()
    assert (answer.status_code, answer.json()) == (504, {"error": "no answer within 0.2 seconds"})


def test_a_bug_is_in_the_log_without_the_text(caplog: pytest.LogCaptureFixture) -> None:
    slow: Any = Slow()
    slow.may.set()
    with TestClient(service.app_of(slow, Settings()), raise_server_exceptions=False) as client:
        answer = client.post("/extract", json={"inputs": "bug"})
        assert client.post("/extract", json={"inputs": "four"}).json() == 4
    assert answer.status_code == 500 and "this is a bug" in answer.json()["error"]
    assert "KeyError" in caplog.text and "test_serving.py" in caplog.text and SECRET not in caplog.text


# --- texts of many requests -----------------------------------------------------------------------------------


async def together(slow: Slow, most: int = 1000) -> tuple[Batcher, asyncio.Task[Any]]:
    """A batcher that is busy with a first text."""
    batcher = Batcher(slow, most)  # type: ignore[arg-type]
    first = asyncio.create_task(batcher(["first"], {}))
    await asyncio.sleep(0.05)
    return batcher, first


def test_what_comes_meanwhile_is_read_together() -> None:
    async def requests(slow: Slow) -> list[Any]:
        batcher, first = await together(slow)
        others = [asyncio.create_task(batcher(["x" * k, "y"], {})) for k in range(AT_ONCE // 2 + 1)]
        odd = asyncio.create_task(batcher(["odd"], ALL))
        await asyncio.sleep(0.05)
        slow.may.set()
        return [await task for task in (first, *others, odd)]

    slow = Slow()
    results = asyncio.run(requests(slow))
    assert results == [[5], *([k, 1] for k in range(AT_ONCE // 2 + 1)), [3]]
    assert [len(texts) for texts in slow.read] == [1, AT_ONCE, 2, 1]  # other options are read apart


def test_what_nobody_waits_for_is_not_read() -> None:
    async def requests(slow: Slow) -> None:
        batcher, first = await together(slow)
        gone = asyncio.create_task(batcher(["gone"] * 9, {}))
        await asyncio.sleep(0.05)
        gone.cancel()
        stays = asyncio.create_task(batcher(["stays"], {}))
        await asyncio.sleep(0.05)
        slow.may.set()
        assert (await first, await stays) == ([5], [5])

    slow = Slow()
    asyncio.run(requests(slow))
    assert slow.read == [["first"], ["stays"]]


def test_a_full_queue_refuses_and_then_takes_again() -> None:
    async def requests(slow: Slow) -> None:
        batcher, first = await together(slow, most=3)
        second = asyncio.create_task(batcher(["a", "b"], {}))
        await asyncio.sleep(0.05)
        with pytest.raises(FullError):
            await batcher(["c"], {})
        slow.may.set()
        await asyncio.gather(first, second)
        assert await batcher(["c"] * 3, {}) == [1, 1, 1]

    asyncio.run(requests(Slow()))


def test_after_a_mistake_the_rest_of_a_request_is_not_read() -> None:
    async def requests(slow: Slow) -> None:
        batcher, first = await together(slow)
        texts = ["bug"] * AT_ONCE + ["next"] * AT_ONCE + ["rest"]  # the next ones are taken at once
        with pytest.raises(FailedError):
            task = asyncio.create_task(batcher(texts, {}))
            await asyncio.sleep(0.05)
            slow.may.set()
            await task
        assert await batcher(["next"], {}) == [4]

    slow = Slow()
    asyncio.run(requests(slow))
    assert not any("rest" in texts for texts in slow.read)


def test_a_mistake_is_told_to_whom_it_belongs(extract: TripletExtractionPipeline) -> None:
    async def requests() -> list[Any]:
        batcher, options = Batcher(extract, 100), {"aspects": [(4, 8)]}
        return await asyncio.gather(*(batcher([text], options) for text in (TEXT, "a", TEXT)), return_exceptions=True)

    first, wrong, last = asyncio.run(requests())
    assert first == last == [extract(TEXT, aspects=[(4, 8)])]
    assert "does not fit a text of 1 characters" in str(wrong)


def test_a_bug_ends_the_requests_that_it_meets_alone() -> None:
    async def requests() -> None:
        slow = Slow()
        slow.may.set()
        batcher = Batcher(slow, 100)  # type: ignore[arg-type]
        with pytest.raises(FailedError):
            await batcher(["bug"], {})
        assert await batcher(["four"], {}) == [4]

    asyncio.run(requests())


# --- the command ----------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Server:
    """`d2e2s serve` as a process; what it prints is in `log`."""

    def __init__(self, model: Path, log: Path, *words: str) -> None:
        self.log, self.port = log, free_port()
        command = [sys.executable, "-m", "d2e2s.cli", "serve", "--model", str(model), "--port", str(self.port), *words]
        with log.open("w") as file:
            self.process = subprocess.Popen([*command, "--device", "cpu"], stdout=file, stderr=file)

    def figure(self, name: str) -> float:
        """A figure of /metrics, with all of its labels."""
        figures = httpx.get(f"http://127.0.0.1:{self.port}/metrics", timeout=60).text
        return sum(map(float, re.findall(rf"^d2e2s_{name}(?:{{.*}})? (\S+)", figures, re.M)))

    def ask(self, text: str | list[str], **options: Any) -> httpx.Response:
        return httpx.post(f"http://127.0.0.1:{self.port}/extract", json={"inputs": text, **options}, timeout=60)

    def replicas(self) -> list[Any]:
        """Processes with a model."""
        found = psutil.Process(self.process.pid).children()
        return [child for child in found if "resource_tracker" not in " ".join(child.cmdline())]

    def until_ready(self, replicas: int) -> None:
        """Wait until as many have said so."""
        deadline = time.monotonic() + 120
        while self.log.read_text().count("ready") < replicas:
            assert time.monotonic() < deadline and self.process.poll() is None, self.log.read_text()
            time.sleep(0.2)


@pytest.fixture(scope="module")
def server(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = Server(model, tmp_path_factory.mktemp("server") / "log", "--replicas", "2")
    found.until_ready(2)
    yield found
    found.process.kill()
    found.process.wait()


@pytest.mark.slow
def test_the_command(server: Server, extract: TripletExtractionPipeline) -> None:
    """Many clients at once, a replica that is killed, and the end: one test, as each needs the server."""
    texts = [TEXT.replace("food", f"food {number}") for number in range(40)]
    wanted = [extract(text, threshold=0.0) for text in texts]
    with ThreadPoolExecutor(16) as clients:
        answers = [*clients.map(lambda text: server.ask(text, parameters=ALL).json(), texts)]
    assert [spans(answer) for answer in answers] == [*map(spans, wanted)]

    processes = [psutil.Process(server.process.pid), *psutil.Process(server.process.pid).children(recursive=True)]
    found = {each.laddr for process in processes for each in process.net_connections() if each.status == "LISTEN"}
    assert found == {("127.0.0.1", server.port)}

    killed = server.replicas()[0]
    killed.kill()
    server.until_ready(3)
    assert len(server.replicas()) == 2 and killed.pid not in [each.pid for each in server.replicas()]
    assert spans(server.ask(TEXT, parameters=ALL).json()) == spans(extract(TEXT, threshold=0.0))
    assert server.figure("requests_total") > 40  # of all processes, the dead one too

    with ThreadPoolExecutor(4) as clients:
        last = [clients.submit(server.ask, [TEXT * 5] * 200, parameters=ALL) for _ in range(4)]
        while server.figure("texts_waiting") < 800:  # now all are taken
            assert not any(answer.done() for answer in last)
        server.process.terminate()
        assert [len(answer.result().json()) for answer in last] == [200] * 4
    assert server.process.wait(60) == 0
    assert "food" not in server.log.read_text()


def spans(triplets: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Without scores, whose last digits depend on what was read together."""
    return [(each["aspect"], each["opinion"], each["sentiment"]) for each in triplets]


@pytest.mark.slow
def test_a_replica_that_cannot_start_ends_the_command(tmp_path: Path) -> None:
    server = Server(tmp_path / "nothing", tmp_path / "log")
    assert server.process.wait(120) == 2
    lines = [line for line in server.log.read_text().splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and "nothing" in lines[0] and "Traceback" not in server.log.read_text()


def test_an_address_that_is_taken(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert cli.main(["serve", "--port", str(taken.getsockname()[1])]) == 2
    assert "in use" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("timeout", "0"),
        ("timeout", "soon"),
        ("max_waiting", "0"),
        ("replicas", "0"),
        ("port", "65536"),
        ("dtype", "int8"),
    ],
)
def test_settings_out_of_range(name: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["serve", f"--{name}", value]) == 2
    error = capsys.readouterr().err
    assert f"error: --{name}: " in error and f"got {value}" in error


def test_its_choices_and_parameters_are_those_of_the_pipeline() -> None:
    assert get_args(Settings.model_fields["backend"].annotation) == BACKENDS
    options = [*signature(TripletExtractionPipeline._sanitize_parameters).parameters][1:]
    assert [*service.Parameters.model_fields] == options
