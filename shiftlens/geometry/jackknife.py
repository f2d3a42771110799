"""Intervals by the delete-group jackknife: no row is ever repeated."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import t

from shiftlens.errors import ShiftlensError
from shiftlens.geometry.arrays import as_states

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Interval:
    """An estimate and its confidence interval.

    Attributes:
        value: the estimate from all rows.
        error: its standard error.
        low: lower end of the interval.
        high: upper end.
    """

    value: float
    error: float
    low: float
    high: float


def delete_group_jackknife(
    measure: Callable[..., float], *states: Any, groups: int = 10, level: float = 0.95
) -> Interval:
    r"""Value and confidence interval of a measure of one or more sets of rows.

    G groups of m = floor(n / G) neighbouring rows (so that the sentences of a document leave
    together) leave one after the other, from all arguments at once, and

    .. math::
        s^2 = \frac{(n - m)^2}{n m (G - 1)} \sum_{g=1}^{G}
              (\theta_{(g)} - \bar\theta_{(\cdot)})^2, \quad \theta \pm t_{G-1} s

    The factor makes s^2 unbiased for a mean; it is (G - 1) / G where G divides n. The n mod G rows
    left over never leave, for a measure that depends on n would vary with the sizes of the groups.

    The interval is one for the expected value of the measure *at this number of rows*: what a
    measure is biased by at n rows, it stays biased by. It tends to be too wide, not too narrow:
    where G divides n and the rows are independent, the sum above is on average no less than the
    variance of the measure at n - m rows (Efron & Stein). A share near 0 or 1 is the exception:
    where it is the same without every group, the interval has no width.

    The bootstrap is not offered, for its repeated rows lower the rank of a covariance and are each
    other's nearest neighbours.

    Args:
        measure: takes the arguments, gives a finite number.
        *states: (n, d), one n; row i of all leaves together.
        groups: G >= 2, at most n / 2.
        level: of confidence, in (0, 1).

    Returns:
        The value and its interval.

    Raises:
        ShiftlensError: if n differs, there are too few rows for the groups, the level lies outside
            (0, 1), an argument or an estimate is not finite, or what the measure raises.

    Source:
        Kott, "The Delete-a-Group Jackknife", Journal of Official Statistics 17(4), 2001;
        Shao & Wu, "A General Theory for Jackknife Variance Estimation", Annals of Statistics
        17(3), 1989, doi:10.1214/aos/1176347263; Efron & Stein, "The Jackknife Estimate of
        Variance", Annals of Statistics 9(3), 1981, doi:10.1214/aos/1176345462.
    """
    arguments = [as_states(rows) for rows in states]
    sizes = {len(rows) for rows in arguments}
    if len(sizes) != 1:
        raise ShiftlensError(
            f"the jackknife was given {sorted(sizes)} rows; every argument needs the same number, "
            "for they leave together."
        )
    n = sizes.pop()
    kept = rows_without_groups(n, groups)
    without = [measure(*(rows[keep] for rows in arguments)) for keep in kept]
    return jackknife_interval(measure(*arguments), without, level, n)


def rows_without_groups(n: int, groups: int) -> list[Rows]:
    """The rows that stay when each group leaves.

    Args:
        n: number of rows.
        groups: number G of groups of floor(n / G) neighbouring rows; the rows left over, spread
            between the groups, always stay.

    Returns:
        For each group the rising numbers of the rows outside it.

    Raises:
        ShiftlensError: if the groups are fewer than 2 or more than n / 2.
    """
    if not 2 <= groups <= n // 2:
        raise ShiftlensError(
            f"jackknife: {groups} groups of n = {n} rows; choose from 2 to {n // 2} groups."
        )
    rows = np.arange(n)
    return [np.setdiff1d(rows, block[: n // groups]) for block in np.array_split(rows, groups)]


def jackknife_interval(
    value: float, without: Sequence[float], level: float = 0.95, n: int | None = None
) -> Interval:
    """Interval of an estimate from its values without each group; see `delete_group_jackknife`.

    Args:
        value: the estimate from all rows.
        without: (G,), the estimates without each group, G >= 2.
        level: of confidence, in (0, 1).
        n: number of rows; None where G divides it.

    Returns:
        The value and its interval.

    Raises:
        ShiftlensError: if there are fewer than 2 groups or more than n, the level is outside
            (0, 1), or an estimate is NaN or infinite.
    """
    groups = len(without)
    n = groups if n is None else n
    if not 2 <= groups <= n or not 0 < level < 1:
        raise ShiftlensError(
            f"jackknife: {groups} groups of n = {n} rows at level {level}; give 2 to n groups and "
            "a level in (0, 1)."
        )
    broken = np.count_nonzero(~np.isfinite(without))
    if broken or not np.isfinite(value):
        raise ShiftlensError(
            f"jackknife: the estimate is {value} of all rows and not finite without {broken} of "
            f"{groups} groups; choose more groups, or a measure that is defined on fewer rows."
        )
    m = n // groups
    error = float((n - m) * np.std(without, ddof=1) / np.sqrt(n * m))
    reach = float(t.ppf((1 + level) / 2, groups - 1)) * error
    return Interval(value, error, value - reach, value + reach)
