"""Further distances of two covariances, exact in the joint span of their bases."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from shiftlens.errors import ShiftlensError
from shiftlens.geometry.affine_invariant import joint_coordinates
from shiftlens.geometry.arrays import FloatArray, as_matrix, check_same_width
from shiftlens.geometry.spd import ShrunkCovariance


def log_euclidean(a: Any, b: Any) -> float:
    r"""Log-Euclidean distance of two covariances.

    .. math::
        d(A, B) = \| \log A - \log B \|_F

    with matrix logarithms. Of two shrunk covariances only the joint span, of width
    k = min(r_a + r_b, d), is worked in; the rest adds (d - k) log^2(floor_a / floor_b).

    Args:
        a: a `ShrunkCovariance`, or a symmetric positive definite matrix (d, d).
        b: likewise.

    Returns:
        The distance, >= 0, a metric; unchanged by a rotation or a scaling of both and by
        inverting both.

    Raises:
        ShiftlensError: if a matrix is not square, symmetric and finite, if one is singular or
            indefinite to float64 precision (its logarithm does not exist), or the widths differ.

    Source:
        Arsigny, Fillard, Pennec & Ayache, "Geometric Means in a Novel Vector Space Structure on
        Symmetric Positive-Definite Matrices", SIAM J. Matrix Anal. Appl. 29(1), 2007,
        doi:10.1137/050637996.
    """
    pair = _definite_pair(a, b, "log-Euclidean distance")
    inside = np.diag(np.log(pair.first)) - pair.of_second(np.log)
    outside = np.log(pair.floors[0] / pair.floors[1])
    return float(np.sqrt(np.sum(inside**2) + pair.outside * outside**2))


def bures_wasserstein(a: Any, b: Any) -> float:
    r"""Bures-Wasserstein distance of two covariances, singular ones included.

    .. math::
        d(A, B)^2 = \operatorname{tr} A + \operatorname{tr} B
                    - 2 \operatorname{tr} (A^{1/2} B A^{1/2})^{1/2}
                  = \min_{Q^T Q = I} \| A^{1/2} - B^{1/2} Q \|_F^2

    The 2-Wasserstein distance of two Gaussians of one mean. The right-hand side is what is
    computed: the traces would leave half of the digits of a small distance.

    Args:
        a: a `ShrunkCovariance`, or a symmetric positive semi-definite matrix (d, d) of any rank.
        b: likewise.

    Returns:
        The distance, >= 0, a metric; unchanged by a rotation of both, multiplied by sqrt(c) where
        both are multiplied by c.

    Raises:
        ShiftlensError: if a matrix is not square, symmetric and finite, if one has a negative
            eigenvalue beyond rounding, or the widths differ.

    Source:
        Bhatia, Jain & Lim, "On the Bures-Wasserstein distance between positive definite
        matrices", Expositiones Mathematicae 37(2), 2019, doi:10.1016/j.exmath.2018.01.002,
        arXiv:1712.01504.
    """
    pair = _pair(_spectrum(a, "first matrix"), _spectrum(b, "second matrix"))
    first, second = np.sqrt(pair.first), pair.of_second(np.sqrt)
    left, _, right = np.linalg.svd(first[:, None] * second)
    inside = np.diag(first) - second @ (left @ right).T
    outside = np.sqrt(pair.floors[0]) - np.sqrt(pair.floors[1])
    return float(np.sqrt(np.sum(inside**2) + pair.outside * outside**2))


def symmetrised_kl(a: Any, b: Any) -> float:
    r"""Symmetrised Kullback-Leibler (Jeffreys) divergence of two centred Gaussians.

    .. math::
        J(A, B) = \mathrm{KL}(A \| B) + \mathrm{KL}(B \| A)
                = \tfrac{1}{2} \operatorname{tr}(A^{-1} B + B^{-1} A) - d
                = \tfrac{1}{2} \| A^{-1/2} B^{1/2} - A^{1/2} B^{-1/2} \|_F^2

    in nats: the sum of both directions, not their mean. The last form is what is computed, so
    that nothing cancels where A is near B.

    Args:
        a: a `ShrunkCovariance`, or a symmetric positive definite matrix (d, d).
        b: likewise.

    Returns:
        The divergence, >= 0, symmetric, unchanged by A, B -> W A W^T, W B W^T for any invertible
        W. Not a metric, nor is its square root: the triangle inequality fails.

    Raises:
        ShiftlensError: if a matrix is not square, symmetric and finite, if one is singular or
            indefinite to float64 precision (the divergence is infinite), or the widths differ.

    Source:
        Jeffreys, "An Invariant Form for the Prior Probability in Estimation Problems",
        Proceedings of the Royal Society A 186, 1946, doi:10.1098/rspa.1946.0056.
    """
    pair = _definite_pair(a, b, "symmetrised KL divergence")
    root = np.sqrt(pair.first)[:, None]
    inside = pair.of_second(np.sqrt) / root - root * pair.of_second(lambda x: 1.0 / np.sqrt(x))
    ratio = np.sqrt(pair.floors[0] / pair.floors[1])
    return float(0.5 * (np.sum(inside**2) + pair.outside * (ratio - 1.0 / ratio) ** 2))


@dataclass(frozen=True, eq=False)
class _Spectrum:
    """U diag(eigenvalues) U^T + floor (I - U U^T), with U = basis of shape (d, r)."""

    basis: FloatArray
    eigenvalues: FloatArray
    floor: float


@dataclass(frozen=True, eq=False)
class _Pair:
    """Two covariances in an orthonormal basis of their joint span that makes A diagonal.

    Attributes:
        first: (k,), the diagonal of A.
        second: (r,), the eigenvalues of B along `coordinates`.
        coordinates: (k, r), orthonormal.
        floors: the eigenvalue of A and of B outside the joint span.
        outside: d - k, how many dimensions lie outside.
    """

    first: FloatArray
    second: FloatArray
    coordinates: FloatArray
    floors: tuple[float, float]
    outside: int

    def of_second(self, function: Callable[[Any], Any]) -> FloatArray:
        """The matrix function of B inside the joint span, of shape (k, k)."""
        floor = function(self.floors[1])
        excess = (self.coordinates * (function(self.second) - floor)) @ self.coordinates.T
        matrix: FloatArray = excess + floor * np.eye(len(self.coordinates))
        return matrix


def _pair(a: _Spectrum, b: _Spectrum) -> _Pair:
    d, rank = a.basis.shape
    check_same_width(d, len(b.basis))
    coordinates = joint_coordinates(a.basis, b.basis)
    k = len(coordinates)
    return _Pair(
        first=np.concatenate([a.eigenvalues, np.full(k - rank, a.floor)]),
        second=b.eigenvalues,
        coordinates=coordinates,
        floors=(a.floor, b.floor),
        outside=d - k,
    )


def _definite_pair(a: Any, b: Any, measure: str) -> _Pair:
    spectra = _spectrum(a, "first matrix"), _spectrum(b, "second matrix")
    for spectrum, name in zip(spectra, ("first", "second"), strict=True):
        if spectrum.floor <= 0:
            d, rank = spectrum.basis.shape
            raise ShiftlensError(
                f"{measure}: the {name} matrix is singular, d = {d}, rank {rank}; shrink the "
                "covariance (see shrunk_covariance), use more states than dimensions, or take "
                "bures_wasserstein, which allows it."
            )
    return _pair(*spectra)


def _spectrum(values: Any, name: str) -> _Spectrum:
    """The spectrum of a covariance; where it fills all d, its least eigenvalue is the floor."""
    if isinstance(values, ShrunkCovariance):
        basis, eigenvalues, floor = values.basis, values.eigenvalues, values.floor
    else:
        basis, eigenvalues = _eigen(as_matrix(values, name), name)
        floor = 0.0
    d, rank = basis.shape
    return _Spectrum(basis, eigenvalues, float(eigenvalues.min()) if rank == d else floor)


def _eigen(matrix: FloatArray, name: str) -> tuple[FloatArray, FloatArray]:
    """Eigenvectors (d, r) and the r eigenvalues of a semi-definite matrix that are not zero."""
    d, largest = len(matrix), np.abs(matrix).max(initial=0.0)
    if matrix.shape != (d, d) or not np.allclose(matrix, matrix.T, rtol=0, atol=1e-10 * largest):
        raise ShiftlensError(f"{name}: shape {matrix.shape} must be square and symmetric.")
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    if values[0] < -1e-10 * largest:
        raise ShiftlensError(
            f"{name}: not a covariance, d = {d}, least eigenvalue {values[0]:.3g}; "
            "all must be >= 0."
        )
    kept = values > d * np.finfo(np.float64).eps * values[-1]
    return vectors[:, kept], values[kept]
