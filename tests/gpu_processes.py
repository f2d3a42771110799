"""``shiftlens`` in several processes that share one GPU, by gloo, as NCCL refuses that."""

import os
import sys

os.environ |= {"ACCELERATE_TORCH_DEVICE": "cuda:0", "LOCAL_RANK": "0"}

import accelerate.state as state
import torch.distributed as dist

from shiftlens.cli import main

dist.init_process_group("gloo")
state.PartialState._prepare_backend = lambda *_, **__: ("gloo", state.DistributedType.MULTI_GPU)
sys.exit(main(sys.argv[1:]))
