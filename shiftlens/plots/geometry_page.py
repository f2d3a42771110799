"""Sentence states before and after training, for the screen."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from shiftlens.languages import language_name
from shiftlens.plots.geometry import (
    JOIN_COLOUR,
    JOINED,
    PANELS,
    PROJECTIONS,
    join_text,
    joins,
    spread,
)
from shiftlens.plots.hover import hover_sentence
from shiftlens.plots.page import lay_out
from shiftlens.plots.style import LanguageStyle, language_styles
from shiftlens.projections import DRAWN


def before_after_interactive(
    tables: Mapping[str, pd.DataFrame],
    texts: Mapping[str, Sequence[str]],
    dominant: str = "en",
    title: str | None = None,
) -> go.Figure:
    """Draw what :func:`before_after` draws, for the screen.

    Args:
        tables: Method, ``lda`` or ``pca``, to its table from :func:`project_before_after`.
        texts: Language to the sentences behind the row numbers.
        dominant: Code of the language that the grey lines start from.
        title: Text above the panels.

    Returns:
        The figure: hovering over a point shows its sentence, a click in the legend takes a
        language out of every panel.
    """
    first = next(iter(tables.values()))
    panels = list(first["panel"].unique())
    figure = make_subplots(
        len(tables),
        len(panels),
        shared_xaxes="rows",
        shared_yaxes="rows",
        column_titles=[PANELS[panel] for panel in panels],
        horizontal_spacing=0.02,
        vertical_spacing=0.12,
    )
    for row, (method, table) in enumerate(tables.items(), start=1):
        for column, panel in enumerate(panels, start=1):
            rows = table[table["panel"] == panel]
            for trace in _traces(rows, texts, dominant):
                trace.showlegend = row == column == 1
                figure.add_trace(trace, row, column)
            figure.update_xaxes(title_text=f"{PROJECTIONS[method]} 1", row=row, col=column)
        figure.update_yaxes(title_text=f"{PROJECTIONS[method]} 2", row=row, col=1)
    lay_out(
        figure,
        title or "Sentence states before and after training",
        height=400 * len(tables) + 150,
        legend={"itemsizing": "constant"},
    )
    return figure


def _traces(
    rows: pd.DataFrame, texts: Mapping[str, Sequence[str]], dominant: str
) -> list[go.Scatter]:
    """The grey lines of a panel, and one trace a language."""
    joined = spread(rows, JOINED)
    segments = joins(rows, joined, dominant)
    gaps = np.concatenate([segments, np.full_like(segments[:, :1], np.nan)], axis=1).reshape(-1, 2)
    name = join_text(len(joined))
    line = {"color": JOIN_COLOUR, "width": 1}
    x, y = gaps.T
    lines = go.Scatter(
        x=x, y=y, name=name, legendgroup=name, mode="lines", line=line, hoverinfo="skip"
    )
    drawn = rows[rows["sentence"].isin({*spread(rows, DRAWN), *joined})]
    return [
        lines,
        *(
            _points(code, style, drawn[drawn["language"] == code], texts)
            for code, style in language_styles(drawn["language"]).items()
        ),
    ]


def _points(
    code: str, style: LanguageStyle, points: pd.DataFrame, texts: Mapping[str, Sequence[str]]
) -> go.Scatter:
    return go.Scatter(
        x=points["x"].to_numpy(),
        y=points["y"].to_numpy(),
        name=language_name(code),
        legendgroup=code,
        mode="markers",
        marker={"color": style.colour, "symbol": style.symbol, "size": 6, "opacity": 0.65},
        text=[hover_sentence(code, n, texts[code][n]) for n in points["sentence"]],
        hovertemplate="%{text}<extra></extra>",
    )
