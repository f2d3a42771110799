"""The logit lens by layer, for the printed page: masses by language, entropy, answers."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shiftlens.errors import ShiftlensError
from shiftlens.languages import language_name
from shiftlens.lens.token_languages import AMBIGUOUS, UNSEEN
from shiftlens.plots.grid import panel_columns, panel_grid
from shiftlens.plots.labels import LAYER_AXIS, NARROW, layer_step
from shiftlens.plots.layer_distance import add_legend
from shiftlens.plots.style import FLOOR_COLOUR, LanguageStyle, language_styles, shared_style

ENTROPY = "entropy"
QUANTITIES = {
    "rank": "rank of the answer, by its language",
    "probability": "probability of the answer, by its language",
}
_ROW, _HEIGHT, _LEGEND = 1.55, 2.1, 6
_LEAST = 0.05
"""Masses that stay below this everywhere are not drawn."""
_SHARES = (0, 0.05, 0.25, 0.5, 1)
"""Ticks of an axis of probabilities, which has the height of their square roots."""
_MOST = 9
"""Most languages of answers in one figure."""
_REST = {AMBIGUOUS: "--", UNSEEN: ":"}


def mass_panels(summary: pd.DataFrame) -> Figure:
    """Draw which language's tokens the next token is of, one panel a language of texts.

    Bands are the table's intervals; heights are square roots, so that small masses stand apart.
    Groups of tokens that reach 5% at no layer are not drawn.

    Args:
        summary: That of :meth:`shiftlens.lens.LanguageLens.summary`.

    Returns:
        The figure, two page columns (6.8 in) wide, tied to no window or notebook.

    Raises:
        ShiftlensError: The table lacks a column or has no masses.
    """
    rows = _checked(summary, "group")
    rows = rows[rows["group"] != ENTROPY]
    peaks = rows.groupby("group", sort=False)["mean"].max()
    shown = rows[rows["group"].isin(peaks.index[peaks >= _LEAST])]
    words = "probability of the next token, by its language"
    return _panels(shown, "group", words, "texts", _styles(rows, "group"))


def answer_panels(summary: pd.DataFrame, quantity: str = "rank") -> Figure:
    """Draw the answer in each language by layer, one panel a language of prompts.

    Bands are the table's intervals; heights are the logarithm of a rank, the square root of a
    probability. Of more than nine languages of answers, those are drawn that
    come nearest to the top anywhere.

    Args:
        summary: That of :func:`shiftlens.lens.answer_summary`.
        quantity: ``rank``, the first choice on top, or ``probability``.

    Returns:
        The figure, two page columns (6.8 in) wide, tied to no window or notebook.

    Raises:
        ShiftlensError: No such quantity, or the table lacks a column or has no rows.
    """
    if quantity not in QUANTITIES:
        raise ShiftlensError(f"no quantity {quantity!r}; choose from {', '.join(QUANTITIES)}")
    rows = _checked(summary, "answer", "quantity")
    rows = rows[rows["quantity"] == quantity]
    best = rows.groupby("answer", sort=False)["mean"].agg("min" if quantity == "rank" else "max")
    kept = rows["answer"].isin(best.sort_values(ascending=quantity == "rank").index[:_MOST])
    styles = _styles(rows, "answer")
    return _panels(rows[kept], "answer", QUANTITIES[quantity], "prompts", styles)


def entropy_lines(summary: pd.DataFrame) -> Figure:
    """Draw the entropy of the next token by layer, one line a language of texts.

    Args:
        summary: That of :meth:`shiftlens.lens.LanguageLens.summary`.

    Returns:
        The figure, one page column (3.3 in) wide, tied to no window or notebook.

    Raises:
        ShiftlensError: The table lacks a column or has no entropies.
    """
    rows = _checked(summary, "group")
    styles = _styles(rows, "group")
    rows = rows[rows["group"] == ENTROPY]
    with shared_style():
        figure = Figure()
        axes = figure.add_subplot()
        for language, own in rows.groupby("language", sort=False):
            _line(axes, own, str(language), styles)
        axes.set_ylabel("entropy of the next token (nats)")
        axes.set_xlabel(LAYER_AXIS)
        _layers(axes, rows)
        axes.set_ylim(bottom=0)
        add_legend(figure, axes, _HEIGHT)
        figure.draw_without_rendering()
    return figure


def _checked(summary: pd.DataFrame, *columns: str) -> pd.DataFrame:
    wanted = ("language", "layer", *columns, "mean", "low", "high")
    if missing := [name for name in wanted if name not in summary.columns]:
        raise ShiftlensError(f"the table of a lens lacks the column(s) {', '.join(missing)}")
    if summary.empty:
        raise ShiftlensError("the table of a lens has no rows")
    return summary


def _styles(rows: pd.DataFrame, column: str) -> dict[str, LanguageStyle]:
    """The looks of all languages of a table, of those too that are not drawn in one figure."""
    names = [*rows["language"].unique(), *rows[column].unique()]
    return language_styles(name for name in names if name not in (ENTROPY, *_REST))


def _panels(
    rows: pd.DataFrame, column: str, words: str, texts: str, styles: dict[str, LanguageStyle]
) -> Figure:
    """One panel a language of texts, one line a value of the column."""
    languages = [str(language) for language in rows["language"].unique()]
    with shared_style():
        figure, panels = panel_grid(len(languages), _ROW)
        for axes, language in zip(panels, languages, strict=True):
            own = rows[rows["language"] == language]
            for name, line in own.groupby(column, sort=False):
                _line(axes, line, str(name), styles, own=name == language)
            axes.set_title(f"{language_name(language)} {texts}")
            _layers(axes, rows)
            _height(axes, rows, "rank" in words)
        figure.supylabel(words, size=rcParams["axes.labelsize"])
        columns = panel_columns(len(panels))
        below = panels[(columns - 1) // 2 :: columns][-1]
        below.set_xlabel(LAYER_AXIS, x=0.5 if columns % 2 else 1.1)
        add_legend(figure, panels[0], figure.get_figheight(), most=_LEGEND)
        figure.draw_without_rendering()
    return figure


def _height(axes: Axes, rows: pd.DataFrame, ranks: bool) -> None:
    if ranks:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:,g}")
        axes.set_ylim(1.1 * float(np.nanmax(rows[["mean", "high"]].to_numpy())), 0.9)
    else:
        axes.set_yscale("function", functions=(_root, np.square))
        axes.set_yticks(_SHARES, [f"{share:g}" for share in _SHARES])
        axes.set_ylim(0, 1.02)


def _root(values: np.ndarray) -> np.ndarray:
    """The square root; of what lies below 0, as the end of an interval may, 0."""
    return np.sqrt(np.maximum(values, 0))


def _line(
    axes: Axes,
    rows: pd.DataFrame,
    name: str,
    styles: dict[str, LanguageStyle],
    own: bool = False,
) -> None:
    """A line with its band; that of the panel's own language thicker."""
    look: dict[str, Any] = {"color": FLOOR_COLOUR, "ls": _REST.get(name, "-")}
    label = f"{name} tokens"
    if name not in _REST:
        style = styles[name]
        look, label = {"color": style.colour, "marker": style.marker}, language_name(name)
    layers = rows["layer"]
    axes.fill_between(layers, rows["low"], rows["high"], color=look["color"], alpha=0.18, lw=0)
    every = layer_step(int(layers.max()))
    axes.plot(layers, rows["mean"], label=label, markevery=every, ms=2.5, lw=0.8, **look)
    if own:
        axes.plot(layers, rows["mean"], markevery=every, ms=3.2, lw=1.8, **look)


def _layers(axes: Axes, rows: pd.DataFrame) -> None:
    last = int(rows["layer"].max())
    axes.set_xticks(range(int(rows["layer"].min()), last + 1, layer_step(last, NARROW)))
