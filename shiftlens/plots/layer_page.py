"""The sentences of all languages at one layer, for the screen."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from shiftlens.errors import ShiftlensError
from shiftlens.languages import language_name
from shiftlens.plots.geometry import JOIN_COLOUR, JOINED, join_text, joins, spread
from shiftlens.plots.hover import hover_sentence
from shiftlens.plots.page import lay_out
from shiftlens.plots.style import ENGLISH_COLOUR, language_styles

LEGEND = {
    "orientation": "h",
    "yref": "container",
    "y": 0.02,
    "yanchor": "bottom",
    "itemsizing": "constant",
}
"""Under the axes, where many languages leave the figure its width."""


def layer_geometry(
    table: pd.DataFrame,
    layer: int,
    texts: Mapping[str, Sequence[str]],
    dominant: str = "en",
    sentence: int | None = None,
    title: str | None = None,
) -> go.Figure:
    """Draw one layer of a projection; all layers have the same axes.

    Args:
        table: From :func:`shiftlens.projections.project_layers`; a third dimension is not drawn.
        layer: Which layer.
        texts: Language to the sentences behind the row numbers.
        dominant: Code of the language that the grey lines start from.
        sentence: Row number of a sentence to ring in every language; the grey lines are then of
            it alone.
        title: Text above the axes.

    Returns:
        The figure: hovering over a point shows its sentence, and its ``customdata`` is the
        sentence's number.

    Raises:
        ShiftlensError: The table does not have the layer.
    """
    rows = table[table["layer"] == layer]
    if rows.empty:
        raise ShiftlensError(f"the projection has no layer {layer} (0..{table['layer'].max()})")
    own = rows[rows["sentence"] == sentence]
    joined = spread(rows, JOINED) if own.empty else [int(own["sentence"].iloc[0])]
    figure = go.Figure([_joins(rows, joined, dominant), *_points(rows, texts), _rings(own)])
    for number, update in enumerate((figure.update_xaxes, figure.update_yaxes), 1):
        update(
            range=held_range(table["xy"[number - 1]]),
            title_text=f"axis {number} (of all layers)",
        )
    lay_out(
        figure,
        title or f"Layer {layer}; grey: {join_text(len(joined))}",
        legend=LEGEND,
        uirevision="held",
    )
    return figure


def held_range(column: pd.Series) -> list[float]:
    """Return an axis's range over all layers, with a margin."""
    low, high = float(column.min()), float(column.max())
    margin = 0.04 * (high - low)
    return [low - margin, high + margin]


def _rings(rows: pd.DataFrame) -> go.Scatter:
    """A ring around each of some points."""
    ring = {"symbol": "circle-open", "size": 15, "color": ENGLISH_COLOUR, "line": {"width": 2}}
    return go.Scatter(
        x=rows["x"].to_numpy(),
        y=rows["y"].to_numpy(),
        mode="markers",
        marker=ring,
        hoverinfo="skip",
        showlegend=False,
    )


def _joins(rows: pd.DataFrame, joined: list[int], dominant: str) -> go.Scatter:
    """Grey lines from some of the dominant language's sentences to their translations."""
    segments = joins(rows, joined, dominant)
    gaps = np.concatenate([segments, np.full_like(segments[:, :1], np.nan)], axis=1).reshape(-1, 2)
    return go.Scatter(
        x=gaps[:, 0],
        y=gaps[:, 1],
        mode="lines",
        line={"color": JOIN_COLOUR, "width": 1},
        hoverinfo="skip",
        showlegend=False,
    )


def _points(rows: pd.DataFrame, texts: Mapping[str, Sequence[str]]) -> list[go.Scatter]:
    traces = []
    for code, style in language_styles(rows["language"]).items():
        points = rows[rows["language"] == code]
        sentences = points["sentence"].tolist()
        traces.append(
            go.Scatter(
                x=points["x"].to_numpy(),
                y=points["y"].to_numpy(),
                mode="markers",
                name=language_name(code),
                marker={"color": style.colour, "symbol": style.symbol, "size": 7, "opacity": 0.65},
                customdata=sentences,
                text=[hover_sentence(code, number, texts[code][number]) for number in sentences],
                hovertemplate="%{text}<extra></extra>",
            )
        )
    return traces
