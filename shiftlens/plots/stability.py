"""Which layers are chosen again when the sentences, the languages or the measure are others."""

import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from shiftlens.errors import ShiftlensError
from shiftlens.plots.labels import LAYER_AXIS, layer_step, metric_label
from shiftlens.plots.style import MEAN_COLOUR, shared_style

_CURVES = ("sentences", "layer", "distance", "spread", "floor")
_SHARES = ("panel", "row", "layer", "share")
_WIDTH = 6.8
_ROW_HEIGHT = 1.85
_LEGEND = 0.3
_LEGEND_COLUMNS = 6
_MOST_NUMBERED = 14
_SIZES = colormaps["viridis_r"]
_COLOURS = colormaps["Blues"].with_extremes(bad="white")


def area_stability(
    curves: pd.DataFrame,
    shares: pd.DataFrame,
    metric: str = "affine_invariant",
    area: tuple[int, int] | None = None,
) -> Figure:
    """Draw the mean curve by corpus size, and how often every layer was in the area.

    Args:
        curves: Tidy ``sentences, layer, distance, spread, floor``: of corpora of so many sentences
            the mean curve, its standard deviation over the corpora (drawn as a band), and the
            dominant language's own distance.
        shares: Tidy ``panel, row, layer, share``, the share in 0..1 of the areas of that row that
            hold the layer; one heatmap for each panel. A layer that no area can hold has no share.
        metric: Of the curves.
        area: The area of all sentences, outlined.

    Returns:
        The figure, two page columns (6.8 in) wide, tied to no window or notebook.

    Raises:
        ShiftlensError: A table lacks a column or has no rows.
    """
    _check("curves", curves, _CURVES)
    _check("shares", shares, _SHARES)
    kinds = list(shares["panel"].unique())
    rows = -(-(len(kinds) + 1) // 2)
    with shared_style():
        figure = Figure(figsize=(_WIDTH, _ROW_HEIGHT * rows + _LEGEND))
        first, *others = figure.subplots(rows, 2, squeeze=False).flat
        _draw_curves(first, curves, metric)
        for axes, kind in zip(others, kinds, strict=False):
            table = shares[shares["panel"] == kind]
            _draw_shares(axes, table.pivot(index="row", columns="layer", values="share"), table)
            axes.set_title(kind)
        for axes in others[len(kinds) :]:
            axes.remove()
        heatmaps = others[: len(kinds)]
        for axes in (first, *heatmaps):
            _layers(axes, curves["layer"].max(), area)
        scale = ScalarMappable(cmap=_COLOURS)
        scale.set_clim(0, 100)
        label = "areas that hold the layer (%)"
        figure.colorbar(scale, ax=[first, *heatmaps], label=label, fraction=0.02, aspect=50)
        figure.supxlabel(LAYER_AXIS, fontsize="medium")
        figure.legend(loc="outside upper center", ncols=_LEGEND_COLUMNS)
        figure.draw_without_rendering()
    return figure


def _check(name: str, table: pd.DataFrame, columns: tuple[str, ...]) -> None:
    if missing := [column for column in columns if column not in table.columns]:
        raise ShiftlensError(f"the table of {name} lacks the column(s) {', '.join(missing)}")
    if table.empty:
        raise ShiftlensError(f"the table of {name} has no rows")


def _draw_curves(axes: Axes, curves: pd.DataFrame, metric: str) -> None:
    sizes = sorted(curves["sentences"].unique())
    for place, size in enumerate(sizes, 1):
        own = curves[curves["sentences"] == size].sort_values("layer")
        layers, distance, spread = own["layer"], own["distance"], own["spread"]
        colour = _SIZES(place / len(sizes))
        axes.fill_between(
            layers, distance - spread, distance + spread, color=colour, alpha=0.2, linewidth=0
        )
        axes.plot(layers, distance, color=colour, marker="o", label=f"{size:,} sentences")
        axes.plot(layers, own["floor"], color=colour, ls="--")
    label = metric_label(metric)
    axes.set_ylabel(f"{label.words}\n{label.formula}".strip())
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    axes.set_title("mean curve; dashed: split-half floor")


def _draw_shares(axes: Axes, shares: pd.DataFrame, table: pd.DataFrame) -> None:
    shares = 100 * shares.loc[list(table["row"].unique())]
    layers = [int(layer) for layer in shares.columns]
    axes.grid(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.imshow(
        shares,
        cmap=_COLOURS,
        vmin=0,
        vmax=100,
        aspect="auto",
        extent=(layers[0] - 0.5, layers[-1] + 0.5, len(shares) - 0.5, -0.5),
    )
    axes.set_yticks(range(len(shares)), [str(row) for row in shares.index])
    if len(layers) > _MOST_NUMBERED:
        return
    for row, values in enumerate(shares.to_numpy()):
        for layer, value in zip(layers, values, strict=True):
            if value == value:
                colour = "white" if value > 60 else "black"
                axes.text(
                    layer, row, f"{value:.0f}", ha="center", va="center", color=colour, size=5.5
                )


def _layers(axes: Axes, last: int, area: tuple[int, int] | None) -> None:
    axes.set_xlim(-0.5, last + 0.5)
    axes.set_xticks(range(0, last + 1, layer_step(last)))
    if area is None:
        return
    low, high = axes.get_ylim()
    corner, width = (area[0] - 0.5, low), area[1] - area[0] + 1
    axes.add_patch(
        Rectangle(corner, width, high - low, fill=False, color=MEAN_COLOUR, lw=0.9, zorder=3)
    )
    axes.set_ylim(low, high)
