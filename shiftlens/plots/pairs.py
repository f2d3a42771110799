"""One metric between every two languages, for the printed page and for the screen."""

from collections.abc import Sequence
from html import escape
from math import ceil, floor, log10
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.text import Text

from shiftlens.errors import ShiftlensError
from shiftlens.languages import language_name
from shiftlens.plots.labels import LAYER_AXIS, metric_label
from shiftlens.plots.page import lay_out
from shiftlens.plots.pair_matrices import PairMatrices, pair_matrices
from shiftlens.plots.style import shared_style

COLOURS = "viridis"
MOST_WRITTEN = 10
"""Most languages whose values are written in the cells."""
_PANELS = 4
_COLUMN, _PAGE = 3.3, 6.8
_PANEL_HEIGHT, _MARGIN = 3.0, 1.0
_POINTS = 72
_CELL, _LEAST_MATRIX, _CHROME = 16, 460, 330
_LUMA = (0.299, 0.587, 0.114)


def pair_heatmap(
    table: pd.DataFrame, layers: Sequence[int] | None = None, title: str | None = None
) -> Figure:
    """Draw the matrices of some layers, all in one order of languages and one scale of colours.

    Similar languages stand side by side (:func:`shiftlens.plots.pair_matrices.pair_matrices`). The
    diagonal is each language's own floor. Values are written in the cells of up to ten languages,
    where they fit.

    Args:
        table: From :func:`shiftlens.language_pairs`, of one metric.
        layers: A panel each; by default four evenly spread over the table's, its ends included.
        title: Text above the panels.

    Returns:
        The figure, one page column (3.3 in) wide of one layer and two (6.8 in) of more, tied to no
        window or notebook.

    Raises:
        ShiftlensError: The table cannot give the figure; the message says why.
    """
    matrices = pair_matrices(table)
    chosen = _chosen(list(matrices.grids), layers)
    columns = min(2, len(chosen))
    rows = ceil(len(chosen) / columns)
    with shared_style():
        width = _COLUMN if columns == 1 else _PAGE
        height = min(_PANEL_HEIGHT, 1.2 + 0.25 * len(matrices.codes))
        figure = Figure(figsize=(width, _MARGIN + height * rows), layout="compressed")
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in grid[len(chosen) :]:
            axes.remove()
        for number, (axes, layer) in enumerate(zip(grid, chosen, strict=False)):
            mesh = _draw(axes, matrices, layer)
            _name_axes(axes, matrices, number % columns == 0, number + columns >= len(chosen))
        label = metric_label(matrices.metric).formula
        text = f"{matrices.words}  {label}".strip() + f"\n{matrices.meaning}"
        panels = list(grid[: len(chosen)])
        figure.colorbar(
            mesh, ax=panels, location="bottom", shrink=0.7, aspect=30, label=text.strip()
        )
        figure.supxlabel(matrices.caption, fontsize="small")
        if title:
            figure.suptitle(title)
        figure.draw_without_rendering()
        if len(matrices.codes) <= MOST_WRITTEN:
            _write_values(figure, panels, [matrices.grids[layer] for layer in chosen])
    return figure


def pair_heatmap_interactive(table: pd.DataFrame, title: str | None = None) -> go.Figure:
    """Draw what :func:`pair_heatmap` draws, for the screen, with a slider over all layers.

    Args:
        table: From :func:`shiftlens.language_pairs`, of one metric.
        title: Text above the matrix; by default it names the metric.

    Returns:
        The figure; a colour means the same value at every layer.

    Raises:
        ShiftlensError: The table cannot give the figure; the message says why.
    """
    matrices = pair_matrices(table)
    places = list(range(len(matrices.codes)))
    shown = {
        layer: {"z": grid.tolist(), "hovertemplate": f"%{{customdata}}, layer {layer}: %{{z:.4g}}"}
        for layer, grid in matrices.grids.items()
    }
    low, high = matrices.range
    label = [matrices.words, metric_label(matrices.metric).markup, matrices.meaning]
    figure = go.Figure(
        go.Heatmap(
            **next(iter(shown.values())),
            x=places,
            y=places,
            customdata=[
                [escape(matrices.pair(k, j)) for j in matrices.codes] for k in matrices.codes
            ],
            name="",
            colorscale=COLOURS.capitalize(),
            zmin=low,
            zmax=high,
            colorbar={"title": {"text": "   ".join(filter(None, label)), "side": "right"}},
        )
    )
    lay_out(
        figure,
        title or f"{matrices.words}, every two languages",
        sliders=[_slider(shown)],
        height=_CHROME + max(_LEAST_MATRIX, _CELL * len(places)),
        yaxis={"scaleanchor": "x", "autorange": "reversed", "title_text": "language k"},
        xaxis={"title_text": f"language D<br>{matrices.caption}"},
    )
    names = [f"{escape(language_name(code))} ({code})" for code in matrices.codes]
    axis: dict[str, Any] = {"tickvals": places, "constrain": "domain", "showgrid": False}
    figure.update_xaxes(**axis, ticktext=matrices.codes, tickangle=0 if len(places) < 20 else 90)
    figure.update_yaxes(**axis, ticktext=names)
    return figure


def _chosen(known: list[int], layers: Sequence[int] | None) -> list[int]:
    if layers is None:
        places = np.linspace(0, len(known) - 1, min(_PANELS, len(known))).round().astype(int)
        return [known[place] for place in places]
    if unknown := [layer for layer in layers if layer not in known]:
        raise ShiftlensError(
            f"layer {unknown[0]} is not in the table of pairs (there: {', '.join(map(str, known))})"
        )
    if not layers:
        raise ShiftlensError("no layer to draw; give some, or None for four of the table's")
    return list(dict.fromkeys(layers))


def _draw(axes: Axes, matrices: PairMatrices, layer: int) -> QuadMesh:
    low, high = matrices.range
    mesh = axes.pcolormesh(matrices.grids[layer], cmap=COLOURS, vmin=low, vmax=high)
    axes.grid(False)
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.set_title(f"layer {layer}")
    return mesh


def _name_axes(axes: Axes, matrices: PairMatrices, left: bool, bottom: bool) -> None:
    """Codes under every panel; names too, left of the first of a row."""
    codes = matrices.codes
    places = np.arange(len(codes)) + 0.5
    size = min(6.0, 0.75 * _POINTS * _PANEL_HEIGHT / len(codes))
    upright = len(codes) <= 20 and max(map(len, codes)) <= 3
    axes.set_xticks(places, codes, rotation=0 if upright else 90, fontsize=size)
    names = [f"{language_name(code)} ({code})" for code in codes] if left else []
    axes.set_yticks(places if left else [], names, fontsize=size)
    axes.tick_params(length=0)
    axes.set_xlabel("language D" if bottom else "")
    axes.set_ylabel("language k" if left else "")


def _write_values(figure: Figure, panels: Sequence[Axes], grids: Sequence[np.ndarray]) -> None:
    """The values in the cells, if the widest fits."""
    largest = max(float(np.abs(grid).max()) for grid in grids)
    exponent = floor(log10(largest)) if largest else 0
    decimals = max(0, (2 if exponent >= 0 else 1) - exponent)
    texts = [
        text
        for axes, grid in zip(panels, grids, strict=True)
        for text in _texts(axes, grid, decimals)
    ]
    cell = min(axes.bbox.width / len(grid) for axes, grid in zip(panels, grids, strict=True))
    widest = max(texts, key=lambda text: len(text.get_text()))
    if widest.get_window_extent().width > 0.92 * cell:
        for text in texts:
            text.remove()


def _texts(axes: Axes, grid: np.ndarray, decimals: int) -> list[Text]:
    """White on the dark half of the colours, black on the light one."""
    (mesh,) = axes.collections
    colours = np.asarray(matplotlib.colormaps[COLOURS](mesh.norm(grid)))
    light = colours[..., :3] @ _LUMA > 0.4
    return [
        axes.text(
            column + 0.5,
            row + 0.5,
            f"{value:.{decimals}f}",
            ha="center",
            va="center",
            fontsize=5,
            color="black" if light[row, column] else "white",
        )
        for (row, column), value in np.ndenumerate(grid)
    ]


def _slider(shown: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """A step a layer, which leaves colours and order as they are."""
    steps = [
        {
            "label": str(layer),
            "method": "restyle",
            "args": [{key: [value] for key, value in trace.items()}],
        }
        for layer, trace in shown.items()
    ]
    return {"steps": steps, "currentvalue": {"prefix": f"{LAYER_AXIS}: "}, "pad": {"t": 110}}
