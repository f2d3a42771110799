"""How far a sample covariance is drawn towards the isotropic one."""

from typing import Literal

from shiftlens.errors import ShiftlensError
from shiftlens.geometry.factor import CentredFactor

Shrinkage = Literal["ledoit-wolf", "oas"] | float

_CHOICES = "'ledoit-wolf', 'oas' or a number from 0 to 1"


def parse_shrinkage(text: str) -> Shrinkage:
    """Read a shrinkage rule from the command line or a file.

    Args:
        text: "ledoit-wolf", "oas", or a number from 0 to 1 such as "0.1".

    Returns:
        The name, or the number as a float.

    Raises:
        ShiftlensError: if the text is none of these.
    """
    named: dict[str, Shrinkage] = {"ledoit-wolf": "ledoit-wolf", "oas": "oas"}
    name = text.strip().lower()
    if name in named:
        return named[name]
    try:
        alpha = float(name)
    except ValueError:
        raise ShiftlensError(f"shrinkage: {text!r} is not {_CHOICES}.") from None
    return _checked(alpha)


def shrinkage_weight(factor: CentredFactor, shrinkage: Shrinkage) -> float:
    """Return alpha of Sigma = (1 - alpha) S + alpha tr(S)/d I.

    Args:
        factor: the factored states.
        shrinkage: the rule, or alpha itself.

    Returns:
        alpha in [0, 1].

    Raises:
        ShiftlensError: if the rule is unknown or the number lies outside [0, 1].
    """
    if shrinkage == "ledoit-wolf":
        return ledoit_wolf_weight(factor)
    if shrinkage == "oas":
        return oas_weight(factor)
    if isinstance(shrinkage, str):
        raise ShiftlensError(f"shrinkage: {shrinkage!r} is not {_CHOICES}.")
    return _checked(float(shrinkage))


def ledoit_wolf_weight(factor: CentredFactor) -> float:
    r"""Alpha by Ledoit and Wolf, without forming a d x d matrix.

    .. math::
        \alpha = \min(\beta, \delta) / \delta, \quad
        d\,\delta = \|S\|_F^2 - \operatorname{tr}(S)^2 / d, \quad
        d\,\beta = \frac{1}{n} \Big( \frac{1}{n} \sum_i \|x_i - \mu\|^4 - \|S\|_F^2 \Big)

    with ||S||_F^2 = sum s^4 / n^2 over the singular values s. Equal to
    `sklearn.covariance.ledoit_wolf_shrinkage`, save that rounding never takes it outside [0, 1].

    Args:
        factor: the factored states.

    Returns:
        alpha in [0, 1]; 0 when d = 1.

    Source:
        Ledoit & Wolf, "A well-conditioned estimator for large-dimensional covariance matrices",
        Journal of Multivariate Analysis 88(2), 2004, doi:10.1016/S0047-259X(03)00096-4.
    """
    trace, squared, d = _spectrum_sums(factor)
    beta = (factor.fourth_moment / factor.n - squared) / factor.n
    delta = squared - trace**2 / d
    if d == 1 or beta <= 0:
        return 0.0
    return beta / delta if beta < delta else 1.0


def oas_weight(factor: CentredFactor) -> float:
    r"""Alpha by the oracle approximating shrinkage, without forming a d x d matrix.

    .. math::
        \alpha = \min\Big(1, \frac{a + m^2}{(n + 1)(a - m^2 / d)}\Big), \quad
        a = \|S\|_F^2 / d^2, \quad m = \operatorname{tr}(S) / d

    This is scikit-learn's form, which drops the terms in 2/d of equation 23 of the paper.

    Args:
        factor: the factored states.

    Returns:
        alpha in [0, 1]; 0 when d = 1.

    Source:
        Chen, Wiesel, Eldar & Hero, "Shrinkage algorithms for MMSE covariance estimation", IEEE
        Transactions on Signal Processing 58(10), 2010, arXiv:0907.4698.
    """
    trace, squared, d = _spectrum_sums(factor)
    if d == 1:
        return 0.0
    mean_square, squared_mean = squared / d**2, (trace / d) ** 2
    numerator = mean_square + squared_mean
    denominator = (factor.n + 1) * (mean_square - squared_mean / d)
    return numerator / denominator if numerator < denominator else 1.0


def _spectrum_sums(factor: CentredFactor) -> tuple[float, float, int]:
    """Return tr(S), ||S||_F^2 and d of the sample covariance S."""
    variances = factor.singular_values**2 / factor.n
    return float(variances.sum()), float(variances @ variances), len(factor.mean)


def _checked(alpha: float) -> float:
    if not 0.0 <= alpha <= 1.0:
        raise ShiftlensError(f"shrinkage: {alpha} lies outside [0, 1]; give {_CHOICES}.")
    return alpha
