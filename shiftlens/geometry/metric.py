"""What a metric of a sweep is: its function, and what holds of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

REQUIREMENTS = {
    "nothing": "nothing",
    "covariance": "a covariance, which may be singular",
    "shrinkage": "a covariance that --shrinkage makes invertible",
    "rank": "one --rank for all",
    "pairs": "parallel sentence vectors",
    "rows": "sentence vectors",
}


@dataclass(frozen=True)
class Metric:
    """One way to compare a language with the dominant one, or to look at one alone.

    Attributes:
        name: its key in `METRICS`.
        description: one line for tables and figures.
        kind: "distance" (a metric in the mathematical sense), "dissimilarity" (larger is farther,
            no triangle inequality), "similarity" (larger is nearer) or "single" (of one language).
        requires: a key of `REQUIREMENTS`: "pairs" and "rows" work on the states themselves, all
            others on summaries, and so on token moments too.
        function: takes what `takes` says, of the language and then of the dominant one; of the
            language alone where the kind is "single".
        symmetric: whether the two languages may change places.
        reference: from (n, d, rank) to the value of languages that have nothing to do with each
            other: chance, or random subspaces. None where there is no such number.
        minimum: least number of states a language.
        bounds: what the value can be.
    """

    name: str
    description: str
    kind: Literal["distance", "dissimilarity", "similarity", "single"]
    requires: Literal["nothing", "covariance", "shrinkage", "rank", "pairs", "rows"]
    function: Callable[..., float]
    symmetric: bool = True
    reference: Callable[[int, int, int], float] | None = None
    minimum: int = 2
    bounds: tuple[float, float] = (0.0, np.inf)

    @property
    def takes(self) -> Literal["summary", "states"]:
        """What `function` is given: summaries of the languages, or their states."""
        return "states" if self.requires in ("pairs", "rows") else "summary"

    @property
    def paired(self) -> bool:
        """Whether row i must be the same sentence in both languages."""
        return self.requires == "pairs"
