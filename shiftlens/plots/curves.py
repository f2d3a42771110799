"""From the tidy sweep table to the curves of one metric."""

from dataclasses import dataclass

import pandas as pd

from shiftlens.errors import ShiftlensError

_COLUMNS = ("layer", "language", "metric", "value", "n", "d", "rank", "shrinkage")


@dataclass(frozen=True)
class Curves:
    """One metric's values by layer.

    Attributes:
        languages: Layers as rows, the other languages as columns, in the table's order.
        floor: The dominant language's own rows: its split-half distance to itself.
        mean: The mean over the other languages.
        low: Lower ends of the 95% intervals, all languages as columns; NaN where there are none.
        high: Upper ends.
        reference: The value of languages that have nothing to do with each other; NaN if none.
    """

    languages: pd.DataFrame
    floor: pd.Series
    mean: pd.Series
    low: pd.DataFrame
    high: pd.DataFrame
    reference: pd.Series

    def band(self, language: str) -> tuple[pd.Series, pd.Series] | None:
        """Both ends of a language's intervals by layer; None where there are none."""
        low, high = self.low[language], self.high[language]
        return None if low.isna().all() else (low, high)


def curves(table: pd.DataFrame, metric: str, dominant: str) -> Curves:
    """Take the curves of one metric out of the sweep's table.

    Args:
        table: The sweep's tidy table.
        metric: Value of the "metric" column to take.
        dominant: Code of the language whose rows are the floor.

    Returns:
        The curves, with a gap wherever the table has none or NaN; the mean has a gap wherever
        one of its languages does.

    Raises:
        ShiftlensError: If a column, the metric, the floor or every other language is missing,
            or a point is given twice.
    """
    if missing := [name for name in _COLUMNS if name not in table.columns]:
        raise ShiftlensError(f"the sweep table lacks the column(s) {', '.join(missing)}")
    rows = table[table["metric"] == metric]
    if rows.empty:
        known = ", ".join(table["metric"].unique())
        raise ShiftlensError(f"no metric {metric!r} in the sweep table; it has {known}")
    codes = list(rows["language"].unique())
    if dominant not in codes or len(codes) == 1:
        raise ShiftlensError(
            f"metric {metric!r} needs rows of {dominant!r} (its split-half floor) and of another "
            f"language; the sweep table has {', '.join(codes)}"
        )
    if twice := rows[rows.duplicated(["layer", "language"])].to_dict("records"):
        raise ShiftlensError(
            f"the sweep table gives {metric!r} of {twice[0]['language']!r} at layer "
            f"{twice[0]['layer']} twice; draw one sweep at a time"
        )
    grid, low, high, reference = (
        rows.reindex(columns=["layer", "language", column]).pivot(
            index="layer", columns="language", values=column
        )
        for column in ("value", "low", "high", "reference")
    )
    languages = grid[[code for code in codes if code != dominant]]
    mean = languages.mean(axis="columns", skipna=False)
    return Curves(languages, grid[dominant], mean, low, high, reference[dominant])


def check_area(table: pd.DataFrame, area: tuple[int, int]) -> None:
    """Refuse a layer area that the table's layers do not hold.

    Args:
        table: Tidy sweep table.
        area: Shift-toward and shift-back layer.

    Raises:
        ShiftlensError: If the area is empty or reaches outside the layers.
    """
    first, last = int(table["layer"].min()), int(table["layer"].max())
    if not first <= area[0] < area[1] <= last:
        raise ShiftlensError(
            f"layer area {area[0]}-{area[1]} must be two rising layers within {first}-{last}"
        )
