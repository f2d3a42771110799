"""The command line: thin, and quick to answer because everything heavy is imported late."""

import contextlib
import errno
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import NoneType
from typing import Any, get_args

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from shiftlens import __version__, ranks
from shiftlens.commands.lens import lens
from shiftlens.commands.making import (
    CheckConfig,
    VerifyConfig,
    check,
    collect,
    demo,
    metrics,
    serve,
    sweep,
    train,
    verify,
)
from shiftlens.commands.models import EvalConfig, ExportConfig, evaluate, export
from shiftlens.commands.neurons import neurons
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
from shiftlens.errors import ShiftlensError, without_secrets
from shiftlens.lens_config import LensConfig
from shiftlens.memory import use_huge_pages
from shiftlens.neurons_config import NeuronsConfig
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
    "collect": (SweepConfig, collect),
    "sweep": (SweepConfig, sweep),
    "train": (TrainConfig, train),
    "plot": (PlotConfig, plot),
    "report": (ReportConfig, report),
    "compare": (CompareConfig, compare),
    "export": (ExportConfig, export),
    "eval": (EvalConfig, evaluate),
    "lens": (LensConfig, lens),
    "steer": (SteerConfig, steer),
    "neurons": (NeuronsConfig, neurons),
    "serve": (ServeConfig, serve),
    "check": (CheckConfig, check),
    "verify": (VerifyConfig, verify),
    "repeat": (RepeatConfig, repeat),
    "metrics": (None, metrics),
}
RESUMABLE = ("demo", "collect", "sweep", "train", "lens", "neurons", "steer")
LAUNCHABLE = ("collect", "sweep", "train")
_KINDS = ConstructorRegistry()
OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EACCES, errno.EIO)
"""Errors that no mistake of ours explains."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: Those of the command line unless given.

    Returns:
        Exit code: 0 done, 1 a check failed, 2 a mistake in what was asked for (one line on
        stderr says which), 130 interrupted, 141 with nobody to read what is printed.
    """
    name, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name == "--version":
        print(f"shiftlens {__version__}")
        return 0
    if name not in COMMANDS:
        return _overview(None if name in ("-h", "--help") else name)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    use_huge_pages()
    try:
        with ranks.hushed():
            return _run(name, rest)
    except ShiftlensError as error:
        if not (ranks.silent() and isinstance(error, ranks.SharedError)):
            print(f"shiftlens: {' '.join(str(error).splitlines())}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        if _read():
            raise
        with contextlib.suppress(OSError, ValueError):  # Python would say so once more
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if error.errno not in OF_THE_DISK:
            raise
        print(f"shiftlens: {error.filename or name}: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        more = "; the same command goes on where it was" if name in RESUMABLE else ""
        if not ranks.silent():
            print(f"shiftlens: interrupted{more}", file=sys.stderr)
        return 130


def _read() -> bool:
    """Whether anybody still reads what is printed, as with ``| head`` nobody does."""
    try:
        print(flush=True)
    except BrokenPipeError:
        return False
    return True


def _run(name: str, rest: list[str]) -> int:
    settings, command = COMMANDS[name]
    options: Any = {"prog": f"shiftlens {name}", "description": inspect.getdoc(command)}
    if ranks.launched() > 1 and name not in LAUNCHABLE:
        raise ranks.SharedError(
            f"{name} runs in one process; start it without a launcher, which takes "
            f"{', '.join(LAUNCHABLE)}"
        )
    if settings is None:
        return tyro.cli(command, args=rest, **options)
    options["registry"] = _KINDS
    with ranks.hushed(errors=True):
        rest = with_settings_files(rest, settings)
        _refuse_secrets(rest)
        config = tyro.cli(settings, args=rest, **options)
    if ranks.launched() == 1:
        from shiftlens.asked import check_asked

        check_asked(config)
    with ranks.joined(getattr(config, "device", "auto")):
        return command(config)


@_KINDS.primitive_rule
def _left_out_by_default(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """A setting that may be left out is shown as one of its kind: STR, not {None}|STR."""
    kinds = [kind for kind in get_args(info.type) if kind is not NoneType]
    if NoneType not in get_args(info.type) or len(kinds) > 1:
        return None
    spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(kinds[0], info.markers))
    assert isinstance(spec, PrimitiveConstructorSpec)
    read, written, fits = spec.instance_from_str, spec.str_from_instance, spec.is_instance
    return replace(
        spec,
        instance_from_str=lambda given: None if given == ["None"] else read(given),
        str_from_instance=lambda value: ["None"] if value is None else written(value),
        is_instance=lambda value: value is None or fits(value),
    )


@_KINDS.primitive_rule
def _whole_number(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """What is no whole number is told as such."""
    if info.type is not int:
        return None

    def read(given: list[str]) -> int:
        try:
            return int(given[0])
        except ValueError:
            raise ValueError(f"give a whole number, not {given[0]!r}") from None

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="INT",
        instance_from_str=read,
        is_instance=lambda value: isinstance(value, int),
        str_from_instance=lambda value: [str(value)],
    )


def _refuse_secrets(arguments: Sequence[str]) -> None:
    """Settings are written to the run folder and shown in reports: no token belongs there."""
    if any(argument != without_secrets(argument) for argument in arguments):
        raise ShiftlensError(
            "a setting holds a token or a password, and settings are written to files; give a "
            "token as the environment variable HF_TOKEN"
        )


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
