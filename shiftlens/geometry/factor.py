"""The one singular value decomposition behind covariances and subspaces."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from shiftlens.geometry.arrays import FloatArray, as_floats, check_enough

FEWEST_ROWS = 256
"""Of a block of states; more where they are wide."""


@dataclass(frozen=True, eq=False)
class CentredFactor:
    """Thin right factor of mean-centred states: centred^T centred = basis diag(s^2) basis^T.

    Attributes:
        n: number of states.
        mean: (d,).
        basis: (d, r), orthonormal columns, by falling singular value.
        singular_values: (r,), all above rounding; r <= min(n - 1, d) is the numerical rank.
        fourth_moment: sum over the states of ||x - mean||^4 (Ledoit-Wolf needs it).
        rms_norm: sqrt(mean ||x||^2) of the raw states.
    """

    n: int
    mean: FloatArray
    basis: FloatArray
    singular_values: FloatArray
    fourth_moment: float
    rms_norm: float


def centred_factor(states: Any) -> CentredFactor:
    """Centre the states and factor them once.

    Singular values below max(n, d) * eps * s_1 count as zero. All arithmetic is in float64, on a
    block of rows at a time, whose triangular factors are joined as they come: beside the states,
    which may be float32, no more than some 5 d rows are in memory.

    Args:
        states: (n, d), n >= 2.

    Returns:
        The factor, of rank r <= min(n - 1, d).

    Raises:
        ShiftlensError: on NaN or infinity, a wrong shape, or n < 2.

    Source:
        The triangular factor by blocks: Demmel et al., "Communication-optimal parallel and
        sequential QR and LU factorizations", SIAM J. Sci. Comput. 34 (2012),
        doi:10.1137/080731992.
    """
    raw = as_floats(states)
    check_enough(raw)
    n, d = raw.shape
    mean = raw.mean(axis=0, dtype=np.float64)
    rounding = sum((block - mean).sum(axis=0) for block in _blocks(raw)) / n
    root, fourth_moment, square = np.empty((0, d)), 0.0, 0.0
    for block in _blocks(raw):
        centred = block - mean - rounding  # so that constant columns cancel
        squared_norms = np.einsum("ij,ij->i", centred, centred)
        fourth_moment += float(squared_norms @ squared_norms)
        square += float(np.linalg.norm(block.astype(np.float64, copy=False))) ** 2
        root = _triangle(np.concatenate([root, centred]) if len(root) else centred)
    basis, values, _ = np.linalg.svd(root.T, full_matrices=False)
    rank = np.count_nonzero(values > max(n, d) * np.finfo(np.float64).eps * values[0])
    return CentredFactor(
        n=n,
        mean=mean,
        basis=basis[:, :rank],
        singular_values=values[:rank],
        fourth_moment=fourth_moment,
        rms_norm=float(np.sqrt(square / n)),
    )


def rows_of_a_block(d: int) -> int:
    """How many states of width d are factored at a time."""
    return max(4 * d, FEWEST_ROWS)


def _blocks(states: np.ndarray) -> Iterator[np.ndarray]:
    """Some rows at a time."""
    rows = rows_of_a_block(states.shape[1])
    return (states[start : start + rows] for start in range(0, len(states), rows))


def _triangle(rows: FloatArray) -> FloatArray:
    """Of more rows than columns the triangular factor, which has their singular values."""
    more = len(rows) > rows.shape[1]
    return np.asarray(np.linalg.qr(rows, mode="r")) if more else rows
