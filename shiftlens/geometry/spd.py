"""Covariances of few states in many dimensions: low rank plus isotropic."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from shiftlens.errors import ShiftlensError
from shiftlens.geometry.arrays import FloatArray
from shiftlens.geometry.factor import CentredFactor, centred_factor
from shiftlens.geometry.shrinkage import Shrinkage, shrinkage_weight


@dataclass(frozen=True, eq=False)
class ShrunkCovariance:
    r"""A covariance shrunk towards the isotropic one, held without a d x d matrix.

    .. math::
        \Sigma = (1 - \alpha) S + \alpha \frac{\operatorname{tr} S}{d} I
               = U \operatorname{diag}(\text{eigenvalues}) U^T + \text{floor} (I - U U^T)

    S is the sample covariance normalised by n (not n - 1), as in scikit-learn.

    Attributes:
        n: number of states.
        mean: (d,), their mean.
        basis: (d, r), U: orthonormal principal directions, by falling variance.
        variances: (r,), the nonzero eigenvalues of S itself, before shrinkage.
        alpha: the shrinkage in [0, 1].
    """

    n: int
    mean: FloatArray
    basis: FloatArray
    variances: FloatArray
    alpha: float

    @property
    def d(self) -> int:
        """The width of a state."""
        return self.basis.shape[0]

    @property
    def rank(self) -> int:
        """r, the numerical rank of the sample covariance."""
        return self.basis.shape[1]

    @property
    def floor(self) -> float:
        """The variance given to every direction that the states never took."""
        return float(self.alpha * self.variances.sum() / self.d)

    @property
    def eigenvalues(self) -> FloatArray:
        """(r,), the eigenvalues of Sigma along `basis`."""
        return (1.0 - self.alpha) * self.variances + self.floor

    def dense(self) -> FloatArray:
        """Sigma itself, of shape (d, d)."""
        excess = (self.basis * (self.eigenvalues - self.floor)) @ self.basis.T
        return excess + self.floor * np.eye(self.d)


def shrunk_covariance(states: Any, shrinkage: Shrinkage) -> ShrunkCovariance:
    """Fit a shrunk covariance by one thin singular value decomposition.

    Args:
        states: (n, d), n >= 2, one row per sentence (or token).
        shrinkage: "ledoit-wolf", "oas", or alpha in [0, 1]; see `shiftlens.geometry.shrinkage`.

    Returns:
        The covariance, invertible to float64 precision.

    Raises:
        ShiftlensError: on NaN or infinity, n < 2, an unknown shrinkage, or a covariance that
            stays singular (n <= d without shrinkage, a constant dimension, identical states).
    """
    return from_factor(centred_factor(states), shrinkage)


def from_factor(factor: CentredFactor, shrinkage: Shrinkage) -> ShrunkCovariance:
    """As `shrunk_covariance`, on states that are factored already.

    Args:
        factor: the factored states.
        shrinkage: "ledoit-wolf", "oas", or alpha in [0, 1].

    Returns:
        The covariance, invertible to float64 precision.

    Raises:
        ShiftlensError: on an unknown shrinkage or a covariance that stays singular.
    """
    fitted = ShrunkCovariance(
        n=factor.n,
        mean=factor.mean,
        basis=factor.basis,
        variances=factor.singular_values**2 / factor.n,
        alpha=shrinkage_weight(factor, shrinkage),
    )
    resolution = fitted.d * np.finfo(np.float64).eps
    if fitted.rank < fitted.d and fitted.floor <= resolution * fitted.variances.sum():
        raise ShiftlensError(
            f"covariance is singular: n = {fitted.n} states in d = {fitted.d} dimensions span "
            f"rank {fitted.rank}, and shrinkage {shrinkage!r} gives alpha = {fitted.alpha:.3g}; "
            "use a larger shrinkage, more (and distinct) sentences, or the fixed-rank distance."
        )
    return fitted
