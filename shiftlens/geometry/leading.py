"""The subspaces that two summaries compare: their leading principal directions."""

from collections.abc import Callable
from typing import Any

from shiftlens.errors import ShiftlensError
from shiftlens.geometry.arrays import FloatArray
from shiftlens.geometry.subspaces import fixed_rank_distance, principal_angles
from shiftlens.geometry.summary import LanguageSummary


def leading_basis(summary: LanguageSummary) -> FloatArray:
    """The leading principal directions that the subspace metrics compare.

    Args:
        summary: summary of a language, made with a rank p.

    Returns:
        (d, p), orthonormal columns.

    Raises:
        ShiftlensError: if the summary was made without a rank.
    """
    if summary.principal_rank is None:
        raise ShiftlensError(
            "a subspace metric was given a summary made without a rank; give summarise(states, "
            "shrinkage, rank) one rank for every language and layer, such as variance_rank of the "
            "dominant language."
        )
    return summary.basis[:, : summary.principal_rank]


def of_bases(distance: Callable[[Any, Any], float]) -> Callable[..., float]:
    """A distance of two orthonormal bases, each (d, p), as one of two summaries."""
    return lambda k, dominant: distance(leading_basis(k), leading_basis(dominant))


def mean_angle(u: FloatArray, v: FloatArray) -> float:
    """Mean principal angle of two subspaces, in radians.

    Args:
        u: (d, p), orthonormal columns.
        v: (d, p), orthonormal columns.

    Raises:
        ShiftlensError: if the widths differ or a basis is not orthonormal.
    """
    return float(principal_angles(u, v).mean())


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
    u, v = leading_basis(k), leading_basis(dominant)
    return fixed_rank_distance(u, k.variances[: u.shape[1]], v, dominant.variances[: v.shape[1]])
