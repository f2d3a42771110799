"""Distance of every language to the dominant one by layer, for the screen."""

from html import escape
from math import isnan, nan
from typing import Any

import pandas as pd
import plotly.graph_objects as go

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
    LanguageStyle,
    language_styles,
)

_FONT = "DejaVu Sans, Verdana, sans-serif"


def layer_distance_interactive(
    table: pd.DataFrame,
    area: tuple[int, int] | None,
    dominant: str = "en",
    metric: str = "affine_invariant",
    title: str | None = None,
) -> go.Figure:
    """Draw every metric of a sweep for the screen, with a menu to choose between them.

    Bands are the table's 95% intervals, where it has any.

    Args:
        table: The sweep's tidy table.
        area: Shift-toward and shift-back layer, shaded; None where there is no area.
        dominant: Code of the language whose rows are the split-half floor.
        metric: Metric shown first.
        title: Text above the axes; by default it names the dominant language.

    Returns:
        The figure; hovering over a point shows what it was measured on.

    Raises:
        ShiftlensError: If the table cannot give the figure; the message says why.
    """
    codes = [str(code) for code in table["language"].unique() if code != dominant]
    metrics = [metric, *(name for name in table["metric"].unique() if name != metric)]
    data = {name: _trace_data(table, name, dominant, codes) for name in metrics}
    figure = go.Figure(_filled(codes, dominant, data[metric]))
    _lay_out(figure, layer_step(int(table["layer"].max())), metric)
    figure.update_layout(
        title_text=title or f"Each language against {language_name(dominant)}, layer by layer",
        updatemenus=[_menu(data)],
    )
    if area is not None:
        check_area(table, area)
        _mark_area(figure, area)
    return figure


def metric_traces(
    table: pd.DataFrame, metric: str, dominant: str, codes: list[str]
) -> list[go.Scatter]:
    """Return the lines and bands of one metric, each with what hovering shows.

    Args:
        table: The sweep's tidy table.
        metric: Which of its metrics.
        dominant: Code of the language whose rows are the floor.
        codes: The other languages, in the order of the lines.

    Returns:
        A line for each language, their mean, the floor and the reference, then the bands; those
        that the table has no numbers for are invisible, and so the mean of one language.

    Raises:
        ShiftlensError: If the table cannot give the lines; the message says why.
    """
    return _filled(codes, dominant, _trace_data(table, metric, dominant, codes))


def _filled(codes: list[str], dominant: str, data: dict[str, list[Any]]) -> list[go.Scatter]:
    looks = language_styles([dominant, *codes])
    styles = [looks[code] for code in codes]
    traces = [*_traces(codes, styles), *_bands(codes, styles)]
    for number, trace in enumerate(traces):
        trace.update({key: values[number] for key, values in data.items()})
    return traces


def _mark_area(figure: go.Figure, area: tuple[int, int]) -> None:
    figure.add_vrect(*area, fillcolor=AREA_COLOUR, line_width=0, layer="below")
    figure.add_annotation(
        text=area_text(area),
        x=sum(area) / 2,
        y=1,
        yref="paper",
        yanchor="bottom",
        showarrow=False,
    )


def _bands(codes: list[str], styles: list[LanguageStyle]) -> list[go.Scatter]:
    """Closed outlines of the intervals, of each language and the dominant one."""
    colours = [*(style.colour for style in styles), FLOOR_COLOUR]
    return [
        go.Scatter(
            mode="lines",
            line={"width": 0},
            fill="toself",
            fillcolor=colour,
            opacity=0.2,
            hoverinfo="skip",
            showlegend=False,
            legendgroup=code,
        )
        for code, colour in zip([*codes, "floor"], colours, strict=True)
    ]


def _traces(codes: list[str], styles: list[LanguageStyle]) -> list[go.Scatter]:
    shared = {"hovertemplate": "%{text}<extra></extra>"}
    traces = [
        go.Scatter(
            mode="lines+markers",
            line={"color": style.colour, "width": 1.5},
            marker={"symbol": style.symbol, "size": 7},
            legendgroup=code,
            **shared,
        )
        for code, style in zip(codes, styles, strict=True)
    ]
    for group, line in (
        ("mean", {"color": MEAN_COLOUR, "width": 4}),
        ("floor", {"color": FLOOR_COLOUR, "width": 2, "dash": "dash"}),
        ("reference", {"color": FLOOR_COLOUR, "width": 2, "dash": "dot"}),
    ):
        traces.append(go.Scatter(mode="lines", line=line, legendgroup=group, **shared))
    return traces


def _trace_data(
    table: pd.DataFrame, metric: str, dominant: str, codes: list[str]
) -> dict[str, list[Any]]:
    """Return name, x, y, hover text and visibility of every trace, in the order of the traces."""
    lines = curves(table, metric, dominant)
    grid = lines.languages.reindex(columns=codes)
    columns = [*(grid[code] for code in codes), lines.mean, lines.floor, lines.reference]
    own = [
        mean_text(len(lines.languages.columns)),
        floor_text(dominant, metric),
        reference_text(metric),
    ]
    words = metric_label(metric).words.replace("\n", " ")
    rows = table[table["metric"] == metric].to_dict("records")
    facts = {(row["language"], row["layer"]): _facts(row) for row in rows}
    text = [
        [
            f"<b>{name}</b><br>layer {layer}<br>{words} {value:.4g}{facts.get((code, layer), '')}"
            for layer, value in column.items()
        ]
        for name, code, column in zip(
            [*(f"{language_name(code)} ({code})" for code in codes), *own],
            [*codes, None, dominant, None],
            columns,
            strict=True,
        )
    ]
    outlines = [_outline(lines, code) for code in [*codes, dominant]]
    layers = lines.mean.index.to_list()
    return {
        "name": [*(language_name(code) for code in codes), *own, *([None] * len(outlines))],
        "x": [*([layers] * len(columns)), *(x for x, _ in outlines)],
        "y": [*(column.to_list() for column in columns), *(y for _, y in outlines)],
        "text": [*text, *([None] * len(outlines))],
        "visible": [
            *([True] * len(codes)),
            len(lines.languages.columns) > 1,
            True,
            bool(lines.reference.notna().any()),
            *(bool(x) for x, _ in outlines),
        ],
    }


def _outline(lines: Curves, language: str) -> tuple[list[Any], list[Any]]:
    """The intervals' outline: along the upper ends and back along the lower ones."""
    band = lines.band(language) if language in lines.low else None
    if band is None:
        return [], []
    low, high = (end.dropna() for end in band)
    return [*high.index, *low.index[::-1]], [*high, *low[::-1]]


def _facts(row: dict[Any, Any]) -> str:
    """Return the lines of a hover box that say what a point was measured on."""
    counts = ", ".join(f"{name} = {row[name]}" for name in ("n", "d", "rank"))
    low, high = row.get("low", nan), row.get("high", nan)
    interval = "" if isnan(low) else f" [{low:.4g}, {high:.4g}]"
    return f"{interval}<br>{counts}<br>shrinkage: {escape(str(row['shrinkage']))}"


def _menu(data: dict[str, dict[str, list[Any]]]) -> dict[str, Any]:
    """Return the menu of metrics, the first of which is shown."""
    buttons = [
        {
            "label": metric_label(name).words.replace("\n", " "),
            "method": "update",
            "args": [values, {"yaxis.title.text": _axis_text(name)}],
        }
        for name, values in data.items()
    ]
    place = {"x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom", "pad": {"b": 28}}
    return {"buttons": buttons, "showactive": True, "bgcolor": "white"} | place


def _axis_text(metric: str) -> str:
    label = metric_label(metric)
    words = label.words.replace("\n", " ")
    return f"{words}  {label.markup}".strip()


def _lay_out(figure: go.Figure, step: int, metric: str) -> None:
    axis = {"showline": True, "linecolor": "#333333", "ticks": "outside", "zeroline": False}
    figure.update_layout(
        template="plotly_white",
        font={"family": _FONT, "size": 13, "color": "#222222"},
        title={"x": 0, "xref": "container", "xanchor": "left", "pad": {"l": 24}},
        hoverlabel={"bgcolor": "white", "align": "left", "font_family": _FONT},
        xaxis={"title_text": LAYER_AXIS, "tick0": 0, "dtick": step} | axis,
        yaxis={"title_text": _axis_text(metric)} | axis,
        margin={"t": 110},
    )
