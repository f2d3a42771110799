"""Sweeps side by side: the same metric on states of different kinds."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from shiftlens.errors import ShiftlensError
from shiftlens.plots.curves import check_area, curves
from shiftlens.plots.labels import LAYER_AXIS, layer_step, metric_label
from shiftlens.plots.layer_distance import draw_area, draw_lines
from shiftlens.plots.style import shared_style

_WIDTH = 6.8
_HEIGHT = 2.1
_LEGEND_ROW = 0.125
_COLUMNS = 5


def layer_distance_panels(
    sweeps: Mapping[str, pd.DataFrame],
    areas: Mapping[str, tuple[int, int]],
    dominant: str = "en",
    metric: str = "affine_invariant",
) -> Figure:
    """Draw one metric of several sweeps, a panel each with an axis of its own from 0.

    Args:
        sweeps: Title of the panel to the sweep's tidy table, all of the same languages.
        areas: Title to the shift-toward and shift-back layer, shaded where there are any.
        dominant: Code of the language whose rows are the split-half floor.
        metric: Which of the tables' metrics to draw.

    Returns:
        The figure, two page columns (6.8 in) wide, tied to no window or notebook.

    Raises:
        ShiftlensError: There is no sweep, or one cannot give its panel; the message says why.
    """
    if not sweeps:
        raise ShiftlensError("there is no sweep to draw; give at least one")
    lines = {title: curves(table, metric, dominant) for title, table in sweeps.items()}
    with shared_style():
        figure = Figure(figsize=(_WIDTH, _HEIGHT))
        panels = figure.subplots(1, len(sweeps), squeeze=False)[0]
        for axes, (title, own) in zip(panels, lines.items(), strict=True):
            if title in areas:
                check_area(sweeps[title], areas[title])
                draw_area(axes, areas[title])
            draw_lines(axes, own, dominant, metric)
            axes.set_title(title, pad=12)
            axes.set_ylim(*_from_zero(*axes.get_ylim()))
            layers = own.mean.index
            axes.set_xticks(range(layers[0], layers[-1] + 1, layer_step(layers[-1])))
        label = metric_label(metric)
        panels[0].set_ylabel(f"{label.words}\n{label.formula}".strip())
        figure.supxlabel(LAYER_AXIS, fontsize="medium")
        entries = panels[0].get_legend_handles_labels()
        figure.legend(*entries, loc="outside upper center", ncols=_COLUMNS)
        figure.set_figheight(_HEIGHT + _LEGEND_ROW * -(-len(entries[1]) // _COLUMNS))
        figure.draw_without_rendering()
    return figure


def _from_zero(low: float, high: float) -> tuple[float, float]:
    return min(low, 0.0), max(high, 0.0)
