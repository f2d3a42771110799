"""What does a baked shift cost at generation, beside the base model and beside hooks?

A random Llama (d = 512, 12 layers, vocabulary 32,000) generates greedily with KV cache, 8 prompts
of 32 tokens in one language, 64 tokens more: the base model, the same with the shift of the
language baked into its weights, and the base model with the shift in hooks. The three take turns.

Printed are the medians of the ratios over the rounds with a 95% interval (order statistics of the
median), by the clock and by processor time, which other work on the machine disturbs less. The
baked Llama has ``mlp_bias``: one vector added in each of its 3 x 12 projections.

Goal: baked / base 1.00.

Command: python benchmarks/bake.py [--rounds 15] [--threads 1]
Cost: about two minutes of one core, 1 GB of memory.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch
from scipy.stats import binom
from transformers import LlamaConfig, LlamaForCausalLM

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from tiny import tiny_tokenizer

from shiftlens import LanguageVectors, Pooling, Shift, load_model
from shiftlens.bake import bake

NEW_TOKENS = 64


def ways(layers: int, width: int) -> dict[str, Callable[[], torch.Tensor]]:
    """Each way of generating, on the same weights and prompts."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=32_000, hidden_size=width, intermediate_size=4 * width,
        num_hidden_layers=layers, num_attention_heads=8, max_position_embeddings=256,
    )  # fmt: skip
    model = load_model(LlamaForCausalLM(config), tiny_tokenizer())
    vectors = {code: 0.1 * torch.randn(layers + 1, width) for code in ("en", "sw")}
    shift = Shift(LanguageVectors(vectors, 1, Pooling()), (layers // 3, 2 * layers // 3))
    baked = bake(model, shift, "sw")
    prompts = torch.randint(100, 32_000, (8, 32))
    settings = {
        "attention_mask": torch.ones_like(prompts), "do_sample": False,
        "max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "pad_token_id": 0,
    }  # fmt: skip

    def hooked() -> torch.Tensor:
        with shift.applied(model, "sw"):
            return model.hf.generate(prompts, **settings)

    return {
        "base": lambda: model.hf.generate(prompts, **settings),
        "baked": lambda: baked.hf.generate(prompts, **settings),
        "hooked": hooked,
    }


def seconds_of(run: Callable[[], torch.Tensor]) -> tuple[float, float]:
    """By the clock, and of the processor."""
    start = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def median_interval(values: np.ndarray) -> tuple[float, float, float]:
    """The median and the order statistics that hold it with 95%."""
    ordered = np.sort(values)
    low = int(binom.ppf(0.025, len(values), 0.5))
    return float(np.median(values)), float(ordered[low]), float(ordered[len(values) - 1 - low])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=512)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    runs = ways(options.layers, options.width)
    same = torch.equal(runs["baked"](), runs["hooked"]())
    print(f"threads {options.threads}, load {os.getloadavg()[0]:.1f}, {options.rounds} rounds")
    print(f"baked and hooked generate the same tokens: {same}")
    rounds = np.array([[seconds_of(run) for run in runs.values()] for _ in range(options.rounds)])
    for number, (name, _) in enumerate(runs.items()):
        clock, processor = np.median(rounds[:, number], axis=0)
        print(f"{name:7} {clock:6.2f} s, processor {processor:6.2f} s")
    for number, name in ((1, "baked"), (2, "hooked")):
        for column, by in enumerate(("clock", "processor time")):
            ratio = median_interval(rounds[:, number, column] / rounds[:, 0, column])
            goal = "   (goal 1.00)" if name == "baked" else ""
            print(f"{name} / base by {by:14} {ratio[0]:.3f} [{ratio[1]:.3f}, {ratio[2]:.3f}]{goal}")


if __name__ == "__main__":
    main()
