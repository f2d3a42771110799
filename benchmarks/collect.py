"""What does collecting every layer cost, beside one forward pass, and beside caching everything?

Three ways over the same 2,000 synthetic sentences (8 to 60 tokens, log-normal) and the same random
Llama (d = 512, 6 layers, vocabulary 32,000):

- shiftlens: ``collect_states``, from the texts to the store on disk;
- plain: the Hugging Face base model over the very same batches, no hooks, nothing stored;
- cache: TransformerLens ``run_with_cache`` of every hook point, one text at a time, on every
  20th text, scaled to all; nothing stored.

Goals: shiftlens <= 1.10 x plain, and cache >= 5 x shiftlens. Times alternate shiftlens, plain,
cache, shiftlens, ...; ratios are medians over the rounds, by the clock and by processor time,
which other work on the machine disturbs less. Both read attention by the fused kernel of the
plain model: only the blocks are bridged. Peak memory is that of a
process of its own for each way, model and libraries included, on the first 400 sentences: batches
of one size follow one another, so that more sentences do not need more.

Command: python benchmarks/collect.py [--sentences 2000] [--repeats 3] [--threads 2]
Cost: about 5 minutes on 2 idle cores, 1.1 GB of memory, 30 MB of disk in the temporary folder.
"""

import argparse
import gc
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from shiftlens.bridge import bridged
from shiftlens.collect import CollectionPlan, collect_states, plan_collection, token_batches
from shiftlens.corpora import Corpus
from shiftlens.loading import load_model
from shiftlens.models import LanguageModel

VOCABULARY = 32_000
WIDTH = 512
BLOCKS = 6
SAMPLED = 20
MEASURED = 400


def make_model() -> LanguageModel:
    """A random Llama with a tokenizer of one token a word and a BOS."""
    words = ["<s>", "<unk>", *(f"w{number}" for number in range(VOCABULARY - 2))]
    backend = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>")
    )
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", unk_token="<unk>"
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=BLOCKS,
        num_attention_heads=8,
        bos_token_id=0,
        eos_token_id=None,
    )
    return load_model(LlamaForCausalLM(config), tokenizer)


def make_corpus(sentences: int) -> Corpus:
    """Random words, 8 to 60 tokens a sentence with the BOS."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(np.log(22), 0.5, sentences).astype(int), 7, 59)
    texts = [" ".join(f"w{w}" for w in rng.integers(VOCABULARY - 2, size=n)) for n in lengths]
    return Corpus.from_texts({"en": texts})


def run_shiftlens(model: LanguageModel, corpus: Corpus) -> None:
    """The whole of a collection."""
    with tempfile.TemporaryDirectory() as folder:
        collect_states(model, corpus, f"{folder}/store", progress=False)


def run_plain(model: LanguageModel, plan: CollectionPlan) -> None:
    """The base model over the batches of the plan."""
    ids = plan.tokens["en"].ids
    with torch.no_grad():
        for rows in plan.rows.values():
            for batch in token_batches(rows, ids, plan.batch_tokens):
                model.hf.base_model(**model.pad([ids[row] for row in batch]), use_cache=False)


def run_cache(model: LanguageModel, plan: CollectionPlan) -> None:
    """Everything cached, one text at a time, on every 20th text."""
    with bridged(model) as bridge, torch.no_grad():
        for ids in plan.tokens["en"].ids[::SAMPLED]:
            bridge.run_with_cache(torch.tensor([ids]))


def ways(model: LanguageModel, corpus: Corpus) -> dict[str, Callable[[], None]]:
    """The three ways, ready to run."""
    plan = plan_collection(model, corpus)
    return {
        "shiftlens": lambda: run_shiftlens(model, corpus),
        "plain": lambda: run_plain(model, plan),
        "cache": lambda: run_cache(model, plan),
    }


def peak_mb() -> float:
    """Peak resident memory of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def peak_of(way: str, arguments: argparse.Namespace) -> float:
    """Peak memory of one run of one way, in a process of its own."""
    command = [sys.executable, __file__, "--memory-of", way]
    sentences = min(arguments.sentences, MEASURED)
    command += ["--sentences", str(sentences), "--threads", str(arguments.threads)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(result.stdout)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sentences", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-of", choices=("shiftlens", "plain", "cache"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model, corpus = make_model(), make_corpus(arguments.sentences)
    run = ways(model, corpus)
    if arguments.memory_of:
        run[arguments.memory_of]()
        print(peak_mb())
        return

    ids = plan_collection(model, corpus).tokens["en"].ids
    sampled = ids[::SAMPLED]
    scale = sum(map(len, ids)) / sum(map(len, sampled))
    print(
        f"d = {WIDTH}, {BLOCKS} layers, vocabulary {VOCABULARY}, {len(corpus)} sentences, "
        f"{sum(map(len, ids))} tokens ({min(map(len, ids))} to {max(map(len, ids))} a sentence), "
        f"{arguments.threads} threads, load {os.getloadavg()[0]:.1f}"
    )
    for warm_up in ways(model, corpus.head(40)).values():
        warm_up()
    seconds: dict[str, list[np.ndarray]] = {way: [] for way in run}
    for _ in range(arguments.repeats):
        for way, once in run.items():
            gc.collect()
            start = np.array([time.perf_counter(), time.process_time()])
            once()
            taken = np.array([time.perf_counter(), time.process_time()]) - start
            seconds[way].append(taken * scale if way == "cache" else taken)
    for way, times in seconds.items():
        each = ", ".join(f"{clock:.1f}" for clock, _ in times)
        note = f"  (scaled from {len(sampled)} texts by tokens)" if way == "cache" else ""
        clock, processor = np.median(times, axis=0)
        print(f"{way:10} {clock:7.1f} s, processor {processor:7.1f} s   [{each}]{note}")
    own, plain, cache = (np.array(seconds[way]) for way in run)
    for name, ratio, goal in (
        ("shiftlens / plain", own / plain, "<= 1.10"),
        ("cache / shiftlens", cache / own, ">= 5"),
    ):
        clock, processor = np.median(ratio, axis=0)
        print(f"{name}   {clock:.2f} x, by processor time {processor:.2f} x   (goal {goal})")
    for way in run:
        print(f"peak memory of {way:10} {peak_of(way, arguments):5.0f} MB", flush=True)


if __name__ == "__main__":
    main()
