"""How often intervals hold the answer that they are meant to hold."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shiftlens.errors import ShiftlensError
from shiftlens.plots.labels import metric_label
from shiftlens.plots.style import ENGLISH_COLOUR, PALETTE, shared_style

COLUMNS = ("case", "metric", "interval", "share", "low", "high")
_WIDTH = 6.8
_ROW = 0.26
_MARGIN = 0.8
_DODGE = 0.56
_MARKERS = ("o", "D", "s", "^", "v")


def interval_coverage(table: pd.DataFrame, level: float = 0.95) -> Figure:
    """Draw how often intervals held the answer: one panel a case, one row a metric.

    Args:
        table: Tidy ``case, metric, interval, share, low, high``: the share of the trials, in 0..1,
            in which that kind of interval held the answer, and the share's own interval.
        level: The share that the intervals claim, drawn as a line.

    Returns:
        The figure, two page columns (6.8 in) wide, tied to no window or notebook.

    Raises:
        ShiftlensError: The table lacks a column or has no rows.
    """
    if missing := [column for column in COLUMNS if column not in table.columns]:
        raise ShiftlensError(f"the table of coverages lacks the column(s) {', '.join(missing)}")
    if table.empty:
        raise ShiftlensError("the table of coverages has no rows")
    cases, metrics = table["case"].unique(), list(table["metric"].unique())
    with shared_style():
        figure = Figure(figsize=(_WIDTH, _MARGIN + _ROW * len(metrics)))
        panels = figure.subplots(1, len(cases), sharex=True, sharey=True, squeeze=False)[0]
        for axes, case in zip(panels, cases, strict=True):
            axes.axvline(100 * level, color=ENGLISH_COLOUR, lw=0.8, ls="--")
            _draw(axes, table[table["case"] == case], metrics, list(table["interval"].unique()))
            axes.set_title(case)
            axes.set_xlabel("intervals that hold the answer (%)")
        panels[0].set_yticks(range(len(metrics)), [metric_label(name).words for name in metrics])
        panels[0].set_ylim(len(metrics) - 0.5, -0.5)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
        figure.draw_without_rendering()
    return figure


def _draw(axes: Axes, table: pd.DataFrame, metrics: list[str], intervals: list[str]) -> None:
    offsets = np.linspace(-_DODGE / 2, _DODGE / 2, len(intervals)) if len(intervals) > 1 else [0.0]
    for number, (interval, offset) in enumerate(zip(intervals, offsets, strict=True)):
        rows = table[table["interval"] == interval]
        share, low, high = (100 * rows[column].to_numpy() for column in ("share", "low", "high"))
        axes.errorbar(
            share,
            [metrics.index(name) + offset for name in rows["metric"]],
            xerr=(share - low, high - share),
            ls="",
            elinewidth=0.8,
            color=PALETTE[number % len(PALETTE)],
            marker=_MARKERS[number % len(_MARKERS)],
            label=interval,
        )
