"""Real text at small scale: what does every arm of ShifCon do to a model trained on real verses?

A tokenizer and a small Llama are trained from nothing on New Testament verses, of which English
has seen all, the mid languages a third and the low ones a tenth. Its layers are swept, settings
are chosen on held-out verses, and every arm is trained from it with equal steps and paired seeds.
The judge is another kind of text, news: nats per UTF-8 byte and perplexity per token, with the
arm's shift on, and whether a sentence's English translation is found by cosine.

The instruction data are verse continuations: the first word is the prompt, the rest what to learn.
They hold no translation, so what joins the languages is the shift and the contrast alone.

Both folders hold xx.txt files aligned by line; the languages that both have are used. Everything
lies in --out, in a folder a set of sizes and text, and a stopped run goes on there; only tables go
to --results.

Command: python benchmarks/bible.py --bible DIR --ntrex DIR [--seeds 3] [--until sweep]
    python benchmarks/bible.py --bible DIR --ntrex DIR --size large --workers 10     (on a GPU)
Cost: about an hour and a half of one core, an eighth of it the base model;
    large: not run, made for a GPU.
"""

import argparse
import hashlib
import json
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from multiprocessing import get_context
from pathlib import Path

import torch
import transformers
from bible_base import LARGE, MID, TINY, Sizes, Text, is_trained, read_text, train_base
from bible_judge import Cell, losses, low_loss, retrieved
from bible_report import report
from safetensors.numpy import load_file, save
from tqdm import tqdm

from shiftlens import LanguageModel, Shift, SweepConfig, load_model
from shiftlens.arms import ARMS
from shiftlens.config import TrainConfig
from shiftlens.errors import ShiftlensError
from shiftlens.files import make_folder, write_atomic
from shiftlens.loading import find_device
from shiftlens.runs import run_sweep
from shiftlens.training.arguments import training_arguments
from shiftlens.training.objective import objective_of
from shiftlens.training.trainer import ShifConTrainer

COMPARED = ("base", "base-shift", "msft", "msft-parallel", "shift-only", "mcl-only", "shifcon",
            "random-vector", "third-language", "recentred", "l2-only", "l2-shift",
            "anchored-only", "anchored-shift")  # fmt: skip
RATES = (1e-4, 3e-4, 1e-3)
WEIGHTS = (0.3, 1.0)
RESULTS = Path(__file__).parent / "results"
SIZES = {"tiny": TINY, "small": Sizes(), "large": LARGE}
"""Tiny, to try the script; small for an hour and a half of one core; large for minutes of a GPU."""
SHARE = 0.5
"""Share of the layers that the area takes: three of six, so that two layers are contrasted."""


@dataclass(frozen=True)
class Setting:
    """One training: an arm, its seed, learning rate and weight of the contrast."""

    arm: str
    seed: int
    rate: float
    weight: float


@dataclass(frozen=True)
class Bench:
    """What all trainings share: the folder, the text, the sizes, the area; how many, and where."""

    out: Path
    text: Text
    sizes: Sizes
    area: tuple[int, int]
    workers: int = 1
    device: str = "cpu"

    @cached_property
    def base(self) -> str:
        """Hash of the base model."""
        return load_model(self.out / "base", device="cpu").sha256

    def folder(self, split: str) -> Path:
        """Where the cells of a split lie."""
        return self.out / f"{split}-{self.sizes.steps}-steps"

    def train(self, setting: Setting) -> tuple[LanguageModel, Shift | None]:
        """Train one arm in memory; an arm that is not trained is the base model."""
        config = self.config(setting)
        model = load_model(self.out / "base", device=self.device)
        transformers.set_seed(setting.seed)
        with tempfile.TemporaryDirectory() as folder:
            quiet = {"save_strategy": "no", "logging_strategy": "no", "disable_tqdm": True}
            trainer = ShifConTrainer(
                model,
                self.text.records,
                self.text.parallel,
                objective_of(config, self.area),
                training_arguments(config, folder, **quiet),
            )
            if trainer.objective.arm.trained:
                trainer.train()
            elif trainer.needs_vectors:
                trainer.shift = trainer.estimate_shift()
        model.hf.eval()
        return model, trainer.shift

    def config(self, setting: Setting) -> TrainConfig:
        """The settings of a training; its data are in memory."""
        return TrainConfig(
            model="",
            sft="",
            parallel="",
            out="",
            arm=setting.arm,
            seed=setting.seed,
            learning_rate=setting.rate,
            w_con=setting.weight,
            steps=self.sizes.steps,
            batch_size=self.sizes.batch,
            pairs=self.sizes.batch,
            warmup=0.1,
            reestimate=max(1, self.sizes.steps // 2),
            vector_sentences=self.sizes.vectors,
            third=next((code for code in self.text.parallel.languages if code in MID), None),
            device=self.device,
        )

    def cells(self, settings: Sequence[Setting], split: str) -> dict[Setting, Cell]:
        """What was found of every setting; those not there yet are trained."""
        do = partial(self.cell, split=split)
        spawn = get_context("spawn")
        with ProcessPoolExecutor(self.workers, spawn, torch.set_num_threads, (1,)) as pool:
            found = pool.map(do, settings) if self.workers > 1 else map(do, settings)
            return dict(zip(settings, tqdm(found, split, len(settings)), strict=True))

    def cell(self, setting: Setting, split: str) -> Cell:
        """Train and judge, or read what an earlier run found.

        Args:
            setting: The training.
            split: ``validation`` (losses alone) or ``test``.
        """
        where = [] if self.device == "cpu" else [self.device]
        key = json.dumps([asdict(setting), self.base, self.area, *where])
        name = f"{setting.arm}-{setting.seed}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
        path = make_folder(self.folder(split)) / f"{name}.safetensors"
        if not path.exists():
            model, shift = self.train(setting)
            corpus = getattr(self.text, split)
            found = losses(model, corpus, shift)
            if split == "test":
                found |= retrieved(model, corpus, None, self.area)
                found |= retrieved(model, corpus, shift, self.area) if shift else {}
            write_atomic(path, save(found))
        return load_file(path)


def sweep_base(text: Text, out: Path) -> tuple[int, int]:
    """Sweep the base model over the parallel verses, and take the area of its nearest layers."""
    sweep = out / "sweep"
    if not (sweep / "config.yaml").exists():  # which a sweep writes last
        folder = make_folder(out / "parallel")
        for code, verses in text.parallel.texts.items():
            write_atomic(folder / f"{code}.txt", ("\n".join(verses) + "\n").encode())
        base = str(out / "base")
        run_sweep(SweepConfig(base, str(folder), str(sweep), share=SHARE, device="cpu"))
    area = json.loads((sweep / "area.json").read_text())["area"]
    return area["start"], area["stop"]


def choose(bench: Bench) -> dict[str, Setting]:
    """For every arm the settings of lowest loss on the low languages' held-out verses.

    The learning rate is MSFT's best and all arms have it; MSFT with parallel text and ShifCon
    each choose their weight, and the other arms have ShifCon's.
    """
    scores = {}

    def best(candidates: Sequence[Setting]) -> dict[str, Setting]:
        for setting, cell in bench.cells(candidates, "validation").items():
            scores[setting] = low_loss(cell, bench.text.validation)
            name = f"{setting.arm:14} rate {setting.rate:g} weight {setting.weight:g}"
            print(f"{name}: {scores[setting]:.4f} nats per byte, low, validation", flush=True)
        ranked = sorted(candidates, key=scores.__getitem__, reverse=True)
        return {setting.arm: setting for setting in ranked}

    rates = [Setting("msft", 0, rate, WEIGHTS[0]) for rate in RATES]
    own = best([Setting("base", 0, 0.0, 0.0), *rates])
    weighted = [
        replace(own["msft"], arm=arm, weight=weight)
        for arm in ("msft-parallel", "shifcon")
        for weight in WEIGHTS
    ]
    own |= best(weighted)
    table = [asdict(setting) | {"nats_per_byte": score} for setting, score in scores.items()]
    write_atomic(
        bench.folder("validation") / "tuning.json", (json.dumps(table, indent=1) + "\n").encode()
    )
    return {arm: own.get(arm, replace(own["shifcon"], arm=arm)) for arm in COMPARED}


def main() -> None:
    """Base model, sweep, settings, arms and tables, whatever of it is not there yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bible", type=Path, required=True, help="verses, xx.txt")
    parser.add_argument("--ntrex", type=Path, required=True, help="test sentences, xx.txt")
    parser.add_argument("--out", type=Path, default=Path("runs/bible"), help="run folder")
    parser.add_argument("--results", type=Path, help="folder of the tables")
    parser.add_argument("--seeds", type=int, default=3, help="paired seeds of every arm")
    parser.add_argument("--steps", type=int, help="of every arm, in place of the size's")
    parser.add_argument("--workers", type=int, default=1, help="trainings at a time")
    parser.add_argument("--until", choices=["base", "sweep", "tune", "arms"], default="arms")
    parser.add_argument("--size", choices=list(SIZES), default="small", help="of everything")
    parser.add_argument("--device", default="auto", help="where models are trained and judged")
    options = parser.parse_args()
    torch.set_num_threads(1)
    sizes, device = SIZES[options.size], find_device(options.device).type
    sizes = replace(sizes, steps=options.steps or sizes.steps)
    try:
        text = read_text(options.bible, options.ntrex, sizes)
    except ShiftlensError as error:
        parser.error(str(error))
    out = make_folder(options.out / text.sha256(sizes)[:12])
    if not is_trained(out / "base"):
        train_base(text, sizes, make_folder(out / "base"), device)
    if options.until == "base":
        return
    bench = Bench(out, text, sizes, sweep_base(text, out), options.workers, device)
    if options.until == "sweep":
        return
    settings = choose(bench)
    if options.until == "tune":
        return
    seeds = range(options.seeds)
    wanted = [
        replace(settings[arm], seed=seed)
        for seed in seeds
        for arm in COMPARED
        if ARMS[arm].trained or seed == 0
    ]
    found = bench.cells(wanted, "test")
    cells = {(setting.arm, setting.seed): cell for setting, cell in found.items()}
    folder = options.results or (out if options.size == "tiny" else RESULTS / options.size)
    report(bench, settings, cells, make_folder(folder))


if __name__ == "__main__":
    main()
