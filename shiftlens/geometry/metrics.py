"""The table of metrics that a sweep over layers and languages can use."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from shiftlens.errors import ShiftlensError
from shiftlens.geometry.affine_invariant import affine_invariant
from shiftlens.geometry.shifcon import mean_distance, shifcon_distance
from shiftlens.geometry.subspaces import fixed_rank_distance
from shiftlens.geometry.summary import LanguageSummary


@dataclass(frozen=True)
class Metric:
    """One way to measure how far a language lies from the dominant one.

    Attributes:
        name: its key in `METRICS`.
        description: one line for tables and figures.
        requires: the argument of `summarise` that decides its value: "shrinkage", "rank", or
            "nothing".
        function: takes the language's summary, then the dominant language's.
    """

    name: str
    description: str
    requires: Literal["shrinkage", "rank", "nothing"]
    function: Callable[[LanguageSummary, LanguageSummary], float]


def fixed_rank(k: LanguageSummary, dominant: LanguageSummary) -> float:
    """`fixed_rank_distance` of the leading principal directions of two summaries.

    Uses the sample variances, before shrinkage. Not a true metric.

    Args:
        k: summary of the other language, made with a rank.
        dominant: summary of the dominant language, made with the same rank.

    Returns:
        The distance, >= 0.

    Raises:
        ShiftlensError: if a summary was made without a rank, or the ranks or widths differ.
    """
    p, q = k.principal_rank, dominant.principal_rank
    if p is None or q is None:
        raise ShiftlensError(
            "fixed_rank: a summary was made without a rank; give summarise(states, shrinkage, "
            "rank) one rank for every language and layer, such as variance_rank of the dominant "
            "language."
        )
    return fixed_rank_distance(
        k.basis[:, :p], k.variances[:p], dominant.basis[:, :q], dominant.variances[:q]
    )


def _mean_distance_rms(k: LanguageSummary, dominant: LanguageSummary) -> float:
    return mean_distance(k, dominant) / dominant.rms_norm


def _shifcon_total(k: LanguageSummary, dominant: LanguageSummary) -> float:
    return shifcon_distance(k, dominant).total


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "affine_invariant",
            "affine-invariant distance of the covariances (ShifCon's log term; picks the area)",
            "shrinkage",
            affine_invariant,
        ),
        Metric("mean_distance", "distance of the means (raw mean term)", "nothing", mean_distance),
        Metric(
            "mean_distance_rms",
            "distance of the means / RMS norm of the dominant states",
            "nothing",
            _mean_distance_rms,
        ),
        Metric("shifcon", "log term + raw mean term, as in ShifCon", "shrinkage", _shifcon_total),
        Metric(
            "fixed_rank",
            "fixed-rank distance of Bonnabel & Sepulchre, weight 1 (not a true metric)",
            "rank",
            fixed_rank,
        ),
    )
}
