"""A language's affine subspace as a scikit-learn transformer."""

from collections.abc import Callable
from dataclasses import replace
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from shiftlens.errors import ShiftlensError
from shiftlens.geometry.arrays import FloatArray, as_matrix
from shiftlens.geometry.grassmann import project_affine
from shiftlens.geometry.metrics import METRICS
from shiftlens.geometry.shrinkage import Shrinkage
from shiftlens.geometry.subspaces import check_rank, rank_for_share
from shiftlens.geometry.summary import LanguageSummary, summarise

Distance = Callable[[LanguageSummary, LanguageSummary], float]


class LanguageSubspace(TransformerMixin, BaseEstimator):
    r"""The affine subspace of one language, mu + span(U), and how far others lie from it.

    Principal component analysis of the language's states, by one singular value decomposition
    that also gives the (shrunk) covariance which the distances compare.

    Args:
        n_components: how many principal directions to keep. An int is the rank itself, a float in
            (0, 1] the share of the variance: 1 keeps one direction, 1.0 all the variance. None
            keeps all directions that carry variance.
        shrinkage: "ledoit-wolf", "oas", or alpha in [0, 1]; see `shrunk_covariance`.

    Attributes:
        mean_: (d,), mu.
        components_: (k, d), the rows of U^T: orthonormal, by falling variance, signs arbitrary.
        explained_variance_: (k,), the variance along each, before shrinkage. Normalised by n, as
            everywhere in shiftlens; scikit-learn's PCA divides by n - 1.
        summary_: the `LanguageSummary` of the states, with principal_rank = k.
        n_components_: k.
        n_features_in_: d.

    Source:
        Chang, Tu & Bergen, "The Geometry of Multilingual Language Model Representations", EMNLP
        2022, arXiv:2205.10964.
    """

    def __init__(
        self, n_components: int | float | None = 0.9, shrinkage: Shrinkage = "ledoit-wolf"
    ):
        self.n_components = n_components
        self.shrinkage = shrinkage

    def fit(self, X: Any, y: None = None) -> "LanguageSubspace":
        """Fit the subspace of a language.

        Args:
            X: (n, d), n >= 2, its states, array or tensor.
            y: ignored.

        Returns:
            The estimator itself.

        Raises:
            ShiftlensError: on NaN or infinity, n < 2, a rank that the states do not span, a share
                outside (0, 1], or an unknown shrinkage.
        """
        states = self._validated(X, reset=True, ensure_min_samples=2)
        summary = summarise(states, self.shrinkage, invertible=False)
        k = self._rank(summary)
        self.summary_ = replace(summary, principal_rank=k)
        self.mean_ = summary.mean
        self.components_ = summary.basis[:, :k].T
        self.explained_variance_ = summary.variances[:k]
        self.n_components_ = k
        return self

    def transform(self, X: Any) -> FloatArray:
        """Coordinates of states in the subspace, (x - mu) U.

        Args:
            X: (n, d), states of any language.

        Returns:
            (n, k).

        Raises:
            ShiftlensError: on NaN or infinity, or a width other than d.
        """
        check_is_fitted(self)
        coordinates: FloatArray = (self._validated(X) - self.mean_) @ self.components_.T
        return coordinates

    def inverse_transform(self, X: Any) -> FloatArray:
        """States that have given coordinates in the subspace, mu + z U^T.

        Args:
            X: (n, k), coordinates as `transform` gives them.

        Returns:
            (n, d).

        Raises:
            ShiftlensError: on NaN or infinity, or a width other than k.
        """
        check_is_fitted(self)
        coordinates = as_matrix(X, "coordinates")
        if coordinates.shape[1] != self.n_components_:
            raise ShiftlensError(
                f"coordinates of shape {coordinates.shape} do not fit a subspace of rank "
                f"{self.n_components_}; give one column for each of its directions."
            )
        states: FloatArray = self.mean_ + coordinates @ self.components_
        return states

    def project(self, X: Any) -> FloatArray:
        """Nearest points of the subspace, x -> mu + U U^T (x - mu); see `project_affine`.

        Args:
            X: (n, d), states of any language.

        Returns:
            (n, d).

        Raises:
            ShiftlensError: on NaN or infinity, or a width other than d.
        """
        check_is_fitted(self)
        return project_affine(self._validated(X), self.mean_, self.components_.T)

    def distance(
        self, other: "LanguageSubspace", metric: str | Distance = "affine_invariant"
    ) -> float:
        """How far another language lies from this one.

        Args:
            other: the fitted subspace of the dominant language, where the metric is not symmetric.
            metric: a name in `METRICS` that compares two summaries, or a function of two
                `LanguageSummary`. The metrics of bases compare the k leading directions, so both
                subspaces must have the same k.

        Returns:
            The distance.

        Raises:
            ShiftlensError: if the metric is unknown or does not compare two summaries, the widths
                differ, or the ranks do where the metric requires one rank.
        """
        check_is_fitted(self)
        check_is_fitted(other)
        compare = metric if callable(metric) else self._compared(other, metric)
        return compare(self.summary_, other.summary_)

    def _compared(self, other: "LanguageSubspace", name: str) -> Distance:
        if name not in METRICS:
            raise ShiftlensError(f"unknown metric {name!r}; choose from {', '.join(METRICS)}.")
        metric = METRICS[name]
        if metric.takes != "summary" or metric.kind == "single":
            needed = "the states of one language" if metric.kind == "single" else "the states"
            raise ShiftlensError(
                f"metric {name!r} does not compare two subspaces but takes {needed}; call its "
                "function on them."
            )
        ranks = self.n_components_, other.n_components_
        if metric.requires == "rank" and ranks[0] != ranks[1]:
            raise ShiftlensError(
                f"metric {name!r} compares subspaces of one rank, and these have {ranks[0]} and "
                f"{ranks[1]} directions; fit both with the same integer n_components."
            )
        return metric.function

    def _rank(self, summary: LanguageSummary) -> int:
        wanted = self.n_components
        if wanted is None:
            return summary.rank
        if isinstance(wanted, Integral):
            return check_rank(int(wanted), summary.rank, summary.n)
        if isinstance(wanted, Real):
            return rank_for_share(summary.variances, float(wanted))
        raise ShiftlensError(
            f"n_components: {wanted!r} is not a rank, a share of the variance in (0, 1] or None."
        )

    def _validated(self, X: Any, reset: bool = False, ensure_min_samples: int = 1) -> FloatArray:
        """The states by scikit-learn's checks of shape, width, feature names and values."""
        values = as_matrix(X) if hasattr(X, "detach") else X
        try:
            states: FloatArray = validate_data(
                self, values, reset=reset, dtype=np.float64, ensure_min_samples=ensure_min_samples
            )
        except ValueError as error:
            raise ShiftlensError(f"states: {error}") from error
        return states
