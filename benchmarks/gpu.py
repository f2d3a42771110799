"""What do collection, a sweep's mathematics and a ShifCon step cost on a GPU?

Random Llamas of the shapes of 1B and 7B models in bfloat16, made on the device: no download. For
each shape:

- collection: tokens/s from the texts to the store on disk, and the forward passes alone; the FLOPs
  of the padded batches a second, as a share of what one product of 8192 x 8192 matrices reaches on
  the same device. Goal: >= 50%. Hashing the weights is done before and not timed;
- steps: SFT (the language-model loss) and ShifCon (the same through the shift, plus the contrast),
  forward, backward and AdamW. 1B: all weights, float32 under bfloat16 autocast. 7B: LoRA of rank 16
  on bfloat16 weights (pip install '.[lora]'), as its AdamW states alone would take 54 GB;
- peak memory that PyTorch allocated, and what `shiftlens plan` forecasts of the collection.

`sweep_layers` decomposes in float64 by numpy on the CPU. Timed beside it on the device, by
torch.linalg: the singular value decomposition of a half (1000 states of the shape's width) and the
eigenvalues of a joint span, which are nearly all of its work.

Results are written with date and device to benchmarks/results/gpu-DEVICE.json; parts that are not
measured stay as they were there. On a CPU they go nowhere but to --out.

Command: python benchmarks/gpu.py [--shapes 1b,7b]
    python benchmarks/gpu.py --device cpu --shapes tiny     (a try of the script, not of a GPU)
Cost: under 3 minutes of one H200, 62 GB of its memory, 3 GB of disk in the temporary folder.
"""

import argparse
import gc
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

from shiftlens.adapters import add_adapters
from shiftlens.collect import collect_states, plan_collection
from shiftlens.corpora import Corpus
from shiftlens.forecast import ModelShape, forecast_planned
from shiftlens.forecast.rates import product_rate, seconds
from shiftlens.language_vectors import LanguageVectors
from shiftlens.loading import find_device, load_model
from shiftlens.models import LanguageModel
from shiftlens.plan import CollectionPlan
from shiftlens.shift import Shift
from shiftlens.tokens import token_batches
from shiftlens.training.contrastive import contrastive_loss
from shiftlens.training.sampling import PairBatch

SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 100,
    },
    "1b": {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 32_000,
    },
    "7b": {
        "hidden_size": 4096,
        "intermediate_size": 11_008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "vocab_size": 32_000,
    },
}
NAMES = ("sentences", "tokens", "batch_tokens", "rows", "record", "pairs", "half")
SIZES = {
    "tiny": dict(zip(NAMES, (24, 12, 128, 4, 16, 3, 20), strict=True)),
    "1b": dict(zip(NAMES, (4000, 40, 16_384, 32, 256, 32, 1000), strict=True)),
    "7b": dict(zip(NAMES, (2000, 40, 16_384, 16, 256, 32, 1000), strict=True)),
}
"""Of the corpus, of the steps and of the decompositions."""
LANGUAGES = ("en", "de", "fi")
LORA = {"7b": 16}
W_CON = 0.3
RESULTS = Path(__file__).with_name("results")


def make_model(shape: str, dtype: torch.dtype, device: torch.device) -> LanguageModel:
    """A random Llama on the device, with a tokenizer of one token a word."""
    config = LlamaConfig(**SHAPES[shape], eos_token_id=None)
    words = {f"w{number}": number for number in range(config.vocab_size)}
    backend = Tokenizer(models.WordLevel(words, unk_token="w0"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="w0")
    torch.manual_seed(0)
    with device:
        hf = AutoModelForCausalLM.from_config(config, dtype=dtype)
    return load_model(hf, tokenizer)


def make_corpus(shape: str) -> Corpus:
    """Random words, log-normal lengths."""
    sizes, rng = SIZES[shape], np.random.default_rng(0)
    mean = np.log(sizes["tokens"]) - 0.125
    lengths = np.clip(rng.lognormal(mean, 0.5, sizes["sentences"]).astype(int), 3, 400)
    vocabulary = SHAPES[shape]["vocab_size"]
    return Corpus.from_texts(
        {
            language: [" ".join(f"w{w}" for w in rng.integers(vocabulary, size=n)) for n in lengths]
            for language in LANGUAGES
        }
    )


def forward_passes(model: LanguageModel, plan: CollectionPlan) -> list[tuple[int, int]]:
    """The base model over the batches of a plan; returns their shapes."""
    shapes = []
    with torch.no_grad():
        for file, rows in plan.rows.items():
            ids = plan.tokens[file[:2]].ids
            for batch in token_batches(rows, ids, plan.batch_tokens):
                inputs = model.pad([ids[row] for row in batch])
                model.hf.base_model(**inputs, use_cache=False)
                shapes.append((len(batch), inputs["input_ids"].shape[1]))
    return shapes


def timed(action: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """Seconds of one run, the device waited for, and what it gave."""
    _wait(device)
    start = time.perf_counter()
    result = action()
    _wait(device)
    return time.perf_counter() - start, result


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def reset_peak(device: torch.device) -> None:
    """Begin to watch memory anew."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak(device: torch.device) -> float | None:
    """Bytes allocated at most since then; None where PyTorch does not count them."""
    return float(torch.cuda.max_memory_allocated(device)) if device.type == "cuda" else None


def measure_collection(shape: str, device: torch.device, matmul: float) -> dict[str, Any]:
    """Tokens a second and share of the peak."""
    model, corpus = make_model(shape, torch.bfloat16, device), make_corpus(shape)
    options = {"batch_tokens": SIZES[shape]["batch_tokens"]}
    plan = plan_collection(model, corpus, **options)
    forward_passes(model, plan)
    passed, batches = timed(lambda: forward_passes(model, plan), device)
    reset_peak(device)
    with tempfile.TemporaryDirectory() as folder:
        collected, _ = timed(
            lambda: collect_states(model, corpus, f"{folder}/s", plan=plan, progress=False), device
        )
        memory = peak(device)
    counted = ModelShape.of(model.hf)
    flops = sum(counted.forward(*batch) for batch in batches)
    tokens = sum(len(ids) for language in plan.tokens.values() for ids in language.ids)
    forecast = forecast_planned(model, plan, False).collection
    return {
        "parameters": counted.parameters,
        "tokens": tokens,
        "padded_tokens": sum(rows * width for rows, width in batches),
        "matmul_flops_per_second": matmul,
        "tokens_per_second": tokens / collected,
        "share_of_matmul_peak": flops / collected / matmul,
        "forward_tokens_per_second": tokens / passed,
        "forward_share_of_matmul_peak": flops / passed / matmul,
        "peak_bytes": memory,
        "forecast_device_bytes": forecast.weights + forecast.forward,
    }


def measure_steps(shape: str, device: torch.device) -> dict[str, Any]:
    """Seconds of an SFT step and of a ShifCon step."""
    adapted = shape in LORA
    dtype = torch.bfloat16 if adapted else torch.float32
    model, sizes = make_model(shape, dtype, device), SIZES[shape]
    middle = model.n_layers // 2
    corpus = make_corpus(shape).head(min(64, sizes["sentences"]))
    shift = Shift(LanguageVectors.from_model(model, corpus), (middle - 1, middle + 1))
    if adapted:
        add_adapters(model, LORA[shape])
    trained = [weight for weight in model.hf.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=True)
    vocabulary = SHAPES[shape]["vocab_size"]
    ids = torch.randint(1, vocabulary, (sizes["rows"], sizes["record"])).to(device)
    pairs = _pairs(sizes, vocabulary)

    def plain() -> Tensor:
        loss: Tensor = model.hf(
            ids, attention_mask=torch.ones_like(ids), labels=ids, use_cache=False
        ).loss
        return loss

    def shifcon() -> Tensor:
        with shift.applied(model, (LANGUAGES * len(ids))[: len(ids)]):
            loss = plain()
        action = shift.action(pairs.languages)
        return loss + W_CON * contrastive_loss(model, pairs, shift.area, shift=action)

    def step(loss_of: Callable[[], Tensor]) -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=not adapted):
            loss = loss_of()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    model.hf.train()
    found: dict[str, Any] = {"trained": f"LoRA {LORA[shape]}" if adapted else "all weights"}
    for name, loss_of in (("sft", plain), ("shifcon", shifcon)):
        reset_peak(device)
        found[f"{name}_seconds"] = seconds(lambda way=loss_of: step(way), device, budget=5)
        found[f"{name}_peak_bytes"] = peak(device)
    found["shifcon_over_sft"] = found["shifcon_seconds"] / found["sft_seconds"]
    return found


def _pairs(sizes: dict[str, int], vocabulary: int) -> PairBatch:
    n, tokens = sizes["pairs"], sizes["tokens"]
    ids = torch.randint(1, vocabulary, (2 * n, tokens)).tolist()
    languages = (LANGUAGES[0],) * n + (LANGUAGES[1:] * n)[:n]
    return PairBatch(languages, ids, [[True] * tokens] * (2 * n))


def measure_decompositions(shape: str, device: torch.device) -> dict[str, float]:
    """Seconds of the two decompositions behind a distance, by numpy and on the device."""
    n, d = SIZES[shape]["half"], SHAPES[shape]["hidden_size"]
    rng, k = np.random.default_rng(0), min(2 * n, d)
    states, joint = rng.standard_normal((n, d)), np.cov(rng.standard_normal((k, 2 * k)))
    moved = [torch.from_numpy(matrix).to(device) for matrix in (states, joint)]
    cpu = torch.device("cpu")
    return {
        "svd_numpy_seconds": seconds(lambda: np.linalg.svd(states, full_matrices=False), cpu),
        "svd_device_seconds": seconds(
            lambda: torch.linalg.svd(moved[0], full_matrices=False), device
        ),
        "eigenvalues_numpy_seconds": seconds(lambda: np.linalg.eigvalsh(joint), cpu),
        "eigenvalues_device_seconds": seconds(lambda: torch.linalg.eigvalsh(moved[1]), device),
    }


PARTS: dict[str, Callable[[str, torch.device, float], dict[str, Any]]] = {
    "collection": measure_collection,
    "steps": lambda shape, device, _: measure_steps(shape, device),
    "decompositions": lambda shape, device, _: measure_decompositions(shape, device),
}


def device_name(device: torch.device) -> str:
    """What the device is called."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def results_path(device: torch.device, out: Path | None) -> Path | None:
    """Where results go; those of a CPU are no GPU's and go nowhere by themselves."""
    if out is not None or device.type == "cpu":
        return out
    return RESULTS / f"gpu-{device_name(device).replace(' ', '-')}.json"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shapes", default="1b,7b", help=f"among {', '.join(SHAPES)}")
    parser.add_argument("--parts", default=",".join(PARTS), help="what to measure")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, help="file for the results")
    options = parser.parse_args()
    device = find_device(options.device)
    side = 8192 if device.type != "cpu" else 256
    matmul = product_rate(side, side, side, torch.bfloat16, device)
    path = results_path(device, options.out)
    earlier = json.loads(path.read_text()) if path is not None and path.exists() else {}
    facts = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
    }
    found: dict[str, Any] = {"device": device_name(device), "shapes": earlier.get("shapes", {})}
    for shape in options.shapes.split(","):
        row = found["shapes"].setdefault(shape, {})
        for name in options.parts.split(","):
            row[name] = facts | PARTS[name](shape, device, matmul)
            reset_peak(device)
            print(shape, name, json.dumps(row[name]), flush=True)
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{found['device']}, {matmul / 1e12:.3g} TFLOP/s of products; goal of the share: 0.5")
    if path is None:
        print("a CPU: a try of the script, and not a GPU's numbers; nothing is written")


if __name__ == "__main__":
    main()
