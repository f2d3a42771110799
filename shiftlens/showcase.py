"""The run behind ``shiftlens demo``: the whole of shiftlens, on the embedded model, offline."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partialmethod
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd
from tqdm import tqdm

from shiftlens.config import DemoConfig, SweepConfig, TrainConfig
from shiftlens.demo import GROUPS
from shiftlens.files import running, saving
from shiftlens.folders.runs import DemoFolder
from shiftlens.reports.demo import Report, Training, accuracy_table, write_report
from shiftlens.runs import SweepRun, run_sweep
from shiftlens.settings import preset_path, read_settings
from shiftlens.train import TrainRun, run_train
from shiftlens.whose import check_run_folder

ARMS = {
    "msft": "MSFT",
    "shifcon": "ShifCon",
}
"""The arms that are trained, and what they are called."""

OVERRIDES: dict[str, dict[str, float]] = {
    "msft": {"learning_rate": 6e-4},
    "msft-parallel": {"learning_rate": 6e-4},
    "shift-only": {"learning_rate": 6e-4},
    "recentred": {"temperature": 1.0},
    "anchored-only": {"w_con": 2.0},
    "anchored-shift": {"w_con": 2.0},
}
"""Where an arm's settings are not the preset's, each the best that was found on validation."""

HELD_OUT = "demo:test"
"""What the models are judged on; no training sees it."""

TITLE = "shiftlens demo: ShifCon on a small multilingual model"
PAGE = "index.html"
LOG = "log.txt"


@dataclass(frozen=True)
class Showcase:
    """A finished demo.

    Attributes:
        sweep: The layer sweep of the base model.
        runs: What each arm is called, to its training.
        table: Accuracy by group of languages, a row a model.
        page: The HTML page.
    """

    sweep: SweepRun
    runs: dict[str, TrainRun]
    table: pd.DataFrame
    page: Path


def run_showcase(config: DemoConfig, say: Callable[[str], None] = print) -> Showcase:
    """Sweep the embedded model, train every arm from it, compare, and write one HTML page.

    All arms have the same base, seed, steps and data: the settings of the preset ``demo``, with
    each arm's own ``OVERRIDES``; both were chosen on the validation split. The
    run folder then holds ``sweep/``, a folder an arm, ``log.txt`` and ``index.html``. A run that
    was killed goes on where it was.

    Args:
        config: The settings.
        say: Receives the lines that a person reads.

    Returns:
        The run.

    Raises:
        ShiftlensError: The folder cannot be written to, or holds something else.
    """
    sweep = _sweep_config(Path(config.out))
    check_run_folder(config)
    check_run_folder(sweep, may_change=("out",))
    with running(config.out):
        return _run_showcase(Path(config.out), say)


def _run_showcase(out: Path, say: Callable[[str], None]) -> Showcase:
    settings = settings_of("shifcon")
    say(_step(1, "layer sweep of the embedded model"))
    with _details_in(out / LOG):
        sweep = run_sweep(_sweep_config(out))
    say(f"      area: {sweep.sweep.area}; the preset trains in {settings['area']}")
    runs = {}
    for number, (arm, name) in enumerate(ARMS.items(), 2):
        say(_step(number, f"{name}: {settings['steps']} steps, sweep and test before and after"))
        with _details_in(out / LOG):
            train = TrainConfig(**settings_of(arm), out=str(out / arm), test=HELD_OUT)
            runs[name] = run_train(train)
    say(_step(len(ARMS) + 2, "the page"))
    report = _report(runs, out)
    page = write_report(out / PAGE, report)
    table = accuracy_table(report)
    shown = table.to_string(float_format="{:.3f}".format)
    say(f"\naccuracy on held-out questions, {HELD_OUT}\n{shown}\n\n{page}")
    return Showcase(sweep, runs, table, page)


def _sweep_config(out: Path) -> SweepConfig:
    settings = settings_of("shifcon")
    return SweepConfig(settings["model"], settings["parallel"], str(out / "sweep"))


def write_demo_page(folder: DemoFolder, path: Path | None = None) -> Path:
    """Write the page of a finished demo again.

    Args:
        folder: What the demo left.
        path: The file; by default the demo's own.

    Returns:
        The file.
    """
    trainings = {ARMS[name]: folder.trainings[name] for name in ARMS if name in folder.trainings}
    return write_report(path or folder.out / PAGE, _report(trainings, folder.out))


def _report(runs: Mapping[str, Training], out: Path) -> Report:
    return Report(TITLE, runs, GROUPS, f"shiftlens demo --out {out}")


def settings_of(arm: str) -> dict[str, Any]:
    """The settings that an arm of the demo is trained with: the preset's, with its own on top."""
    return {**read_settings(preset_path("demo"), TrainConfig), **OVERRIDES.get(arm, {}), "arm": arm}


def _step(number: int, what: str) -> str:
    return f"[{number}/{len(ARMS) + 2}] {what}"


@contextlib.contextmanager
def _details_in(log: Path) -> Iterator[None]:
    """Send what is printed inside to a file; a progress bar stays until it is done."""
    passing = partialmethod(tqdm.__init__, leave=False)
    with (
        saving(log),
        log.open("a", encoding="utf-8") as file,
        contextlib.redirect_stdout(file),
        mock.patch.object(tqdm, "__init__", passing),
    ):
        yield
