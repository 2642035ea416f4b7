"""The web service: triplets of the texts of a request. It speaks as the handler of an inference endpoint does."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .. import __version__
from ..errors_d2e2s import UserError
from ..pipeline_d2e2s import TripletExtractionPipeline
from ..prediction.predict import load_pipeline
from .batching import Batcher, FailedError, FullError
from .settings import Settings

MOST_TEXTS = 1000  # of a request
MOST_BYTES = 4_000_000

REQUESTS = Counter("d2e2s_requests", "Requests by the status of their answer.", ["status"])
SECONDS = Histogram("d2e2s_request_seconds", "From the first byte of a request to the last one of its answer.")


class Parameters(BaseModel):
    """Options of the pipeline."""

    model_config = ConfigDict(extra="forbid")

    threshold: float | None = Field(None, ge=0, le=1, description="lowest score of a triplet; default: the model's own")
    top_k: int | None = Field(None, ge=1, description="only the best triplets of each text")
    aspects: list[str | tuple[int, int]] | None = Field(
        None, description="only triplets of these: strings, or [start, end] in characters"
    )
    return_terms: bool | None = Field(None, description="also aspects and opinions without a partner")
    return_tree: bool | None = Field(None, description="also the predicted dependency tree")
    window_words: int | None = Field(None, ge=0, description="words read at once of long text without full stops")


EXPECTED = (
    'expected {"inputs": a text or a list of texts, "parameters": some of ' + ", ".join(Parameters.model_fields) + "}"
)
KINDS = ("str", "constrained-", "list[", "tuple[")  # how pydantic tells apart what a field may be


class Extraction(BaseModel):
    """A request."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"inputs": "The food was great but the service was slow."},
                {"inputs": ["The rooms are spotless.", "Never again!"], "parameters": {"threshold": 0.5}},
            ]
        },
    )

    inputs: str | Annotated[list[str], Field(max_length=MOST_TEXTS)] = Field(description="a text, or a list of texts")
    parameters: Parameters | None = None


ANSWER = [
    {
        "aspect": {"text": "food", "start": 4, "end": 8},
        "opinion": {"text": "great", "start": 13, "end": 18},
        "sentiment": "POS",
        "score": 0.98,
    }
]
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The triplets of the text, or a list of them for each text; return_terms and return_tree make "
        "objects of them, as in the pipeline.",
        "content": {"application/json": {"example": ANSWER}},
    },
    400: {"description": "An option that these texts or this model do not allow."},
    413: {"description": f"More than {MOST_BYTES:,} bytes."},
    422: {"description": f"No such request, or more than {MOST_TEXTS:,} texts."},
    503: {"description": "Too many texts are waiting: try again after a second."},
    504: {"description": "No answer in time."},
}
STATUS: dict[type[Exception], tuple[int, str]] = {
    FullError: (503, "too many texts are waiting: try again"),
    FailedError: (500, "the text could not be read: this is a bug, the server's log says where"),
}


def create_app(settings: Settings) -> FastAPI:
    """The service with its model, which is loaded now.

    Raises:
        UserError, OSError: a model that cannot be loaded, see `load_pipeline`.
    """
    extract = load_pipeline(settings.model, settings.device, settings.dtype, settings.backend)
    return app_of(extract, settings)


def app_of(extract: TripletExtractionPipeline, settings: Settings) -> FastAPI:
    """The service on a pipeline, which nobody else may use."""
    app = FastAPI(title="D2E2S", version=__version__, description="Aspect sentiment triplet extraction")
    app.add_middleware(Limits, seconds=settings.timeout)
    for error in (RequestValidationError, HTTPException, UserError, *STATUS):
        app.add_exception_handler(error, refusal)
    batcher = Batcher(extract, settings.max_waiting)

    @app.post("/extract", responses=RESPONSES, summary="Triplets of a text, or of each of many")
    async def extracted(request: Extraction) -> Response:
        options = request.parameters.model_dump(exclude_none=True) if request.parameters else {}
        if isinstance(request.inputs, str):
            (found,) = await batcher([request.inputs], options)
        else:
            found = await batcher(request.inputs, options)
        return Response(json.dumps(found), media_type="application/json")

    @app.get("/healthz", summary="Whether it is ready")
    async def health() -> dict[str, str]:
        return {"status": "ok", "model": settings.model}

    @app.get("/metrics", summary="Figures for Prometheus", response_class=Response)
    async def metrics() -> Response:
        return Response(generate_latest(registry()), media_type=CONTENT_TYPE_LATEST)

    return app


def registry() -> CollectorRegistry:
    """The figures of all processes of a server, or of this one if it is none of several."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder is None:
        return REGISTRY
    for path in Path(folder).glob("gauge_live*.db"):  # what waited in a replica that died does not wait
        if not _runs(pid := int(path.stem.rpartition("_")[2])):
            mark_process_dead(pid)
    together = CollectorRegistry()
    MultiProcessCollector(together)
    return together


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def refusal(request: Request, error: Exception) -> Response:
    """`{"error": ...}`, in one line, without the text."""
    headers = {"Retry-After": "1"} if isinstance(error, FullError) else getattr(error, "headers", None)
    if isinstance(error, RequestValidationError):
        status, message = 422, f"{'; '.join(map(_fault, error.errors()))}; {EXPECTED}"
    elif isinstance(error, HTTPException):
        status, message = error.status_code, error.detail
    else:
        status, message = STATUS.get(type(error), (400, str(error)))
    return JSONResponse({"error": message}, status, headers)


def _fault(error: Any) -> str:
    """Where a request is wrong, and why."""
    place = ".".join(part for part in map(str, error["loc"][1:]) if not part.startswith(KINDS))
    if error["type"] == "json_invalid":
        return "no JSON"
    if error["type"] == "extra_forbidden":
        return f"there is no {place}"
    return f"{place or 'body'}: {error['msg'][:1].lower()}{error['msg'][1:]}"


class Limits:
    """Refuses what is too large, gives up what takes too long, and counts."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        begin, status, read = perf_counter(), 0, 0

        async def limited() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > MOST_BYTES:
                raise HTTPException(413, f"a request has at most {MOST_BYTES:,} bytes")
            return message

        async def counted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            async with asyncio.timeout(self.seconds):
                await self.app(scope, limited, counted)
        except TimeoutError:
            if status:  # the answer has begun
                raise
            late = JSONResponse({"error": f"no answer within {self.seconds:g} seconds"}, 504)
            await late(scope, receive, counted)
        finally:
            REQUESTS.labels(status).inc()
            SECONDS.observe(perf_counter() - begin)
