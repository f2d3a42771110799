"""Projections that take a language's identity out of its states."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from shiftlens.errors import ShiftlensError
from shiftlens.geometry.arrays import FloatArray, as_matrix, check_same_width


@dataclass(frozen=True, eq=False)
class AgnosticProjection:
    """An affine map for each language, after which the languages are harder to tell apart.

    Attributes:
        offsets: for each language the vector (d,) that is subtracted from its states.
        directions: (d, r), orthonormal, r >= 0: what is then projected out, for all languages.
    """

    offsets: Mapping[str, FloatArray]
    directions: FloatArray

    def apply(self, states: Any, language: str) -> FloatArray:
        r"""Take the language out of its states.

        .. math::
            x \mapsto (I - M M^T) (x - o_k)

        with o_k the offset of language k and M the directions.

        Args:
            states: (n, d), n >= 0, states of the language.
            language: one of those that the projection was fitted on.

        Returns:
            The projected states, (n, d) in float64.

        Raises:
            ShiftlensError: if the language is unknown, the width is not d, or a value is NaN or
                infinite.
        """
        if language not in self.offsets:
            raise ShiftlensError(
                f"projection: language {language!r} is not among those it was fitted on, "
                f"{', '.join(self.offsets)}; fit it with the mean of this language too."
            )
        rows = as_matrix(states)
        check_same_width(rows.shape[1], len(self.directions))
        centred = rows - self.offsets[language]
        projected: FloatArray = centred - (centred @ self.directions) @ self.directions.T
        return projected

    def reduce(self, states: Any, language: str) -> FloatArray:
        """Take the language out of its states, and drop the directions projected out.

        An isometry of what `apply` gives, so that no measure sees directions without variance.

        Args:
            states: (n, d), n >= 0, states of the language.
            language: one of those that the projection was fitted on.

        Returns:
            (n, d - r), coordinates of the projected states in an orthonormal basis of what is left.

        Raises:
            ShiftlensError: as `apply`.
        """
        left: FloatArray = self.apply(states, language) @ self._complement
        return left

    @cached_property
    def _complement(self) -> FloatArray:
        d, r = self.directions.shape
        return np.eye(d) if r == 0 else np.linalg.qr(self.directions, mode="complete").Q[:, r:]


def mean_centring(means: Mapping[str, Any]) -> AgnosticProjection:
    """Subtract from every language its own mean: x -> x - mu_k.

    Args:
        means: for each language its mean (d,), array or tensor.

    Returns:
        The projection, without directions. Afterwards the mean of every language is zero.

    Raises:
        ShiftlensError: if there is no mean, the means differ in width, or one is NaN or infinite.

    Source:
        Libovicky, Rosa & Fraser, "On the Language Neutrality of Pre-trained Multilingual
        Representations", Findings of EMNLP 2020, arXiv:2004.05160.
    """
    matrix = _stacked(means)
    offsets = dict(zip(means, matrix, strict=True))
    return AgnosticProjection(offsets, np.zeros((matrix.shape[1], 0)))


def lsar(means: Mapping[str, Any], rank: int | None = None) -> AgnosticProjection:
    r"""Project out the low-rank subspace in which the means of the languages differ.

    LSAR splits the means, the columns of M (d x L), into what the languages share and what is
    specific to each:

    .. math::
        \min_{\mu, M_s, \Gamma} \| M - \mu 1^T - M_s \Gamma^T \|_F^2
        \quad \text{with} \quad \mu \perp \operatorname{span}(M_s), \quad
        M_s^T M_s = I_r

    and maps x to x - M_s M_s^T x. The minimum is M', the best approximation of rank r about the
    mean of the means. The common part is the point of the affine hull of M' that lies nearest to
    zero, mu = (M'^+)^T 1 / ||(M'^+)^T 1||^2 (zero where the hull holds zero). span(M_s) is the
    hull's own directions, whichever point mu is: the leading left singular vectors of the centred
    means, which are returned.

    Args:
        means: for each of L >= 2 languages its mean (d,), array or tensor.
        rank: r, how many directions to take out; all in which the means differ when None, L - 1
            unless some lie in the affine hull of the others. None at all differ where the means
            are equal: the projection then changes nothing.

    Returns:
        The projection, with offsets of zero. Where all directions are taken out, the means of all
        languages coincide in mu.

    Raises:
        ShiftlensError: if there are fewer than two languages, the means do not differ in `rank`
            directions, nothing would be left of a state (r = d), the means differ in width, or
            one is NaN or infinite.

    Source:
        Xie, Zhao, Yu & Li, "Discovering Low-rank Subspaces for Language-agnostic Multilingual
        Representations", EMNLP 2022, arXiv:2401.05792; the decomposition from Piratla, Netrapalli
        & Sarawagi, ICML 2020, arXiv:2003.12815.
    """
    matrix = _stacked(means)
    n_languages, d = matrix.shape
    if n_languages < 2:
        raise ShiftlensError(f"LSAR: one language given ({', '.join(means)}), at least 2 needed.")
    _, values, transposed = np.linalg.svd(matrix - matrix.mean(axis=0), full_matrices=False)
    resolution = max(matrix.shape) * np.finfo(np.float64).eps * np.linalg.norm(matrix)
    available = int(np.count_nonzero(values > resolution))
    kept = available if rank is None else rank
    if rank is not None and not 1 <= rank <= available:
        raise ShiftlensError(
            f"LSAR: rank {rank} is out of reach: the means of {n_languages} languages differ in "
            f"{available} directions; choose a rank from 1 to {available} or give more languages."
        )
    if kept == d:
        raise ShiftlensError(
            f"LSAR: rank {kept} takes out all d = {d} dimensions and leaves nothing of a state; "
            f"choose a rank below {d}."
        )
    return AgnosticProjection(dict.fromkeys(means, np.zeros(d)), transposed[:kept].T)


_FITTERS: dict[str, Callable[[Mapping[str, Any]], AgnosticProjection]] = {
    "centre": mean_centring,
    "lsar": lsar,
}
PROJECTIONS = tuple(_FITTERS)


def fit_projection(name: str, means: Mapping[str, Any]) -> AgnosticProjection:
    """Fit a projection by its name.

    Args:
        name: one of `PROJECTIONS`: "centre" for `mean_centring`, "lsar" for `lsar` of full rank.
        means: for each language its mean (d,), array or tensor.

    Returns:
        The projection.

    Raises:
        ShiftlensError: if the name is unknown, and as the fitter of that name.
    """
    if name not in PROJECTIONS:
        raise ShiftlensError(f"unknown projection {name!r}; choose from {', '.join(PROJECTIONS)}.")
    return _FITTERS[name](means)


def _stacked(means: Mapping[str, Any]) -> FloatArray:
    """The means as the rows of one matrix (L, d)."""
    rows = [as_matrix(mean[None], f"mean of {language}") for language, mean in means.items()]
    if not rows:
        raise ShiftlensError("projection: no language given; give the mean of each.")
    for row in rows:
        check_same_width(rows[0].shape[1], row.shape[1])
    return np.concatenate(rows)
