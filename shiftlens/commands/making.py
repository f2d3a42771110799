"""The commands that make and check runs; everything heavy is imported late."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from shiftlens.config import DemoConfig, ServeConfig, SweepConfig, TrainConfig


@dataclass
class CheckConfig:
    """Settings of `shiftlens check`.

    Attributes:
        model: Local directory or hub id of a Hugging Face model.
        dtype: Number type of the model: float32, bfloat16 or float16.
        device: cpu, cuda, mps, ... or auto.
    """

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    dtype: str = "float32"
    device: str = "auto"


@dataclass
class VerifyConfig:
    """Settings of `shiftlens verify`.

    Attributes:
        run: The run folder.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]


def demo(config: DemoConfig) -> int:
    """See the whole of it in two minutes, offline: sweep, train, compare, one HTML page.

    On the embedded model of a small world in which nine languages count. A run that
    stopped goes on where it was when the same command is given again.

    Example:
      shiftlens demo --out runs/demo
    """
    from shiftlens.showcase import run_showcase

    run_showcase(config)
    return 0


def collect(config: SweepConfig) -> int:
    r"""Collect the states that a sweep measures, and no more: the part for many processes.

    Takes the settings of shiftlens sweep, which given the same goes on from the states.
    A launcher's processes divide the work and write one store, whose bytes do not depend
    on how many they are.

    Examples:
      shiftlens collect --model ./my-model --corpus DIR --out runs/first
      accelerate launch --multi_gpu --num_processes 4 -m shiftlens collect \
          --model ./my-model --corpus DIR --out runs/first
    """
    from shiftlens.runs import run_collect

    run_collect(config)
    return 0


def sweep(config: SweepConfig) -> int:
    """Measure how far each language lies from the dominant one, layer by layer.

    Writes activations, table, layer area and figures into the run folder. A run
    that stopped goes on where it was when the same command is given again.
    --config FILE.yaml takes settings from a file, such as the config.yaml of an
    earlier run; what follows it on the command line wins.

    Examples:
      shiftlens sweep --model ./my-model --corpus DIR --languages en,es --out runs/first
      shiftlens sweep --model ./my-model --corpus news.tsv --keep-intersection --out runs/news
      shiftlens sweep --config runs/first/config.yaml --shrinkage oas --out runs/oas
    """
    from shiftlens.runs import run_sweep

    run_sweep(config)
    return 0


def train(config: TrainConfig) -> int:
    r"""Train a model with ShifCon, or another arm of the comparison, in place.

    Sweeps, chooses the area, trains, and sweeps and tests again. The run folder's
    model/ is a plain Hugging Face directory with the shift beside the weights. A
    run that stopped goes on from its last checkpoint. --config FILE.yaml takes
    settings from a file, --preset demo or --preset paper those that come with the
    package (paper: the paper's for Llama-2-7B, never run here); what follows on the
    command line wins.

    Examples:
      shiftlens train --preset demo --test demo:validation --out runs/x
      shiftlens train --config runs/x/config.yaml --arm msft --out runs/msft
      shiftlens train --preset paper --model ./llama-2-7b-msft --sft data.jsonl \
          --parallel DIR --out runs/llama
    """
    from shiftlens.train import run_train

    run_train(config)
    return 0


def serve(config: ServeConfig) -> int:
    """Look inside a model in the browser: patching, shift, sweep, lens, neurons.

    The page listens on 127.0.0.1 alone. Patching needs a model only; the views of shift
    and sweep read the run folder of a sweep or training, or measure the demo. Ctrl-C
    ends it.

    Examples:
      shiftlens serve --model demo
      shiftlens serve --model ./my-model --run runs/first --port 8051
    """
    from shiftlens.app.serve import run_serve

    run_serve(config)
    return 0


def check(config: CheckConfig) -> int:
    """Prove on your own model that shiftlens reads the states it says it reads.

    Per layer: the hooks that collection reads against Hugging Face's hidden states,
    padded batches against single texts, the whole TransformerLens bridge against
    the plain model. Exit code 1 if a figure is too large.

    Examples:
      shiftlens check bigscience/bloom-560m
      shiftlens check ./my-model --dtype bfloat16
    """
    from shiftlens.check import TOLERANCE, check_model
    from shiftlens.loading import load_model

    model = load_model(config.model, dtype=config.dtype, device=config.device)
    table, passed = check_model(model)
    print(f"{type(model.hf).__name__}: largest |difference| / |state| of any token, six texts")
    print(table.map("{:.1e}".format).to_string())
    print(f"{'passed' if passed else 'FAILED'} (tolerance {TOLERANCE[model.hf.dtype]:.0e})")
    return 0 if passed else 1


def verify(config: VerifyConfig) -> int:
    """Read every activation of a run and hold it against its hash.

    Exit code 1 if a shard is missing or damaged.

    Example:
      shiftlens verify runs/first
    """
    from pathlib import Path

    from shiftlens.store import STORE, ActivationStore
    from shiftlens.token_moments import TOKENS, TokenMoments

    run = Path(config.run)
    stores: list[ActivationStore | TokenMoments] = []
    if (run / TOKENS).is_dir():
        stores.append(TokenMoments.open(run / TOKENS))
    if not stores or (run / STORE).is_dir():
        stores.append(ActivationStore.open(run / STORE))
    problems = [problem for store in stores for problem in store.verify()]
    for problem in problems:
        print(problem)
    if not problems:
        shards = sum(len(store.manifest["shards"]) for store in stores)
        print(f"{shards} shards are whole and match their hashes")
    return 1 if problems else 0


def metrics() -> int:
    """List the metrics of a sweep, one per line, with what each requires.

    Example:
      shiftlens metrics
    """
    from shiftlens.geometry import METRICS, REQUIREMENTS

    width = max(map(len, METRICS))
    for name, metric in METRICS.items():
        requires = REQUIREMENTS[metric.requires]
        print(f"{name:{width}}  {metric.description} [{metric.kind}; requires {requires}]")
    return 0
