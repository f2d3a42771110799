"""How well the states of two languages can be told apart, without pairing their sentences."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from shiftlens.errors import ShiftlensError
from shiftlens.geometry.arrays import FloatArray, as_states, check_same_width

_EPS = float(np.finfo(np.float64).eps)
_TIE = 1e-8  # log odds below this are rounding

LogOdds = Callable[[FloatArray, np.ndarray, FloatArray], FloatArray]


def lda_accuracy(x: Any, y: Any, folds: int = 5) -> float:
    r"""Cross-validated accuracy of telling two languages apart by linear discriminant analysis.

    A held-out state z is given to x where

    .. math::
        \Big( z - \frac{\mu_x + \mu_y}{2} \Big)^T \Sigma^{-1} (\mu_x - \mu_y) > 0, \quad
        \Sigma = (1 - \alpha) S + \alpha \frac{\operatorname{tr} S}{d} I

    S is the pooled covariance of the training states about their own language's mean, normalised
    by their number, and alpha is Ledoit and Wolf's. Both languages count as equally likely.

    Row i of either language is held out in fold i mod `folds`: nothing is drawn at random, and
    translations in the same row are held out together. The value is the mean of the two languages'
    shares of states given to the right one, so that chance is 0.5 at unequal n too. A tie, to
    rounding, counts half: y = x row by row gives 0.5. With y = x in another order it falls below
    0.5, in many dimensions to 0, for copies of a held-out state are then trained on under the
    other language: give both languages the same order of sentences, or disjoint sentences.

    Args:
        x: (n, d), n >= 2, states of one language.
        y: (m, d), m >= 2, states of the other; no pairing is needed.
        folds: from 2 to min(n, m).

    Returns:
        From 0 to 1, 0.5 at chance; symmetric, unchanged by a rotation or a translation of both
        and by a scaling of both.

    Raises:
        ShiftlensError: if the widths differ, n or m is below 2, folds lies outside 2..min(n, m),
            the training states of a fold do not vary within their languages or, with d > 1, only
            to and fro along one line by the same length, or a value is NaN or infinite.

    Source:
        Fisher, "The Use of Multiple Measurements in Taxonomic Problems", Annals of Eugenics 7,
        1936, doi:10.1111/j.1469-1809.1936.tb02137.x; Ledoit & Wolf, Journal of Multivariate
        Analysis 88(2), 2004, doi:10.1016/S0047-259X(03)00096-4 (alpha).
    """
    states, is_first = _standardised(x, y)
    log_odds = partial(_discriminant, d=states.shape[1])
    return _held_out_accuracy(_joint_span(states), is_first, folds, log_odds)


def probe_accuracy(x: Any, y: Any, folds: int = 5) -> float:
    r"""Cross-validated accuracy of telling two languages apart by a linear probe.

    The probe is logistic regression; with labels t = 1 for x and -1 for y it minimises

    .. math::
        \frac{1}{2} \|w\|^2 + \sum_i c_i \log \big( 1 + e^{-t_i (w^T z_i + b)} \big)

    over the training states z_i. The weights c_i give both languages the same total. All states
    are first centred together and divided by one number, so that their mean squared norm is 1: a
    direction with much less than 1 / n of the variance is too small for the probe to use.

    Folds, ties and balancing are those of `lda_accuracy`.

    Args:
        x: (n, d), n >= 2, states of one language.
        y: (m, d), m >= 2, states of the other; no pairing is needed.
        folds: from 2 to min(n, m).

    Returns:
        From 0 to 1, 0.5 at chance; symmetric, unchanged by a rotation or a translation of both
        and by a scaling of both.

    Raises:
        ShiftlensError: if the widths differ, n or m is below 2, folds lies outside 2..min(n, m),
            the states of both languages are all the same one, or a value is NaN or infinite.

    Source:
        Alain & Bengio, "Understanding intermediate layers using linear classifier probes", 2016,
        arXiv:1610.01644.
    """
    states, is_first = _standardised(x, y)
    return _held_out_accuracy(_joint_span(states), is_first, folds, _probe)


def silhouette(x: Any, y: Any) -> float:
    r"""Mean silhouette coefficient of two languages as clusters, by Euclidean distance.

    .. math::
        \frac{1}{n + m} \sum_i \frac{b_i - a_i}{\max(a_i, b_i)}

    with a_i the mean distance of state i to the others of its language and b_i to those of the
    other language. Memory is bounded at any n (scikit-learn's `working_memory`).

    Args:
        x: (n, d), n >= 2, states of one language.
        y: (m, d), m >= 2, states of the other; no pairing is needed.

    Returns:
        From -1 to 1: 1 for two points, near 0 for languages that overlap, -1 / n for y = x of
        distinct states; symmetric, unchanged by a rotation or a translation of both and by a
        scaling of both.

    Raises:
        ShiftlensError: if the widths differ, n or m is below 2, the states of both languages are
            all the same one, or a value is NaN or infinite.

    Source:
        Rousseeuw, "Silhouettes: a graphical aid to the interpretation and validation of cluster
        analysis", Journal of Computational and Applied Mathematics 20, 1987,
        doi:10.1016/0377-0427(87)90125-7.
    """
    from sklearn.metrics import silhouette_score  # slow to import

    return float(silhouette_score(*_standardised(x, y)))


def _standardised(x: Any, y: Any) -> tuple[FloatArray, np.ndarray]:
    """Stack both, centre, scale to mean squared norm 1, and tell which of the rows are of x."""
    first, second = as_states(x), as_states(y)
    check_same_width(first.shape[1], second.shape[1])
    both = np.concatenate([first, second])
    total, d = both.shape
    centred = both - both.mean(axis=0)
    centred -= centred.mean(axis=0)  # the mean's own rounding
    norm = np.linalg.norm(centred)
    if norm <= max(total, d) * _EPS * np.linalg.norm(both):
        raise ShiftlensError(
            f"the n = {len(first)} and m = {len(second)} states of the two languages in d = {d} "
            "dimensions are all the same one, so there is nothing to tell apart; add distinct "
            "sentences."
        )
    return centred * (np.sqrt(total) / norm), np.arange(total) < len(first)


def _joint_span(states: FloatArray) -> FloatArray:
    """Rotate few states in many dimensions into as many as there are states."""
    n, d = states.shape
    return np.transpose(np.linalg.qr(states.T, mode="r")) if n < d else states


def _held_out_accuracy(
    states: FloatArray, is_first: np.ndarray, folds: int, log_odds: LogOdds
) -> float:
    n, m = np.count_nonzero(is_first), np.count_nonzero(~is_first)
    if not 2 <= folds <= min(n, m):
        raise ShiftlensError(
            f"cross-validation: {folds} folds of n = {n} and m = {m} states; give from 2 to "
            f"{min(n, m)} folds, or more sentences."
        )
    fold = np.concatenate([np.arange(n), np.arange(m)]) % folds
    odds = np.empty(n + m)
    for k in range(folds):
        held = fold == k
        odds[held] = log_odds(states[~held], is_first[~held], states[held])
    credit = np.where(np.abs(odds) <= _TIE, 0.5, (odds > 0) == is_first)
    return float(credit[is_first].mean() + credit[~is_first].mean()) / 2


def _discriminant(train: FloatArray, is_first: np.ndarray, held: FloatArray, d: int) -> FloatArray:
    """Log odds of the first language by linear discriminant analysis of states of width d."""
    first, second = train[is_first].mean(axis=0), train[~is_first].mean(axis=0)
    residuals = train - np.where(is_first[:, None], first, second)
    covariance = _shrunk_covariance(residuals, d)
    weights = cho_solve(cho_factor(covariance), first - second)
    odds: FloatArray = (held - (first + second) / 2) @ weights
    return odds


def _shrunk_covariance(residuals: FloatArray, d: int) -> FloatArray:
    """Ledoit and Wolf's covariance of centred rows, in coordinates of their span.

    The same as `shrunk_covariance` gives, without its singular value decomposition.
    """
    n = len(residuals)
    covariance: FloatArray = residuals.T @ residuals / n
    trace, squared = np.trace(covariance), np.sum(covariance**2)
    fourth_moment = np.mean(np.einsum("ij,ij->i", residuals, residuals) ** 2)
    beta = max((fourth_moment - squared) / n, 0.0)
    delta = squared - trace**2 / d
    alpha = beta / delta if beta < delta else 1.0
    floor = alpha * trace / d
    if trace <= ((n + d) * _EPS) ** 2 or floor <= d * _EPS * trace:
        raise ShiftlensError(
            f"linear discriminant analysis: the n = {n} training states of a fold, in d = {d} "
            "dimensions, do not vary within their languages, or only to and fro along one line, so "
            "that their covariance stays singular; add distinct sentences, or use probe_accuracy "
            "or silhouette."
        )
    covariance *= 1.0 - alpha
    covariance[np.diag_indices_from(covariance)] += floor
    return covariance


def _probe(train: FloatArray, is_first: np.ndarray, held: FloatArray) -> FloatArray:
    """Log odds of the first language by logistic regression."""
    from sklearn.linear_model import LogisticRegression  # slow to import

    model = LogisticRegression(class_weight="balanced", tol=1e-8, max_iter=1000)
    odds: FloatArray = model.fit(train, is_first).decision_function(held)
    return odds
