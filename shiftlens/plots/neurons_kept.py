"""How many of a model's language-specific neurons others still have, by language and by block."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shiftlens.errors import ShiftlensError
from shiftlens.plots.style import FLOOR_COLOUR, PALETTE, shared_style

_COLUMNS = ("arm", "seed", "language", "block", "before", "kept", "by_chance")
_WIDTH, _HEIGHT = 6.8, 2.9


def kept_figure(table: pd.DataFrame, title: str | None = None) -> Figure:
    """Draw the share of neurons kept: means over seeds, bars their range, ticks what chance keeps.

    Args:
        table: That of :func:`shiftlens.neurons.neurons_kept` with the columns ``arm`` and ``seed``;
            arms are drawn in their order.
        title: Text above the panels.

    Returns:
        The figure, two page columns (6.8 in) wide, tied to no window or notebook.

    Raises:
        ShiftlensError: The table lacks a column or has no rows.
    """
    if missing := [name for name in _COLUMNS if name not in table.columns]:
        raise ShiftlensError(f"the table of neurons kept lacks the column(s) {', '.join(missing)}")
    if table.empty:
        raise ShiftlensError("the table of neurons kept has no rows")
    with shared_style():
        figure = Figure(figsize=(_WIDTH, _HEIGHT))
        panels = figure.subplots(1, 2, sharey=True)
        for axes, by in zip(panels, ("language", "block"), strict=True):
            _draw(axes, table, by)
        panels[0].set_ylabel("share of the base's neurons kept")
        panels[0].set_ylim(-0.03, 1.03)
        panels[1].set_xlabel("block (its MLP)")
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=len(names))
        if title:
            figure.suptitle(title)
        figure.draw_without_rendering()
    return figure


def _draw(axes: Axes, table: pd.DataFrame, by: str) -> None:
    groups, arms = list(table[by].unique()), list(table["arm"].unique())
    for number, arm in enumerate(arms):
        sums = table[table["arm"] == arm].groupby([by, "seed"])[["before", "kept", "by_chance"]]
        sums = sums.sum()
        shares = sums[["kept", "by_chance"]].div(sums["before"].where(sums["before"] > 0), axis=0)
        own = shares["kept"].groupby(level=by).agg(["mean", "min", "max"]).loc[groups]
        chance = shares["by_chance"].groupby(level=by).mean().loc[groups]
        places = [n + 0.17 * (number - (len(arms) - 1) / 2) for n in range(len(groups))]
        ends = [(own["mean"] - own["min"]).clip(0), (own["max"] - own["mean"]).clip(0)]
        axes.errorbar(places, own["mean"], ends, fmt="os^Dv"[number % 5], ls="none",
                      color=PALETTE[number % len(PALETTE)], label=arm)  # fmt: skip
        axes.plot(places, chance, "_", color=FLOOR_COLOUR, ms=5,
                  label="by chance" if number == len(arms) - 1 else None)  # fmt: skip
    axes.set_xticks(range(len(groups)), [str(group) for group in groups])
