"""The web service of `d2e2s serve` as an application of Ray Serve, for many machines.

serve run d2e2s.serving.ray:application model=/shared/outputs/mine replicas=8
"""

from __future__ import annotations

from typing import Any

from pydantic import Field
from ray import serve
from ray.serve import Application

from ..box import by_full_path
from .settings import Settings


class OnRay(Settings):
    """Also what Ray needs to know."""

    replicas: int = Field(1, ge=1)
    num_cpus: float = Field(1, ge=0, description="of a replica, which computes with so many threads")
    num_gpus: float = Field(0, ge=0, description="of a replica")


def application(settings: OnRay) -> Application:
    """Replicas of the service, over which Ray spreads the requests; the model's folder is one of all machines.

    A replica that dies is started again. What waits in front of them all is bounded as it is in one of them.
    """
    of_replica = Settings(**{name: getattr(settings, name) for name in Settings.model_fields})
    of_replica.model = by_full_path(settings.model)
    if not settings.num_gpus and of_replica.device is None:
        of_replica.device = "cpu"

    def build() -> Any:  # on the replica
        from .app import create_app

        return create_app(of_replica)

    deployment = serve.deployment(
        serve.ingress(build)(),
        name="d2e2s",
        num_replicas=settings.replicas,
        max_ongoing_requests=settings.max_waiting,
        max_queued_requests=settings.max_waiting,
        graceful_shutdown_timeout_s=settings.timeout,
        ray_actor_options={"num_cpus": settings.num_cpus, "num_gpus": settings.num_gpus},
        logging_config={"enable_access_log": False},
    )
    return deployment.bind()
