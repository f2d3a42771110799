"""Mean distance to the dominant language by layer, before and after training."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from plotly.subplots import make_subplots

from shiftlens.errors import ShiftlensError
from shiftlens.languages import language_name
from shiftlens.plots.curves import check_area, curves
from shiftlens.plots.geometry import PANELS
from shiftlens.plots.labels import LAYER_AXIS, area_text, layer_step, metric_label
from shiftlens.plots.page import lay_out
from shiftlens.plots.style import AREA_COLOUR, FLOOR_COLOUR, MEAN_COLOUR, PALETTE, shared_style

METRICS = ("affine_invariant", "mean_distance_rms")
_COLOURS = {"before": MEAN_COLOUR, "after": PALETTE[1], "shifted": PALETTE[0]}
_MARKERS = {"before": "o", "after": "s", "shifted": "^"}
_SYMBOLS = {"before": "circle", "after": "square", "shifted": "triangle-up"}
_FLOOR = "split-half floor after training"


def distance_before_after(
    sweeps: Mapping[str, pd.DataFrame],
    area: tuple[int, int],
    dominant: str = "en",
    title: str | None = None,
) -> Figure:
    """Draw the mean distance to the dominant language by layer, one line a sweep.

    One panel a term of ShifCon's distance: the affine-invariant one, which a shift leaves as it
    is where it is made, and the distance of the means, relative to the states' norm, which it
    takes to zero there.

    Args:
        sweeps: ``before``, ``after`` and perhaps ``shifted`` to the sweep's tidy table.
        area: Shift-toward and shift-back layer, shaded.
        dominant: Code of the dominant language; its own distance after training is the floor.
        title: Text above the panels.

    Returns:
        The figure, tied to no window or notebook.

    Raises:
        ShiftlensError: A table cannot give its curve; the message says why.
    """
    lines = _lines(sweeps, area, dominant)
    with shared_style():
        figure = Figure(figsize=(6.6, 2.6))
        for axes, metric in zip(figure.subplots(1, len(METRICS)), METRICS, strict=True):
            _draw(axes, lines[metric], metric, area)
        handles, names = axes.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=len(names))
        figure.suptitle(title or _title(sweeps, dominant))
        figure.draw_without_rendering()
    return figure


def distance_before_after_interactive(
    sweeps: Mapping[str, pd.DataFrame],
    area: tuple[int, int],
    dominant: str = "en",
    title: str | None = None,
) -> go.Figure:
    """Draw what :func:`distance_before_after` draws, for the screen; arguments are the same.

    Raises:
        ShiftlensError: A table cannot give its curve; the message says why.
    """
    lines = _lines(sweeps, area, dominant)
    figure = make_subplots(1, len(METRICS), horizontal_spacing=0.1)
    for column, metric in enumerate(METRICS, start=1):
        for name, line in lines[metric].items():
            figure.add_trace(_trace(name, line, column == 1), 1, column)
        label = metric_label(metric)
        text = f"{label.words}  {label.markup}".strip()
        figure.update_yaxes(title_text=text, rangemode="tozero", row=1, col=column)
        step = layer_step(int(line.index[-1]))
        figure.update_xaxes(title_text=LAYER_AXIS, tick0=0, dtick=step, row=1, col=column)
    figure.add_vrect(
        *area,
        fillcolor=AREA_COLOUR,
        line_width=0,
        layer="below",
        annotation_text=area_text(area),
        annotation_position="outside top",
    )
    lay_out(figure, title or _title(sweeps, dominant))
    return figure


def _title(sweeps: Mapping[str, pd.DataFrame], dominant: str) -> str:
    others = sweeps["before"]["language"].nunique() - 1
    return f"Distance to {language_name(dominant)}, mean of {others} languages"


def _lines(
    sweeps: Mapping[str, pd.DataFrame], area: tuple[int, int], dominant: str
) -> dict[str, dict[str, pd.Series]]:
    """Metric to the curves of its panel: one of each sweep, and the floor."""
    if unknown := [name for name in sweeps if name not in PANELS]:
        raise ShiftlensError(f"no such sweep {unknown[0]!r}; choose from {', '.join(PANELS)}")
    check_area(sweeps["before"], area)
    return {
        metric: {
            **{name: curves(table, metric, dominant).mean for name, table in sweeps.items()},
            _FLOOR: curves(sweeps["after"], metric, dominant).floor,
        }
        for metric in METRICS
    }


def _draw(axes: Axes, lines: Mapping[str, pd.Series], metric: str, area: tuple[int, int]) -> None:
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
    for name, line in lines.items():
        axes.plot(
            line.index,
            line,
            color=_COLOURS.get(name, FLOOR_COLOUR),
            marker=_MARKERS.get(name),
            ls="-" if name in PANELS else "--",
            label=PANELS.get(name, name),
        )
    label = metric_label(metric)
    axes.set_ylabel(f"{label.words}\n{label.formula}".strip())
    axes.set_xlabel(LAYER_AXIS)
    axes.set_ylim(bottom=0)
    axes.set_xticks(range(0, line.index[-1] + 1, layer_step(line.index[-1])))


def _trace(name: str, line: pd.Series, in_legend: bool) -> go.Scatter:
    sweep = name in PANELS
    return go.Scatter(
        x=line.index.to_list(),
        y=line.to_list(),
        name=PANELS.get(name, name),
        legendgroup=name,
        showlegend=in_legend,
        mode="lines+markers" if sweep else "lines",
        line={
            "color": _COLOURS.get(name, FLOOR_COLOUR),
            "width": 2,
            "dash": "solid" if sweep else "dash",
        },
        marker={"symbol": _SYMBOLS.get(name), "size": 7},
        hovertemplate="<b>%{fullData.name}</b><br>layer %{x}<br>%{y:.4g}<extra></extra>",
    )
