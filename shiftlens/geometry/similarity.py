"""How alike two languages represent the same sentences, row by row."""

from typing import Any

import numpy as np

from shiftlens.errors import ShiftlensError
from shiftlens.geometry.arrays import FloatArray, as_states, check_same_width

_EPS = float(np.finfo(np.float64).eps)


def linear_cka(x: Any, y: Any) -> float:
    r"""Linear centred kernel alignment, in feature space.

    .. math::
        \mathrm{CKA} = \frac{\| Y^T X \|_F^2}{\| X^T X \|_F \, \| Y^T Y \|_F}

    with the columns of X and Y centred. Biased upwards where n is not much larger than d; see
    `debiased_linear_cka`.

    Args:
        x: (n, d), n >= 2, states of one language.
        y: (n, e), states of the same sentences in the same order in the other.

    Returns:
        From 0 to 1, 1 for x = y; symmetric, unchanged by a rotation, a scaling or a translation
        of either side.

    Raises:
        ShiftlensError: if n differs or is below 2, the states of a side are all identical, or a
            value is NaN or infinite.

    Source:
        Kornblith, Norouzi, Lee & Hinton, "Similarity of Neural Network Representations
        Revisited", ICML 2019, arXiv:1905.00414.
    """
    first, second = _normalised_pair(x, y)
    own = _biased(first, first), _biased(second, second)
    return _biased(first, second) / float(np.sqrt(own[0] * own[1]))


def debiased_linear_cka(x: Any, y: Any) -> float:
    r"""Linear CKA from the unbiased estimate of HSIC, in feature space.

    .. math::
        \mathrm{CKA} = \frac{h(X, Y)}{\sqrt{h(X, X)\, h(Y, Y)}}, \quad
        h(X, Y) = \| Y^T X \|_F^2 - \frac{n}{n - 2} \sum_i a_i b_i
                  + \frac{\sum_i a_i \sum_i b_i}{(n - 1)(n - 2)}

    with centred columns, a_i = ||x_i||^2 and b_i = ||y_i||^2. h is n (n - 3) times the unbiased
    estimate of HSIC, written without n x n kernels.

    Args:
        x: (n, d), n >= 4, states of one language.
        y: (n, e), states of the same sentences in the same order in the other.

    Returns:
        From -1 to 1, near 0 for unrelated states at any n and d, 1 for x = y; symmetric,
        unchanged by a rotation, a scaling or a translation of either side.

    Raises:
        ShiftlensError: if n differs or is below 4, the states of a side are all identical or all
            equally far apart (h(X, X) = 0), or a value is NaN or infinite.

    Source:
        Song, Smola, Gretton, Bedo & Borgwardt, "Feature Selection via Dependence Maximization",
        JMLR 13, 2012 (the estimate of HSIC); Nguyen, Raghu & Kornblith, "Do Wide and Deep
        Networks Learn the Same Things?", ICLR 2021, arXiv:2010.15327 (in CKA).
    """
    first, second = _normalised_pair(x, y)
    if len(first) < 4:
        raise ShiftlensError(
            f"debiased CKA: n = {len(first)} sentences given, at least 4 are needed."
        )
    own = _unbiased(first, first), _unbiased(second, second)
    if min(own) <= len(first) * _EPS:
        raise ShiftlensError(
            f"debiased CKA: the n = {len(first)} states of one side are all equally far apart, "
            "so that it is 0 / 0; add sentences or use linear_cka."
        )
    return _unbiased(first, second) / float(np.sqrt(own[0] * own[1]))


def procrustes_distance(x: Any, y: Any) -> float:
    r"""Orthogonal Procrustes distance of centred states of unit Frobenius norm.

    .. math::
        d = \min_{Q^T Q = I} \| \bar X - \bar Y Q \|_F
          = \big( 2 - 2 \| \bar X^T \bar Y \|_* \big)^{1/2}, \quad
        \bar X = \frac{X - 1 \mu_X^T}{\| X - 1 \mu_X^T \|_F}

    and likewise for Y; reflections are allowed. Some texts report d^2 instead.

    Args:
        x: (n, d), n >= 2, states of one language.
        y: (n, d), states of the same sentences in the same order in the other.

    Returns:
        The distance, from 0 to sqrt(2), a metric between states up to rotation, reflection,
        scaling and translation of either side.

    Raises:
        ShiftlensError: if n or the widths differ, n is below 2, the states of a side are all
            identical, or a value is NaN or infinite.

    Source:
        Williams, Kunz, Kornblith & Linderman, "Generalized Shape Metrics on Neural
        Representations", NeurIPS 2021, arXiv:2110.14739; Schoenemann, Psychometrika 31, 1966,
        doi:10.1007/BF02289451 (the minimum).
    """
    first, second = _normalised_pair(x, y)
    check_same_width(np.shape(x)[1], np.shape(y)[1])
    left, _, right = np.linalg.svd(first.T @ second)
    return float(np.linalg.norm(first - second @ (left @ right).T))


def mean_cosine(x: Any, y: Any, centred: bool = False) -> float:
    r"""Mean cosine of a sentence and its translation.

    .. math::
        \frac{1}{n} \sum_i \frac{x_i^T y_i}{\|x_i\| \|y_i\|}

    Uncentred, a direction that all states share takes it towards 1, whatever they say; centred,
    each language's own mean is subtracted first.

    Args:
        x: (n, d), n >= 2, states of one language.
        y: (n, d), states of the same sentences in the same order in the other.
        centred: subtract each language's mean.

    Returns:
        From -1 to 1, 1 for x = y; symmetric, unchanged by a rotation of both or a positive
        scaling of either; centred, also by a translation of either.

    Raises:
        ShiftlensError: if n or the widths differ, n is below 2, a state (centred, where asked) is
            zero and so has no direction, or a value is NaN or infinite.
    """
    first, second = as_pairs(x, y)
    check_same_width(first.shape[1], second.shape[1])
    if centred:
        first, second = _unit_rows_about_the_mean(first), _unit_rows_about_the_mean(second)
    else:
        first, second = unit_rows(first), unit_rows(second)
    return float(np.einsum("ij,ij->i", first, second).mean())


def as_pairs(x: Any, y: Any) -> tuple[FloatArray, FloatArray]:
    """Return two checked float64 matrices with one row a sentence each.

    Args:
        x: (n, d), n >= 2.
        y: (n, e).

    Returns:
        Both as float64 arrays.

    Raises:
        ShiftlensError: if n differs or is below 2, or a value is NaN or infinite.
    """
    first, second = as_states(x), as_states(y)
    if len(first) != len(second):
        raise ShiftlensError(
            f"a paired measure was given n = {len(first)} and n = {len(second)} states; give the "
            "same sentences in the same order in both languages."
        )
    return first, second


def unit_rows(states: FloatArray, resolution: float = 0.0) -> FloatArray:
    """Scale every row to length 1.

    Args:
        states: (n, d).
        resolution: rows no longer than this count as zero.

    Returns:
        (n, d), rows of length 1.

    Raises:
        ShiftlensError: if a row is zero (the message names the first).
    """
    norms = np.linalg.norm(states, axis=1)
    zero = np.flatnonzero(norms <= resolution)
    if zero.size:
        raise ShiftlensError(
            f"{zero.size} of n = {len(states)} states in d = {states.shape[1]} dimensions are zero "
            f"(centred, where asked), the first is row {zero[0]}; they have no direction and so no "
            "cosine: remove them."
        )
    scaled: FloatArray = states / norms[:, None]
    return scaled


def _unit_rows_about_the_mean(states: FloatArray) -> FloatArray:
    return unit_rows(_centred(states), max(states.shape) * _EPS * float(np.abs(states).max()))


def _centred(states: FloatArray) -> FloatArray:
    centred = states - states.mean(axis=0)
    return centred - centred.mean(axis=0)  # the mean's own rounding


def _normalised_pair(x: Any, y: Any) -> tuple[FloatArray, FloatArray]:
    first, second = as_pairs(x, y)
    return _normalised(first), _normalised(second)


def _normalised(states: FloatArray) -> FloatArray:
    """Centre, scale to unit Frobenius norm, and keep min(n, d) coordinates of the row space."""
    n, d = states.shape
    centred = _centred(states)
    norm = np.linalg.norm(centred)
    if norm <= max(n, d) * _EPS * np.linalg.norm(states):
        raise ShiftlensError(
            f"the n = {n} states of one side in d = {d} dimensions are all identical, so there is "
            "nothing to compare; add distinct sentences."
        )
    narrow = np.transpose(np.linalg.qr(centred.T, mode="r")) if n < d else centred
    scaled: FloatArray = narrow / norm
    return scaled


def _biased(x: FloatArray, y: FloatArray) -> float:
    """(n - 1)^2 times the biased estimate of HSIC of centred states."""
    return float(np.sum((x.T @ y) ** 2))


def _unbiased(x: FloatArray, y: FloatArray) -> float:
    """N (n - 3) times the unbiased estimate of HSIC of centred states."""
    n = len(x)
    a, b = np.einsum("ij,ij->i", x, x), np.einsum("ij,ij->i", y, y)
    correction = a.sum() * b.sum() / ((n - 1) * (n - 2)) - n / (n - 2) * (a @ b)
    return _biased(x, y) + float(correction)
