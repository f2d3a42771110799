"""Distance of every language to the dominant one by layer, for the printed page."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shiftlens.languages import language_name
from shiftlens.plots.curves import Curves, check_area, curves
from shiftlens.plots.labels import (
    LAYER_AXIS,
    area_text,
    floor_text,
    layer_step,
    mean_text,
    metric_label,
    reference_text,
)
from shiftlens.plots.style import (
    AREA_COLOUR,
    FLOOR_COLOUR,
    MEAN_COLOUR,
    language_styles,
    shared_style,
)

_AXES_HEIGHT = 2.1
_LEGEND_ROW = 0.125


def layer_distance(
    table: pd.DataFrame,
    area: tuple[int, int] | None,
    dominant: str = "en",
    metric: str = "affine_invariant",
    title: str | None = None,
) -> Figure:
    """Draw one metric of a sweep, one line per language, for a page column 3.3 in wide.

    Bands are the table's 95% intervals, where it has any.

    Args:
        table: The sweep's tidy table.
        area: Shift-toward and shift-back layer, shaded; None where there is no area.
        dominant: Code of the language whose rows are the split-half floor.
        metric: Which of the table's metrics to draw.
        title: Text above the axes.

    Returns:
        The figure, tied to no window or notebook.

    Raises:
        ShiftlensError: If the table cannot give the figure; the message says why.
    """
    lines = curves(table, metric, dominant)
    with shared_style():
        figure = Figure()
        axes = figure.add_subplot()
        if area is not None:
            check_area(table, area)
            draw_area(axes, area)
        draw_lines(axes, lines, dominant, metric)
        label = metric_label(metric)
        axes.set_ylabel(f"{label.words}\n{label.formula}".strip())
        axes.set_xlabel(LAYER_AXIS)
        layers = lines.languages.index
        axes.set_xticks(range(layers[0], layers[-1] + 1, layer_step(layers[-1])))
        add_legend(figure, axes, _AXES_HEIGHT)
        if title:
            figure.suptitle(title)
        figure.draw_without_rendering()
    return figure


def draw_area(axes: Axes, area: tuple[int, int]) -> None:
    """Shade a layer area and name it above the axes."""
    axes.axvspan(*area, color=AREA_COLOUR, linewidth=0, zorder=0)
    axes.annotate(
        area_text(area),
        (sum(area) / 2, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, 2.5),
        textcoords="offset points",
        ha="center",
        fontsize="small",
    )


def draw_lines(axes: Axes, lines: Curves, dominant: str, metric: str) -> None:
    """Draw a line for each language, their mean, the floor, and what chance would show."""
    styles = language_styles([dominant, *map(str, lines.languages)])
    for code, values in lines.languages.items():
        style = styles[str(code)]
        _draw_band(axes, lines, str(code), style.colour)
        axes.plot(
            values.index,
            values,
            color=style.colour,
            marker=style.marker,
            ms=style.size,
            markevery=layer_step(values.index[-1]),
            label=language_name(str(code)),
        )
    floor = floor_text(dominant, metric)
    if (several := len(lines.languages.columns)) > 1:
        axes.plot(lines.mean.index, lines.mean, color=MEAN_COLOUR, lw=2, label=mean_text(several))
    _draw_band(axes, lines, dominant, FLOOR_COLOUR)
    axes.plot(lines.floor.index, lines.floor, color=FLOOR_COLOUR, ls="--", label=floor)
    if lines.reference.notna().any():
        axes.plot(
            lines.reference.index,
            lines.reference,
            color=FLOOR_COLOUR,
            ls=":",
            label=reference_text(metric),
        )


def _draw_band(axes: Axes, lines: Curves, language: str, colour: str) -> None:
    if band := lines.band(language):
        axes.fill_between(lines.mean.index, *band, color=colour, alpha=0.2, linewidth=0)


def add_legend(figure: Figure, axes: Axes, height: float, most: int = 3) -> None:
    """Put a legend under all axes, in as many columns as the names leave room for.

    Args:
        figure: The figure, made as high as its axes and the legend need.
        axes: Those whose lines are named.
        height: Inches that the figure takes without its legend.
        most: Columns of the legend where names are short.
    """
    entries = axes.get_legend_handles_labels()
    for columns in range(most, 0, -1):
        legend = figure.legend(*entries, loc="outside lower center", ncols=columns)
        if legend.get_window_extent().width <= figure.bbox.width or columns == 1:
            break
        legend.remove()
    figure.set_figheight(height + _LEGEND_ROW * -(-len(entries[1]) // columns))
