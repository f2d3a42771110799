"""Distance in the model against a published distance, one point a language."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shiftlens.errors import ShiftlensError
from shiftlens.geometry import METRICS
from shiftlens.languages import language_name
from shiftlens.plots.labels import metric_label
from shiftlens.plots.style import language_styles, shared_style

_POINTS = ("measure", "reference", "language", "x", "y")
_CORRELATIONS = ("measure", "reference", "rho", "p", "given")
_PANEL = (2.2, 1.75)
_MARGIN = 0.35
_LEGEND_ROW = 0.135


def distance_scatter(
    points: pd.DataFrame, correlations: pd.DataFrame, title: str | None = None
) -> Figure:
    """Draw each measure against each reference, a row of panels a measure.

    Args:
        points: Tidy ``measure, reference, language, x, y``: the language's published distance x
            and its distance in the model y; of a similarity s that lies in 0..1, y = 1 - s.
        correlations: One row a panel: ``measure, reference, rho, p, given``, rho the rank
            correlation of the points, p its p-value and ``given`` the partial correlation given
            the overlap of tokens, NaN where there is none.
        title: Text above the panels.

    Returns:
        The figure, tied to no window or notebook.

    Raises:
        ShiftlensError: A table lacks a column, there are no points, or a panel has no correlation.
    """
    _check(points, correlations)
    measures, references = (list(points[name].unique()) for name in ("measure", "reference"))
    with shared_style():
        width, height = _PANEL
        figure = Figure(figsize=(width * len(references), height * len(measures) + _MARGIN))
        grid = figure.subplots(
            len(measures), len(references), sharex="col", sharey="row", squeeze=False
        )
        for row, measure in zip(grid, measures, strict=True):
            for axes, reference in zip(row, references, strict=True):
                _draw(axes, points, measure, reference)
                axes.set_title(_words(correlations, measure, reference))
            row[0].set_ylabel(_label(measure))
        for axes, reference in zip(grid[-1], references, strict=True):
            axes.set_xlabel(f"{reference} distance".replace("_", " "))
        _add_legend(figure, grid[0, 0])
        if title:
            figure.suptitle(title)
        figure.draw_without_rendering()
    return figure


def _check(points: pd.DataFrame, correlations: pd.DataFrame) -> None:
    for name, table, columns in (
        ("points", points, _POINTS),
        ("correlations", correlations, _CORRELATIONS),
    ):
        if missing := [column for column in columns if column not in table.columns]:
            raise ShiftlensError(f"the table of {name} lacks the column(s) {', '.join(missing)}")
    if points.empty:
        raise ShiftlensError("the table of points has no rows")
    keys = ["measure", "reference"]
    known = set(correlations[keys].itertuples(index=False, name=None))
    for measure, reference in points[keys].drop_duplicates().itertuples(index=False, name=None):
        if (measure, reference) not in known:
            raise ShiftlensError(f"no correlation of {measure!r} with {reference!r} is given")


def _draw(axes: Axes, points: pd.DataFrame, measure: str, reference: str) -> None:
    own = points[(points["measure"] == measure) & (points["reference"] == reference)]
    styles = language_styles(points["language"])
    for code, x, y in zip(own["language"], own["x"], own["y"], strict=True):
        style = styles[code]
        axes.plot(
            x,
            y,
            ls="",
            marker=style.marker,
            ms=4.5 * style.scale,
            mew=0,
            alpha=0.85,
            color=style.colour,
            label=language_name(code),
        )


def _label(measure: str) -> str:
    label = metric_label(measure)
    similar = measure in METRICS and METRICS[measure].kind == "similarity"
    return f"1 − {label.words}" if similar else f"{label.words}\n{label.formula}".strip()


def _words(correlations: pd.DataFrame, measure: str, reference: str) -> str:
    rows = correlations[
        (correlations["measure"] == measure) & (correlations["reference"] == reference)
    ]
    rho, given = (round(float(rows[name].iloc[0]), 2) + 0.0 for name in ("rho", "given"))
    text = f"ρ = {rho:.2f} (p = {rows['p'].iloc[0]:.2g})"
    text = text if pd.isna(given) else f"{text}\ngiven token overlap {given:.2f}"
    return text.replace("-", "−")


def _add_legend(figure: Figure, axes: Axes) -> None:
    handles, names = axes.get_legend_handles_labels()
    for columns in (8, 7, 6, 5, 4, 3, 2, 1):
        legend = figure.legend(handles, names, loc="outside lower center", ncols=columns)
        if legend.get_window_extent().width <= figure.bbox.width or columns == 1:
            break
        legend.remove()
    figure.set_figheight(figure.get_figheight() + _LEGEND_ROW * -(-len(names) // columns))
