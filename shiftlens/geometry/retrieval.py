"""Whether a sentence's translation can be found among the others, in bounded memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from shiftlens.errors import ShiftlensError
from shiftlens.geometry.arrays import FloatArray, check_same_width
from shiftlens.geometry.similarity import as_pairs, unit_rows

BLOCK = 2**24
"""Cosines held at once: 128 MiB."""


@dataclass(frozen=True)
class Retrieval:
    """Precision at 1 of retrieval in both directions.

    Attributes:
        there: share of the x that find their own y.
        back: share of the y that find their own x.
        chance: what a random pairing gives on average, 1 / n.
    """

    there: float
    back: float
    chance: float


@dataclass(frozen=True)
class Mexa:
    """MEXA's alignment score.

    Attributes:
        score: share of pairs that beat every other in their row and their column.
        chance: what independent, identically distributed cosines give, 1 / (2 n - 1). A random
            pairing of any states gives at most 1 / n on average.
    """

    score: float
    chance: float


def cosine_retrieval(x: Any, y: Any) -> Retrieval:
    r"""Precision at 1 of finding the translation by cosine, both ways.

    .. math::
        P@1 = \frac{1}{n} \sum_i \Big[ c_{ii} > \max_{j \ne i} c_{ij} \Big], \quad
        c_{ij} = \cos(x_i, y_j)

    and with c_ji the other way. Ties, to rounding (4 d eps), count against: identical states
    score 0. Memory is bounded at any n.

    Args:
        x: (n, d), n >= 2, states of one language.
        y: (n, d), states of the same sentences in the same order in the other.

    Returns:
        Both precisions and chance; unchanged by a rotation of both sides, a positive scaling of
        any row, and one reordering of both.

    Raises:
        ShiftlensError: if n or the widths differ, n is below 2, a state is zero, or a value is NaN
            or infinite.
    """
    first, second = _unit_pairs(x, y)
    return _precision(*_wins(first, second, 0.0, 0.0))


def csls_retrieval(x: Any, y: Any, k: int = 10) -> Retrieval:
    r"""Precision at 1 by cross-domain similarity local scaling, both ways.

    .. math::
        \mathrm{CSLS}(x_i, y_j) = 2 \cos(x_i, y_j) - r(x_i) - r(y_j)

    with r(x_i) the mean cosine of x_i and its k nearest y, and r(y_j) that of y_j and its k
    nearest x, so that a hub near everything is not everybody's answer. Ties as in
    `cosine_retrieval`. Memory is bounded at any n.

    Args:
        x: (n, d), n >= 2, states of one language.
        y: (n, d), states of the same sentences in the same order in the other.
        k: number of neighbours, 1 <= k <= n.

    Returns:
        Both precisions and chance; invariances as in `cosine_retrieval`.

    Raises:
        ShiftlensError: as `cosine_retrieval`, and if k lies outside 1..n.

    Source:
        Lample, Conneau, Ranzato, Denoyer & Jegou, "Word Translation without Parallel Data", ICLR
        2018, arXiv:1710.04087.
    """
    first, second = _unit_pairs(x, y)
    if not 1 <= k <= len(first):
        raise ShiftlensError(f"CSLS: k = {k} neighbours must lie from 1 to n = {len(first)}.")
    hubness = _nearest_mean(first, second, k) / 2, _nearest_mean(second, first, k) / 2
    return _precision(*_wins(first, second, *hubness))


def mexa(x: Any, y: Any) -> Mexa:
    r"""MEXA: the share of translation pairs that are each other's best.

    .. math::
        \frac{1}{n} \sum_i \Big[ c_{ii} > \max_{j \ne i} \max(c_{ij}, c_{ji}) \Big], \quad
        c_{ij} = \cos(x_i, y_j)

    Ties as in `cosine_retrieval`. Memory is bounded at any n.

    Args:
        x: (n, d), n >= 2, states of one language.
        y: (n, d), states of the same sentences in the same order in the other.

    Returns:
        The score, at most either P@1, and chance; symmetric; invariances as in
        `cosine_retrieval`.

    Raises:
        ShiftlensError: as `cosine_retrieval`.

    Source:
        Kargaran, Modarressi, Nikeghbal, Diesner, Yvon & Schuetze, "MEXA: Multilingual Evaluation
        of English-Centric LLMs via Cross-Lingual Alignment", 2024, arXiv:2410.05873.
    """
    first, second = _unit_pairs(x, y)
    there, back = _wins(first, second, 0.0, 0.0)
    return Mexa(score=float((there & back).mean()), chance=1.0 / (2 * len(there) - 1))


def _unit_pairs(x: Any, y: Any) -> tuple[FloatArray, FloatArray]:
    first, second = as_pairs(x, y)
    check_same_width(first.shape[1], second.shape[1])
    return unit_rows(first), unit_rows(second)


def _blocks(x: FloatArray, y: FloatArray) -> Iterator[tuple[slice, FloatArray]]:
    """Yield rows and their cosines with all of y, at most about `BLOCK` of them at once."""
    step = max(1, BLOCK // len(y))
    for start in range(0, len(x), step):
        rows = slice(start, min(start + step, len(x)))
        yield rows, x[rows] @ y.T


def _wins(
    x: FloatArray, y: FloatArray, minus_x: FloatArray | float, minus_y: FloatArray | float
) -> tuple[np.ndarray, np.ndarray]:
    """Tell of each pair whether c_ii - minus_x_i - minus_y_i is the best of row, of column."""
    n, d = x.shape
    minus_x, minus_y = np.broadcast_to(minus_x, n), np.broadcast_to(minus_y, n)
    own, row_rival, column_rival = np.empty(n), np.empty(n), np.full(n, -np.inf)
    for rows, scores in _blocks(x, y):
        scores -= minus_x[rows, None]
        scores -= minus_y
        diagonal = np.arange(len(scores)), np.arange(rows.start, rows.stop)
        own[rows] = scores[diagonal]
        scores[diagonal] = -np.inf
        row_rival[rows] = scores.max(axis=1)
        np.maximum(column_rival, scores.max(axis=0), out=column_rival)
    clear = own - 4 * d * np.finfo(np.float64).eps
    return clear > row_rival, clear > column_rival


def _nearest_mean(x: FloatArray, y: FloatArray, k: int) -> FloatArray:
    """Mean cosine of each x with its k nearest y, of shape (n,)."""
    means = np.empty(len(x))
    for rows, cosines in _blocks(x, y):
        means[rows] = np.partition(cosines, len(y) - k, axis=1)[:, len(y) - k :].mean(axis=1)
    return means


def _precision(there: np.ndarray, back: np.ndarray) -> Retrieval:
    return Retrieval(float(there.mean()), float(back.mean()), 1.0 / len(there))
