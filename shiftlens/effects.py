"""What the arms of a comparison do, over paired seeds: means, differences, shares, windows.

Seeds are the only thing that varies between repeats: an interval says how a result would move with
another seed of training on the same base model and data, and nothing about other models or data.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from shiftlens.errors import ShiftlensError

Interval = dict[str, float]


def t_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    r"""Mean and its t-interval.

    .. math:: \bar x \pm t_{n-1, (1 + level) / 2} \, s / \sqrt n

    Args:
        values: One number a seed, ``(n,)``.
        level: Coverage where the values are normal.

    Returns:
        ``mean``, ``low``, ``high`` and ``seeds`` n; no bounds (NaN) for one value,
        and no mean of none.
    """
    x = np.asarray(values, dtype=np.float64)
    n = len(x)
    mean = float(x.mean()) if n else np.nan
    half = float(stats.t.ppf((1 + level) / 2, n - 1) * stats.sem(x)) if n > 1 else np.nan
    return {"mean": mean, "low": mean - half, "high": mean + half, "seeds": n}


def group_accuracy(table: pd.DataFrame, groups: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Accuracy of every cell on each group of languages, a mean over the group's records.

    Args:
        table: That of :func:`shiftlens.experiment.run_grid`.
        groups: The languages of each group.

    Returns:
        Index ``arm, area, seed``, one column a group, values in 0..1.

    Raises:
        ShiftlensError: A group has no records.
    """
    keys = ["arm", "area", "seed"]
    columns = {}
    for group, languages in groups.items():
        sums = table[table["language"].isin(languages)].groupby(keys, sort=False)
        counts = sums[["n", "correct"]].sum()
        if counts.empty:
            raise ShiftlensError(f"group {group!r} has no records ({', '.join(languages)})")
        columns[group] = counts["correct"] / counts["n"]
    return pd.DataFrame(columns)


def arm_means(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Mean and interval of every arm on every group.

    Args:
        accuracy: That of :func:`group_accuracy`, of one area.

    Returns:
        Tidy: ``arm, group, mean, low, high, seeds``.
    """
    return pd.DataFrame(
        {"arm": arm, "group": group, **t_interval(_arm(accuracy, arm)[group])}
        for arm in accuracy.index.unique("arm")
        for group in accuracy.columns
    )


def paired_differences(accuracy: pd.DataFrame, pairs: Iterable[tuple[str, str]]) -> pd.DataFrame:
    """Arm minus reference at the same seed, mean and interval over the seeds that both have.

    Args:
        accuracy: That of :func:`group_accuracy`, of one area.
        pairs: Arms and their references.

    Returns:
        Tidy: ``arm, reference, group, mean, low, high, seeds``.

    Raises:
        ShiftlensError: An arm is missing, or an arm and its reference share no seed.
    """
    rows = []
    for arm, reference in pairs:
        own, other = _paired(accuracy, arm, reference)
        rows += [
            {"arm": arm, "reference": reference, "group": group}
            | t_interval(own[group] - other[group])
            for group in accuracy.columns
        ]
    return pd.DataFrame(rows)


def better_arm(accuracy: pd.DataFrame, arms: Sequence[str], group: str) -> str:
    """The arm of the highest mean accuracy on a group; the first of equals."""
    return max(arms, key=lambda arm: _arm(accuracy, arm)[group].mean())


def gains(
    accuracy: pd.DataFrame, arms: Iterable[str], reference: str, group: str, dominant: str
) -> pd.DataFrame:
    r"""What arms gain over a reference, relative to it and to the gap it leaves.

    With accuracies x of an arm and r of the reference on the group, and :math:`r_D` of the
    reference on the dominant language, at the same seed:

    .. math:: \frac{x - r}{r}, \qquad \frac{x - r}{r_D - r}

    Args:
        accuracy: That of :func:`group_accuracy`, of one area.
        arms: The arms.
        reference: The arm to beat, usually :func:`better_arm` of the fine-tuned ones.
        group: Whose accuracy.
        dominant: The group of the dominant language.

    Returns:
        Tidy: ``arm, reference, measure, mean, low, high, seeds``; the measures are
        ``relative gain``, ``gap closed`` and ``relative change, dominant``.

    Raises:
        ShiftlensError: As :func:`paired_differences`.
    """
    rows = []
    for arm in arms:
        own, other = _paired(accuracy, arm, reference)
        difference = own - other
        measures = {
            "relative gain": difference[group] / other[group],
            "gap closed": difference[group] / (other[dominant] - other[group]),
            "relative change, dominant": difference[dominant] / other[dominant],
        }
        rows += [
            {"arm": arm, "reference": reference, "measure": name, **t_interval(values)}
            for name, values in measures.items()
        ]
    return pd.DataFrame(rows)


def window_gains(
    windows: pd.DataFrame,
    reference: pd.DataFrame,
    group: str,
    curves: Mapping[str, Mapping[int, float]],
) -> pd.DataFrame:
    """Gain of shifting in each layer window, beside the window's distance before training.

    Args:
        windows: Accuracy (:func:`group_accuracy`) of one arm in each area a-b.
        reference: Accuracy of the arm to beat, one row a seed.
        group: Whose accuracy.
        curves: For each metric, mean distance by layer of the base model.

    Returns:
        One row a window: ``area, mean, low, high, seeds`` of the paired gain, ``width`` b - a, and
        for each metric the mean distance over the layers a..b, as :func:`choose_area` takes it.

    Raises:
        ShiftlensError: A window and the reference share no seed.
    """
    rows = []
    for area, of_area in windows.groupby(level="area", sort=False):
        own, other = _same_seeds(of_area, reference, str(area))
        a, b = map(int, str(area).split("-"))
        distances = {
            metric: float(np.mean([curve[layer] for layer in range(a, b + 1)]))
            for metric, curve in curves.items()
        }
        rows.append(
            {"area": area, **t_interval(own[group] - other[group]), "width": b - a, **distances}
        )
    return pd.DataFrame(rows)


def window_correlations(gains_by_window: pd.DataFrame, predictors: Sequence[str]) -> pd.DataFrame:
    """Spearman's rank correlation of the windows' mean gains with what might predict them.

    The p-value is that of independent windows. These overlap, so it is too small: a guide only.

    Args:
        gains_by_window: That of :func:`window_gains`.
        predictors: Columns of it: metrics, or ``width``.

    Returns:
        One row a predictor: ``predictor, rho, p, windows``; a metric that chooses well has a
        negative rho.
    """
    gain = gains_by_window["mean"]
    rows = []
    for name in predictors:
        found = stats.spearmanr(gains_by_window[name], gain)
        rows.append(
            {"predictor": name, "rho": found.statistic, "p": found.pvalue, "windows": len(gain)}
        )
    return pd.DataFrame(rows)


def _arm(accuracy: pd.DataFrame, arm: str) -> pd.DataFrame:
    """An arm's rows, by seed."""
    arms = accuracy.index.get_level_values("arm")
    if arm not in arms:
        raise ShiftlensError(f"no results of the arm {arm!r}; there are {', '.join(arms.unique())}")
    return accuracy[arms == arm].droplevel(["arm", "area"])


def _paired(accuracy: pd.DataFrame, arm: str, reference: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    return _same_seeds(_arm(accuracy, arm), _arm(accuracy, reference), f"{arm} and {reference}")


def _same_seeds(
    own: pd.DataFrame, other: pd.DataFrame, name: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    own, other = (part.reset_index().set_index("seed") for part in (own, other))
    seeds = own.index.intersection(other.index)
    if seeds.empty:
        raise ShiftlensError(f"{name}: no seed in common, nothing to pair")
    if not (own.index.is_unique and other.index.is_unique):
        raise ShiftlensError(f"{name}: a seed has more than one result; give one area at a time")
    return own.loc[seeds], other.loc[seeds]
