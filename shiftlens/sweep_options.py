"""What a sweep can be asked for, checked before any model runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from shiftlens.area import check_share
from shiftlens.asked import check_projection
from shiftlens.config import SweepConfig
from shiftlens.errors import ShiftlensError
from shiftlens.estimate import parse_rank
from shiftlens.geometry import (
    METRICS,
    Metric,
    metrics_named,
    parse_shrinkage,
    rows_without_groups,
)
from shiftlens.halves import check_seed

DEFAULT_METRICS = ("affine_invariant", "mean_distance", "mean_distance_rms", "shifcon")


@dataclass(frozen=True)
class SweepOptions:
    """What a sweep is asked for; see :func:`sweep_layers`."""

    metrics: str | Sequence[str] = DEFAULT_METRICS
    shrinkage: str | float = "ledoit-wolf"
    rank: str | int | float = "0.9"
    groups: int = 0
    projection: str = "none"
    held_out: bool = False
    share: float = 0.3
    seed: int = 0

    @classmethod
    def of(cls, config: SweepConfig) -> Self:
        """What a run's settings ask for."""
        return cls(
            config.metric,
            config.shrinkage,
            config.rank,
            config.groups,
            config.projection,
            config.projection != "none",
            config.share,
            config.seed,
        )

    def check(
        self, languages: Sequence[str], dominant: str, n_sentences: int, tokens: bool = False
    ) -> list[Metric]:
        """Refuse what a sweep could not do, before any model runs.

        Args:
            languages: Those of the corpus.
            dominant: The dominant language.
            n_sentences: Sentences a language.
            tokens: Whether token moments are swept, not sentence vectors.

        Returns:
            The metrics asked for.

        Raises:
            ShiftlensError: One language only, the dominant language missing, too few sentences to
                halve or for the groups, no metric or an unknown one, an unknown shrinkage rule,
                rank or projection, a share of the layers outside (0, 1), a negative seed, or
                something that token moments cannot give.
        """
        if dominant not in languages:
            raise ShiftlensError(
                f"the dominant language {dominant!r} is not among the languages "
                f"{', '.join(languages)}"
            )
        if len(languages) < 2:
            raise ShiftlensError(
                f"a sweep compares languages: it takes {dominant!r} and at least one more"
            )
        check_projection(self.projection)
        names = self.metrics if isinstance(self.metrics, str) else ",".join(self.metrics)
        chosen = metrics_named(names)
        if tokens:
            chosen = self._of_tokens(chosen, names)
        parse_shrinkage(str(self.shrinkage))
        check_share(self.share)
        check_seed(self.seed)
        self._check_sizes(chosen, n_sentences, tokens)
        return chosen

    def _check_sizes(self, metrics: Sequence[Metric], n_sentences: int, tokens: bool) -> None:
        """Refuse metrics and ranks for which the halves are too small."""
        parts = 3 if self.held_out or self.projection != "none" else 2
        n = n_sentences // parts
        if n < 2:
            raise ShiftlensError(
                f"{n_sentences} sentences cannot be cut in {parts}; the sweep takes "
                f"{2 * parts} or more"
            )
        rank = parse_rank(str(self.rank))
        if self.groups:
            n = len(rows_without_groups(n, self.groups)[0])
        if tokens:
            return
        left = f"{n_sentences} sentences leave n = {n} in a half"
        left += f" without one of {self.groups} groups" if self.groups else ""
        for metric in metrics:
            if n < metric.minimum:
                raise ShiftlensError(f"{left}, and metric {metric.name!r} takes {metric.minimum}")
            if metric.requires == "rank" and isinstance(rank, int) and rank > n - 1:
                raise ShiftlensError(
                    f"{left}, which span rank {n - 1}; rank {rank} is out of reach"
                )

    def _of_tokens(self, metrics: list[Metric], names: str) -> list[Metric]:
        """Token moments hold no states: what needs them is refused, and left out of "all"."""
        if self.groups or self.projection != "none":
            raise ShiftlensError(
                "intervals and projections need sentence vectors; sweep the tokens without "
                "--groups and --projection"
            )
        able = [metric for metric in metrics if metric.takes == "summary"]
        if len(able) < len(metrics) and names.strip() != "all":
            beyond = next(metric.name for metric in metrics if metric.takes == "states")
            known = ", ".join(m.name for m in METRICS.values() if m.takes == "summary")
            raise ShiftlensError(
                f"metric {beyond!r} needs sentence vectors; of tokens only mean and covariance "
                f"are kept, which give {known}"
            )
        return able
