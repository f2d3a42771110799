"""What a model answers before and after training, for the printed page and for the screen."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from shiftlens.languages import language_name
from shiftlens.plots.labels import plain_ticks
from shiftlens.plots.page import lay_out
from shiftlens.plots.score_dots import (
    MEASURES,
    WHEN,
    Lines,
    score_caption,
    score_dots,
    score_lines,
)
from shiftlens.plots.style import ENGLISH_COLOUR, FLOOR_COLOUR, language_styles, shared_style

_WIDTH, _LINE, _MARGIN = 3.3, 0.19, 0.85


def scores(
    results: pd.DataFrame,
    groups: Mapping[str, Sequence[str]] | None = None,
    metric: str = "exact_match",
    title: str | None = None,
) -> Figure:
    r"""Draw one measure of every language before (open) and after training (filled), joined.

    Exact match and fidelity carry Wilson's 95% interval of a share p of n questions,

    .. math:: \frac{p + z^2 / 2n \pm z \sqrt{p (1 - p) / n + z^2 / 4n^2}}{1 + z^2 / n}.

    Both ends of a line answer the same questions: intervals that overlap do not say that nothing
    changed. Perplexity is on a logarithmic axis and has no interval, for its share of the tokens is
    not in the results; nor has the choice accuracy, for not all questions may have choices.

    Args:
        results: A training's ``results.csv``: ``when`` (before or after), ``language``, ``n`` and
            the measure, one row each.
        groups: Name of a group to its languages, in the order they are drawn in; None for the
            results' own order.
        metric: A key of :data:`shiftlens.plots.score_dots.MEASURES`.
        title: Text above the axes.

    Returns:
        The figure, one page column (3.3 in) wide, tied to no window or notebook.

    Raises:
        ShiftlensError: The results or the groups cannot give the figure; the message says why.

    Source:
        Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22,
        1927, doi:10.2307/2276774.
    """
    lines = score_lines(results, groups)
    dots = score_dots(results, lines, metric)
    with shared_style():
        figure = Figure(figsize=(_WIDTH, _MARGIN + _LINE * len(lines)))
        axes = figure.add_subplot()
        _draw(axes, dots)
        _name_lines(axes, lines)
        axes.set_xlabel(f"{MEASURES[metric]}\n{score_caption(dots)}")
        if metric == "perplexity":
            axes.set_xscale("log")
            plain_ticks(axes.xaxis, dots["value"])
        else:
            axes.set_xlim(0, 1)
        keys = [Line2D([], [], **_look("o", ENGLISH_COLOUR, when)) for when in WHEN]
        names = [f"{when} training" for when in WHEN]
        figure.legend(keys, names, loc="outside lower center", ncols=2)
        if title:
            figure.suptitle(title)
        figure.draw_without_rendering()
    return figure


def scores_interactive(
    results: pd.DataFrame,
    groups: Mapping[str, Sequence[str]] | None = None,
    metric: str = "exact_match",
    title: str | None = None,
) -> go.Figure:
    """Draw what :func:`scores` draws, for the screen, with a menu of the measures there are.

    Args:
        results: As :func:`scores`.
        groups: As :func:`scores`.
        metric: The measure shown first.
        title: Text above the axes.

    Returns:
        The figure.

    Raises:
        ShiftlensError: As :func:`scores`.
    """
    lines = score_lines(results, groups)
    there = [name for name in MEASURES if name in results.columns and name != metric]
    dots = {name: score_dots(results, lines, name) for name in (metric, *there)}
    views = {
        name: (_page_data(of_metric), _page_axis(name, of_metric))
        for name, of_metric in dots.items()
    }
    codes = [code for _, code in lines if code]
    figure = go.Figure([_join_trace(), *(_dot_trace(codes, when) for when in WHEN)])
    data, axis = views[metric]
    for number, trace in enumerate(figure.data):
        trace.update({key: values[number] for key, values in data.items()})
    buttons = [
        {"label": MEASURES[name].partition(",")[0], "method": "update", "args": list(view)}
        for name, view in views.items()
    ]
    place = {"x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom", "pad": {"b": 8}}
    menu = {"buttons": buttons, "showactive": True, "bgcolor": "white"} | place
    text = title or "Answers before and after training"
    lay_out(figure, text, height=260 + 28 * len(lines), updatemenus=[menu])
    figure.update_layout(axis)
    names = [escape(name) if code else f"<b>{escape(name)}</b>" for name, code in lines]
    ends = [len(lines) - 0.5, -0.5]
    figure.update_yaxes(tickvals=list(range(len(lines))), ticktext=names, range=ends)
    return figure


def _look(marker: str, colour: str, when: str) -> dict[str, Any]:
    """Open before training, filled after it."""
    fill = colour if when == "after" else "white"
    return {"marker": marker, "color": colour, "markerfacecolor": fill, "ls": ""}


def _draw(axes: Axes, dots: pd.DataFrame) -> None:
    for code, style in language_styles(dots["language"]).items():
        ends = dots[dots["language"] == code]
        axes.plot(ends["value"], ends["place"], color=FLOOR_COLOUR, lw=0.6)
        for dot in ends.to_dict("records"):
            if pd.notna(dot["low"]):
                axes.hlines(dot["place"], dot["low"], dot["high"], color=style.colour, lw=0.8)
            look = _look(style.marker, style.colour, dot["when"]) | {"ms": style.size}
            axes.plot(dot["value"], dot["place"], clip_on=False, zorder=3, **look)


def _name_lines(axes: Axes, lines: Lines) -> None:
    axes.set_yticks(range(len(lines)), [name for name, _ in lines], parse_math=False)
    for label, (_, code) in zip(axes.get_yticklabels(), lines, strict=True):
        label.set_fontweight("normal" if code else "bold")
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(lines) - 0.5, -0.5)


def _join_trace() -> go.Scatter:
    line = {"color": FLOOR_COLOUR, "width": 1}
    return go.Scatter(mode="lines", line=line, hoverinfo="skip", showlegend=False)


def _dot_trace(codes: Sequence[str], when: str) -> go.Scatter:
    styles = language_styles(codes).values()
    opening = "-open" if when == "before" else ""
    return go.Scatter(
        mode="markers",
        name=f"{when} training",
        marker={
            "color": [style.colour for style in styles],
            "symbol": [style.symbol + opening for style in styles],
            "size": 9,
        },
        hovertemplate="%{text}<extra></extra>",
    )


def _page_data(dots: pd.DataFrame) -> dict[str, list[Any]]:
    """What the traces show of one measure: the joining lines, before, after."""
    joins = dots.groupby("language", sort=False)
    sides = [dots[dots["when"] == when] for when in WHEN]
    return {
        **{
            key: [
                [part for _, ends in joins for part in (*ends[column], None)],
                *(side[column].to_list() for side in sides),
            ]
            for key, column in (("x", "value"), ("y", "place"))
        },
        "text": [None, *([_hover(dot) for dot in side.to_dict("records")] for side in sides)],
        "error_x": [None, *(_errors(side) for side in sides)],
    }


def _errors(side: pd.DataFrame) -> dict[str, Any]:
    return {
        "type": "data",
        "array": (side["high"] - side["value"]).to_list(),
        "arrayminus": (side["value"] - side["low"]).to_list(),
        "visible": bool(side["low"].notna().any()),
        "color": FLOOR_COLOUR,
        "thickness": 1,
        "width": 3,
    }


def _hover(dot: Mapping[Any, Any]) -> str:
    interval = "" if pd.isna(dot["low"]) else f" [{dot['low']:.3f}, {dot['high']:.3f}]"
    name = f"{escape(language_name(dot['language']))} ({dot['language']})"
    return (
        f"<b>{name}</b>, {dot['when']} training<br>{dot['value']:.4g}{interval}<br>n = {dot['n']}"
    )


def _page_axis(metric: str, dots: pd.DataFrame) -> dict[str, Any]:
    title = f"{MEASURES[metric]}<br>{score_caption(dots)}"
    logarithmic = metric == "perplexity"
    return {
        "xaxis.title.text": title,
        "xaxis.type": "log" if logarithmic else "linear",
        "xaxis.autorange": logarithmic,
        "xaxis.range": None if logarithmic else [-0.02, 1.02],
    }
