"""From a training's results to the dots of one measure: a line a language, before and after."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from shiftlens.errors import ShiftlensError
from shiftlens.languages import language_name

MEASURES = {
    "exact_match": "exact match, share of the questions",
    "fidelity": "answers in the language asked for, share of the questions",
    "choice_accuracy": "right choice likeliest, share of the questions with choices",
    "perplexity": "perplexity of the right answers",
}
"""Columns of the results and what they are called."""
WHEN = ("before", "after")
_COUNTED = ("exact_match", "fidelity")
_APART = 0.14

Lines = list[tuple[str, str | None]]
"""What stands at the left of each line, and its language; None beside the name of a group."""


def score_lines(results: pd.DataFrame, groups: Mapping[str, Sequence[str]] | None) -> Lines:
    """Return the lines of the figure, downwards.

    Args:
        results: A training's results.
        groups: Name of a group to its languages; None for the results' own order.

    Raises:
        ShiftlensError: A column is missing, a language is there twice, or not before and after, or
            not in one group.
    """
    if missing := [name for name in ("when", "language", "n") if name not in results.columns]:
        raise ShiftlensError(f"the results lack the column(s) {', '.join(missing)}")
    if results.duplicated(["when", "language"]).any():
        raise ShiftlensError("the results give a language twice; draw one training at a time")
    codes = list(dict.fromkeys(results["language"]))
    for when in WHEN:
        if absent := set(codes) - set(results.loc[results["when"] == when, "language"]):
            raise ShiftlensError(f"the results have no {min(absent)!r} {when} training")
    if groups is None:
        return [(language_name(code), code) for code in codes]
    grouped = [code for members in groups.values() for code in members]
    if sorted(grouped) != sorted(codes):
        raise ShiftlensError(
            f"the groups hold {', '.join(grouped)} and the results {', '.join(codes)}; give every "
            "language one group"
        )
    lines: Lines = []
    for group, members in groups.items():
        lines += [(group, None), *((language_name(code), code) for code in members)]
    return lines


def score_dots(results: pd.DataFrame, lines: Lines, metric: str) -> pd.DataFrame:
    """Return where the dots of one measure stand.

    Args:
        results: A training's results.
        lines: From :func:`score_lines`.
        metric: A key of :data:`MEASURES`.

    Returns:
        One row a language and a time: ``language``, ``when``, ``value``, ``low`` and ``high``
        (Wilson's interval; NaN where there is none), ``n`` and ``place``, counted from the first
        line downwards, before a little above after where there are intervals.

    Raises:
        ShiftlensError: The results have no such measure.
    """
    if metric not in MEASURES or metric not in results.columns:
        known = ", ".join(name for name in MEASURES if name in results.columns)
        raise ShiftlensError(f"the results have no measure {metric!r}; there is {known}")
    apart = _APART if metric in _COUNTED else 0.0
    table = results[["when", "language", metric, "n"]].itertuples(index=False, name=None)
    found = {(when, code): (float(value), int(n)) for when, code, value, n in table}
    rows = []
    for number, (_, code) in enumerate(lines):
        for when, side in zip(WHEN, (-apart, apart), strict=True):
            if code is None:
                continue
            value, n = found[when, code]
            low, high = wilson_interval(value, n) if metric in _COUNTED else (np.nan, np.nan)
            rows.append((code, when, value, low, high, n, number + side))
    columns = ["language", "when", "value", "low", "high", "n", "place"]
    return pd.DataFrame(rows, columns=columns)


def wilson_interval(share: float, n: int) -> tuple[float, float]:
    """Return Wilson's 95% interval of a share of n questions.

    Args:
        share: In 0..1, a whole number of questions over n.
        n: How many questions.

    Returns:
        Its ends, within 0..1.
    """
    interval = binomtest(round(share * n), n).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def score_caption(dots: pd.DataFrame) -> str:
    """Return what the dots were measured on, such as "n = 120 questions a language"."""
    ends = sorted({int(dots["n"].min()), int(dots["n"].max())})
    intervals = ", 95% intervals" if dots["low"].notna().any() else ""
    return f"n = {' to '.join(map(str, ends))} questions a language{intervals}"
