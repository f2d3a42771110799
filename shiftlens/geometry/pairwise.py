"""One metric between all languages, at every layer."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations_with_replacement, product
from typing import Any

import numpy as np

from shiftlens.errors import ShiftlensError
from shiftlens.geometry.arrays import FloatArray, as_states
from shiftlens.geometry.metric import Metric
from shiftlens.geometry.metrics import METRICS
from shiftlens.geometry.shrinkage import Shrinkage
from shiftlens.geometry.summary import summarise


def pairwise(
    states: Any,
    metric: str = "affine_invariant",
    *,
    shrinkage: Shrinkage = "ledoit-wolf",
    rank: int | None = None,
) -> FloatArray:
    r"""Matrix of a metric between all languages.

    .. math::
        D_{ij} = m(\text{language } i, \text{language } j)

    Every language is fitted once, and a symmetric metric taken once a pair. The diagonal of a
    distance is 0 by its axioms; any other metric is computed there too. Leading dimensions, such
    as layers, are gone through one by one: only the languages of one are held in float64.

    Args:
        states: (..., languages, n, d), array or tensor; of a tensor on a GPU, one language at a
            time is brought over. Row i is the same sentence in all languages where the metric is
            paired.
        metric: a key of `METRICS` whose kind is not "single".
        shrinkage: "ledoit-wolf", "oas", or alpha in [0, 1], for all covariances.
        rank: the rank of the subspace metrics; needed by those alone.

    Returns:
        (..., languages, languages), float64.

    Raises:
        ShiftlensError: if the metric is unknown or of one language only, the shape is not as
            above, or what fitting or the metric raises (batch index and languages named).
    """
    chosen = _comparing(metric)
    shape = tuple(getattr(states, "shape", ()))
    if len(shape) < 3:
        raise ShiftlensError(
            f"states: expected an array or tensor of shape (..., languages, n, d), got {shape}; "
            "stack the languages, with one n for all."
        )
    *batch, languages, _, _ = shape
    matrices = np.empty((*batch, languages, languages))
    for index in np.ndindex(*batch):
        where = f"batch index {index}, " if batch else ""
        matrices[index] = _matrix(states[index], chosen, shrinkage, rank, where)
    return matrices


def _comparing(name: str) -> Metric:
    names = [metric.name for metric in METRICS.values() if metric.kind != "single"]
    if name not in names:
        raise ShiftlensError(
            f"metric {name!r} is unknown or of one language only; choose from {', '.join(names)}"
        )
    return METRICS[name]


def _matrix(
    block: Any, metric: Metric, shrinkage: Shrinkage, rank: int | None, where: str
) -> FloatArray:
    """The metric between the languages of one block, of shape (languages, languages)."""
    seen: list[Any] = []
    for i, states in enumerate(block):
        with _named(f"{where}language {i}"):
            if metric.takes == "states":
                seen.append(as_states(states))
            else:
                seen.append(summarise(states, shrinkage, rank, metric.requires == "shrinkage"))
    matrix = np.zeros((len(seen), len(seen)))
    numbers = range(len(seen))
    pairs = (
        combinations_with_replacement(numbers, 2) if metric.symmetric else product(numbers, numbers)
    )
    for i, j in pairs:
        if i == j and metric.kind == "distance":
            continue
        with _named(f"{where}languages {i} and {j}"):
            matrix[i, j] = metric.function(seen[i], seen[j])
        if metric.symmetric:
            matrix[j, i] = matrix[i, j]
    return matrix


@contextmanager
def _named(what: str) -> Iterator[None]:
    try:
        yield
    except ShiftlensError as error:
        raise ShiftlensError(f"{what}: {error}") from error
