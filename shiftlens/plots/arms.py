"""What each arm of a comparison does, and whether the distance picks the right layers."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shiftlens.errors import ShiftlensError
from shiftlens.plots.labels import metric_label
from shiftlens.plots.style import AREA_COLOUR, ENGLISH_COLOUR, PALETTE, shared_style

_WIDTH = 6.8
_ROW = 0.19
_MARGIN = 0.75
_LEAST_ROWS = 7
_MARKERS = ("o", "s", "D", "^", "v")
_ARMS = {
    "base": "base",
    "base-shift": "base + shift",
    "msft": "MSFT",
    "msft-parallel": "MSFT + parallel LM",
    "shift-only": "shift only",
    "mcl-only": "MCL only",
    "shifcon": "ShifCon",
    "random-vector": "ShifCon, random vectors",
    "third-language": "ShifCon, third language",
    "recentred": "MCL re-centred + shift",
    "l2-only": "L2 only",
    "l2-shift": "L2 + shift",
    "anchored-only": "anchored only",
    "anchored-shift": "anchored + shift",
}


def arm_comparison(
    means: pd.DataFrame,
    windows: pd.DataFrame,
    metric: str = "affine_invariant",
    area: str | None = None,
    note: str = "",
) -> Figure:
    """Draw accuracy by arm and group, and the gain of each layer window, nearest window on top.

    Args:
        means: Tidy ``arm, group, mean, low, high``, shares in 0..1, the dominant group first.
        windows: One row a layer window: ``area, mean, low, high`` of its gain, and its mean
            distance in the column ``metric``.
        metric: The distance that orders the windows.
        area: The window used on the left, shaded on the right.
        note: A line above the windows.

    Returns:
        The figure, two page columns (6.8 in) wide, tied to no window or notebook.

    Raises:
        ShiftlensError: A table lacks a column or has no rows.
    """
    _check("means", means, ("arm", "group", "mean", "low", "high"))
    _check("windows", windows, ("area", "mean", "low", "high", metric))
    rows = max(means["arm"].nunique(), len(windows), _LEAST_ROWS)
    with shared_style():
        figure = Figure(figsize=(_WIDTH, _MARGIN + _ROW * rows))
        left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
        _draw_arms(left, means)
        _draw_windows(right, windows, metric, area, note)
        figure.draw_without_rendering()
    return figure


def arm_name(arm: str) -> str:
    """Return an arm's name as figures and tables print it; an unlisted one's own words."""
    return _ARMS.get(arm, arm.replace("-", " "))


def _check(name: str, table: pd.DataFrame, columns: tuple[str, ...]) -> None:
    if missing := [column for column in columns if column not in table.columns]:
        raise ShiftlensError(f"the table of {name} lacks the column(s) {', '.join(missing)}")
    if table.empty:
        raise ShiftlensError(f"the table of {name} has no rows")


def _draw_arms(axes: Axes, means: pd.DataFrame) -> None:
    arms = list(means["arm"].unique())
    colours = (ENGLISH_COLOUR, *PALETTE)
    for number, (group, rows) in enumerate(means.groupby("group", sort=False)):
        _intervals(
            axes,
            [arms.index(arm) for arm in rows["arm"]],
            rows,
            color=colours[number % len(colours)],
            marker=_MARKERS[number % len(_MARKERS)],
            label=str(group),
        )
    _name_rows(axes, [arm_name(arm) for arm in arms])
    axes.set_xlabel("held-out accuracy (%), 95% interval over seeds")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(_MARKERS))


def _draw_windows(
    axes: Axes, windows: pd.DataFrame, metric: str, area: str | None, note: str
) -> None:
    ordered = windows.sort_values(metric, kind="stable")
    names = list(ordered["area"])
    if area in names:
        row = names.index(area)
        axes.axhspan(row - 0.5, row + 0.5, color=AREA_COLOUR, linewidth=0, zorder=0)
    axes.axvline(0, color=ENGLISH_COLOUR, lw=0.6)
    _intervals(axes, range(len(names)), ordered, color=PALETTE[0], marker="o")
    labels = [
        f"{name.replace('-', '–')}  ({distance:#.4g})"
        for name, distance in zip(names, ordered[metric], strict=True)
    ]
    _name_rows(axes, labels)
    axes.set_ylabel(f"layers a–b, nearest on top\n({metric_label(metric).words})")
    axes.set_xlabel("gain over MSFT, low-resource (points)")
    axes.set_title(note, loc="right")


def _intervals(axes: Axes, positions: Sequence[int], rows: pd.DataFrame, **look: Any) -> None:
    mean, low, high = (100 * rows[column].to_numpy() for column in ("mean", "low", "high"))
    axes.errorbar(mean, positions, xerr=(mean - low, high - mean), ls="", elinewidth=0.8, **look)


def _name_rows(axes: Axes, names: list[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
