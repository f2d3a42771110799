"""The commands before and after a run: what it will take, and whether it gives the same again."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from shiftlens.plan_config import PlanConfig


@dataclass
class RepeatConfig:
    """Settings of `shiftlens repeat`.

    Attributes:
        run: The folder of a sweep or a training.
        out: Folder of the repetition; by default RUN-repeat. One that stopped goes on there.
        discard: Repeat into a temporary folder and leave nothing.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    out: str | None = None
    discard: bool = False


def plan(config: PlanConfig) -> int:
    r"""Forecast disk, memory, FLOPs and time of a run, before anything runs.

    From a model's configuration alone: no weights are read or made. --train adds a
    training with its sweeps. Times need a speed: --measure takes that of this machine.

    Examples:
      shiftlens plan --model demo --languages 30 --sentences 2000 --measure
      shiftlens plan --model ./config.json --languages 30 --sentences 2000 --dtype bfloat16 \
          --flops-per-second 4e14 --train --steps 2000
    """
    from shiftlens.forecast.table import forecast_text
    from shiftlens.forecast.whole import forecast_run

    print(forecast_text(config, forecast_run(config)))
    return 0


def repeat(config: RepeatConfig) -> int:
    """Run a run again from its settings and say whether the result is the same.

    Of a sweep: activations, tables, area. Of a training: weights, shift, results, log.
    On the CPU both are the same to the last bit. Exit code 0 the same, 1 it differs.

    Examples:
      shiftlens repeat runs/first
      shiftlens repeat runs/train --discard
    """
    from shiftlens.whose import check_opens

    check_opens(config.run)
    from shiftlens.repeat import repeat_run

    return 0 if repeat_run(config.run, config.out, config.discard).same else 1
