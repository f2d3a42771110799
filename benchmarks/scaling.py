"""Does the cost of a collection and of a sweep grow in proportion, and does memory stay flat?

A random Llama (d = 128, 4 layers, vocabulary 2,000) over synthetic sentences of one length
distribution (8 to 60 tokens, log-normal): 250 to 16,000 sentences in two languages, and 2 to 16
languages of 1,000 sentences. Every point is a process of its own, with huge pages for large
tensors as on the command line, which first runs 40 sentences to warm up. Printed are the tokens of
the batches, padding included, the processor time of planning and collecting, that of the sweep, and
the peak resident memory after each. Processor time, since the clock also counts what else the
machine does; and of --repeats rounds the least time and the median memory, since what else it does
slows the processor too.

Below each series stand, for both parts and for the run,

- the slope of log time over log size, and the largest memory over the smallest;
- time t = a + b n at size n, fitted by least squares of relative errors, with the largest of them:
  what it costs whatever the size, and what grows in proportion;
- the slope over the sizes at which b n is nine tenths of that t or more, where three are so large;
- except of the sweep, the slope over the tokens of the batches, the work that the model does:
  few sentences fill few batches, and are padded more.

Goals: slope 1.00 +- 0.05, memory within 5%. A run is both, collecting and sweeping. Its batches are
of 1,024 tokens by default here, which 250 sentences fill too: memory is that of a full batch.

Command: python benchmarks/scaling.py [--largest 16000] [--languages 16] [--batch-tokens 4096]
             [--repeats 3]
Cost: about 11 minutes on two cores, 1 GB of memory, 200 MB of disk in the temporary folder.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

import numpy as np

VOCABULARY = 2_000
WIDTH = 128
BLOCKS = 4
SMALLEST = 250
SENTENCES = 1_000
MOST = 0.9
"""Share of a time that grows with the size, where the slope is taken once more."""
NAMES = [
    "en",
    "es",
    "de",
    "fr",
    "it",
    "pt",
    "nl",
    "sv",
    "da",
    "fi",
    "pl",
    "cs",
    "hu",
    "ro",
    "tr",
    "sw",
]


def write_corpus(folder: Path, sentences: int, languages: int) -> None:
    """A file a language: random words, 8 to 60 tokens a sentence with the BOS."""
    folder.mkdir()
    for number, name in enumerate(NAMES[:languages]):
        rng = np.random.default_rng(number)
        lengths = np.clip(rng.lognormal(np.log(22), 0.5, sentences).astype(int), 7, 59)
        with (folder / f"{name}.txt").open("w") as file:
            for n in lengths:
                words = rng.integers(VOCABULARY - 2, size=n)
                file.write(" ".join(f"w{word}" for word in words) + "\n")


def make_model():
    """A random Llama with a tokenizer of one token a word and a BOS."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from shiftlens.loading import load_model

    torch.set_num_threads(1)
    torch.manual_seed(0)
    words = ["<s>", "<unk>", *(f"w{number}" for number in range(VOCABULARY - 2))]
    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", unk_token="<unk>"
    )
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=BLOCKS,
        num_attention_heads=4,
        bos_token_id=0,
        eos_token_id=None,
    )
    return load_model(LlamaForCausalLM(config), tokenizer)


def peak_mb() -> float:
    """Peak resident memory of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def padded_tokens(plan) -> int:
    """Tokens of all batches of a collection, padding included."""
    from shiftlens.plan import shard_language
    from shiftlens.tokens import token_batches

    total = 0
    for file, rows in plan.rows.items():
        ids = plan.tokens[shard_language(file)].ids
        for batch in token_batches(rows, ids, plan.batch_tokens):
            total += len(batch) * len(ids[batch[0]])
    return total


def measure(sentences: int, languages: int, batch_tokens: int) -> dict[str, float]:
    """One point, in this process."""
    from shiftlens.collect import collect_states, plan_collection
    from shiftlens.corpora import load_corpus
    from shiftlens.sweep import sweep_layers

    model = make_model()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_corpus(folder / "small", 40, 2)
        warm = collect_states(model, load_corpus(folder / "small"), folder / "w", progress=False)
        sweep_layers(warm, progress=False)
        write_corpus(folder / "texts", sentences, languages)
        start = time.process_time()
        corpus = load_corpus(folder / "texts")
        plan = plan_collection(model, corpus, batch_tokens=batch_tokens)
        store = collect_states(model, corpus, folder / "states", progress=False, plan=plan)
        collected, memory = time.process_time(), peak_mb()
        sweep_layers(store, progress=False)
        swept = time.process_time()
        return {
            "tokens": padded_tokens(plan),
            "collect_s": collected - start,
            "collect_mb": memory,
            "sweep_s": swept - collected,
            "sweep_mb": peak_mb(),
            "run_s": swept - start,
            "run_mb": peak_mb(),
        }


def point(sentences: int, languages: int, batch_tokens: int) -> dict[str, float]:
    """One point, in a process of its own."""
    options = ["--one", str(sentences), str(languages), "--batch-tokens", str(batch_tokens)]
    command = [sys.executable, __file__, *options]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def points(shapes: list[tuple[int, int]], options: argparse.Namespace) -> list[dict[str, float]]:
    """The points of a series, all of them in every round."""
    rounds = [
        [point(*shape, options.batch_tokens) for shape in shapes] for _ in range(options.repeats)
    ]
    return [
        {
            name: statistics.median(at[name] for at in same)
            if name.endswith("_mb")
            else min(at[name] for at in same)
            for name in same[0]
        }
        for same in zip(*rounds, strict=True)
    ]


def slope(sizes: list[float], seconds: list[float]) -> float:
    """That of log time over log size, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def affine(sizes: list[float], seconds: list[float]) -> tuple[float, float, float]:
    """The a and b of t = a + b n by least squares of relative errors, and the largest of these."""
    n, t = np.array(sizes), np.array(seconds)
    a, b = np.linalg.lstsq(np.stack([1 / t, n / t], axis=1), np.ones(len(t)))[0]
    return float(a), float(b), float(np.abs((a + b * n) / t - 1).max())


def describe(part: str, what: str, sizes: list[float], points: list[dict[str, float]]) -> None:
    """Print how one part's time and memory go with the size."""
    seconds, memory = ([at[f"{part}_{unit}"] for at in points] for unit in ("s", "mb"))
    steep = f"slope {slope(sizes, seconds):.3f}, memory {max(memory) / min(memory):.3f} x"
    a, b, error = affine(sizes, seconds)
    print(f"{part:7} by {what}: {steep}")
    print(f"{'':7} t = {a:.3f} s + {1000 * b:.3f} ms n, at most {error:.0%} off")
    large = [i for i, n in enumerate(sizes) if b * n >= MOST * (a + b * n)]
    if 3 <= len(large) < len(sizes):
        there = slope([sizes[i] for i in large], [seconds[i] for i in large])
        print(f"{'':7} from {sizes[large[0]]} {what} on: slope {there:.3f}")
    if part != "sweep":
        print(f"{'':7} by tokens: slope {slope([at['tokens'] for at in points], seconds):.3f}")


def series(what: str, sizes: list[int], points: list[dict[str, float]]) -> None:
    """Print one series and its figures."""
    print(f"\n{what:>9}     tokens  collect s  peak MB   sweep s  peak MB")
    for size, at in zip(sizes, points, strict=True):
        print(
            f"{size:9}  {at['tokens']:9}  {at['collect_s']:9.2f}  {at['collect_mb']:7.0f}"
            f"  {at['sweep_s']:8.2f}  {at['sweep_mb']:7.0f}"
        )
    for part in ("collect", "sweep", "run"):
        describe(part, what, list(sizes), points)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--largest", type=int, default=16_000)
    parser.add_argument("--languages", type=int, default=len(NAMES))
    parser.add_argument("--batch-tokens", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", type=int, nargs=2, metavar=("SENTENCES", "LANGUAGES"))
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(*arguments.one, arguments.batch_tokens)))
        return
    doublings = range(int(np.log2(arguments.largest / SMALLEST)) + 1)
    sizes = [SMALLEST * 2**n for n in doublings]
    series("sentences", sizes, points([(n, 2) for n in sizes], arguments))
    counts = [n for n in (2, 4, 8, 16) if n <= arguments.languages]
    series("languages", counts, points([(SENTENCES, n) for n in counts], arguments))


if __name__ == "__main__":
    main()
