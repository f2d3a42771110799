"""How fast patching every layer and position is, against TransformerLens on the same model.

`shiftlens` is ``patch`` of the residual stream; `TransformerLens` is ``get_act_patch_resid_pre``
on the bridged model: same pair of texts, same metric, layers 0..L-1 and every position, from token
ids and text to values. The values are compared. The model has random weights.
"""

import argparse
import gc
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ["TQDM_DISABLE"] = "1"

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformer_lens.patching import get_act_patch_resid_pre
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from shiftlens.bridge import bridged
from shiftlens.loading import load_model
from shiftlens.models import LanguageModel
from shiftlens.patching import patch

VOCABULARY = 32_000
ANSWERS = ("w1", "w2")


def make_model(kind: str, layers: int, width: int) -> LanguageModel:
    """A random GPT-2 or Llama, with a tokenizer that maps the word ``w7`` to its own token."""
    words = ["<unk>", "<s>", *(f"w{i}" for i in range(VOCABULARY - 2))]
    vocabulary = {word: index for index, word in enumerate(words)}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", unk_token="<unk>"
    )
    torch.manual_seed(0)
    shape = {"vocab_size": VOCABULARY, "bos_token_id": 1, "eos_token_id": None}
    if kind == "gpt2":
        hf = GPT2LMHeadModel(GPT2Config(**shape, n_embd=width, n_layer=layers, n_head=8))
    else:
        sizes = {"hidden_size": width, "intermediate_size": 4 * width, "num_attention_heads": 8}
        hf = LlamaForCausalLM(LlamaConfig(**shape, **sizes, num_hidden_layers=layers))
    return load_model(hf, tokenizer)


def peak_mb() -> float:
    """Peak resident memory of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def make_text(positions: int, seed: int) -> str:
    """Random words, as many tokens as positions with the BOS."""
    drawn = np.random.default_rng(seed).integers(VOCABULARY - 2, size=positions - 1)
    return " ".join(f"w{word}" for word in drawn)


def ours(model: LanguageModel, clean: str, corrupt: str, max_rows: int) -> np.ndarray:
    """Layers 0..L-1 by positions."""
    layers = range(model.n_layers)
    result = patch(model, clean, corrupt, ANSWERS, layers=layers, max_rows=max_rows)
    return result.grid("value").to_numpy()


def theirs(bridge: Any, model: LanguageModel, clean: str, corrupt: str) -> np.ndarray:
    """The same by TransformerLens."""
    ids = [torch.tensor([model.tokenizer(text)["input_ids"]]) for text in (clean, corrupt)]
    first, second = model.tokenizer.convert_tokens_to_ids(list(ANSWERS))
    with torch.no_grad():
        _, cache = bridge.run_with_cache(ids[0])
        values = get_act_patch_resid_pre(
            bridge, ids[1], cache, lambda logits: logits[0, -1, first] - logits[0, -1, second]
        )
    return values.numpy()


def timed(run: Callable[[], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Values, and seconds by the clock and of the processor."""
    gc.collect()
    start = np.array([time.perf_counter(), time.process_time()])
    values = run()
    return values, np.array([time.perf_counter(), time.process_time()]) - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", choices=("gpt2", "llama"), default="gpt2")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--positions", type=int, default=20)
    parser.add_argument("--max-rows", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = make_model(arguments.model, arguments.layers, arguments.width)
    pair = [make_text(arguments.positions, seed) for seed in (0, 1)]
    print(
        f"{arguments.model}, d = {arguments.width}, {arguments.layers} layers, vocabulary "
        f"{VOCABULARY}, {arguments.positions} positions, batches of {arguments.max_rows}, "
        f"{arguments.threads} threads, load {os.getloadavg()[0]:.1f}"
    )
    print(f"peak memory with the model loaded {peak_mb():.0f} MB")
    ours(model, *pair, arguments.max_rows)
    print(f"peak memory after shiftlens       {peak_mb():.0f} MB")
    seconds: dict[str, list[np.ndarray]] = {"shiftlens": [], "TransformerLens": []}
    error = 0.0
    for _ in range(arguments.repeats):
        own, taken = timed(lambda: ours(model, *pair, arguments.max_rows))
        seconds["shiftlens"].append(taken)
        with bridged(model) as bridge:
            other, taken = timed(lambda: theirs(bridge, model, *pair))
        seconds["TransformerLens"].append(taken)
        error = max(error, float(np.abs(own - other).max()))
    print(f"peak memory after TransformerLens {peak_mb():.0f} MB")
    for way, times in seconds.items():
        each = ", ".join(f"{clock:.2f}" for clock, _ in times)
        clock, processor = np.median(times, axis=0)
        print(f"{way:16} {clock:7.2f} s, processor {processor:7.2f} s   [{each}]")
    own, other = (np.array(times) for times in seconds.values())
    clock, processor = np.median(other / own, axis=0)
    print(f"ratio            {clock:7.2f} x, by processor time {processor:.2f} x   (goal >= 10)")
    print(f"largest difference of a value {error:.1e}   (goal <= 1e-4)")


if __name__ == "__main__":
    main()
