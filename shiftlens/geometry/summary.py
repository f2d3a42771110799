"""What every metric needs to know of one language at one layer, fitted once."""

from dataclasses import dataclass
from typing import Any

from shiftlens.geometry.factor import CentredFactor, centred_factor
from shiftlens.geometry.shrinkage import Shrinkage
from shiftlens.geometry.spd import ShrunkCovariance, from_factor
from shiftlens.geometry.subspaces import check_rank


@dataclass(frozen=True, eq=False)
class LanguageSummary(ShrunkCovariance):
    """The shrunk covariance of one language at one layer, with what the other metrics need.

    Attributes:
        rms_norm: sqrt(mean ||x||^2) of the raw states.
        principal_rank: how many leading columns of `basis` the subspace metrics compare, or None
            if no such rank was asked for.
    """

    rms_norm: float
    principal_rank: int | None = None


def summarise(
    states: Any,
    shrinkage: Shrinkage = "ledoit-wolf",
    rank: int | None = None,
    invertible: bool = True,
) -> LanguageSummary:
    """Fit everything the metrics need by one thin singular value decomposition.

    Args:
        states: (n, d), n >= 2, the states of one language at one layer. Give every language the
            same n: the distances are biased by it.
        shrinkage: "ledoit-wolf", "oas", or alpha in [0, 1]; one rule per sweep.
        rank: the rank of the subspace metrics, one for every language and layer (for instance
            `variance_rank` of the dominant language); None where they are not wanted.
        invertible: refuse a covariance that stays singular; False where no metric that is wanted
            requires shrinkage.

    Returns:
        The summary.

    Raises:
        ShiftlensError: on NaN or infinity, n < 2, an unknown shrinkage, a covariance that stays
            singular, or a rank that the states do not span.
    """
    return summary_of_factor(centred_factor(states), shrinkage, rank, invertible)


def summary_of_factor(
    factor: CentredFactor,
    shrinkage: Shrinkage = "ledoit-wolf",
    rank: int | None = None,
    invertible: bool = True,
) -> LanguageSummary:
    """As `summarise`, on states that are factored already, such as `Moments.factor()`.

    Args:
        factor: the factored states.
        shrinkage: as in `summarise`.
        rank: as in `summarise`.
        invertible: as in `summarise`.

    Returns:
        The summary.

    Raises:
        ShiftlensError: as `summarise`, but for what the factor has refused already.
    """
    if rank is not None:
        check_rank(rank, len(factor.singular_values), factor.n)
    fitted = from_factor(factor, shrinkage, invertible)
    return LanguageSummary(
        n=fitted.n,
        mean=fitted.mean,
        basis=fitted.basis,
        variances=fitted.variances,
        alpha=fitted.alpha,
        rms_norm=factor.rms_norm,
        principal_rank=rank,
    )
