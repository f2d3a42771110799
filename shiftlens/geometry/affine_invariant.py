"""The affine-invariant Riemannian distance of two covariances."""

from typing import Any

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from shiftlens.errors import ShiftlensError
from shiftlens.geometry.arrays import FloatArray, as_matrix, check_same_width
from shiftlens.geometry.spd import JointSpan, ShrunkCovariance


def affine_invariant(a: ShrunkCovariance, b: ShrunkCovariance) -> float:
    r"""Affine-invariant distance of two shrunk covariances.

    .. math::
        d(A, B) = \Big( \sum_{i=1}^{d} \log^2 \lambda_i(A^{-1} B) \Big)^{1/2}

    Outside the joint span of the two bases both are isotropic, so with k = r_a + r_b < d only a
    k x k problem is solved and the rest is (d - k) log^2(floor_a / floor_b): exact, not truncated.

    Args:
        a: covariance of width d and rank r_a.
        b: covariance of width d and rank r_b.

    Returns:
        The distance, >= 0; symmetric in a and b; unchanged by x -> W x + c applied to both where
        the covariances themselves are carried by it (any W if unshrunk, rotations and scalings
        if shrunk).

    Raises:
        ShiftlensError: if the widths differ or a covariance is singular (it was not shrunk).

    Source:
        Foerstner & Moonen, "A Metric for Covariance Matrices", 1999,
        doi:10.1007/978-3-662-05296-9_31; used on language subspaces by Chang, Tu & Bergen, 2022,
        arXiv:2205.10964.
    """
    for covariance, name in ((a, "first"), (b, "second")):
        covariance.spectrum.check_definite(name, "affine-invariant distance")
    joint = JointSpan.of(a.spectrum, b.spectrum)
    floor, other_floor = joint.floors
    excess = joint.coordinates * np.sqrt(joint.first - floor)
    whitened = excess / np.sqrt(joint.second)[:, None]
    inside = squared_log_spectrum(whitened, floor / joint.second)
    return float(np.sqrt(inside + joint.outside * np.log(floor / other_floor) ** 2))


def affine_invariant_dense(a: Any, b: Any) -> float:
    r"""Affine-invariant distance of two full matrices.

    d(A, B) = (sum_i log^2 lambda_i(A^{-1} B))^{1/2}, the lambda being those of F F^T with
    F = L_A^{-1} L_B and Cholesky factors L.

    Args:
        a: (d, d), symmetric positive definite.
        b: (d, d), likewise.

    Returns:
        The distance, >= 0; symmetric, and unchanged by A, B -> W A W^T, W B W^T for any
        invertible W.

    Raises:
        ShiftlensError: if a matrix is not square, symmetric, finite and positive definite to
            float64 precision (the message names its rank), or the widths differ.

    Source:
        Foerstner & Moonen, "A Metric for Covariance Matrices", 1999,
        doi:10.1007/978-3-662-05296-9_31.
    """
    lower_a, lower_b = _cholesky(a, "first matrix"), _cholesky(b, "second matrix")
    check_same_width(len(lower_a), len(lower_b))
    return float(np.sqrt(squared_log_spectrum(solve_triangular(lower_a, lower_b, lower=True))))


def squared_log_spectrum(factor: FloatArray, diagonal: FloatArray | float = 0.0) -> float:
    """Return sum log^2 lambda over the eigenvalues lambda of M = factor factor^T + diag(diagonal).

    They are found from M itself, whose rounding hides small ones. Where they spread over more than
    eight decades they are found again as squared singular values of [factor, diag(diagonal)^{1/2}],
    which reach twice as far. The root of the sum is good to about 1e-9 relative either way.

    Args:
        factor: (k, r).
        diagonal: (k,), >= 0; M is invertible.

    Returns:
        The sum.
    """
    k = len(factor)
    matrix = factor @ factor.T
    matrix[np.diag_indices(k)] += diagonal
    eigenvalues = np.linalg.eigvalsh(matrix)
    if eigenvalues[0] < 1e-8 * eigenvalues[-1]:
        root = np.diag(np.sqrt(np.broadcast_to(diagonal, k)))
        eigenvalues = np.linalg.svdvals(np.concatenate([factor, root], axis=1)) ** 2
    return float(np.sum(np.log(eigenvalues) ** 2))


def _cholesky(values: Any, name: str) -> FloatArray:
    matrix = as_matrix(values, name)
    d, largest = len(matrix), np.abs(matrix).max()
    if matrix.shape != (d, d) or not np.allclose(matrix, matrix.T, rtol=0, atol=1e-10 * largest):
        raise ShiftlensError(f"{name}: shape {matrix.shape} must be square and symmetric.")
    try:
        lower = cholesky(matrix, lower=True)
    except np.linalg.LinAlgError:
        lower = np.zeros_like(matrix)
    if np.diag(lower).min() ** 2 <= d * np.finfo(np.float64).eps * largest:
        raise ShiftlensError(
            f"{name}: not positive definite, d = {d}, rank {np.linalg.matrix_rank(matrix)}; "
            "shrink the covariance (see shrunk_covariance) or use more states than dimensions."
        )
    return lower
