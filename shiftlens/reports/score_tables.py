"""Test scores with intervals: of one model, and of two models on the same questions."""

from math import sqrt

import pandas as pd
from scipy.stats import binomtest

from shiftlens.effects import t_interval


def wilson(share: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a share of right answers.

    Args:
        share: In 0..1.
        n: How many questions.
        level: Coverage.

    Returns:
        Its ends.

    Source:
        Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927.
    """
    interval = binomtest(round(share * n), n).proportion_ci(level, method="wilson")
    return float(interval.low), float(interval.high)


def difference(first: float, second: float, n: int, m: int) -> tuple[float, float, float]:
    r"""Difference of two shares and Newcombe's interval of it.

    With Wilson's intervals :math:`(l_1, u_1)` and :math:`(l_2, u_2)` of the shares :math:`p_1` of n
    and :math:`p_2` of m questions, and :math:`\delta = p_2 - p_1`:

    .. math::
        \delta - \sqrt{(p_2 - l_2)^2 + (u_1 - p_1)^2}, \qquad
        \delta + \sqrt{(u_2 - p_2)^2 + (p_1 - l_1)^2}

    It takes the two sets of questions as drawn apart. Of the same questions it is wider than need
    be wherever the two models tend to be right on the same ones.

    Returns:
        The difference and the ends of its 95% interval.

    Source:
        Newcombe, "Interval estimation for the difference between independent proportions",
        Statistics in Medicine 1998, method 10.
    """
    (low1, high1), (low2, high2) = wilson(first, n), wilson(second, m)
    apart = second - first
    down = sqrt((second - low2) ** 2 + (high1 - first) ** 2)
    up = sqrt((high2 - second) ** 2 + (first - low1) ** 2)
    return apart, apart - down, apart + up


def score_table(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Exact match of two models by language, with 95% intervals, and their difference.

    Args:
        first: Rows of a training's results, one a language.
        second: The same of the other model.

    Returns:
        Index language, of those that both have: ``n, first, first_low, first_high, m, second,
        second_low, second_high, difference, difference_low, difference_high``.
    """
    one, other = (table.set_index("language") for table in (first, second))
    rows = {}
    for code in [code for code in one.index if code in other.index]:
        n, m = int(one.loc[code, "n"]), int(other.loc[code, "n"])
        share, of_other = (float(t.loc[code, "exact_match"]) for t in (one, other))
        low, high = wilson(share, n)
        low_other, high_other = wilson(of_other, m)
        ends = ("difference", "difference_low", "difference_high")
        rows[code] = {
            **{"n": n, "first": share, "first_low": low, "first_high": high},
            **{"m": m, "second": of_other, "second_low": low_other, "second_high": high_other},
            **dict(zip(ends, difference(share, of_other, n, m), strict=True)),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("language")


def mean_difference(table: pd.DataFrame, dominant: str) -> dict[str, float]:
    """Mean difference over the other languages, each paired with itself, and its t-interval.

    Args:
        table: From :func:`score_table`.
        dominant: The language that is left out.

    Returns:
        ``mean``, ``low``, ``high`` and, under ``seeds``, the number of languages.
    """
    return t_interval(table["difference"].drop(dominant, errors="ignore"))
