"""The encoder in int8 by OpenVINO, on a CPU. What stands behind it stays in torch: it is a small part of the time.

`d2e2s export` has written it into the checkpoint's folder `openvino`, where `load_pipeline(backend="openvino")` finds
it.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils import cached_file

from ..checkpoints import CheckpointError, check, reading, weights_digest
from ..data_scripts.files import sha256
from ..errors_d2e2s import UserError

FOLDER = "openvino"
GRAPH = "openvino_model_qint8.xml"
WEIGHTS = "openvino_model_qint8.weights"  # not .bin: those are pickles elsewhere, and no push takes them
NOTES = "export.json"  # what it was made from
FILES = (GRAPH, WEIGHTS, NOTES)
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class OpenVINOEncoder(nn.Module):
    """In place of a model's encoder: `(B, T)` word pieces to `last_hidden_state` `(B, T, D)`, on the CPU.

    Args:
        graph, weights: the files.
        dtype: of what it gives to the rest of the model.
    """

    def __init__(self, graph: Path, weights: Path, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.dtype = dtype
        core, settings = openvino().Core(), {"INFERENCE_NUM_THREADS": torch.get_num_threads()}
        self.compiled = core.compile_model(core.read_model(graph, weights), "CPU", settings)
        self.names = [port.any_name for port in self.compiled.inputs]
        sums = sha256(graph) + sha256(weights)
        self.register_buffer("graph", torch.tensor(list(sums.encode())))  # a model with another one is another model

    def forward(self, **inputs: Any) -> BaseModelOutput:
        arrays = {name: inputs[name].numpy() for name in self.names}
        request = self.compiled.create_infer_request()  # of its own: threads may share a pipeline
        states = torch.from_numpy(request.infer(arrays)[0])
        return BaseModelOutput(last_hidden_state=states.to(self.dtype))


def use_openvino(model: Any, name: str, dtype: torch.dtype = torch.float32) -> None:
    """Put the exported encoder in the place of a float32 model's own.

    Args:
        name: folder or Hub name of the model's checkpoint.
        dtype: of the rest of the model.

    Raises:
        UserError: OpenVINO is not installed; nothing was exported, or from other weights.
    """
    openvino()
    with reading(name):
        found = [cached_file(name, f"{FOLDER}/{file}", _raise_exceptions_for_missing_entries=False) for file in FILES]
    if None in found:
        raise UserError(f"{name}: holds no encoder for OpenVINO; write one with: d2e2s export REVIEWS --model {name}")
    graph, weights, notes = (Path(path) for path in found if path)
    check(graph.parent)
    try:
        made_from = json.loads(notes.read_bytes())["encoder"]
    except (ValueError, KeyError, TypeError):
        raise CheckpointError(f"{notes}: cannot be read: export the encoder again") from None
    if made_from != weights_digest(model.d2e2s.encoder).hexdigest():
        raise UserError(f"{graph.parent}: was exported from other weights: export the encoder again")
    with reading(graph):
        model.d2e2s.encoder = OpenVINOEncoder(graph, weights, dtype)
    model.to(dtype)


def openvino() -> Any:
    """The library.

    Raises:
        UserError: it is not installed.
    """
    # It and NNCF would send home that they run, which is not theirs to tell.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino as library
    except ModuleNotFoundError as error:
        raise UserError(f'--backend openvino needs {error.name}: pip install "d2e2s[openvino]"') from None
    return library
