"""Mean and covariance of rows that arrive in batches, merged exactly."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from shiftlens.errors import ShiftlensError
from shiftlens.geometry.arrays import FloatArray, as_matrix, check_same_width


@dataclass(eq=False)
class Moments:
    r"""Streaming, mergeable mean and covariance in float64.

    Two sets of rows A and B with counts n, means m and scatters M (sums of centred outer
    products) merge without looking at a row again:

    .. math::
        \delta = m_B - m_A, \quad m = m_A + \delta n_B / n, \quad
        M = M_A + M_B + \delta \delta^T n_A n_B / n, \quad n = n_A + n_B.

    Merging in the same order gives the same bits. The three fields are the whole state, so they
    may be saved and given back to the constructor.

    Attributes:
        count: number of rows seen.
        mean: (d,), their mean; zeros while `count` is 0.
        scatter: (d, d), the sum over rows of (x - mean)(x - mean)^T.

    Source:
        Chan, Golub & LeVeque, "Algorithms for Computing the Sample Variance", The American
        Statistician 37(3), 1983, doi:10.1080/00031305.1983.10483115.
    """

    count: int
    mean: FloatArray
    scatter: FloatArray

    @classmethod
    def empty(cls, width: int) -> "Moments":
        """Return moments that have seen no rows.

        Args:
            width: d, the length of a row.

        Returns:
            Moments with count 0.
        """
        return cls(0, np.zeros(width), np.zeros((width, width)))

    def update(self, rows: Any) -> None:
        """Take in a batch of rows.

        Args:
            rows: (n, d), n >= 0, array or tensor.

        Raises:
            ShiftlensError: if the rows are not (n, d) or hold NaN or infinity.
        """
        batch = as_matrix(rows, "rows")
        if len(batch) == 0:
            return
        mean = batch.mean(axis=0)
        centred = batch - mean
        self.merge(Moments(len(batch), mean, centred.T @ centred))

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
        self.mean = self.mean + delta * (other.count / count)
        outer = np.outer(delta, delta) * (self.count * other.count / count)
        self.scatter = self.scatter + other.scatter + outer
        self.count = count

    @property
    def covariance(self) -> FloatArray:
        """The maximum-likelihood covariance, scatter / n, of shape (d, d).

        Normalised by n, not n - 1, to agree with scikit-learn's LedoitWolf and OAS and with
        `shrunk_covariance`.

        Raises:
            ShiftlensError: if fewer than 2 rows were seen.
        """
        if self.count < 2:
            raise ShiftlensError(
                f"moments: {self.count} row(s) seen, at least 2 are needed for a covariance."
            )
        return self.scatter / self.count
