"""How a metric is estimated from two halves of the sentences."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from shiftlens.errors import ShiftlensError
from shiftlens.geometry import LanguageSummary, Metric, parse_shrinkage, summary_of_factor
from shiftlens.geometry.subspaces import rank_for_share
from shiftlens.halves import Half, Halves, Source


@dataclass(frozen=True)
class Sample:
    """What a metric sees of one half of a language at one layer.

    Attributes:
        summary: Mean and shrunk covariance.
        states: The sentence vectors; None where no metric takes them, or there are none.
    """

    summary: LanguageSummary
    states: np.ndarray | None

    def seen_by(self, metric: Metric) -> Any:
        """What the metric takes."""
        return self.summary if metric.takes == "summary" else self.states


Samples = tuple[Sample, Sample]


@dataclass(frozen=True)
class Fitting:
    """How every half is summarised: one rule for all languages and layers.

    Attributes:
        shrinkage: A rule as in :func:`shiftlens.geometry.parse_shrinkage`.
        rank: That of the subspace metrics; None where none is wanted.
        invertible: Whether some metric requires an invertible covariance.
        states: Whether some metric takes the sentence vectors themselves.
    """

    shrinkage: str
    rank: int | None
    invertible: bool
    states: bool

    @classmethod
    def of(
        cls, metrics: Sequence[Metric], shrinkage: str, rank: str, source: Source, dominant: str
    ) -> "Fitting":
        """What these metrics take of a source.

        Raises:
            ShiftlensError: The rank cannot be told from the dominant language's states.
        """
        wanted = {metric.requires for metric in metrics}
        common = common_rank(source, dominant, rank) if "rank" in wanted else None
        states = any(metric.takes == "states" for metric in metrics)
        return cls(shrinkage, common, "shrinkage" in wanted, states)

    def samples(self, halves: Halves) -> Samples:
        """Summarise both halves."""
        return self._sample(halves[0]), self._sample(halves[1])

    def _sample(self, half: Half) -> Sample:
        rule = parse_shrinkage(self.shrinkage)
        summary = summary_of_factor(half.factor, rule, self.rank, self.invertible)
        return Sample(summary, half.states if self.states else None)


def estimate(metric: Metric, own: Samples, dominant: Samples, same: bool) -> float:
    r"""One metric of a language k against the dominant one D, from their halves A and B.

    .. math::
        \tfrac12 \big( m(k_A, D_B) + m(k_B, D_A) \big) \text{ unpaired}, \quad
        \tfrac12 \big( m(k_A, D_A) + m(k_B, D_B) \big) \text{ paired}, \quad
        \tfrac12 \big( m(k_A) + m(k_B) \big) \text{ of one language}

    For k = D the first form is taken of a paired metric too, the rows of one half rolled by n / 2
    so that no sentence meets its neighbour in the corpus: D against unrelated sentences of D.

    Args:
        metric: The metric m.
        own: Both halves of k.
        dominant: Both halves of D.
        same: Whether k is D.

    Returns:
        The mean of both ways.
    """
    a, b = (half.seen_by(metric) for half in own)
    first, second = (half.seen_by(metric) for half in dominant)
    if metric.kind == "single":
        return (metric.function(a) + metric.function(b)) / 2
    if metric.paired:
        first, second = (_unrelated(second), _unrelated(first)) if same else (first, second)
        return (metric.function(a, first) + metric.function(b, second)) / 2
    return (metric.function(a, second) + metric.function(b, first)) / 2


def _unrelated(states: np.ndarray) -> np.ndarray:
    return np.roll(states, len(states) // 2, axis=0)


def common_rank(source: Source, dominant: str, rank: str) -> int:
    """The rank of the subspace metrics, one for every language and layer.

    Args:
        source: The halves.
        dominant: The dominant language.
        rank: A number of directions such as "8", or the share of the dominant language's variance
            that they must keep at every layer and in both halves, such as "0.9".

    Returns:
        The rank.

    Raises:
        ShiftlensError: The states are unusable (layer named).
    """
    wanted = parse_rank(rank)
    if isinstance(wanted, int):
        return wanted
    ranks = []
    for layer in source.layers:
        with named(dominant, layer):
            for half in next(source.at(layer)(dominant)):
                ranks.append(rank_for_share(half.factor.singular_values**2, wanted))
    return max(ranks)


def parse_rank(text: str) -> int | float:
    """Read a number of directions such as "8", or a share of the variance such as "0.9".

    Raises:
        ShiftlensError: It is neither a whole number of 1 or more nor a share between 0 and 1.
    """
    text = text.strip()
    if text.isdecimal() and int(text) >= 1:
        return int(text)
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if 0 < share < 1:
        return share
    raise ShiftlensError(
        f"rank {text!r} is neither a number of directions such as 8 nor a share of the variance "
        "between 0 and 1 such as 0.9"
    )


@contextmanager
def named(language: str, layer: int, halves: Halves | None = None) -> Iterator[None]:
    """Say whose states an error is about, and how many they are where that is known."""
    try:
        yield
    except ShiftlensError as error:
        sizes = ""
        if halves is not None:
            factor = halves[0].factor
            n, d, rank = factor.n, len(factor.mean), len(factor.singular_values)
            sizes = f" (n = {n}, d = {d}, rank {rank})"
        raise ShiftlensError(f"language {language}, layer {layer}{sizes}: {error}") from error
