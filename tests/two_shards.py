"""What `test_distributed.py` launches with the FSDP configuration: run_aste.py's arguments, on CPUs.

accelerate shards on GPUs only; on CPUs each process would have the whole model. Here it is told that these processes
have GPUs; what then shards, gathers and saves is torch's own FSDP, over gloo.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import DistributedType
from tiny_runs import main

from d2e2s import encoding_d2e2s
from d2e2s.training.trainer import TripletTrainer


def shard_on_cpus() -> None:
    begin, step = PartialState.__init__, TripletTrainer.training_step

    def begun(self: PartialState, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        if self.distributed_type == DistributedType.MULTI_CPU:
            PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU

    def sharded_step(self: TripletTrainer, model: torch.nn.Module, *args: Any, **kwargs: Any) -> torch.Tensor:
        assert all(isinstance(weight, torch.distributed.tensor.DTensor) for weight in model.parameters())
        return step(self, model, *args, **kwargs)

    PartialState.__init__, TripletTrainer.training_step = begun, sharded_step  # type: ignore[method-assign]
    # On a CPU, and only there, a batch may be encoded in two halves, on one process and not on the other.
    encoding_d2e2s.length_halves = lambda mask: []


if __name__ == "__main__":
    shard_on_cpus()
    sys.exit(main(sys.argv[1:]))
