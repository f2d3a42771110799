"""The affine-invariant Riemannian distance of two covariances."""

from typing import Any

import numpy as np
from scipy.linalg import cholesky, solve_triangular, svdvals

from shiftlens.errors import ShiftlensError
from shiftlens.geometry.arrays import FloatArray, as_matrix, check_same_width
from shiftlens.geometry.spd import ShrunkCovariance


def affine_invariant(a: ShrunkCovariance, b: ShrunkCovariance) -> float:
    r"""Affine-invariant distance of two shrunk covariances.

    .. math::
        d(A, B) = \Big( \sum_{i=1}^{d} \log^2 \lambda_i(A^{-1} B) \Big)^{1/2}

    The lambda are the squared singular values of A^{-1/2} B^{1/2}, which resolves small ones to
    the square root of the condition number that a generalised eigenproblem would need. Outside
    the joint span of the two bases both are isotropic, so with k = r_a + r_b < d only a k x k
    problem is solved and the rest is (d - k) log^2(floor_a / floor_b): exact, not truncated.

    Args:
        a: covariance of width d and rank r_a.
        b: covariance of width d and rank r_b.

    Returns:
        The distance, >= 0; symmetric in a and b; unchanged by x -> W x + c applied to both where
        the covariances themselves are carried by it (any W if unshrunk, rotations and scalings
        if shrunk).

    Raises:
        ShiftlensError: if the widths differ.

    Source:
        Foerstner & Moonen, "A Metric for Covariance Matrices", 1999,
        doi:10.1007/978-3-662-05296-9_31; used on language subspaces by Chang, Tu & Bergen, 2022,
        arXiv:2205.10964.
    """
    check_same_width(a.d, b.d)
    coordinates = joint_coordinates(a.basis, b.basis)
    k = len(coordinates)
    spectrum = np.concatenate([a.eigenvalues, np.full(k - a.rank, a.floor)])
    excess = np.sqrt(b.eigenvalues) - np.sqrt(b.floor)
    root = (coordinates * excess) @ coordinates.T + np.sqrt(b.floor) * np.eye(k)
    total = squared_log_spectrum(root / np.sqrt(spectrum)[:, None])
    if k < a.d:
        total += (a.d - k) * np.log(a.floor / b.floor) ** 2
    return float(np.sqrt(total))


def affine_invariant_dense(a: Any, b: Any) -> float:
    r"""Affine-invariant distance of two full matrices.

    d(A, B) = (sum_i log^2 lambda_i(A^{-1} B))^{1/2}, the lambda being the squared singular values
    of L_A^{-1} L_B with Cholesky factors L.

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


def squared_log_spectrum(factor: FloatArray) -> float:
    """Return sum log^2 lambda over the eigenvalues lambda of factor factor^T.

    Args:
        factor: (k, k), invertible.

    Returns:
        The sum, 4 sum log^2 s over the singular values s.
    """
    return float(4.0 * np.sum(np.log(svdvals(factor)) ** 2))


def joint_coordinates(own: FloatArray, other: FloatArray) -> FloatArray:
    """Coordinates (k, r_other) of `other` in an orthonormal basis whose first columns are `own`.

    k = min(r_own + r_other, d). Only the triangular factor of the joint basis is formed.
    """
    inside = own.T @ other
    if own.shape[1] + other.shape[1] < len(own):
        outside = np.linalg.qr(other - own @ inside, mode="r")
        return np.concatenate([inside, outside])
    complete = np.linalg.qr(own, mode="complete").Q
    return np.concatenate([inside, complete[:, own.shape[1] :].T @ other])


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
