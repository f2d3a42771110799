"""What each choice of the estimator does to the curve and to the area, one panel a choice."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shiftlens.errors import ShiftlensError
from shiftlens.plots.labels import LAYER_AXIS, layer_step, metric_label
from shiftlens.plots.style import AREA_COLOUR, FLOOR_COLOUR, PALETTE, shared_style

_COLUMNS = ("choice", "layer", "distance", "floor")
_WIDTH = 6.8
_ROW_HEIGHT = 1.5
_MARGIN = 0.4
_ACROSS = 3
_MOST_TICKS = 9


def estimator_choices(
    curves: pd.DataFrame,
    areas: dict[str, tuple[int, int]],
    notes: dict[str, str],
    metric: str = "affine_invariant",
) -> Figure:
    """Draw the mean curve and the floor of every choice over those of the first.

    Args:
        curves: Tidy ``choice, layer, distance, floor``: the mean over the languages and the
            dominant language's own distance. The first choice is drawn in every panel.
        areas: Choice to the area that it chooses, shaded, where it has one.
        notes: Choice to a line under its name.
        metric: Of the curves.

    Returns:
        The figure, two page columns (6.8 in) wide, tied to no window or notebook.

    Raises:
        ShiftlensError: The table lacks a column or has no rows.
    """
    if missing := [column for column in _COLUMNS if column not in curves.columns]:
        raise ShiftlensError(f"the table of choices lacks the column(s) {', '.join(missing)}")
    if curves.empty:
        raise ShiftlensError("the table of choices has no rows")
    choices = list(curves["choice"].unique())
    rows = -(-len(choices) // _ACROSS)
    own = {choice: curves[curves["choice"] == choice].sort_values("layer") for choice in choices}
    with shared_style():
        figure = Figure(figsize=(_WIDTH, _ROW_HEIGHT * rows + _MARGIN))
        panels = figure.subplots(rows, _ACROSS, sharex=True, sharey=True, squeeze=False).flat
        for axes in panels[len(choices) :]:
            axes.remove()
        for axes, choice in zip(panels[: len(choices)], choices, strict=True):
            if choice in areas:
                axes.axvspan(*areas[choice], color=AREA_COLOUR, linewidth=0, zorder=0)
            _draw(axes, own[choices[0]], FLOOR_COLOUR, choices[0])
            if choice != choices[0]:
                _draw(axes, own[choice], PALETTE[0], "with the choice named above")
            axes.set_title(choice, pad=11)
            axes.annotate(
                notes.get(choice, ""),
                (0.5, 1),
                xycoords="axes fraction",
                xytext=(0, 2.5),
                textcoords="offset points",
                ha="center",
                fontsize="small",
            )
        last = int(curves["layer"].max())
        panels[0].set_ylim(bottom=min(0.0, panels[0].get_ylim()[0]))
        panels[0].set_xticks(range(0, last + 1, layer_step(last, _MOST_TICKS)))
        label = metric_label(metric)
        figure.supylabel(f"{label.words}, mean", fontsize="medium")
        figure.supxlabel(LAYER_AXIS, fontsize="medium")
        entries = panels[len(choices) - 1].get_legend_handles_labels()
        figure.legend(*entries, loc="outside upper center", ncols=4)
        figure.draw_without_rendering()
    return figure


def _draw(axes: Axes, own: pd.DataFrame, colour: str, name: str) -> None:
    axes.plot(own["layer"], own["distance"], color=colour, marker="o", label=name)
    axes.plot(own["layer"], own["floor"], color=colour, ls="--", label=f"{name}, floor")
