"""The web service on Ray Serve, as it comes from PyPI, on this machine."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # no port that others can reach, but for those asked for below
ray = pytest.importorskip("ray")
grpc = pytest.importorskip("grpc")
pytest.importorskip("ray.serve")
psutil = pytest.importorskip("psutil")

import httpx  # noqa: E402
from ray import serve  # noqa: E402

from d2e2s import TripletExtractionPipeline  # noqa: E402
from d2e2s.serving.ray import OnRay, application  # noqa: E402

pytestmark = pytest.mark.slow
TEXT = "The food was great but the service was slow."
METHOD = "/ray.serve.ASGIService/HandleRequest"


@pytest.fixture(scope="module")
def address(model: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(application(OnRay(model=str(model), replicas=2)))
    yield f"http://127.0.0.1:{port}"
    serve.shutdown()
    ray.shutdown()


def test_it_answers_as_the_pipeline_does(address: str, extract: TripletExtractionPipeline) -> None:
    for _ in range(4):  # of both replicas
        answer = httpx.post(f"{address}/extract", json={"inputs": TEXT, "parameters": {"threshold": 0.0}}, timeout=60)
        wanted = extract(TEXT, threshold=0.0)
        assert wanted and [each["aspect"] for each in answer.json()] == [each["aspect"] for each in wanted]
    assert httpx.post(f"{address}/extract", json={"inputs": 3}).status_code == 422
    assert httpx.get(f"{address}/healthz").json()["status"] == "ok"


def test_what_others_can_reach_asks_for_the_token(address: str) -> None:
    """A replica listens on every address for other parts of an application, and unpickles what it is told."""
    found = [each for each in psutil.Process().children(recursive=True) if each.is_running()]
    open_to_all = {
        connection.laddr.port
        for process in found
        for connection in process.net_connections()
        if connection.status == "LISTEN" and connection.laddr.ip.rpartition(":")[2] != "127.0.0.1"
    }
    assert len(open_to_all) <= 2  # of the replicas
    for port in open_to_all:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, pytest.raises(grpc.RpcError) as refused:
            channel.unary_unary(METHOD)(b"", timeout=30)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
