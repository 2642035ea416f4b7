"""What a server is started with."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ..box import REVIEWS_EN


class Settings(BaseModel):
    """Of a replica; wrong ones are a `pydantic.ValidationError`."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(REVIEWS_EN, description="folder or Hub name of a checkpoint")
    device: str | None = Field(None, description="cpu, cuda, ...; none: the first accelerator there is")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field("auto", description="number format of the model")
    backend: Literal["torch", "openvino"] = Field("torch", description="openvino: int8 on a CPU, after d2e2s export")
    max_waiting: int = Field(1000, ge=1, description="texts that may wait in a replica; more are refused with 503")
    timeout: float = Field(60, gt=0, description="seconds for a request; then it is given up with 504")
