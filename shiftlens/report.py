"""One self-contained HTML page of trainings from one base model."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import plotly.graph_objects as go
import yaml
from plotly.offline import get_plotlyjs

from shiftlens.languages import language_name
from shiftlens.plots import PAGE_CONFIG, PALETTE, layer_distance_interactive
from shiftlens.plots.stages_page import Stage, layer_distance_stages
from shiftlens.plots.style import MEAN_COLOUR
from shiftlens.store import write_atomic
from shiftlens.train import TrainRun

BASE = "base"
GEOMETRY = "geometry.png"
HEIGHT = 520
LAYER = "layer (residual stream after block l)"
"""The layer axis on a narrow screen."""


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
    runs: Mapping[str, TrainRun]
    groups: Mapping[str, Sequence[str]]
    command: str

    @property
    def first(self) -> TrainRun:
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
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("shiftlens"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["language"] = language_name
    page = environment.get_template("report.html").render(_context(report))
    write_atomic(path, page.encode())
    return path


def _context(report: Report) -> dict[str, Any]:
    sweep = report.first.before
    area = _area(report.first)
    curves = layer_distance_interactive(sweep.table, area, sweep.dominant, sweep.metric)
    stages = layer_distance_stages(_stages(report), area, sweep.dominant, sweep.metric)
    return {
        "report": report,
        "area": area,
        "base": report.first.model,
        "sweep": sweep,
        "questions": _questions(report.first),
        "by_group": accuracy_table(report),
        "by_language": language_table(report),
        "settings": _settings(report),
        "versions": _versions(report.first),
        "plotly": get_plotlyjs(),
        "curves": _figure(curves, "curves"),
        "stages": _figure(stages, "stages"),
        "pictures": _pictures(report),
    }


def _exact_match(run: TrainRun, when: str) -> pd.Series:
    assert run.results is not None, "a report compares test results"
    rows = run.results[run.results["when"] == when]
    return rows.set_index("language")["exact_match"]


def _questions(run: TrainRun) -> str:
    """How many questions a language was asked, such as "120" or "80 to 120"."""
    assert run.results is not None, "a report compares test results"
    counts = run.results["n"]
    return " to ".join(str(n) for n in sorted({counts.min(), counts.max()}))


def _area(run: TrainRun) -> tuple[int, int]:
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


def _figure(figure: go.Figure, name: str) -> str:
    """A figure as a part of a page, laid out for a narrow screen as well."""
    figure.update_layout(
        title=None,
        height=HEIGHT,
        margin={"l": 56, "r": 12, "t": 76, "b": 40},
        font_family="system-ui, sans-serif",
        legend={"orientation": "h", "x": 0, "yref": "container", "y": 0, "yanchor": "bottom"},
        xaxis_title_text=LAYER,
    )
    place = {"x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom", "pad": {"b": 30}}
    figure.update_layout(updatemenus=[{"bgcolor": "white", **place}])
    return figure.to_html(
        config=PAGE_CONFIG,
        full_html=False,
        include_plotlyjs=False,
        include_mathjax=False,
        default_height=HEIGHT,
        div_id=f"figure-{name}",
    )


def _pictures(report: Report) -> dict[str, str]:
    """Name of a training to its picture of the sentences before and after, as a data URI."""
    found = {}
    for name, run in report.runs.items():
        content = (run.out / GEOMETRY).read_bytes()
        found[name] = "data:image/png;base64," + base64.b64encode(content).decode()
    return found


def _settings(report: Report) -> pd.DataFrame:
    """Setting by training, without those that say where a run lies."""
    columns = {
        name: yaml.safe_load((run.out / "config.yaml").read_text(encoding="utf-8"))
        for name, run in report.runs.items()
    }
    return pd.DataFrame(columns, dtype=object).drop(index="out")


def _versions(run: TrainRun) -> str:
    header, *_ = (run.out / "config.yaml").read_text(encoding="utf-8").splitlines()
    return header.removeprefix("# ")
