"""The subspace distance of ShifCon, its two terms kept apart."""

from dataclasses import dataclass

import numpy as np

from shiftlens.errors import ShiftlensError
from shiftlens.geometry.affine_invariant import affine_invariant
from shiftlens.geometry.arrays import check_same_width
from shiftlens.geometry.summary import LanguageSummary


@dataclass(frozen=True)
class ShifConDistance:
    """The terms of ShifCon's subspace distance.

    Attributes:
        log_term: affine-invariant distance of the covariances; a shift leaves it as it is.
        mean_term: distance of the means; a shift at this layer takes it to zero.
        mean_term_rms: the mean term divided by the RMS norm of the dominant states, so that
            layers of different norm can be compared.
    """

    log_term: float
    mean_term: float
    mean_term_rms: float

    @property
    def total(self) -> float:
        """The distance as ShifCon adds it up: log_term + mean_term."""
        return self.log_term + self.mean_term


def shifcon_distance(k: LanguageSummary, dominant: LanguageSummary) -> ShifConDistance:
    r"""ShifCon's distance of language k's subspace to the dominant language's.

    .. math::
        \mathrm{Dist}(S_k, S_D) = \Big( \sum_i \log^2 \lambda_i(K_k, K_D) \Big)^{1/2}
                                + \| \mu_k - \mu_D \|_2

    with K the (shrunk) covariances, lambda their generalised eigenvalues and mu the means.

    Args:
        k: summary of the other language at a layer.
        dominant: summary of the dominant language at the same layer.

    Returns:
        The two terms, the RMS-normalised mean term, and their sum as `total`.

    Raises:
        ShiftlensError: if the widths differ.

    Source:
        Zhang et al., "ShifCon", ACL 2025, arXiv:2410.19453; the log term from Chang, Tu & Bergen,
        2022, arXiv:2205.10964.
    """
    return ShifConDistance(
        log_term=affine_invariant(k, dominant),
        mean_term=mean_distance(k, dominant),
        mean_term_rms=relative_mean_distance(k, dominant),
    )


def mean_distance(k: LanguageSummary, dominant: LanguageSummary) -> float:
    """Euclidean distance of the two means, ||mu_k - mu_D||_2.

    Args:
        k: summary of the other language.
        dominant: summary of the dominant language.

    Returns:
        The distance, >= 0.

    Raises:
        ShiftlensError: if the widths differ.
    """
    check_same_width(k.d, dominant.d)
    return float(np.linalg.norm(k.mean - dominant.mean))


def relative_mean_distance(k: LanguageSummary, dominant: LanguageSummary) -> float:
    r"""Distance of the two means by the scale of the dominant states.

    .. math::
        \frac{\| \mu_k - \mu_D \|_2}{\big( \tfrac{1}{n} \sum_i \| x_i \|^2 \big)^{1/2}}

    with x the dominant states, so that layers of different norm can be compared.

    Args:
        k: summary of the other language.
        dominant: summary of the dominant language.

    Returns:
        The ratio, >= 0; not symmetric.

    Raises:
        ShiftlensError: if the widths differ or the dominant states are all zero.
    """
    distance = mean_distance(k, dominant)
    if dominant.rms_norm == 0:
        raise ShiftlensError(
            f"the n = {dominant.n} dominant states in d = {dominant.d} dimensions are all zero, so "
            "that the distance of the means has no scale; take mean_distance."
        )
    return distance / dominant.rms_norm
