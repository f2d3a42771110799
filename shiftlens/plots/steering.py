"""What steering does to answers: curves over the strength."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shiftlens.errors import ShiftlensError
from shiftlens.languages import language_name
from shiftlens.plots.labels import plain_ticks
from shiftlens.plots.style import (
    FLOOR_COLOUR,
    PALETTE,
    LanguageStyle,
    language_styles,
    shared_style,
)

_PANELS = {
    "language": "answers, by their language",
    "exact_match": "right answers, by language",
    "perplexity": "perplexity of the right answer",
}
_COLUMNS = ("strength", "measure", "language", "value", "low", "high")
_WIDTH, _HEIGHT = 6.8, 2.7
_NO_LANGUAGE: dict[str, Any] = {"color": FLOOR_COLOUR, "ls": ":"}
_CROWDED = 0.1
"""Points nearer to the model as it is have no room for their strength."""
_LEAST = 0.05
"""A language that fewer answers are in at every strength is left out."""


def steering_figure(table: pd.DataFrame, title: str | None = None) -> Figure:
    """Draw language, quality and perplexity of the answers over the strength of a steering.

    Bands are the table's 95% intervals. Languages that less than 5% of the answers are in at every
    strength are not drawn.

    Args:
        table: That of :func:`shiftlens.steering_curve.steering_curve`.
        title: Text above the panels.

    Returns:
        The figure, two page columns (6.8 in) wide, tied to no window or notebook.

    Raises:
        ShiftlensError: The table lacks a column or a measure.
    """
    if missing := [name for name in _COLUMNS if name not in table.columns]:
        raise ShiftlensError(f"the table of a steering lacks the column(s) {', '.join(missing)}")
    if absent := [name for name in _PANELS if name not in set(table["measure"])]:
        raise ShiftlensError(f"the table of a steering lacks the measure(s) {', '.join(absent)}")
    with shared_style():
        figure = Figure(figsize=(_WIDTH, _HEIGHT))
        panels = figure.subplots(1, len(_PANELS))
        drawn = table[table["measure"].isin(list(_PANELS))]
        styles = language_styles(code for code in drawn["language"].unique() if code != "none")
        for axes, (measure, words) in zip(panels, _PANELS.items(), strict=True):
            _draw(axes, table[table["measure"] == measure], styles)
            axes.set_title(words)
            axes.set_xlabel("strength of the steering")
            if measure == "perplexity":
                axes.set_yscale("log")
                plain_ticks(axes.yaxis, table.loc[table["measure"] == measure, "value"])
            else:
                axes.set_ylim(-0.02, 1.02)
        panels[0].set_ylabel("share of answers")
        entries = {
            name: handle
            for axes in panels
            for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(entries.values(), entries, loc="outside lower center", ncols=5)
        if title:
            figure.suptitle(title)
        figure.draw_without_rendering()
    return figure


def steering_tradeoff(table: pd.DataFrame, target: str) -> Figure:
    """Draw, for every kind of steering, how many answers are in the target's language and right.

    Each kind is a path over its strengths, which stand beside the points where there is room, from
    the model as it is.

    Args:
        table: That of :func:`shiftlens.steering_curve.steering_curve`, with a column ``kind``.
        target: The language steered to.

    Returns:
        The figure, two page columns (6.8 in) wide, tied to no window or notebook.

    Raises:
        ShiftlensError: The table lacks a column, or has no answers of that language.
    """
    if missing := [name for name in (*_COLUMNS, "kind") if name not in table.columns]:
        raise ShiftlensError(f"the table of steerings lacks the column(s) {', '.join(missing)}")
    own = table[table["language"] == target]
    if own.empty:
        raise ShiftlensError(f"the table of steerings has no answers of language {target!r}")
    name = language_name(target)
    with shared_style():
        figure = Figure(figsize=(_WIDTH, 3.6))
        axes = figure.add_subplot()
        for number, (kind, rows) in enumerate(own.groupby("kind", sort=False)):
            path = rows.pivot(index="strength", columns="measure", values="value").sort_index()
            places = list(zip(path["language"], path["exact_match"], strict=True))
            colour = PALETTE[number % len(PALETTE)]
            axes.plot(*zip(*places, strict=True), color=colour, label=str(kind),
                      marker="os^Dv*"[number % 6])  # fmt: skip
            for strength, place in zip(path.index, places, strict=True):
                if strength and place[0] > _CROWDED:
                    axes.annotate(f"{strength:g}", place, xytext=(4, 3), color=colour,
                                  textcoords="offset points", fontsize="small")  # fmt: skip
        axes.set_xlabel(f"share of answers in {name}")
        axes.set_ylabel(f"share of answers right and in {name}")
        figure.legend(loc="outside lower center", ncols=6)
        figure.draw_without_rendering()
    return figure


def _draw(axes: Axes, rows: pd.DataFrame, styles: dict[str, LanguageStyle]) -> None:
    for code, own in rows.groupby("language", sort=False):
        own = own.sort_values("strength")
        if (own["measure"] == "language").all() and own["value"].max() < _LEAST:
            continue
        if code == "none":
            look, name = _NO_LANGUAGE, "no known answer"
        else:
            style = styles[str(code)]
            look, name = {"color": style.colour, "marker": style.marker}, language_name(str(code))
        axes.fill_between(own["strength"], own["low"], own["high"], color=look["color"],
                          alpha=0.18, lw=0)  # fmt: skip
        axes.plot(own["strength"], own["value"], label=name, **look)


def arms_by_language(table: pd.DataFrame) -> Figure:
    """Draw exact match of several models by language: means over seeds, bars their range.

    Args:
        table: Tidy ``arm, language, seed, exact_match``; arms are drawn in their order.

    Returns:
        The figure, two page columns (6.8 in) wide, tied to no window or notebook.

    Raises:
        ShiftlensError: The table lacks a column or has no rows.
    """
    columns = ("arm", "language", "seed", "exact_match")
    if missing := [name for name in columns if name not in table.columns]:
        raise ShiftlensError(f"the table of arms lacks the column(s) {', '.join(missing)}")
    if table.empty:
        raise ShiftlensError("the table of arms has no rows")
    languages, arms = list(table["language"].unique()), list(table["arm"].unique())
    with shared_style():
        figure = Figure(figsize=(_WIDTH, _HEIGHT))
        axes = figure.add_subplot()
        for number, arm in enumerate(arms):
            own = table[table["arm"] == arm].groupby("language")["exact_match"]
            stats = own.agg(["mean", "min", "max"]).loc[languages]
            places = [n + 0.15 * (number - (len(arms) - 1) / 2) for n in range(len(languages))]
            ends = [stats["mean"] - stats["min"], stats["max"] - stats["mean"]]
            axes.errorbar(places, stats["mean"], ends, fmt="os^Dv"[number % 5], ls="none",
                          color=PALETTE[number % len(PALETTE)], label=arm)  # fmt: skip
        axes.set_xticks(range(len(languages)), [language_name(code) for code in languages])
        axes.set_ylim(0, 1.02)
        axes.set_ylabel("exact match, share of the questions\n(mean and range over seeds)")
        figure.legend(loc="outside lower center", ncols=len(arms))
        figure.draw_without_rendering()
    return figure
