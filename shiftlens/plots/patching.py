"""Patches as layers by sites, for the printed page and for the screen."""

from dataclasses import dataclass
from html import escape
from pathlib import Path
from textwrap import fill, wrap
from typing import TYPE_CHECKING, Any
from unicodedata import east_asian_width

import numpy as np
import plotly.graph_objects as go
from matplotlib import rc_context
from matplotlib.figure import Figure

from shiftlens.errors import ShiftlensError
from shiftlens.plots.fonts import drawable
from shiftlens.plots.labels import LAYER_AXIS, layer_step
from shiftlens.plots.page import lay_out
from shiftlens.plots.style import shared_style

if TYPE_CHECKING:
    from shiftlens.patching import PatchResult

COLOURS = "RdBu_r"
LONGEST = 12
WRAPPED = 27
EFFECT = "effect: 0 the corrupt run, 1 the clean run"
BLOCK_AXIS = "block"
SITE_AXIS = "corrupt text and, second, clean text"
CORRUPT_AXIS = "corrupt text"
BOTH_NAMED = 24
"""Most sites under which the clean text's tokens are named too."""
NAMED = 60
"""Most sites that are named."""


@dataclass(frozen=True)
class _Cells:
    """What both heatmaps draw.

    Attributes:
        values: Layers by sites, or heads.
        layers: The rows.
        ticks: Two words a column: of the corrupt and of the clean text.
        low: Value at one end of the colours.
        high: Value at the other end; the corrupt run's value is half-way.
        words: What the values are.
        layer_axis: What the rows are.
        site_axis: What the columns are.
    """

    values: np.ndarray
    layers: list[int]
    ticks: list[tuple[str, str]]
    low: float
    high: float
    words: str
    layer_axis: str
    site_axis: str


def _cells(result: "PatchResult", column: str, head: int | None) -> _Cells:
    if column not in ("effect", "value"):
        raise ShiftlensError(f"cannot draw {column!r}; choose effect or value")
    grid = result.grid(column, head)
    values = grid.to_numpy()
    if np.isnan(values).all():
        raise ShiftlensError(
            f"the clean and the corrupt run have the same {result.metric_words}, so no effect is "
            "defined; draw the column 'value'"
        )
    middle = 0.0 if column == "effect" else result.corrupt_value
    reach = float(np.abs(values - middle).max()) or 1.0
    if grid.columns.name == "head":
        ticks = [(str(number), "") for number in grid.columns]
        site_axis = f"head, at {_short(result.sites[-1].label)!r}"
    else:
        pairs = [(site.label, result.clean.shown(site.clean)) for site in result.sites]
        ticks = [(_short(corrupt), _short(clean)) for corrupt, clean in pairs]
        site_axis = SITE_AXIS if len(pairs) <= BOTH_NAMED else CORRUPT_AXIS
    return _Cells(
        values=values,
        layers=[int(layer) for layer in grid.index],
        ticks=ticks,
        low=middle - reach,
        high=middle + reach,
        words=EFFECT if column == "effect" else result.metric_words,
        layer_axis=LAYER_AXIS if result.component == "resid" else BLOCK_AXIS,
        site_axis=site_axis,
    )


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _title(
    result: "PatchResult", column: str, head: int | None, title: str | None
) -> tuple[str, ...]:
    """The lines above the axes: the title, or which model, what was patched, and what measured."""
    if title is not None:
        return (title,)
    number = "" if head is None else f" {head}"
    of = "effect on the " if column == "effect" else ""
    model = Path(result.model).name
    return f"{model}: {result.component_words}{number} patched", f"{of}{result.metric_words}"


def _ticks(cells: _Cells, most: int) -> tuple[list[int], list[tuple[str, ...]]]:
    """Which columns are named, and how: of many, some, and by the corrupt text alone."""
    sites = cells.values.shape[1]
    shown = range(0, sites, -(-sites // most))
    words = [cells.ticks[n] if sites <= BOTH_NAMED else cells.ticks[n][:1] for n in shown]
    return list(shown), [tuple(filter(None, pair)) for pair in words]


def _places(word: str) -> int:
    """How many letters' room a word takes; Chinese characters, kana and hangul take two each."""
    return sum(2 if east_asian_width(char) in "WF" else 1 for char in word)


def patch_heatmap(
    result: "PatchResult", column: str = "effect", head: int | None = None, title: str | None = None
) -> Figure:
    """Draw one column of a patching, layers upward and sites to the right.

    White is the corrupt run's own value. Of the component ``head`` without a head given, the heads
    at the last site are drawn in place of the sites. Tokens of any script are drawn in the fonts
    that the machine has for it; where it has none, squares are, and a warning says so.

    Args:
        result: The patching.
        column: ``effect`` or ``value``.
        head: Which head, where the component is ``head``.
        title: Text above the axes; by default what was patched.

    Returns:
        The figure, tied to no window or notebook.

    Raises:
        ShiftlensError: No such column or head, or no effect is defined.
    """
    cells = _cells(result, column, head)
    layers, sites = cells.values.shape
    places, names = _ticks(cells, NAMED)
    flat = sites * max(_places(word) for pair in names for word in pair) <= 60
    lines = [line for text in _title(result, column, head, title) for line in wrap(text, 60)]
    ticks = [("\n" if flat else " | ").join(pair) for pair in names]
    texts = ["\n".join(lines), cells.site_axis, fill(cells.words, WRAPPED), *ticks]
    (heading, site_axis, words, *ticks), families = drawable(texts)
    with shared_style(), rc_context({"font.family": families}):
        width = 1.3 + min(sites, NAMED) * (0.38 if flat else 0.16)
        figure = Figure(figsize=(max(3.3, width), (1.1 if flat else 1.7) + 0.18 * max(6, layers)))
        axes = figure.add_subplot()
        image = axes.pcolormesh(
            np.arange(sites),
            cells.layers,
            cells.values,
            cmap=COLOURS,
            vmin=cells.low,
            vmax=cells.high,
            shading="nearest",
        )
        axes.grid(False)
        axes.set_xticks(places, ticks, rotation=0 if flat else 90, parse_math=False)
        axes.set_yticks(cells.layers[:: layer_step(cells.layers[-1])])
        axes.set_xlabel(site_axis, parse_math=False)
        axes.set_ylabel(fill(cells.layer_axis, WRAPPED))
        axes.set_title(heading, parse_math=False)
        figure.colorbar(image, label=words)
        figure.draw_without_rendering()
    return figure


def patch_heatmap_interactive(
    result: "PatchResult", column: str = "effect", head: int | None = None, title: str | None = None
) -> go.Figure:
    """Draw one column of a patching for the screen, with tokens and values under the pointer.

    Args:
        result: The patching.
        column: ``effect`` or ``value``.
        head: Which head, where the component is ``head``; without one, the heads at the last site.
        title: Text above the axes; by default what was patched.

    Returns:
        The figure: x counts sites (or heads), y is the layer, and a cell's ``customdata`` begins
        with its layer and site number.

    Raises:
        ShiftlensError: As :func:`patch_heatmap`.
    """
    cells = _cells(result, column, head)
    figure = go.Figure(
        go.Heatmap(
            z=cells.values,
            x=list(range(cells.values.shape[1])),
            y=cells.layers,
            customdata=_facts(result, head),
            hovertemplate=_HOVER,
            colorscale="RdBu",
            reversescale=True,
            zmin=cells.low,
            zmax=cells.high,
            colorbar={"title": {"text": f"&nbsp;<br>{cells.words}", "side": "right"}},
        )
    )
    first, *rest = map(escape, _title(result, column, head, title))
    lay_out(figure, "<br>".join([first, *(f"<sub>{line}</sub>" for line in rest)]))
    places, names = _ticks(cells, NAMED)
    figure.update_xaxes(
        title_text=escape(cells.site_axis),
        tickvals=places,
        ticktext=["<br>".join(map(escape, pair)) for pair in names],
        showgrid=False,
    )
    step = layer_step(cells.layers[-1])
    figure.update_yaxes(title_text=cells.layer_axis, tickvals=cells.layers[::step], showgrid=False)
    return figure


_HOVER = (
    "layer %{customdata[0]}<br>%{customdata[2]} ← %{customdata[3]}<br>value %{customdata[4]}<br>"
    "effect %{customdata[5]}<br>most probable: %{customdata[6]}%{customdata[7]}<extra></extra>"
)


def _facts(result: "PatchResult", head: int | None) -> np.ndarray:
    """What the pointer shows of each cell, ``(layers, columns, facts)``."""
    names = ["layer", "site", "token", "clean_token", "value", "effect", "top", "head"]
    grids = [result.grid(name, head) for name in names]
    facts: Any = np.stack([grid.to_numpy(dtype=object) for grid in grids], axis=-1)
    for cell in facts.reshape(-1, len(names)):
        cell[2:4] = [escape(token) for token in cell[2:4]]
        cell[4:6] = [f"{number:.3g}" for number in cell[4:6]]
        cell[6] = escape(cell[6])
        cell[7] = "" if result.component != "head" else f"<br>head {cell[7]}"
    return facts
