"""The command line: thin, and quick to answer because everything heavy is imported late."""

import inspect
import os
import sys
from collections.abc import Callable, Sequence

import tyro

from shiftlens import __version__
from shiftlens.commands.making import (
    CheckConfig,
    VerifyConfig,
    check,
    demo,
    metrics,
    serve,
    sweep,
    train,
    verify,
)
from shiftlens.commands.models import EvalConfig, ExportConfig, evaluate, export
from shiftlens.commands.planning import RepeatConfig, plan, repeat
from shiftlens.commands.reading import (
    CompareConfig,
    PlotConfig,
    ReportConfig,
    compare,
    plot,
    report,
)
from shiftlens.commands.steer import steer
from shiftlens.config import DemoConfig, ServeConfig, SweepConfig, TrainConfig
from shiftlens.errors import ShiftlensError
from shiftlens.plan_config import PlanConfig
from shiftlens.settings import with_settings_files
from shiftlens.steering_config import SteerConfig

EXAMPLES = """
examples:
  shiftlens demo --out runs/demo
  shiftlens sweep --model ./my-model --corpus DIR --languages en,es,fr,de --out runs/first
  shiftlens train --preset demo --test demo:validation --out runs/train
  shiftlens report runs/first
  shiftlens serve --model demo
  shiftlens check ./my-model
  shiftlens verify runs/first
"""


COMMANDS: dict[str, tuple[type | None, Callable[..., int]]] = {
    "demo": (DemoConfig, demo),
    "plan": (PlanConfig, plan),
    "sweep": (SweepConfig, sweep),
    "train": (TrainConfig, train),
    "plot": (PlotConfig, plot),
    "report": (ReportConfig, report),
    "compare": (CompareConfig, compare),
    "export": (ExportConfig, export),
    "eval": (EvalConfig, evaluate),
    "steer": (SteerConfig, steer),
    "serve": (ServeConfig, serve),
    "check": (CheckConfig, check),
    "verify": (VerifyConfig, verify),
    "repeat": (RepeatConfig, repeat),
    "metrics": (None, metrics),
}
RESUMABLE = ("demo", "sweep", "train")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: Those of the command line unless given.

    Returns:
        Exit code: 0 done, 1 a check failed, 2 a mistake in what was asked for (one line on
        stderr says which), 130 interrupted.
    """
    name, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name == "--version":
        print(f"shiftlens {__version__}")
        return 0
    if name not in COMMANDS:
        return _overview(None if name in ("-h", "--help") else name)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    settings, command = COMMANDS[name]
    description = inspect.getdoc(command)
    try:
        if settings is None:
            return tyro.cli(command, prog=f"shiftlens {name}", description=description, args=rest)
        rest = with_settings_files(rest, settings)
        return command(
            tyro.cli(settings, prog=f"shiftlens {name}", description=description, args=rest)
        )
    except ShiftlensError as error:
        print(f"shiftlens: {' '.join(str(error).splitlines())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        more = "; the same command goes on where it was" if name in RESUMABLE else ""
        print(f"shiftlens: interrupted{more}", file=sys.stderr)
        return 130


def _overview(unknown: str | None) -> int:
    """What there is: printed for ``--help``, and for a command that is not there."""
    if unknown is not None:
        print(
            f"shiftlens: no command {unknown!r}; choose from {', '.join(COMMANDS)}",
            file=sys.stderr,
        )
        return 2
    lines = [
        f"shiftlens {__version__}: see where languages live inside a multilingual language model,",
        "layer by layer, and move them.",
        "",
        "usage: shiftlens COMMAND [OPTIONS]     (shiftlens COMMAND --help for its options)",
        "",
    ]
    width = max(map(len, COMMANDS))
    for name, (_, command) in COMMANDS.items():
        lines.append(f"  {name:{width}}  {(inspect.getdoc(command) or '').splitlines()[0]}")
    print("\n".join([*lines, EXAMPLES]), end="")
    return 0
