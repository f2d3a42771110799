"""Further distances of two covariances, exact in the joint span of their bases."""

from typing import Any

import numpy as np

from shiftlens.errors import ShiftlensError
from shiftlens.geometry.arrays import FloatArray, as_matrix
from shiftlens.geometry.spd import JointSpan, ShrunkCovariance, Spectrum


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
    joint = _definite(a, b, "log-Euclidean distance")
    inside = joint.of_first(np.log) - np.diag(np.log(joint.second))
    outside = np.log(joint.floors[0] / joint.floors[1])
    return float(np.sqrt(np.sum(inside**2) + joint.outside * outside**2))


def bures_wasserstein(a: Any, b: Any) -> float:
    r"""Bures-Wasserstein distance of two covariances, singular ones included.

    .. math::
        d(A, B)^2 = \operatorname{tr} A + \operatorname{tr} B
                    - 2 \operatorname{tr} (A^{1/2} B A^{1/2})^{1/2}
                  = \min_{Q^T Q = I} \| A^{1/2} - B^{1/2} Q \|_F^2

    The 2-Wasserstein distance of two Gaussians of one mean. The traces would leave half of the
    digits of a small distance: where they cancel by more than four digits, the minimum is computed
    instead.

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
    joint = JointSpan.of(_spectrum(a, "first matrix"), _spectrum(b, "second matrix"))
    first, second = joint.of_first(np.sqrt), np.sqrt(joint.second)
    product = second[:, None] * first
    traces = np.sum(first**2) + np.sum(second**2)
    inside = traces - 2.0 * np.linalg.svdvals(product).sum()
    if inside < 1e-4 * traces:
        left, _, right = np.linalg.svd(product)
        inside = np.sum((np.diag(second) - first @ (left @ right).T) ** 2)
    outside = np.sqrt(joint.floors[0]) - np.sqrt(joint.floors[1])
    return float(np.sqrt(inside + joint.outside * outside**2))


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
    joint = _definite(a, b, "symmetrised KL divergence")
    root = np.sqrt(joint.second)[:, None]
    inside = joint.of_first(np.sqrt) / root - root * joint.of_first(lambda x: 1.0 / np.sqrt(x))
    ratio = np.sqrt(joint.floors[0] / joint.floors[1])
    return float(0.5 * (np.sum(inside**2) + joint.outside * (ratio - 1.0 / ratio) ** 2))


def _definite(a: Any, b: Any, measure: str) -> JointSpan:
    spectra = _spectrum(a, "first matrix"), _spectrum(b, "second matrix")
    for spectrum, name in zip(spectra, ("first", "second"), strict=True):
        spectrum.check_definite(name, measure)
    return JointSpan.of(*spectra)


def _spectrum(values: Any, name: str) -> Spectrum:
    if isinstance(values, ShrunkCovariance):
        return values.spectrum
    basis, eigenvalues = _eigen(as_matrix(values, name), name)
    full = len(eigenvalues) == len(basis)
    return Spectrum(basis, eigenvalues, float(eigenvalues.min()) if full else 0.0)


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
