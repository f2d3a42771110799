"""What several models, with and without a shift, show by layer: one panel a measure."""

from textwrap import fill

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shiftlens.errors import ShiftlensError
from shiftlens.plots.arms import arm_name
from shiftlens.plots.curves import check_area
from shiftlens.plots.labels import LAYER_AXIS, area_text, layer_step, metric_label, reference_text
from shiftlens.plots.style import (
    AREA_COLOUR,
    ENGLISH_COLOUR,
    FLOOR_COLOUR,
    PALETTE,
    shared_style,
)

_COLUMNS = ("metric", "arm", "shift", "seed", "layer", "value", "reference", "floor")
_COLOURS = (ENGLISH_COLOUR, PALETTE[1], PALETTE[2], PALETTE[0], *PALETTE[3:])
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
_WIDTH = 6.8
_ROW = 1.75
_MARGIN = 0.55
_MOST_COLUMNS = 3
_TITLE = 32
_FLOOR = "split-half floor, in the model's colour"


def arms_by_layer(table: pd.DataFrame, area: tuple[int, int] | None = None) -> Figure:
    """Draw measures by layer, one panel a measure and one line a model, dashed with its shift on.

    A line is the mean over the seeds, its band their range.

    Args:
        table: Tidy ``metric, arm, shift, seed, layer, value, reference, floor``, one value a point
            and seed; ``shift`` is "off" or "on", ``reference`` the value of languages that have
            nothing to do with each other, and ``floor`` that of the dominant language against
            itself, drawn where there is no reference; NaN where there is none. Arms are coloured
            in their order, the model before training first.
        area: Shift-toward and shift-back layer, shaded; None where there is no area.

    Returns:
        The figure, two page columns (6.8 in) wide, tied to no window or notebook.

    Raises:
        ShiftlensError: The table lacks a column, has no rows or gives a point twice, or the area
            is not within its layers.
    """
    _check(table)
    if area is not None:
        check_area(table, area)
    metrics = [str(metric) for metric in table["metric"].unique()]
    columns = min(len(metrics), _MOST_COLUMNS)
    rows = -(-len(metrics) // columns)
    with shared_style():
        figure = Figure(figsize=(_WIDTH * columns / _MOST_COLUMNS, _ROW * rows + _MARGIN))
        panels = figure.subplots(rows, columns, sharex=True, squeeze=False).flatten()
        for axes in panels[len(metrics) :]:
            axes.set_axis_off()
        for axes, metric in zip(panels, metrics, strict=False):
            _draw(axes, table, metric, area)
        last = int(table["layer"].max())
        panels[0].set_xticks(range(int(table["layer"].min()), last + 1, layer_step(last)))
        for axes in panels[len(metrics) - columns : len(metrics)]:
            axes.xaxis.set_tick_params(labelbottom=True)
        panels[len(metrics) - columns + columns // 2].set_xlabel(LAYER_AXIS)
        _add_legend(figure, list(panels[: len(metrics)]))
        figure.draw_without_rendering()
    return figure


def _check(table: pd.DataFrame) -> None:
    if missing := [column for column in _COLUMNS if column not in table.columns]:
        raise ShiftlensError(f"the table of arms lacks the column(s) {', '.join(missing)}")
    if table.empty:
        raise ShiftlensError("the table of arms has no rows")
    twice = table[table.duplicated(["metric", "arm", "shift", "seed", "layer"])]
    if not twice.empty:
        first = twice.iloc[0]
        raise ShiftlensError(
            f"the table of arms gives {first['metric']!r} of {first['arm']!r}, seed "
            f"{first['seed']}, at layer {first['layer']} twice; average over the languages first"
        )


def _draw(axes: Axes, table: pd.DataFrame, metric: str, area: tuple[int, int] | None) -> None:
    if area is not None:
        axes.axvspan(*area, color=AREA_COLOUR, linewidth=0, zorder=0, label=area_text(area))
    rows = table[table["metric"] == metric]
    arms = list(table["arm"].unique())
    reference = rows.groupby("layer")["reference"].first()
    for (arm, shift), own in rows.groupby(["arm", "shift"], sort=False):
        place = arms.index(arm)
        colour, marker = _COLOURS[place % len(_COLOURS)], _MARKERS[place % len(_MARKERS)]
        _draw_arm(axes, own, arm_name(str(arm)), colour, marker, shift == "on")
        floor = own.groupby("layer")["floor"].mean()
        if shift == "off" and reference.isna().all() and floor.notna().any():
            label = "" if place else _FLOOR
            axes.plot(floor.index, floor, color=colour, ls="-.", lw=0.7, label=label)
    if reference.notna().any():
        text = reference_text(metric)
        axes.plot(reference.index, reference, color=FLOOR_COLOUR, ls=":", label=text)
    name = metric_label(metric)
    axes.set_title(f"{fill(name.words, _TITLE)}\n{name.formula}".strip())


def _draw_arm(
    axes: Axes, own: pd.DataFrame, name: str, colour: str, marker: str, shifted: bool
) -> None:
    seeds = own.pivot(index="layer", columns="seed", values="value")
    ends = seeds.min(axis=1), seeds.max(axis=1)
    axes.fill_between(seeds.index, *ends, color=colour, alpha=0.18, lw=0)
    axes.plot(
        seeds.index,
        seeds.mean(axis=1),
        color=colour,
        marker=marker,
        markerfacecolor="white" if shifted else colour,
        ls="--" if shifted else "-",
        label=f"{name}, shift on" if shifted else name,
    )


def _add_legend(figure: Figure, panels: list[Axes]) -> None:
    """One legend of all panels below them, in as many columns as the names leave room for."""
    entries = {
        name: handle
        for axes in panels
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    for columns in (5, 4, 3, 2, 1):
        legend = figure.legend(
            entries.values(), entries, loc="outside lower center", ncols=columns, handlelength=2.6
        )
        if legend.get_window_extent().width <= figure.bbox.width or columns == 1:
            break
        legend.remove()
    figure.set_figheight(figure.get_figheight() + 0.13 * -(-len(entries) // columns))
