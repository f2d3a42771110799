"""Sentence states of all languages before and after training, in the same two dimensions."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from shiftlens.errors import ShiftlensError
from shiftlens.languages import language_name
from shiftlens.plots.style import language_styles, shared_style
from shiftlens.projections import DRAWN, evenly

States = Mapping[str, np.ndarray]
PANELS = {
    "before": "before training",
    "after": "after training",
    "shifted": "after training, shift on",
}
"""What is compared, in words."""
PROJECTIONS = {"lda": "LDA axis", "pca": "PCA axis"}
JOIN_COLOUR = "#B0B0B0"
JOINED = 12
_PANEL = 2.15
_LEGEND_ROW = 0.14


def project_before_after(
    before: States, after: States, shifted: States | None = None, method: str = "lda"
) -> pd.DataFrame:
    """Project sentence states to two dimensions that are the same before and after training.

    The axes are fitted on the sentences of even number, before and after together, and the
    sentences of odd number are projected: what keeps the languages apart in the picture does so
    on sentences that it was not fitted to. Shifted states are projected on these same axes.

    Args:
        before: Language to states ``(n, d_model)``; the rows of all languages are translations.
        after: The same sentences after training.
        shifted: The same sentences after training with the shift on.
        method: ``lda``, linear discriminant analysis with the languages as classes and Ledoit and
            Wolf's shrinkage; or ``pca``.

    Returns:
        Tidy: ``panel`` (before, after, shifted), ``language``, ``sentence`` (row number), ``x``,
        ``y``.

    Raises:
        ShiftlensError: An unknown method, states that do not match, fewer than four sentences, or
            LDA of fewer than three languages.
    """
    panels = {"before": before, "after": after, **({} if shifted is None else {"shifted": shifted})}
    _check(panels, method)
    rows = len(next(iter(before.values())))
    projection = _fitted(np.arange(0, rows, 2), before, after, method)
    odd = np.arange(1, rows, 2)
    tables = [
        pd.DataFrame(projection.transform(states[odd])[:, :2], columns=["x", "y"]).assign(
            panel=panel, language=language, sentence=odd
        )
        for panel, languages in panels.items()
        for language, states in languages.items()
    ]
    return pd.concat(tables, ignore_index=True)[["panel", "language", "sentence", "x", "y"]]


def _check(panels: Mapping[str, States], method: str) -> None:
    if method not in PROJECTIONS:
        raise ShiftlensError(f"unknown projection {method!r}; choose {' or '.join(PROJECTIONS)}")
    shapes = {
        panel: {code: states.shape for code, states in languages.items()}
        for panel, languages in panels.items()
    }
    first = shapes["before"]
    for panel, found in shapes.items():
        if found != first or len(set(first.values())) != 1:
            raise ShiftlensError(
                f"the states do not match: before training {first}, {panel} {found}; they must be "
                "of the same languages, sentences and width"
            )
    if next(iter(first.values()))[0] < 4:
        raise ShiftlensError("a projection takes four sentences or more: half of them to fit it")
    if method == "lda" and len(first) < 3:
        raise ShiftlensError(
            f"LDA tells {len(first)} languages apart in fewer than two dimensions; it takes three"
        )


def _fitted(
    even: np.ndarray, before: States, after: States, method: str
) -> LinearDiscriminantAnalysis | PCA:
    states = np.concatenate([side[code][even] for side in (before, after) for code in before])
    states = states.astype(np.float64)
    if method == "pca":
        return PCA(n_components=2, svd_solver="full").fit(states)
    classes = np.tile(np.repeat(np.arange(len(before)), len(even)), 2)
    lda = LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto", n_components=2)
    return lda.fit(states, classes)


def spread(table: pd.DataFrame, most: int) -> list[int]:
    """At most so many of a projection's sentences, evenly spread."""
    return evenly(table["sentence"].unique(), most).tolist()


def joins(panel: pd.DataFrame, sentences: list[int], dominant: str) -> np.ndarray:
    """Segments from each dominant sentence to its translations, ``(segments, 2, 2)``."""
    rows = panel[panel["sentence"].isin(sentences)]
    both = rows[rows["language"] != dominant].merge(
        rows[rows["language"] == dominant], on="sentence", suffixes=("", "_dominant")
    )
    return both[["x_dominant", "y_dominant", "x", "y"]].to_numpy().reshape(-1, 2, 2)


def before_after(
    tables: Mapping[str, pd.DataFrame], dominant: str = "en", title: str | None = None
) -> Figure:
    """Draw projections before and after training, one row a method, on the same axes in a row.

    At most 120 sentences a language are drawn; the translations of 12 are joined to the dominant
    language's by grey lines.

    Args:
        tables: Method, ``lda`` or ``pca``, to its table from :func:`project_before_after`.
        dominant: Code of the language that the grey lines start from.
        title: Text above the panels.

    Returns:
        The figure, tied to no window or notebook.
    """
    first = next(iter(tables.values()))
    panels = list(first["panel"].unique())
    codes = [str(code) for code in first["language"].unique()]
    with shared_style():
        figure = Figure(figsize=(_PANEL * len(panels) + 0.3, _PANEL * len(tables) + 0.5))
        grid = figure.subplots(len(tables), len(panels), sharex="row", sharey="row", squeeze=False)
        for row, (method, table) in zip(grid, tables.items(), strict=True):
            for axes, panel in zip(row, panels, strict=True):
                _draw_panel(axes, table, panel, dominant)
                axes.set_xlabel(f"{PROJECTIONS[method]} 1")
            row[0].set_ylabel(f"{PROJECTIONS[method]} 2")
        for axes, panel in zip(grid[0], panels, strict=True):
            axes.set_title(PANELS[panel])
        _add_legend(figure, grid[0, 0], len(codes) + 1)
        if title:
            figure.suptitle(title)
        figure.draw_without_rendering()
    return figure


def _draw_panel(axes: Axes, table: pd.DataFrame, panel: str, dominant: str) -> None:
    rows = table[table["panel"] == panel]
    joined = spread(table, JOINED)
    segments = joins(rows, joined, dominant)
    gaps = np.concatenate([segments, np.full_like(segments[:, :1], np.nan)], axis=1).reshape(-1, 2)
    axes.plot(*gaps.T, color=JOIN_COLOUR, lw=0.3, zorder=1, label=join_text(len(joined)))
    drawn = rows[rows["sentence"].isin({*spread(table, DRAWN), *joined})]
    for code, style in language_styles(table["language"]).items():
        points = drawn[drawn["language"] == code]
        axes.plot(
            points["x"],
            points["y"],
            ls="",
            marker=style.marker,
            ms=2.2 * style.scale,
            mew=0,
            alpha=0.6,
            color=style.colour,
            label=language_name(code),
        )


def join_text(sentences: int) -> str:
    """Return the label of the grey lines."""
    return f"translations of {sentences} sentences"


def _add_legend(figure: Figure, axes: Axes, entries: int) -> None:
    """Put the legend under the panels, in as many columns as the names leave room for."""
    handles, names = axes.get_legend_handles_labels()
    order = [*range(1, entries), 0]
    for columns in (5, 4, 3, 2, 1):
        legend = figure.legend(
            [handles[i] for i in order],
            [names[i] for i in order],
            loc="outside lower center",
            ncols=columns,
            markerscale=2,
        )
        if legend.get_window_extent().width <= figure.bbox.width or columns == 1:
            break
        legend.remove()
    figure.set_figheight(figure.get_figheight() + _LEGEND_ROW * -(-entries // columns))
