"""Does the cost of a collection and of a sweep grow in proportion, and does memory stay flat?

A random Llama (d = 128, 4 layers, vocabulary 2,000) over synthetic sentences of one length
distribution (8 to 60 tokens, log-normal): 250 to 16,000 sentences in two languages, and 2 to 16
languages of 1,000 sentences. Every point is a process of its own, which first runs 40 sentences
to warm up. Printed are the processor time of planning and collecting, that of the sweep, the peak
resident memory after each, the slope of log time over log size, and the largest memory over the
smallest. Processor time, since the clock also counts what else the machine does.

Goals: slope 1.00 +- 0.05, memory within 5%. The sweep of a layer holds the sentence vectors of two
languages in float64, which is 16 d bytes a sentence and more while they are factored.

Command: python benchmarks/scaling.py [--largest 16000] [--languages 16]
Cost: about 6 minutes on one core, 1 GB of memory, 200 MB of disk in the temporary folder.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np

VOCABULARY = 2_000
WIDTH = 128
BLOCKS = 4
SMALLEST = 250
SENTENCES = 1_000
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

    from shiftlens.models import load_model

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


def measure(sentences: int, languages: int) -> dict[str, float]:
    """One point, in this process."""
    from shiftlens.collect import collect_states
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
        store = collect_states(model, corpus, folder / "states", progress=False)
        collected, memory = time.process_time(), peak_mb()
        sweep_layers(store, progress=False)
        return {
            "collect_s": collected - start,
            "collect_mb": memory,
            "sweep_s": time.process_time() - collected,
            "sweep_mb": peak_mb(),
        }


def point(sentences: int, languages: int) -> dict[str, float]:
    """One point, in a process of its own."""
    command = [sys.executable, __file__, "--one", str(sentences), str(languages)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def slope(sizes: list[int], seconds: list[float]) -> float:
    """That of log time over log size, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def series(what: str, sizes: list[int], points: list[dict[str, float]]) -> None:
    """Print one series and its figures."""
    print(f"\n{what:>9}  collect s  peak MB   sweep s  peak MB")
    for size, at in zip(sizes, points, strict=True):
        print(
            f"{size:9}  {at['collect_s']:9.2f}  {at['collect_mb']:7.0f}  {at['sweep_s']:8.2f}"
            f"  {at['sweep_mb']:7.0f}"
        )
    for part in ("collect", "sweep"):
        steep = slope(sizes, [at[f"{part}_s"] for at in points])
        memory = [at[f"{part}_mb"] for at in points]
        print(f"{part:7} by {what}: slope {steep:.3f}, memory {max(memory) / min(memory):.3f} x")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--largest", type=int, default=16_000)
    parser.add_argument("--languages", type=int, default=len(NAMES))
    parser.add_argument("--one", type=int, nargs=2)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(*arguments.one)))
        return
    doublings = range(int(np.log2(arguments.largest / SMALLEST)) + 1)
    sizes = [SMALLEST * 2**n for n in doublings]
    series("sentences", sizes, [point(n, 2) for n in sizes])
    counts = [n for n in (2, 4, 8, 16) if n <= arguments.languages]
    series("languages", counts, [point(SENTENCES, n) for n in counts])


if __name__ == "__main__":
    main()
