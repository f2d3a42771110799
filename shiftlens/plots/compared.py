"""Mean curves of two runs on the same axes, for the screen."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from shiftlens.plots.labels import LAYER_AXIS, area_text, layer_step, metric_label
from shiftlens.plots.page import lay_out
from shiftlens.plots.style import PALETTE

_SIDES = (("first", PALETTE[0], "circle", "solid"), ("second", PALETTE[1], "square", "dash"))
"""Column, colour, marker and dash of each run."""


def compared_curves(
    tables: Mapping[str, pd.DataFrame],
    names: tuple[str, str],
    areas: tuple[tuple[int, int] | None, tuple[int, int] | None] = (None, None),
    title: str | None = None,
) -> go.Figure:
    """Draw the mean curves of two runs, with a menu of metrics.

    Args:
        tables: Metric to its table: index layer, columns ``first`` and ``second``; the first
            metric is shown first.
        names: What the two runs are called.
        areas: Their layer areas, marked by a bar each above the axes.
        title: Text above the axes.

    Returns:
        The figure.
    """
    first, *_ = tables
    layers = next(iter(tables.values())).index
    figure = go.Figure(
        [
            go.Scatter(
                x=layers,
                y=tables[first][column].to_list(),
                name=name,
                mode="lines+markers",
                line={"color": colour, "width": 2.5, "dash": dash},
                marker={"symbol": symbol, "size": 8},
                hovertemplate="%{y:.4g}",
            )
            for name, (column, colour, symbol, dash) in zip(names, _SIDES, strict=True)
        ]
    )
    buttons = [
        {
            "label": metric_label(metric).words.replace("\n", " "),
            "method": "update",
            "args": [
                {"y": [table[column].to_list() for column, *_ in _SIDES]},
                {"yaxis.title.text": _axis_text(metric)},
            ],
        }
        for metric, table in tables.items()
    ]
    lay_out(
        figure,
        title or f"{names[0]} and {names[1]}",
        updatemenus=[{"buttons": buttons, "showactive": True}],
        xaxis={"title_text": LAYER_AXIS, "tick0": 0, "dtick": layer_step(int(layers.max()))},
        yaxis_title_text=_axis_text(first),
        hovermode="x unified",
    )
    for place, (area, (_, colour, *_)) in enumerate(zip(areas, _SIDES, strict=True)):
        if area is not None:
            _mark(figure, area, colour, place)
    return figure


def _mark(figure: go.Figure, area: tuple[int, int], colour: str, place: int) -> None:
    """A bar from layer to layer above the axes, one over the other."""
    height = 1.06 - 0.04 * place
    figure.add_shape(
        type="line",
        x0=area[0],
        x1=area[1],
        y0=height,
        y1=height,
        yref="paper",
        line={"color": colour, "width": 5},
        opacity=0.5,
    )
    figure.add_annotation(
        text=area_text(area),
        font_size=11,
        x=area[1],
        y=height,
        yref="paper",
        xanchor="left",
        yanchor="middle",
        xshift=6,
        font_color=colour,
        showarrow=False,
    )


def _axis_text(metric: str) -> str:
    label = metric_label(metric)
    words = label.words.replace("\n", " ")
    return f"{words}  {label.markup}".strip()
