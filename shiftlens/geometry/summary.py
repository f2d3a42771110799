"""What every metric needs to know of one language at one layer, fitted once."""

from dataclasses import dataclass
from typing import Any

from shiftlens.geometry.factor import centred_factor
from shiftlens.geometry.shrinkage import Shrinkage
from shiftlens.geometry.spd import ShrunkCovariance, from_factor
from shiftlens.geometry.subspaces import check_rank


@dataclass(frozen=True, eq=False)
class LanguageSummary(ShrunkCovariance):
    """The shrunk covariance of one language at one layer, with what the other metrics need.

    Attributes:
        rms_norm: sqrt(mean ||x||^2) of the raw states.
        principal_rank: how many leading columns of `basis` the fixed-rank distance compares, or
            None if no such rank was asked for.
    """

    rms_norm: float
    principal_rank: int | None = None


def summarise(
    states: Any, shrinkage: Shrinkage = "ledoit-wolf", rank: int | None = None
) -> LanguageSummary:
    """Fit everything the metrics need by one thin singular value decomposition.

    Args:
        states: (n, d), n >= 2, the states of one language at one layer. Give every language the
            same n: the distances are biased by it.
        shrinkage: "ledoit-wolf", "oas", or alpha in [0, 1]; one rule per sweep.
        rank: the rank of the fixed-rank distance, one for every language and layer (for instance
            `variance_rank` of the dominant language); None where that metric is not wanted.

    Returns:
        The summary.

    Raises:
        ShiftlensError: on NaN or infinity, n < 2, an unknown shrinkage, a covariance that stays
            singular, or a rank that the states do not span.
    """
    factor = centred_factor(states)
    if rank is not None:
        check_rank(rank, len(factor.singular_values), factor.n)
    fitted = from_factor(factor, shrinkage)
    return LanguageSummary(**vars(fitted), rms_norm=factor.rms_norm, principal_rank=rank)
