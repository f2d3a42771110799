"""Language-specific neurons: where they are, what languages share, and what scaling them does."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from shiftlens.errors import ShiftlensError
from shiftlens.languages import language_name
from shiftlens.neurons import NeuronsFound
from shiftlens.neurons.effects import MATCHED, RANDOM
from shiftlens.plots.labels import layer_step
from shiftlens.plots.style import shared_style

_COLUMNS = ("neurons", "language", "change", "low", "high")
_WIDTH, _MARGIN, _ROW = 6.8, 1.5, 0.26
_MOST_WRITTEN = 14
"""Most languages whose values are written in the cells."""
_MOST_BLOCKS = 24
_OWN = "#d9d9d9"
"""Colour of cells without a share: a language with itself, or two without neurons."""
_GAP = 0.35
"""Between the languages' rows and the controls', in rows."""


def neurons_figure(found: NeuronsFound, title: str | None = None) -> Figure:
    """Draw how many neurons each block has of each language, and what two languages share.

    The scale of the shares ends at the largest between two languages, whose counts are written.

    Args:
        found: The neurons.
        title: Text above the panels.

    Returns:
        The figure, two page columns (6.8 in) wide, tied to no window or notebook.
    """
    codes, blocks = found.languages, len(found.counts)
    with shared_style():
        height = _MARGIN + 0.3 * max(len(codes), min(blocks, _MOST_BLOCKS))
        figure = Figure(figsize=(_WIDTH, height))
        left, right = figure.subplots(1, 2)
        counts = left.imshow(found.counts, cmap="Blues", origin="lower", aspect="auto", vmin=0)
        if blocks <= _MOST_BLOCKS and len(codes) <= _MOST_WRITTEN:
            _write(left, found.counts, found.counts / max(1, found.counts.max()) > 0.6)
        step = layer_step(blocks)
        shown = range(step - 1, blocks, step)
        left.set_yticks(shown, [str(block + 1) for block in shown])
        left.set_ylabel("block (its MLP)")
        left.set_title("neurons of each language")
        shared = np.where(np.eye(len(codes), dtype=bool), np.nan, found.jaccard)
        most = max(float(np.nan_to_num(shared).max()), 0.01)
        right.set_facecolor(_OWN)
        shares = right.imshow(shared, cmap="Blues", aspect="auto", vmin=0, vmax=most)
        if len(codes) <= _MOST_WRITTEN:
            _write(right, found.overlap, np.nan_to_num(shared) > 0.6 * most)
        right.set_yticks(range(len(codes)), [language_name(code) for code in codes])
        right.set_title("neurons that two languages share")
        for axes in (left, right):
            _codes(axes, codes)
        whole = MaxNLocator(integer=True)
        figure.colorbar(counts, ax=left, location="bottom", label="neurons", ticks=whole)
        words = "Jaccard index (grey: a language's own neurons)"
        figure.colorbar(shares, ax=right, location="bottom", label=words)
        if title:
            figure.suptitle(title)
        figure.draw_without_rendering()
    return figure


def effects_figure(table: pd.DataFrame, title: str | None = None) -> Figure:
    r"""Draw what scaling each language's neurons does to each language's perplexity.

    A cell is :math:`100 (e^{\Delta\ell} - 1)` percent for the change :math:`\Delta\ell` in nats per
    token: bold where its 95% interval excludes 0, grey where not. The rows below have random
    neurons, as many in each block as the column's language has, and such as are about as active.

    Args:
        table: That of :meth:`shiftlens.neurons.NeuronEffects.table`.
        title: Text above the matrix.

    Returns:
        The figure, two page columns (6.8 in) wide, tied to no window or notebook.

    Raises:
        ShiftlensError: The table lacks a column or a cell.
    """
    if missing := [name for name in _COLUMNS if name not in table.columns]:
        raise ShiftlensError(f"the table of effects lacks the column(s) {', '.join(missing)}")
    codes = list(table["language"].unique())
    wide = table.pivot(index="neurons", columns="language", values=["change", "low", "high"])
    wide = wide.reindex([*codes, RANDOM, MATCHED])
    change, low, high = (wide[name][codes].to_numpy() for name in ("change", "low", "high"))
    if np.isnan(change).any():
        raise ShiftlensError("the table of effects lacks a cell: give it whole")
    percent = 100 * np.expm1(change)
    largest = max(float(np.abs(percent).max()), 1e-9)
    with shared_style():
        figure = Figure(figsize=(_WIDTH, _MARGIN + _ROW * (len(codes) + 2)))
        axes = figure.add_subplot()
        edges = np.arange(len(codes) + 1) - 0.5
        places = [*range(len(codes)), len(codes) + _GAP, len(codes) + 1 + _GAP]
        for rows, sides in ((percent[:-2], edges), (percent[-2:], places[-2] + edges[:3])):
            mesh = axes.pcolormesh(edges, sides, rows, cmap="RdBu_r", vmin=-largest, vmax=largest)
        axes.invert_yaxis()
        for k in range(len(codes)):
            axes.add_patch(Rectangle((k - 0.5, k - 0.5), 1, 1, fill=False, lw=1.2, clip_on=False))
        if len(codes) <= _MOST_WRITTEN:
            _write(axes, percent, np.abs(percent) > 0.6 * largest, (low > 0) | (high < 0), places)
        names = [f"neurons of {language_name(code)}" for code in codes]
        axes.set_yticks(places, [*names, "as many random neurons", "as many equally active"])
        _codes(axes, codes)
        axes.set_xlabel("language of the held-out text; bold: the 95% interval excludes 0")
        figure.colorbar(mesh, ax=axes, label="change of perplexity, %", aspect=30)
        if title:
            figure.suptitle(title)
        figure.draw_without_rendering()
    return figure


def _codes(axes: Axes, codes: Sequence[str]) -> None:
    """The languages' codes under a panel, and no lines between cells."""
    upright = len(codes) <= 20 and max(map(len, codes)) <= 3
    axes.set_xticks(range(len(codes)), list(codes), rotation=0 if upright else 90)
    axes.tick_params(length=0)
    axes.grid(False)


def _write(
    axes: Axes,
    values: np.ndarray,
    dark: np.ndarray,
    sure: np.ndarray | None = None,
    places: Sequence[float] | None = None,
) -> None:
    """The values in their cells: counts, or percent with those that are sure in bold."""
    for (row, column), value in np.ndenumerate(values):
        certain = sure is None or sure[row, column]
        text = str(value) if sure is None else f"{value:.1f}".replace("-0.0", "0.0")
        axes.text(
            column,
            row if places is None else places[row],
            text,
            ha="center",
            va="center",
            fontsize=6,
            fontweight="bold" if certain and sure is not None else "normal",
            color="white" if dark[row, column] else "black" if certain else "#666666",
        )
