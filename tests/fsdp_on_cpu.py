"""``shiftlens`` under FSDP 2 without a GPU: accelerate, which asks for one, is told of it."""

import os
import sys

os.environ |= {
    "ACCELERATE_TORCH_DEVICE": "cpu",
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": os.environ.get("FSDP_VERSION", "2"),
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
}

import accelerate.state as state
import torch.distributed as dist

from shiftlens.cli import main

dist.init_process_group("gloo")
state.PartialState._prepare_backend = lambda *_, **__: ("gloo", state.DistributedType.MULTI_GPU)
sys.exit(main(sys.argv[1:]))
