"""Whether the lens takes the memory that its plan says, at several sizes up.

Each size runs in a process of its own: a random Llama in bfloat16 is made in place, and the lens
reads sentences in two languages. Held against the plan is the highest resident memory of the
process, less what it held before the model was made, with Python and its libraries in it. glibc is
told to give freed blocks of 1 MiB and more back (MALLOC_MMAP_THRESHOLD_); else it keeps some, by
chance, which --keep-freed shows. The last line is the plan of a model of Llama 3's shape at
8 billion weights.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time

os.environ["TQDM_DISABLE"] = "1"

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

from shiftlens.corpora import Corpus
from shiftlens.lens import TokenLanguages, language_lens, lens_memory
from shiftlens.loading import load_model
from shiftlens.models import LanguageModel

SIZES = {
    "small": (2, 512, 32_000, 34),
    "more layers": (8, 512, 32_000, 34),
    "more sentences": (2, 512, 32_000, 136),
    "larger vocabulary": (2, 512, 128_256, 34),
    "largest": (2, 1536, 128_256, 34),
}
"""Layers, width, vocabulary and sentences in each of two languages."""
WORDS = 30
BATCH = 1024


def shape(layers: int, width: int, vocabulary: int) -> LlamaConfig:
    """A Llama of a size, its MLP 3.5 times as wide, as Llama 3's is."""
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=7 * width // 2,
        num_hidden_layers=layers,
        num_attention_heads=width // 128,
        num_key_value_heads=max(1, width // 512),
    )


def make_model(config: LlamaConfig) -> LanguageModel:
    """Random bfloat16 weights made in place, and a tokenizer of one token a word."""
    with torch.device("meta"):
        hf = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    hf.to_empty(device="cpu")
    hf.model.rotary_emb = type(hf.model.rotary_emb)(config)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in hf.parameters():
            torch.nn.init.normal_(parameter, std=0.02)
    words = {f"w{number}": number for number in range(config.vocab_size)}
    backend = Tokenizer(models.WordLevel(words, unk_token="w0"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return load_model(hf, PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="w0"))


def make_corpus(sentences: int) -> Corpus:
    """Random words, those of each language its own."""
    drawn = torch.Generator().manual_seed(0)
    texts = {
        code: [
            " ".join(f"w{first + int(n)}" for n in torch.randint(1000, (WORDS,), generator=drawn))
            for _ in range(sentences)
        ]
        for code, first in (("en", 100), ("fi", 2000))
    }
    return Corpus.from_texts(texts)


def resident() -> int:
    """Bytes resident now."""
    with open("/proc/self/statm") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def one(layers: int, width: int, vocabulary: int, sentences: int) -> dict[str, float]:
    """Run the lens at one size, in this process."""
    warm = make_model(shape(1, 128, 4000))
    warm_corpus = make_corpus(2)
    language_lens(warm, warm_corpus, TokenLanguages.of_corpus(warm, warm_corpus, least=1))
    before = resident()
    config = shape(layers, width, vocabulary)
    model, corpus = make_model(config), make_corpus(sentences)
    tokens = TokenLanguages.of_corpus(model, corpus)
    start = time.perf_counter()
    language_lens(model, corpus, tokens, batch_tokens=BATCH)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    plan = lens_memory(config, "bfloat16", BATCH, WORDS, 2)
    return {
        "weights": plan.weights,
        "rest": plan.forward + plan.logits,
        "peak": peak - before,
        "base": before,
        "seconds": seconds,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", default=",".join(SIZES), help="comma-separated")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--keep-freed", action="store_true", help="leave glibc as it is")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.one:
        print(json.dumps(one(*SIZES[arguments.one])))
        return
    print(f"Llama in bfloat16, batches of {BATCH} tokens, texts of {WORDS}; MiB")
    print(f"{'':18} layers  width  vocabulary  texts  weights  planned  measured  of plan  seconds")
    for name in arguments.sizes.split(","):
        words = [sys.executable, __file__, "--one", name, "--threads", str(arguments.threads)]
        given = {} if arguments.keep_freed else {"MALLOC_MMAP_THRESHOLD_": str(2**20)}
        done = subprocess.run(
            words, capture_output=True, text=True, check=True, env=os.environ | given
        )
        found = json.loads(done.stdout.splitlines()[-1])
        layers, width, vocabulary, sentences = SIZES[name]
        plan = found["weights"] + found["rest"]
        mib = (value / 2**20 for value in (found["weights"], plan, found["peak"]))
        print(
            f"{name:18} {layers:6} {width:6} {vocabulary:11,} {2 * sentences:6}"
            + "".join(f" {value:8.0f}" for value in mib)
            + f"  {found['peak'] / plan:8.2f} {found['seconds']:8.1f}"
            + f"   (Python itself {found['base'] / 2**20:.0f})",
            flush=True,
        )
    plan = lens_memory(shape(32, 4096, 128_256), "bfloat16", BATCH)
    parts = {"weights": plan.weights, "a batch": plan.forward, "logits": plan.logits}
    words = ", ".join(f"{name} {size / 2**30:.2f}" for name, size in parts.items())
    print(
        f"32 layers, d = 4096, vocabulary 128,256: {plan.total / 2**30:.2f} GiB planned ({words})"
    )


if __name__ == "__main__":
    main()
