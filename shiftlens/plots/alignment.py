"""How many translations find each other by layer, for the printed page and for the screen."""

from textwrap import fill, wrap

import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure
from plotly.subplots import make_subplots

from shiftlens.errors import ShiftlensError
from shiftlens.languages import language_name
from shiftlens.plots.curves import check_area, curves
from shiftlens.plots.grid import panel_columns, panel_grid
from shiftlens.plots.labels import LAYER_AXIS, NARROW, area_text, layer_step, metric_label
from shiftlens.plots.layer_distance import add_legend, draw_area, draw_lines
from shiftlens.plots.layer_distance_page import metric_traces
from shiftlens.plots.page import lay_out
from shiftlens.plots.style import AREA_COLOUR, shared_style

ALIGNMENT_METRICS = ("retrieval", "retrieval_back", "mexa", "csls", "csls_back")
"""Shares of translations found, each between 0 and 1."""
SHARE = "share of sentences"
_LEGEND_COLUMNS = {1: 3, 2: 7, 3: 7}
_PANEL_HEIGHT, _MARGIN = 1.75, 0.4
_LINE = 38


def alignment(
    table: pd.DataFrame,
    area: tuple[int, int] | None = None,
    dominant: str = "en",
    title: str | None = None,
) -> Figure:
    """Draw retrieval, MEXA and CSLS by layer, a panel each and a line a language.

    Chance is dotted; the dashed line is of unrelated sentences of the dominant language. Bands are
    the table's 95% intervals, where it has any.

    Args:
        table: The sweep's tidy table, with one or more of :data:`ALIGNMENT_METRICS`.
        area: Shift-toward and shift-back layer, shaded; None where there is no area.
        dominant: Code of the dominant language.
        title: Text above the panels.

    Returns:
        The figure, one page column (3.3 in) wide of one metric and two (6.8 in) of more, tied to no
        window or notebook.

    Raises:
        ShiftlensError: If the table has none of these metrics or cannot give their curves; the
            message says why.
    """
    metrics = _metrics(table, area)
    columns = panel_columns(len(metrics))
    first, last = int(table["layer"].min()), int(table["layer"].max())
    with shared_style():
        figure, panels = panel_grid(len(metrics), _PANEL_HEIGHT)
        for axes, metric in zip(panels, metrics, strict=True):
            if area is not None:
                draw_area(axes, area)
            draw_lines(axes, curves(table, metric, dominant), dominant, metric)
            for line in axes.lines:
                line.set_clip_on(False)
            axes.set_ylim(0, 1)
            axes.set_xticks(range(first, last + 1, layer_step(last, NARROW)))
            axes.set_title(_words(metric, dominant), pad=6 if area is None else 12)
        for axes in panels[::columns]:
            axes.set_ylabel(SHARE)
        for axes in panels[-columns:]:
            axes.set_xlabel(LAYER_AXIS if columns == 1 else fill(LAYER_AXIS, _LINE))
        if title:
            figure.suptitle(title)
        height = float(figure.get_figheight()) + _MARGIN
        add_legend(figure, panels[0], height, _LEGEND_COLUMNS[columns])
        figure.draw_without_rendering()
    return figure


def alignment_interactive(
    table: pd.DataFrame,
    area: tuple[int, int] | None = None,
    dominant: str = "en",
    title: str | None = None,
) -> go.Figure:
    """Draw what :func:`alignment` draws, for the screen; arguments and errors are the same.

    Returns:
        The figure; a click in the legend takes a language out of every panel.
    """
    metrics = _metrics(table, area)
    columns = panel_columns(len(metrics))
    rows = -(-len(metrics) // columns)
    codes = [str(code) for code in table["language"].unique() if code != dominant]
    figure = make_subplots(
        rows,
        columns,
        shared_yaxes=True,
        subplot_titles=[_words(metric, dominant) for metric in metrics],
        horizontal_spacing=0.03,
        vertical_spacing=0.16,
    )
    step = layer_step(int(table["layer"].max()))
    for number, metric in enumerate(metrics):
        place = {"row": number // columns + 1, "col": number % columns + 1}
        for trace in metric_traces(table, metric, dominant, codes):
            if number:
                trace.showlegend = False
            figure.add_trace(trace, **place)
        if number + columns >= len(metrics):
            title_text = "<br>".join(wrap(LAYER_AXIS, _LINE))
            figure.update_xaxes(title_text=title_text, **place)
        if area is not None:
            figure.add_vrect(*area, fillcolor=AREA_COLOUR, line_width=0, layer="below", **place)
    lay_out(figure, title or _title(dominant, area), height=max(570, 150 + 330 * rows))
    figure.update_xaxes(tick0=0, dtick=step)
    figure.update_yaxes(range=[0, 1.02])
    figure.update_yaxes(title_text=SHARE, col=1)
    return figure


def _metrics(table: pd.DataFrame, area: tuple[int, int] | None) -> list[str]:
    swept = set(table["metric"]) if "metric" in table.columns else set()
    if not (metrics := [name for name in ALIGNMENT_METRICS if name in swept]):
        raise ShiftlensError(
            "the sweep measured no alignment of translations; sweep again with "
            "`shiftlens sweep --metric retrieval,retrieval_back,mexa`"
        )
    if area is not None:
        check_area(table, area)
    return metrics


def _words(metric: str, dominant: str) -> str:
    words = metric_label(metric).words.replace("\n", " ")
    return words.replace("the dominant language", language_name(dominant))


def _title(dominant: str, area: tuple[int, int] | None) -> str:
    shaded = "" if area is None else f"; {area_text(area)} shaded"
    return f"Translations found between {language_name(dominant)} and each language{shaded}"
