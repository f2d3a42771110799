"""The halves of the sentences that a sweep compares, from sentence vectors or token moments."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from shiftlens.errors import ShiftlensError
from shiftlens.geometry import AgnosticProjection, Metric, fit_projection, rows_without_groups
from shiftlens.geometry.arrays import FloatArray
from shiftlens.geometry.factor import CentredFactor, centred_factor
from shiftlens.states import SentenceStates
from shiftlens.store import ActivationStore
from shiftlens.token_moments import TokenMoments

Rows = tuple[np.ndarray, ...]
"""Sentence numbers of both halves, and of the sentences held out where a projection is fitted."""


@dataclass(frozen=True)
class Half:
    """One half of a language at one layer.

    Attributes:
        factor: Its mean and covariance, factored.
        states: Its sentence vectors ``(n, d)``, float32 as they are stored where no projection is;
            None where no metric takes them.
    """

    factor: CentredFactor
    states: np.ndarray | None = None


Halves = tuple[Half, Half]


class Source(Protocol):
    """Where halves come from."""

    @property
    def layers(self) -> Sequence[int]:
        """The layers there are."""

    def at(self, layer: int) -> Callable[[str], Iterator[Halves]]:
        """From a language to its halves: of all sentences first, then without each group."""


def take_vectors(metrics: Iterable[Metric]) -> bool:
    """Whether some metric takes the sentence vectors themselves."""
    return any(metric.takes == "states" for metric in metrics)


def check_seed(seed: int) -> None:
    """Refuse a seed that no generator takes.

    Raises:
        ShiftlensError: It is negative.
    """
    if seed < 0:
        raise ShiftlensError(f"the seed must be 0 or more, not {seed}")


def split_rows(n: int, seed: int, held_out: bool = False) -> Rows:
    """Cut n sentences at random into parts of one size, each in rising order.

    Args:
        n: How many sentences.
        seed: Of the cut.
        held_out: Three parts of n // 3 instead of two of n // 2.

    Returns:
        The first half, the second, and the part held out where it is asked for.
    """
    parts = 3 if held_out else 2
    order = np.random.default_rng(seed).permutation(n)
    return tuple(np.sort(part) for part in order[: n - n % parts].reshape(parts, -1))


def rows_and_deletions(rows: Rows, groups: int) -> list[Rows]:
    """The parts, and then without each group of neighbouring sentences, gone from all of them.

    Args:
        rows: From :func:`split_rows`.
        groups: How many groups; 0 for none.

    Raises:
        ShiftlensError: The parts have too few sentences for the groups.
    """
    if groups == 0:
        return [rows]
    kept = rows_without_groups(len(rows[0]), groups)
    return [rows, *(tuple(part[stay] for part in rows) for stay in kept)]


@dataclass(frozen=True)
class SentenceHalves:
    """Halves of sentence vectors.

    Attributes:
        store: The vectors.
        cuts: From :func:`rows_and_deletions`.
        projection: Language-agnostic projection of both halves, fitted to the sentences held out;
            or none.
        vectors: Whether the halves keep the sentence vectors, beside mean and covariance.
    """

    store: ActivationStore | SentenceStates
    cuts: Sequence[Rows]
    projection: str = "none"
    vectors: bool = False

    @property
    def layers(self) -> Sequence[int]:
        """The layers there are."""
        return self.store.layers

    def at(self, layer: int) -> Callable[[str], Iterator[Halves]]:
        """From a language to its halves: of all sentences first, then without each group."""
        return partial(self._halves, layer, self._projections(layer))

    def _halves(
        self, layer: int, projections: Sequence[AgnosticProjection | None], language: str
    ) -> Iterator[Halves]:
        states = self._states(language, layer)
        for rows, projection in zip(self.cuts, projections, strict=True):
            first, second = (self._half(states[part], projection, language) for part in rows[:2])
            yield first, second

    def _half(
        self, states: np.ndarray, projection: AgnosticProjection | None, language: str
    ) -> Half:
        if projection is not None:
            states = projection.reduce(states, language)
        return Half(centred_factor(states), states if self.vectors else None)

    def _projections(self, layer: int) -> Sequence[AgnosticProjection | None]:
        if self.projection == "none":
            return [None] * len(self.cuts)
        means: list[dict[str, FloatArray]] = [{} for _ in self.cuts]
        for language in self.store.languages:
            states = self._states(language, layer)
            for rows, of_cut in zip(self.cuts, means, strict=True):
                of_cut[language] = states[rows[2]].mean(axis=0, dtype=np.float64)
        return [fit_projection(self.projection, of_cut) for of_cut in means]

    def _states(self, language: str, layer: int) -> np.ndarray:
        states = self.store.states(language, layer)
        if not np.isfinite([states.min(), states.max()]).all():
            broken = np.flatnonzero(~np.isfinite(states).all(axis=1))
            raise ShiftlensError(
                f"{broken.size} of {len(states)} sentences hold NaN or infinity, the first is "
                f"number {broken[0]} (from 0); collect them again in a wider dtype"
            )
        return states


@dataclass(frozen=True)
class TokenHalves:
    """Halves of token moments.

    Attributes:
        moments: The moments.
    """

    moments: TokenMoments

    @property
    def layers(self) -> Sequence[int]:
        """The layers there are."""
        return self.moments.layers

    def at(self, layer: int) -> Callable[[str], Iterator[Halves]]:
        """From a language to its halves."""
        return partial(self._halves, layer)

    def _halves(self, layer: int, language: str) -> Iterator[Halves]:
        first, second = (self.moments.moments(language, layer, half) for half in (0, 1))
        yield Half(first.factor()), Half(second.factor())
