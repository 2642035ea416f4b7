"""Serve a model over HTTP: POST /extract, GET /healthz, /metrics and /docs.

    d2e2s serve --model outputs/mine --replicas 4
    curl localhost:8000/extract -H "Content-Type: application/json" -d '{"inputs": "The food was great."}'

Each replica is a process with a model of its own; one that dies is started again. Only this machine is answered, unless
--host says otherwise: there is no authentication, so put it behind a proxy that has it. See docs/serving.md.
"""

import argparse
import os
import socket
import sys
import traceback
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import ValidationError
from uvicorn import Config
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from ..errors import UserError, is_mistake, refuse
from .settings import Settings

PATIENCE = 15  # seconds that a replica may be deaf, as while it loads; as long one that was killed may go unnoticed
MOST_CONNECTIONS = 1000  # of a replica, idle ones too; more are refused with 503


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    for name, field in Settings.model_fields.items():
        add(f"--{name}", default=field.default, help=f"{field.description} (default: %(default)s)")
    add("--replicas", type=int, default=1, help="processes, each with a model and its part of the cores (default: 1)")
    add("--host", default="127.0.0.1", help="address to answer at; 0.0.0.0: other machines too (default: %(default)s)")
    add("--port", type=int, default=8000, help="0: a free one (default: %(default)s)")


def run(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C; what was taken is answered then.

    Returns:
        0, or 2 if a replica could not start.

    Raises:
        UserError: an option out of range.
        OSError: the address cannot be used.
    """
    settings = _settings(options)
    if options.replicas > 1:
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // options.replicas)))
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    with (
        TemporaryDirectory(prefix="d2e2s-metrics-") as folder,
        socket.create_server((options.host, options.port), family=family) as listening,
    ):
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        config = Config(
            partial(start, settings), factory=True, workers=options.replicas,
            access_log=False,  # an address may hold a text, and /metrics counts
            log_level="warning",
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=int(settings.timeout) + 1,
            timeout_worker_healthcheck=PATIENCE,
        )  # fmt: skip
        port = listening.getsockname()[1]  # with --port 0 a free one
        print(f"http://{options.host}:{port}/docs; replicas are starting", file=sys.stderr)
        supervisor = Multiprocess(config, [listening])
        supervisor.run()
    return 2 if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes) else 0


def _settings(options: argparse.Namespace) -> Settings:
    if options.replicas < 1:
        raise UserError(f"--replicas: expected at least 1, got {options.replicas}")
    if not 0 <= options.port < 1 << 16:
        raise UserError(f"--port: expected 0 to 65535, got {options.port}")
    try:
        return Settings(**{name: getattr(options, name) for name in Settings.model_fields})
    except ValidationError as error:
        wrong = error.errors()[0]
        raise UserError(f"--{wrong['loc'][0]}: {wrong['msg'].lower()}, got {wrong['input']}") from None


def start(settings: Settings) -> Any:
    """The service of a replica; one that cannot start says why and makes the others stop."""
    try:
        import transformers  # here, so that no model's library is in the process that watches the others

        from .app import create_app

        transformers.logging.disable_progress_bar()
        app = create_app(settings)
    except Exception as error:
        if is_mistake(error):
            refuse(error)
        else:
            traceback.print_exc()
        sys.exit(STARTUP_FAILURE)
    print("ready", file=sys.stderr)
    return app
