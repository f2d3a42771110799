"""One self-contained HTML page of trainings from one base model."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import yaml

from shiftlens.layer_sweep import LayerSweep
from shiftlens.plots import PALETTE, layer_distance_interactive
from shiftlens.plots.stages_page import Stage, layer_distance_stages
from shiftlens.plots.style import MEAN_COLOUR
from shiftlens.reports.parts import curves_part, picture, write_page

BASE = "base"
GEOMETRY = "geometry.png"


class Model(Protocol):
    """What a page tells of the base model."""

    @property
    def name(self) -> str:
        """What the settings call it."""

    @property
    def n_layers(self) -> int:
        """Its blocks."""

    @property
    def d_model(self) -> int:
        """Its width."""


class Training(Protocol):
    """A training as a page looks at it: one just finished, or the folder of one."""

    @property
    def out(self) -> Path:
        """The run folder."""

    @property
    def model(self) -> Model:
        """The model."""

    @property
    def before(self) -> LayerSweep:
        """The sweep before training."""

    @property
    def after(self) -> LayerSweep:
        """The sweep after it."""

    @property
    def shifted(self) -> LayerSweep | None:
        """The sweep with the shift on."""

    @property
    def results(self) -> pd.DataFrame | None:
        """Test results."""


@dataclass(frozen=True)
class Report:
    """What a page tells.

    Attributes:
        title: Its title.
        runs: Name to training; all from one base model, on the same data, with the same test.
        groups: Group of languages to codes, the dominant language's first.
        command: What repeats all of it.
    """

    title: str
    runs: Mapping[str, Training]
    groups: Mapping[str, Sequence[str]]
    command: str

    @property
    def first(self) -> Training:
        """The training whose sweep and test before training stand for the base model's."""
        return next(iter(self.runs.values()))


def language_table(report: Report) -> pd.DataFrame:
    """Exact match of the greedy answer by language, a column a model, the base model first."""
    columns = {BASE: _exact_match(report.first, "before")}
    for name, run in report.runs.items():
        columns[f"{BASE} + {name}"] = _exact_match(run, "after")
    return pd.DataFrame(columns)


def accuracy_table(report: Report) -> pd.DataFrame:
    """Mean accuracy over the languages of each group, a row a model, the base model first."""
    table = language_table(report)
    return pd.DataFrame(
        {
            f"{group} ({' '.join(codes)})": table.loc[list(codes)].mean()
            for group, codes in report.groups.items()
        }
    )


def write_report(path: Path, report: Report) -> Path:
    """Write the page; it carries its own script and pictures and asks no host for anything.

    Args:
        path: The file.
        report: What it tells.

    Returns:
        The file.
    """
    return write_page(path, "report.html", **_context(report))


def _context(report: Report) -> dict[str, Any]:
    sweep = report.first.before
    area = _area(report.first)
    curves = layer_distance_interactive(sweep.table, area, sweep.dominant, sweep.metric)
    stages = layer_distance_stages(_stages(report), area, sweep.dominant, sweep.metric)
    return {
        "title": report.title,
        "report": report,
        "area": area,
        "base": report.first.model,
        "sweep": sweep,
        "questions": _questions(report.first),
        "by_group": accuracy_table(report),
        "by_language": language_table(report),
        "settings": _settings(report),
        "versions": _versions(report.first),
        "curves": curves_part(curves, "curves"),
        "stages": curves_part(stages, "stages"),
        "pictures": _pictures(report),
    }


def _exact_match(run: Training, when: str) -> pd.Series:
    assert run.results is not None, "a report compares test results"
    rows = run.results[run.results["when"] == when]
    return rows.set_index("language")["exact_match"]


def _questions(run: Training) -> str:
    """How many questions a language was asked, such as "120" or "80 to 120"."""
    assert run.results is not None, "a report compares test results"
    counts = run.results["n"]
    return " to ".join(str(n) for n in sorted({counts.min(), counts.max()}))


def _area(run: Training) -> tuple[int, int]:
    a, b = json.loads((run.out / "area.json").read_text(encoding="utf-8"))["trained_area"]
    return a, b


def _stages(report: Report) -> list[Stage]:
    """The base model, every trained one, and the shifted states of those that shift (dotted)."""
    stages = [Stage(BASE, report.first.before.table, MEAN_COLOUR)]
    for (name, run), colour in zip(report.runs.items(), PALETTE, strict=False):
        stages.append(Stage(f"{BASE} + {name}", run.after.table, colour))
        if run.shifted is not None:
            stages.append(Stage(f"{name}, with the shift on", run.shifted.table, colour, "dot"))
    return stages


def _pictures(report: Report) -> dict[str, str]:
    """Name of a training to its picture of the sentences before and after, as a data URI."""
    found = {}
    for name, run in report.runs.items():
        found[name] = picture(run.out / GEOMETRY)
    return found


def _settings(report: Report) -> pd.DataFrame:
    """Setting by training, without those that say where a run lies."""
    columns = {
        name: yaml.safe_load((run.out / "config.yaml").read_text(encoding="utf-8"))
        for name, run in report.runs.items()
    }
    return pd.DataFrame(columns, dtype=object).drop(index="out")


def _versions(run: Training) -> str:
    header, *_ = (run.out / "config.yaml").read_text(encoding="utf-8").splitlines()
    return header.removeprefix("# ")
