"""Distances of subspaces from their principal angles, their scale, and projecting onto one."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from shiftlens.errors import ShiftlensError
from shiftlens.geometry.arrays import FloatArray, as_matrix, check_same_width
from shiftlens.geometry.subspaces import orthonormal_basis, principal_angles


def grassmann_geodesic(u: Any, v: Any) -> float:
    r"""Length of the shortest path between two subspaces of one rank on the Grassmannian.

    .. math::
        d = \Big( \sum_{i=1}^{p} \theta_i^2 \Big)^{1/2}

    with theta the principal angles in radians.

    Args:
        u: (d, p), orthonormal columns.
        v: (d, p), likewise.

    Returns:
        The distance, from 0 to sqrt(p) pi/2, a metric; it depends on the spans alone and is
        unchanged by a rotation of both.

    Raises:
        ShiftlensError: if widths or ranks differ or a basis is not orthonormal.

    Source:
        Edelman, Arias & Smith, "The Geometry of Algorithms with Orthogonality Constraints", SIAM
        J. Matrix Anal. Appl. 20(2), 1998, doi:10.1137/S0895479895290954.
    """
    return float(np.linalg.norm(_angles_of_one_rank(u, v)))


def chordal_distance(u: Any, v: Any) -> float:
    r"""Chordal distance of two subspaces of one rank.

    .. math::
        d = \Big( \sum_{i=1}^{p} \sin^2 \theta_i \Big)^{1/2} = \| P_U - P_V \|_F / \sqrt{2}

    with theta the principal angles and P the orthogonal projectors.

    Args:
        u: (d, p), orthonormal columns.
        v: (d, p), likewise.

    Returns:
        The distance, from 0 to sqrt(p), a metric; it depends on the spans alone and is unchanged
        by a rotation of both.

    Raises:
        ShiftlensError: if widths or ranks differ or a basis is not orthonormal.

    Source:
        Conway, Hardin & Sloane, "Packing Lines, Planes, etc.", Experimental Mathematics 5(2),
        1996, doi:10.1080/10586458.1996.10504585.
    """
    return float(np.linalg.norm(np.sin(_angles_of_one_rank(u, v))))


def projection_distance(u: Any, v: Any) -> float:
    r"""Frobenius norm of the difference of two orthogonal projectors, of any ranks.

    .. math::
        d = \| U U^T - V V^T \|_F = \Big( |p - q| + 2 \sum_i \sin^2 \theta_i \Big)^{1/2}

    without the factor 1/sqrt(2) that some texts put in front: at one rank it is sqrt(2) times
    the chordal distance. No d x d matrix is formed.

    Args:
        u: (d, p), orthonormal columns.
        v: (d, q), likewise.

    Returns:
        The distance, from 0 to sqrt(p + q), a metric over subspaces of all ranks; it depends on
        the spans alone and is unchanged by a rotation of both.

    Raises:
        ShiftlensError: if the widths differ or a basis is not orthonormal.

    Source:
        Edelman, Arias & Smith, "The Geometry of Algorithms with Orthogonality Constraints", SIAM
        J. Matrix Anal. Appl. 20(2), 1998, doi:10.1137/S0895479895290954.
    """
    sines = np.sin(principal_angles(u, v))
    unmatched = abs(np.shape(u)[1] - np.shape(v)[1])
    return float(np.sqrt(unmatched + 2.0 * (sines @ sines)))


@dataclass(frozen=True)
class RandomSubspaces:
    """What two subspaces that have nothing to do with each other show on average.

    Attributes:
        overlap: expected sum of cos^2 of the principal angles, ||U^T V||_F^2.
        squared_chordal: expected sum of sin^2 of them.
        squared_projection: expected square of the projection distance.
    """

    overlap: float
    squared_chordal: float
    squared_projection: float


def random_subspaces(p: int, q: int, d: int) -> RandomSubspaces:
    r"""Overlap and distances expected of two random subspaces, in closed form.

    .. math::
        E \| U^T V \|_F^2 = \frac{p q}{d}, \quad
        E \sum_i \sin^2 \theta_i = \min(p, q) - \frac{p q}{d}, \quad
        E \| P_U - P_V \|_F^2 = p + q - \frac{2 p q}{d}

    It is enough that one of the two is drawn uniformly (Haar), for then E P_V = (q/d) I and
    E ||U^T V||_F^2 = tr(P_U E P_V); the other may be any fixed subspace.

    Args:
        p: rank of the one subspace, 1 <= p <= d.
        q: rank of the other, 1 <= q <= d.
        d: width of the space.

    Returns:
        The three expectations. They are means of squares: a distance at chance level lies near,
        on average a little below, the root.

    Raises:
        ShiftlensError: if a rank lies outside 1..d.
    """
    if not 1 <= min(p, q) <= max(p, q) <= d:
        raise ShiftlensError(
            f"random_subspaces: ranks {p} and {q} must lie from 1 to the width d = {d}."
        )
    overlap = p * q / d
    return RandomSubspaces(
        overlap=overlap,
        squared_chordal=min(p, q) - overlap,
        squared_projection=p + q - 2.0 * overlap,
    )


@lru_cache(maxsize=64)
def random_angles(p: int, d: int, draws: int = 16, seed: int = 0) -> FloatArray:
    """Principal angles of random subspaces of one rank, drawn uniformly (Haar).

    One of the two may be held still, so the cosines are the singular values of the first p rows
    of a random orthonormal basis. For the distances without a closed form in `random_subspaces`.

    Args:
        p: rank of both, 1 <= p <= d.
        d: width of the space.
        draws: number of pairs drawn.
        seed: of the draws.

    Returns:
        (draws, p) angles in radians, rising in each row.

    Raises:
        ShiftlensError: if p lies outside 1..d.
    """
    if not 1 <= p <= d:
        raise ShiftlensError(f"random_angles: rank {p} must lie from 1 to the width d = {d}.")
    rng = np.random.default_rng(seed)
    still = np.eye(d, p)
    angles = [
        principal_angles(still, np.linalg.qr(rng.normal(size=(d, p))).Q) for _ in range(draws)
    ]
    return np.array(angles)


def project_affine(states: Any, mean: Any, basis: Any) -> FloatArray:
    r"""Project states onto the affine subspace of a language.

    .. math::
        x \mapsto \mu + U U^T (x - \mu)

    the nearest point of mu + span(U).

    Args:
        states: (n, d), n >= 0, of any language.
        mean: (d,), mu, for instance `LanguageSummary.mean`.
        basis: (d, r), U, orthonormal columns, for instance of `svd_basis`.

    Returns:
        The projected states, (n, d) in float64.

    Raises:
        ShiftlensError: if the widths differ, the basis is not orthonormal, or a value is NaN or
            infinite.

    Source:
        Chang, Tu & Bergen, "The Geometry of Multilingual Language Model Representations", EMNLP
        2022, arXiv:2205.10964.
    """
    rows, directions = as_matrix(states), orthonormal_basis(basis, "basis")
    centre = as_matrix(mean[None], "mean")
    check_same_width(rows.shape[1], len(directions))
    check_same_width(rows.shape[1], centre.shape[1])
    return centre + ((rows - centre) @ directions) @ directions.T


def _angles_of_one_rank(u: Any, v: Any) -> FloatArray:
    angles = principal_angles(u, v)
    p, q = np.shape(u)[1], np.shape(v)[1]
    if p != q:
        raise ShiftlensError(
            f"the subspaces have ranks {p} and {q}, between which this is not a distance; use one "
            "rank for every language, or projection_distance."
        )
    return angles
