"""Which measures say what a reference ordering of the languages says, and which say the same."""

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from shiftlens.errors import ShiftlensError
from shiftlens.plots.style import shared_style

_WIDTH = 6.8
_ROW = 0.135
_MARGIN = 1.35
_BAR = (0.5, 0.07)  # inches below the panels, and high
_MOST_TICKS = 7
_COLOURS = colormaps["RdBu_r"].with_extremes(bad="white")
_COLUMNS = ("reference", "measure", "layer", "rho")


def measure_agreement(
    correlations: pd.DataFrame, over_languages: pd.DataFrame, over_layers: pd.DataFrame
) -> Figure:
    """Draw each measure's rank correlation with reference distances, and with the other measures.

    What has no correlation (a constant has no ranks) stays white.

    Args:
        correlations: Tidy ``reference, measure, layer, rho``, the measures in the order of the
            rows; a measure that `over_languages` lacks is a baseline, drawn apart.
        over_languages: Square, measure by measure: do they order the languages alike?
        over_layers: The same of the layers.

    Returns:
        The figure, two page columns (6.8 in) wide, tied to no window or notebook.

    Raises:
        ShiftlensError: A table lacks a column or has no rows, or the three do not fit together.
    """
    measures = _check(correlations, over_languages, over_layers)
    references = list(correlations["reference"].unique())
    compared = len(over_languages)
    with shared_style():
        figure = Figure(figsize=(_WIDTH, _MARGIN + _ROW * len(measures)))
        *panels, matrix = figure.subplots(
            1, len(references) + 1, sharey=True, width_ratios=[1] * len(references) + [3.6]
        )
        for axes, reference in zip(panels, references, strict=True):
            rows = correlations[correlations["reference"] == reference]
            table = rows.pivot(index="measure", columns="layer", values="rho").reindex(measures)
            _heat_map(axes, table.to_numpy())
            ticks = range(0, len(table.columns), -(-len(table.columns) // _MOST_TICKS))
            axes.set_xticks(ticks, [str(table.columns[tick]) for tick in ticks])
            axes.set_title(f"{reference}\ndistance")
            axes.set_xlabel("layer")
            axes.axhline(compared - 0.5, color="black", lw=0.8)
        image = _draw_matrix(matrix, over_languages, over_layers)
        panels[0].set_yticks(range(len(measures)), [_name(measure) for measure in measures])
        panels[0].set_ylim(len(measures) - 0.5, -0.5)
        low, high = (inches / (_ROW * len(measures)) for inches in _BAR)
        bar = panels[0].inset_axes((0, -low, len(panels), high))
        bar.set_in_layout(False)
        figure.colorbar(image, bar, orientation="horizontal", label="Spearman's ρ")
        figure.draw_without_rendering()
    return figure


def _check(
    correlations: pd.DataFrame, over_languages: pd.DataFrame, over_layers: pd.DataFrame
) -> list[str]:
    if missing := [column for column in _COLUMNS if column not in correlations.columns]:
        raise ShiftlensError(f"the table of correlations lacks the column(s) {', '.join(missing)}")
    if correlations.empty:
        raise ShiftlensError("the table of correlations has no rows")
    measures = [str(measure) for measure in correlations["measure"].unique()]
    ordered = measures[: len(over_languages)]
    for name, table in (("over_languages", over_languages), ("over_layers", over_layers)):
        if not list(table.index) == list(table.columns) == ordered:
            raise ShiftlensError(
                f"{name} is not a square table of the first measures of the correlations, in "
                f"their order ({', '.join(measures)})"
            )
    return measures


def _draw_matrix(axes: Axes, over_languages: pd.DataFrame, over_layers: pd.DataFrame) -> AxesImage:
    upper = np.triu(np.ones(over_languages.shape, bool), 1)
    values = np.where(upper, over_languages, over_layers)
    np.fill_diagonal(values, np.nan)
    axes.set_xticks(range(len(values)), [_name(str(m)) for m in over_languages], rotation=90)
    axes.set_title("agreement of the measures\nover languages ◥ and over layers ◣")
    return _heat_map(axes, values)


def _heat_map(axes: Axes, values: np.ndarray) -> AxesImage:
    axes.grid(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return axes.imshow(values, cmap=_COLOURS, vmin=-1, vmax=1, aspect="auto")


def _name(measure: str) -> str:
    return measure.replace("_", " ")
