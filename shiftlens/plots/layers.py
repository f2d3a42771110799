"""The sentences of all languages at some layers side by side, for the printed page."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from shiftlens.errors import ShiftlensError
from shiftlens.languages import language_name
from shiftlens.plots.geometry import JOIN_COLOUR, JOINED, PROJECTIONS, join_text, joins, spread
from shiftlens.plots.labels import LAYER_AXIS
from shiftlens.plots.style import LanguageStyle, label_styles, language_styles, shared_style

AXES = PROJECTIONS | {"lda-labels": "LDA axis"}
PROJECTED = {
    "lda": "LDA, languages as classes",
    "lda-labels": "LDA, labels as classes",
    "pca": "PCA",
}
"""What the axes are, in words."""

_WIDTHS = (3.3, 6.6)
"""One page column and two, in inches."""
_PANEL = (2.2, 1.75)
_GAP = 0.05


@dataclass(frozen=True)
class _Row:
    """One row of panels: a projection, and what its points are coloured by."""

    table: pd.DataFrame
    by: str

    @property
    def method(self) -> str:
        return str(self.table["method"].iloc[0])

    @property
    def heading(self) -> str:
        """What is told apart, what the colours are and the axis, in lines beside the row."""
        colour = f"colour: {self.by}" if self.method == "lda-labels" else ""
        lines = (PROJECTED[self.method].partition(", ")[2], colour, f"{AXES[self.method]} 2")
        return "\n".join(filter(None, lines))

    @property
    def legend_title(self) -> str:
        """What the legend lists."""
        each = f" ({self.table['sentence'].nunique()} sentences each)"
        return self.by + (each if self.by == "language" else "")

    def looks(self) -> dict[str, tuple[str, LanguageStyle]]:
        """Each class that the points are coloured by, with its name and style."""
        if self.by == "label":
            return {
                name: (name, style) for name, style in label_styles(self.table["label"]).items()
            }
        styles = language_styles(self.table["language"])
        return {code: (language_name(code), style) for code, style in styles.items()}


def layers_figure(
    tables: Mapping[str, pd.DataFrame],
    layers: Sequence[int],
    dominant: str = "en",
    title: str | None = None,
) -> Figure:
    """Draw projections at some layers: a column a layer, a row a projection, on the same axes.

    The LDA of labels takes two rows of the same points, coloured by language and by label: where
    languages lie together and labels apart, the states tell what a sentence is about and not which
    language it is in.

    Args:
        tables: Method to its table from :func:`shiftlens.projections.project_layers`; a third
            dimension is not drawn.
        layers: Which layers.
        dominant: Code of the language that the grey lines start from.
        title: Text above the panels.

    Returns:
        The figure, two page columns (6.6 in) wide from four layers on, tied to no window or
        notebook.

    Raises:
        ShiftlensError: There is no table or no layer, or a table does not have a layer or the
            dominant language.

    Source:
        Zhang et al., "ShifCon", ACL 2025, arXiv:2410.19453, Figure 1.
    """
    if not tables or not layers:
        raise ShiftlensError("give at least one projection and one layer to draw")
    for table in tables.values():
        check_projection(table, layers, dominant)
    rows = [_Row(table, by) for table in tables.values() for by in _colourings(table)]
    width = min(max(_PANEL[0] * len(layers), _WIDTHS[0]), _WIDTHS[1])
    with shared_style():
        figure = Figure(figsize=(width, _PANEL[1] * len(rows)))
        grid = figure.subplots(len(rows), len(layers), sharex="row", sharey="row", squeeze=False)
        for row, panels in zip(rows, grid, strict=True):
            for axes, layer in zip(panels, layers, strict=True):
                _draw_panel(axes, row, layer, dominant)
            panels[0].set_ylabel(row.heading)
        for axes, layer in zip(grid[0], layers, strict=True):
            axes.set_title(f"layer {layer}")
        if title:
            figure.suptitle(title)
        _write_below(figure, {row.by: (row, axes[0]) for row, axes in zip(rows, grid, strict=True)})
    return figure


def check_projection(table: pd.DataFrame, layers: Iterable[int], dominant: str) -> None:
    """Refuse layers or a dominant language that a projection does not have.

    Raises:
        ShiftlensError: It lacks one of them.
    """
    for layer in layers:
        if layer not in (known := table["layer"].unique()):
            raise ShiftlensError(f"the projection has no layer {layer} (0..{max(known)})")
    if dominant not in (codes := table["language"].unique()):
        raise ShiftlensError(
            f"the projection has no dominant language {dominant!r} (there: {', '.join(codes)})"
        )


def _colourings(table: pd.DataFrame) -> tuple[str, ...]:
    return ("language", "label") if table["method"].iloc[0] == "lda-labels" else ("language",)


def _draw_panel(axes: Axes, row: _Row, layer: int, dominant: str) -> None:
    table = row.table[row.table["layer"] == layer]
    if row.by == "language":
        joined = spread(table, JOINED)
        segments = joins(table, joined, dominant)
        gaps = np.concatenate([segments, np.full_like(segments[:, :1], np.nan)], axis=1)
        x, y = gaps.reshape(-1, 2).T
        axes.plot(x, y, color=JOIN_COLOUR, lw=0.3, zorder=1, label=join_text(len(joined)))
    for name, (words, style) in row.looks().items():
        points = table[table[row.by] == name]
        axes.plot(
            points["x"],
            points["y"],
            ls="",
            marker=style.marker,
            ms=2 * style.scale,
            mew=0,
            alpha=0.6,
            color=style.colour,
            label=words,
        )
    axes.set_xlabel(f"{AXES[row.method]} 1")


def _write_below(figure: Figure, panels: Mapping[str, tuple[_Row, Axes]]) -> None:
    """Put the words of the columns and a legend a colouring under the panels."""
    height = _GAP
    for row, axes in reversed(list(panels.values())):
        legend = _legend(figure, axes, row, (figure.get_figwidth() / 2, height))
        height += legend.get_window_extent().height / figure.dpi + _GAP
    words = figure.text(0.5, 0, f"columns: {LAYER_AXIS}", ha="center", va="bottom", in_layout=False)
    below = height + words.get_window_extent().height / figure.dpi
    total = figure.get_figheight() + below
    figure.set_figheight(total)
    words.set_y(height / total)
    figure.set_layout_engine("constrained", rect=(0, below / total, 1, 1 - below / total))
    _settle(figure)


def _settle(figure: Figure) -> None:
    """Hold the panels where the layout puts them, for the same bytes every time.

    The solver's last binary digit differs from run to run, and SVG's names are hashes of it.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, bottom, width, height = axes.get_position().bounds
        axes.set_position((round(left, 6), round(bottom, 6), round(width, 6), round(height, 6)))


def _legend(figure: Figure, axes: Axes, row: _Row, place: tuple[float, float]) -> Legend:
    """A legend of as many columns as fit, its lower centre at a place in inches."""
    handles, names = axes.get_legend_handles_labels()
    if row.by == "language":
        handles, names = [*handles[1:], handles[0]], [*names[1:], names[0]]
    for columns in range(min(6, len(names)), 0, -1):
        legend = figure.legend(
            handles,
            names,
            title=row.legend_title,
            loc="lower center",
            bbox_to_anchor=place,
            bbox_transform=figure.dpi_scale_trans,
            borderaxespad=0,
            ncols=columns,
            markerscale=2,
        )
        legend.set_in_layout(False)
        if legend.get_window_extent().width <= figure.bbox.width:
            break
        if columns > 1:
            legend.remove()
    return legend
