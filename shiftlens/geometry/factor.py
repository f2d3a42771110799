"""The one singular value decomposition behind covariances and subspaces."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from shiftlens.geometry.arrays import FloatArray, as_states


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

    Singular values below max(n, d) * eps * s_1 count as zero.

    Args:
        states: (n, d), n >= 2.

    Returns:
        The factor, of rank r <= min(n - 1, d).

    Raises:
        ShiftlensError: on NaN or infinity, a wrong shape, or n < 2.
    """
    raw = as_states(states)
    n, d = raw.shape
    mean = raw.mean(axis=0)
    centred = raw - mean
    centred -= centred.mean(axis=0)  # the mean's own rounding, so that constant columns cancel
    squared_norms = np.einsum("ij,ij->i", centred, centred)
    root = np.asarray(np.linalg.qr(centred, mode="r")) if n > d else centred
    basis, values, _ = np.linalg.svd(root.T, full_matrices=False)
    rank = np.count_nonzero(values > max(n, d) * np.finfo(np.float64).eps * values[0])
    return CentredFactor(
        n=n,
        mean=mean,
        basis=basis[:, :rank],
        singular_values=values[:rank],
        fourth_moment=float(squared_norms @ squared_norms),
        rms_norm=float(np.linalg.norm(raw) / np.sqrt(n)),
    )
