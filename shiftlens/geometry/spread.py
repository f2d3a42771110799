"""How the states of one language spread: over how many dimensions, and about which direction."""

from typing import Any

import numpy as np
from scipy.special import entr

from shiftlens.errors import ShiftlensError
from shiftlens.geometry.arrays import as_states
from shiftlens.geometry.factor import centred_factor
from shiftlens.geometry.similarity import unit_rows


def effective_rank(states: Any) -> float:
    r"""Effective rank of the centred states.

    .. math::
        \exp \Big( -\sum_i p_i \log p_i \Big), \quad p_i = \frac{s_i}{\sum_j s_j}

    with s_i the singular values of the states less their mean. The paper takes the singular values
    of a matrix as it is; without centring, the mean would be one of the dimensions. Some texts
    put the variances s_i^2 for s_i, which gives less.

    Args:
        states: (n, d), n >= 2, states of one language. Compare only at the same n.

    Returns:
        From 1 to min(n - 1, d): r where the states spread equally over r dimensions; unchanged by
        a rotation, a translation or a scaling.

    Raises:
        ShiftlensError: if n < 2, the states are all identical, or a value is NaN or infinite.

    Source:
        Roy & Vetterli, "The effective rank: a measure of effective dimensionality", EUSIPCO 2007.
    """
    return effective_rank_of(centred_factor(states).singular_values)


def effective_rank_of(singular_values: Any) -> float:
    """`effective_rank` of states whose singular values are known.

    Args:
        singular_values: (r,), r >= 1, up to a common factor; for a `LanguageSummary` the square
            roots of its `variances`.

    Returns:
        From 1 to r.

    Raises:
        ShiftlensError: if the values are not (r,), one is negative, NaN or infinite, or none is
            above 0, as of states that are all identical.
    """
    values = np.asarray(singular_values, dtype=np.float64)
    usable = values.ndim == 1 and np.isfinite(values).all() and (values >= 0).all()
    if not (usable and values.any()):
        raise ShiftlensError(
            f"effective rank: expected finite singular values >= 0, at least one above 0, got an "
            f"array of shape {values.shape}; states that are all identical have none above 0."
        )
    return float(np.exp(entr(values / values.sum()).sum()))


def anisotropy(states: Any) -> float:
    r"""Mean cosine of two different states of one language.

    .. math::
        \frac{1}{n (n - 1)} \sum_{i \ne j} u_i^T u_j
          = \frac{\| \sum_i u_i \|^2 - n}{n (n - 1)}, \quad u_i = \frac{x_i}{\|x_i\|}

    over all pairs, without forming them. The states are taken as they are, not centred.

    Args:
        states: (n, d), n >= 2, states of one language.

    Returns:
        From -1 / (n - 1) to 1, near 0 for states in all directions alike, 1 for states in one
        direction; unchanged by a rotation and by a positive scaling of any row.

    Raises:
        ShiftlensError: if n < 2, a state is zero (the message names the first), or a value is NaN
            or infinite.

    Source:
        Ethayarajh, "How Contextual are Contextualized Word Representations?", EMNLP 2019,
        arXiv:1909.00512.
    """
    directions = unit_rows(as_states(states))
    n = len(directions)
    total = directions.sum(axis=0)
    return float((total @ total - n) / (n * (n - 1)))
