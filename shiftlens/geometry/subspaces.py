"""Principal subspaces of a cloud of states, and distances between them."""

from typing import Any

import numpy as np

from shiftlens.errors import ShiftlensError
from shiftlens.geometry.affine_invariant import squared_log_spectrum
from shiftlens.geometry.arrays import FloatArray, as_matrix, check_same_width
from shiftlens.geometry.factor import centred_factor


def svd_basis(
    states: Any, rank: int | None = None, variance: float | None = None
) -> tuple[FloatArray, FloatArray]:
    """Principal directions of the mean-centred states.

    Args:
        states: (n, d), n >= 2.
        rank: how many directions to keep; all that carry variance when neither is given.
        variance: instead of `rank`, the share of the variance in (0, 1] to keep.

    Returns:
        The orthonormal basis (d, k) and the k largest singular values of the centred states, by
        falling singular value. The sign of a direction is arbitrary.

    Raises:
        ShiftlensError: if both are given, `rank` exceeds the numerical rank of the states, the
            share is outside (0, 1], or the states are unusable (NaN, n < 2).
    """
    if rank is not None and variance is not None:
        raise ShiftlensError("svd_basis: give rank or variance, not both.")
    factor = centred_factor(states)
    values = factor.singular_values
    if variance is not None:
        rank = rank_for_share(values**2, variance)
    kept = len(values) if rank is None else check_rank(rank, len(values), factor.n)
    return factor.basis[:, :kept], values[:kept]


def variance_rank(states: Any, share: float = 0.9) -> int:
    """Smallest number of principal directions that carry a share of the variance.

    Args:
        states: (n, d), n >= 2.
        share: the share to carry, in (0, 1].

    Returns:
        The rank, from 1 to min(n - 1, d).

    Raises:
        ShiftlensError: if the share is outside (0, 1] or the states are unusable (NaN, n < 2, all
            identical).
    """
    return rank_for_share(centred_factor(states).singular_values ** 2, share)


def principal_angles(u: Any, v: Any) -> FloatArray:
    r"""Principal angles between two subspaces, small and large ones alike to full precision.

    .. math::
        \cos\theta_i = \sigma_i(U^T V), \quad \sin\theta_i = \sigma_i((I - V V^T) U), \quad
        \theta_i = \operatorname{atan2}(\sin\theta_i, \cos\theta_i)

    where U is the narrower basis.

    Args:
        u: (d, p), orthonormal columns.
        v: (d, q), orthonormal columns.

    Returns:
        (min(p, q),) angles in radians, rising, each in [0, pi/2].

    Raises:
        ShiftlensError: if the widths differ or a basis is not orthonormal.

    Source:
        Bjoerck & Golub, "Numerical Methods for Computing Angles Between Linear Subspaces",
        Mathematics of Computation 27, 1973, doi:10.1090/S0025-5718-1973-0348991-3.
    """
    narrow, wide = orthonormal_basis(u, "first basis"), orthonormal_basis(v, "second basis")
    check_same_width(len(narrow), len(wide))
    if narrow.shape[1] > wide.shape[1]:
        narrow, wide = wide, narrow
    overlap = wide.T @ narrow
    cosines = np.linalg.svd(overlap, compute_uv=False)
    sines = np.linalg.svd(narrow - wide @ overlap, compute_uv=False)[::-1]
    return np.arctan2(sines, cosines)


def fixed_rank_distance(
    basis_a: Any, variances_a: FloatArray, basis_b: Any, variances_b: FloatArray
) -> float:
    r"""Distance of two covariances of one fixed rank p, with weight 1.

    .. math::
        d^2 = \sum_{i=1}^{p} \theta_i^2 + \sum_{i=1}^{p} \log^2 \lambda_i(R_A^{-2} R_B^2)

    theta are the principal angles, R^2 the covariances in their principal vectors (bases turned
    so that U_A^T U_B is diagonal). Not a true metric: the triangle inequality may fail. At a
    right angle principal vectors, and so the second sum, are not unique.

    Args:
        basis_a: (d, p), orthonormal.
        variances_a: (p,), positive, the variance along each column.
        basis_b: likewise.
        variances_b: likewise.

    Returns:
        The distance, >= 0, symmetric.

    Raises:
        ShiftlensError: if ranks or widths differ, or a basis or a variance is not as above.

    Source:
        Bonnabel & Sepulchre, "Riemannian Metric and Geometric Mean for Positive Semidefinite
        Matrices of Fixed Rank", SIAM J. Matrix Anal. Appl., 2009, doi:10.1137/080731347.
    """
    angles = principal_angles(basis_a, basis_b)
    first, second = (as_matrix([v], "variances")[0] for v in (variances_a, variances_b))
    ranks = {len(first), len(second), np.shape(basis_a)[1], np.shape(basis_b)[1]}
    if len(ranks) > 1 or not (np.minimum(first, second) > 0).all():
        raise ShiftlensError(
            "fixed-rank distance: one positive variance per direction is needed, got bases "
            f"{np.shape(basis_a)}, {np.shape(basis_b)} and {len(first)}, {len(second)} variances; "
            "use the same rank for every language and layer."
        )
    left, _, right = np.linalg.svd(as_matrix(basis_a).T @ as_matrix(basis_b))
    turned = (left @ right) * np.sqrt(second) / np.sqrt(first)[:, None]
    return float(np.sqrt(angles @ angles + squared_log_spectrum(turned)))


def rank_for_share(variances: FloatArray, share: float) -> int:
    """Smallest k such that the first k variances hold `share` of their sum.

    Args:
        variances: (r,), falling.
        share: in (0, 1].

    Returns:
        k, from 1 to r.

    Raises:
        ShiftlensError: if the share is outside (0, 1] or there is no variance at all.
    """
    if not 0.0 < share <= 1.0:
        raise ShiftlensError(f"variance share {share} lies outside (0, 1]; 0.9 is usual.")
    if len(variances) == 0:
        raise ShiftlensError("the states are all identical, so no direction carries variance.")
    carried = np.cumsum(variances)
    return int(np.searchsorted(carried, share * carried[-1])) + 1


def check_rank(rank: int, available: int, n: int) -> int:
    """Return `rank` if the states can carry it.

    Args:
        rank: the wanted number of directions.
        available: the numerical rank of the states.
        n: the number of states, for the message.

    Returns:
        `rank`.

    Raises:
        ShiftlensError: if `rank` is below 1 or above `available`.
    """
    if not 1 <= rank <= available:
        raise ShiftlensError(
            f"rank {rank} is out of reach: the n = {n} centred states span rank {available}; "
            f"choose a rank from 1 to {available} or give more sentences."
        )
    return rank


def orthonormal_basis(values: Any, name: str) -> FloatArray:
    """Returns the columns as float64; raises ShiftlensError unless they are orthonormal."""
    basis = as_matrix(values, name)
    if not np.allclose(basis.T @ basis, np.eye(basis.shape[1]), rtol=0.0, atol=1e-8):
        raise ShiftlensError(f"{name}: columns of shape {basis.shape} are not orthonormal.")
    return basis
