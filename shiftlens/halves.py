"""The halves of the sentences that a sweep compares, from sentence vectors or token moments."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from shiftlens.geometry import AgnosticProjection, fit_projection, rows_without_groups
from shiftlens.geometry.arrays import FloatArray
from shiftlens.geometry.factor import CentredFactor, centred_factor
from shiftlens.store import ActivationStore
from shiftlens.token_moments import TokenMoments

Rows = tuple[np.ndarray, np.ndarray]
Projections = tuple[AgnosticProjection, AgnosticProjection]


@dataclass(frozen=True)
class Half:
    """One half of a language at one layer.

    Attributes:
        factor: Its mean and covariance, factored.
        states: Its sentence vectors ``(n, d)``; None where only token moments are kept.
    """

    factor: CentredFactor
    states: FloatArray | None = None


Halves = tuple[Half, Half]


class Source(Protocol):
    """Where halves come from."""

    @property
    def layers(self) -> Sequence[int]:
        """The layers there are."""

    def at(self, layer: int) -> Callable[[str], Iterator[Halves]]:
        """From a language to its halves: of all sentences first, then without each group."""


def split_rows(n: int, seed: int) -> Rows:
    """Cut n sentences at random into two halves of n // 2, each in rising order."""
    order = np.random.default_rng(seed).permutation(n)
    return np.sort(order[: n // 2]), np.sort(order[n // 2 : 2 * (n // 2)])


def rows_and_deletions(rows: Rows, groups: int) -> list[Rows]:
    """The halves, and then without each group of neighbouring sentences, gone from both.

    Args:
        rows: Sentence numbers of both halves.
        groups: How many groups; 0 for none.

    Raises:
        ShiftlensError: The halves have too few sentences for the groups.
    """
    if groups == 0:
        return [rows]
    first, second = rows
    kept = rows_without_groups(len(first), groups)
    return [rows, *((first[stay], second[stay]) for stay in kept)]


@dataclass(frozen=True)
class SentenceHalves:
    """Halves of sentence vectors.

    Attributes:
        store: The vectors.
        cuts: From :func:`rows_and_deletions`.
        projection: Language-agnostic projection, fitted to the *other* half and applied; or none.
    """

    store: ActivationStore
    cuts: Sequence[Rows]
    projection: str = "none"

    @property
    def layers(self) -> Sequence[int]:
        """The layers there are."""
        return self.store.layers

    def at(self, layer: int) -> Callable[[str], Iterator[Halves]]:
        """From a language to its halves: of all sentences first, then without each group."""
        return partial(self._halves, layer, self._projections(layer))

    def _halves(
        self, layer: int, projections: Sequence[Projections | None], language: str
    ) -> Iterator[Halves]:
        states = self.store.states(language, layer).astype(np.float64)
        for (first, second), fitted in zip(self.cuts, projections, strict=True):
            a, b = states[first], states[second]
            if fitted is not None:
                a, b = fitted[1].apply(a, language), fitted[0].apply(b, language)
            yield Half(centred_factor(a), a), Half(centred_factor(b), b)

    def _projections(self, layer: int) -> Sequence[Projections | None]:
        """For every cut, the projections fitted to its first half and to its second."""
        if self.projection == "none":
            return [None] * len(self.cuts)
        means: list[list[dict[str, FloatArray]]] = [[{}, {}] for _ in self.cuts]
        for language in self.store.languages:
            states = self.store.states(language, layer).astype(np.float64)
            for rows, of_halves in zip(self.cuts, means, strict=True):
                for half, of_half in zip(rows, of_halves, strict=True):
                    of_half[language] = states[half].mean(axis=0)
        return [
            (fit_projection(self.projection, first), fit_projection(self.projection, second))
            for first, second in means
        ]


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
