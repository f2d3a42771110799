"""Covariances of few states in many dimensions: low rank plus isotropic."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from shiftlens.errors import ShiftlensError
from shiftlens.geometry.arrays import FloatArray, check_same_width
from shiftlens.geometry.factor import CentredFactor, centred_factor
from shiftlens.geometry.shrinkage import Shrinkage, shrinkage_weight


@dataclass(frozen=True, eq=False)
class Spectrum:
    """U diag(eigenvalues) U^T + floor (I - U U^T), with U = basis of shape (d, r).

    Where r = d, the floor is the least eigenvalue.
    """

    basis: FloatArray
    eigenvalues: FloatArray
    floor: float

    @cached_property
    def complement(self) -> FloatArray:
        """(d, d - r), an orthonormal basis of the directions outside `basis`."""
        d, rank = self.basis.shape
        if rank == d:
            return np.empty((d, 0))
        return np.linalg.qr(self.basis, mode="complete").Q[:, rank:]

    def check_definite(self, name: str, measure: str) -> None:
        """Refuse a matrix that is singular to float64 precision.

        Args:
            name: what the matrix is called in the message.
            measure: what is measured.

        Raises:
            ShiftlensError: if it is singular (the message names d and the rank).
        """
        d, rank = self.basis.shape
        resolution = d * np.finfo(np.float64).eps * self.eigenvalues.max(initial=0.0)
        if rank < d and self.floor <= resolution:
            raise ShiftlensError(
                f"{measure}: the {name} matrix is singular, d = {d}, rank {rank}; shrink the "
                "covariance (see shrunk_covariance), use more states than dimensions, or take "
                "bures_wasserstein, which allows it."
            )

    def coordinates(self, other: FloatArray) -> FloatArray:
        """Coordinates (k, q) of `other` in an orthonormal basis whose first columns are `basis`.

        k = min(r + q, d). Where r + q < d, only the triangular factor of the rest is formed.

        Args:
            other: (d, q), orthonormal columns.
        """
        inside = self.basis.T @ other
        outside: FloatArray
        if self.basis.shape[1] + other.shape[1] < len(other):
            outside = np.asarray(np.linalg.qr(other - self.basis @ inside, mode="r"))
        else:
            outside = self.complement.T @ other
        return np.concatenate([inside, outside])


@dataclass(frozen=True, eq=False)
class JointSpan:
    """Two covariances in an orthonormal basis of their joint span that makes the second diagonal.

    Attributes:
        first: (r_a,), the eigenvalues of the first along `coordinates`.
        second: (k,), the diagonal of the second; k = min(r_a + r_b, d).
        coordinates: (k, r_a), orthonormal columns.
        floors: the eigenvalue of the first and of the second outside the joint span.
        outside: d - k, how many dimensions lie outside.
    """

    first: FloatArray
    second: FloatArray
    coordinates: FloatArray
    floors: tuple[float, float]
    outside: int

    @classmethod
    def of(cls, a: Spectrum, b: Spectrum) -> "JointSpan":
        """Find the joint span; what it needs of b alone is kept there for the next a.

        Raises:
            ShiftlensError: if the widths differ.
        """
        d, rank = b.basis.shape
        check_same_width(len(a.basis), d)
        coordinates = b.coordinates(a.basis)
        k = len(coordinates)
        return cls(
            first=a.eigenvalues,
            second=np.concatenate([b.eigenvalues, np.full(k - rank, b.floor)]),
            coordinates=coordinates,
            floors=(a.floor, b.floor),
            outside=d - k,
        )

    def of_first(self, function: Callable[[Any], Any]) -> FloatArray:
        """The matrix function of the first inside the joint span, of shape (k, k)."""
        floor = function(self.floors[0])
        excess = (self.coordinates * (function(self.first) - floor)) @ self.coordinates.T
        matrix: FloatArray = excess + floor * np.eye(len(self.coordinates))
        return matrix


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

    @cached_property
    def spectrum(self) -> Spectrum:
        """Sigma by its eigenvalues, as the distances take it."""
        eigenvalues = self.eigenvalues
        floor = float(eigenvalues.min()) if self.rank == self.d else self.floor
        return Spectrum(self.basis, eigenvalues, floor)

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


def from_factor(
    factor: CentredFactor, shrinkage: Shrinkage, invertible: bool = True
) -> ShrunkCovariance:
    """As `shrunk_covariance`, on states that are factored already.

    Args:
        factor: the factored states.
        shrinkage: "ledoit-wolf", "oas", or alpha in [0, 1].
        invertible: refuse a covariance that stays singular.

    Returns:
        The covariance, invertible to float64 precision unless that was not asked for.

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
    if (
        invertible
        and fitted.rank < fitted.d
        and fitted.floor <= resolution * fitted.variances.sum()
    ):
        raise ShiftlensError(
            f"covariance is singular: n = {fitted.n} states in d = {fitted.d} dimensions span "
            f"rank {fitted.rank}, and shrinkage {shrinkage!r} gives alpha = {fitted.alpha:.3g}; "
            "use a larger shrinkage, more (and distinct) sentences, or a metric that takes "
            "singular covariances (bures_wasserstein, or one of those that require a rank)."
        )
    return fitted
