"""Moments of rows that arrive in batches, merged exactly."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from shiftlens.errors import ShiftlensError
from shiftlens.geometry.arrays import FloatArray, as_matrix, check_same_width
from shiftlens.geometry.factor import CentredFactor


@dataclass(eq=False)
class Moments:
    r"""Streaming, mergeable moments in float64, enough for a shrunk covariance.

    Two sets of rows A and B with counts n, means m and scatters M (sums of centred outer
    products) merge without looking at a row again:

    .. math::
        \delta = m_B - m_A, \quad m = m_A + \delta n_B / n, \quad
        M = M_A + M_B + \delta \delta^T n_A n_B / n, \quad n = n_A + n_B.

    The third and fourth moments of the centred rows a, t = sum ||a||^2 a and q = sum ||a||^4, are
    first brought from the set's own mean to the common one, s away, and then added:

    .. math::
        t' &= t - \operatorname{tr}(M) s - 2 M s - n \|s\|^2 s, \\
        q' &= q - 4 s^T t + 4 s^T M s + 2 \operatorname{tr}(M) \|s\|^2 + n \|s\|^4.

    Merging in the same order gives the same bits. The fields are the whole state, so they may be
    saved and given back to the constructor.

    Attributes:
        count: n, the number of rows seen.
        mean: (d,), m, their mean; zeros while `count` is 0.
        scatter: (d, d), M, the sum over rows of (x - m)(x - m)^T.
        cubic: (d,), t, the sum over rows of ||x - m||^2 (x - m).
        quartic: q, the sum over rows of ||x - m||^4.

    Source:
        Chan, Golub & LeVeque, "Algorithms for Computing the Sample Variance", The American
        Statistician 37(3), 1983, doi:10.1080/00031305.1983.10483115, for count, mean and scatter;
        t' and q' follow from expanding ||a - s||^2 with sum a = 0.
    """

    count: int
    mean: FloatArray
    scatter: FloatArray
    cubic: FloatArray
    quartic: float

    @classmethod
    def empty(cls, width: int) -> "Moments":
        """Return moments that have seen no rows.

        Args:
            width: d, the length of a row.

        Returns:
            Moments with count 0.
        """
        return cls(0, np.zeros(width), np.zeros((width, width)), np.zeros(width), 0.0)

    @classmethod
    def of(cls, rows: Any) -> "Moments":
        """Return the moments of rows that are all there.

        The one large matrix product runs where the rows are: a CUDA tensor's on its GPU, from
        which the moments alone come back; everything else's in numpy.

        Args:
            rows: (n, d), n >= 0, array or tensor.

        Returns:
            Moments with count n.

        Raises:
            ShiftlensError: if the rows are not (n, d) or hold NaN or infinity.
        """
        batch = rows.detach().double() if _on_gpu(rows) else as_matrix(rows, "rows")
        if len(batch) == 0:
            return cls.empty(batch.shape[1])
        mean = batch.mean(0)
        centred = batch - mean
        rounding = centred.mean(0)  # of the mean, so that centred rows sum to zero
        centred -= rounding
        norms = (centred * centred).sum(1)
        sums = mean + rounding, centred.T @ centred, norms @ centred, norms @ norms
        mean, scatter, cubic, quartic = (
            value.cpu().numpy() if hasattr(value, "cpu") else value for value in sums
        )
        return cls(len(batch), mean, scatter, cubic, float(quartic))

    def update(self, rows: Any) -> None:
        """Take in a batch of rows.

        Args:
            rows: (n, d), n >= 0, array or tensor; some thousand at a time are fastest.

        Raises:
            ShiftlensError: if the rows are not (n, d) or hold NaN or infinity.
        """
        self.merge(Moments.of(rows))

    def merge(self, other: "Moments") -> None:
        """Take in all rows that `other` has seen; `other` stays as it is.

        Args:
            other: moments of rows of the same width.

        Raises:
            ShiftlensError: if the widths differ.
        """
        check_same_width(len(self.mean), len(other.mean))
        if other.count == 0:
            return
        count = self.count + other.count
        delta = other.mean - self.mean
        cubic, quartic = self._about(delta * (other.count / count))
        other_cubic, other_quartic = other._about(-delta * (self.count / count))
        scatter = np.outer(delta, delta * (self.count * other.count / count))
        scatter += self.scatter
        scatter += other.scatter
        self.mean = self.mean + delta * (other.count / count)
        self.scatter = scatter
        self.cubic = cubic + other_cubic
        self.quartic = quartic + other_quartic
        self.count = count

    def _about(self, shift: FloatArray) -> tuple[FloatArray, float]:
        """The cubic and quartic of the rows about mean + shift."""
        trace, along, square = self.scatter.trace(), self.scatter @ shift, shift @ shift
        cubic = self.cubic - 2 * along - (trace + self.count * square) * shift
        slope = 4 * shift @ (along - self.cubic)
        quartic = self.quartic + slope + (2 * trace + self.count * square) * square
        return cubic, float(quartic)

    @property
    def covariance(self) -> FloatArray:
        """The maximum-likelihood covariance, scatter / n, of shape (d, d).

        Normalised by n, not n - 1, to agree with scikit-learn's LedoitWolf and OAS and with
        `shrunk_covariance`.

        Raises:
            ShiftlensError: if fewer than 2 rows were seen.
        """
        self._check_count()
        return self.scatter / self.count

    @property
    def rms_norm(self) -> float:
        """sqrt(mean ||x||^2) of the raw rows; 0 while there are none."""
        return float(np.sqrt(self.scatter.trace() / max(self.count, 1) + self.mean @ self.mean))

    def factor(self) -> CentredFactor:
        """Factor the centred rows, by the eigenvectors of their scatter.

        Eigenvalues up to d * eps * largest count as zero. They are squares of the singular values,
        so directions that `centred_factor` still tells from rounding may go.

        Returns:
            The factor, of rank r <= min(n - 1, d), with which
            `from_factor(moments.factor(), shrinkage)` is `shrunk_covariance` of all rows.

        Raises:
            ShiftlensError: if fewer than 2 rows were seen.
        """
        self._check_count()
        values, vectors = np.linalg.eigh(self.scatter)
        threshold = len(values) * np.finfo(np.float64).eps * values[-1]
        kept = np.flatnonzero(values > threshold)[::-1]
        return CentredFactor(
            n=self.count,
            mean=self.mean,
            basis=vectors[:, kept],
            singular_values=np.sqrt(values[kept]),
            fourth_moment=self.quartic,
            rms_norm=self.rms_norm,
        )

    def _check_count(self) -> None:
        if self.count < 2:
            raise ShiftlensError(
                f"moments: {self.count} row(s) seen, at least 2 are needed for a covariance."
            )


def _on_gpu(rows: Any) -> bool:
    """Whether a GPU holds rows that `as_matrix` would not refuse."""
    return bool(
        getattr(rows, "is_cuda", False)
        and rows.ndim == 2
        and rows.numel() > 0
        and rows.isfinite().all()
    )
