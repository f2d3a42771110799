"""What measuring the distances of collected states takes: float64, on the CPU."""

from dataclasses import dataclass

from shiftlens.forecast.shape import ModelShape, Texts
from shiftlens.geometry.factor import rows_of_a_block
from shiftlens.geometry.retrieval import BLOCK

NUMBER = 8
"""Bytes of a float64."""


@dataclass(frozen=True)
class SweepForecast:
    """What a sweep takes.

    Attributes:
        memory: Bytes at most alive; of one language at one layer the vectors are in memory, in
            float32, and some rows in float64. A metric that takes the vectors themselves keeps
            those of the dominant language too.
        flops: Of the decompositions, by their leading terms.
    """

    memory: int
    flops: float


def forecast_sweep(
    shape: ModelShape,
    texts: Texts,
    *,
    groups: int = 0,
    moments: bool = False,
    vectors: bool = False,
) -> SweepForecast:
    r"""Forecast the sweep of the affine-invariant distance, which takes most FLOPs of all.

    With n sentences in a half, width d, m = min(n, d) and k = min(2 m, d), a half takes a thin
    singular value decomposition and a pair of halves an eigenproblem in their joint span,

    .. math:: 6 \max(n, d) \, m^2 + 20 m^3 \quad\text{and}\quad
              6 d m^2 + 2 k^2 m + \tfrac43 k^3

    FLOPs (of n > d states the triangular factor, 2 n d^2, is decomposed, and of token moments the
    d x d covariance). All of it is done for both halves of every language, at every layer, and
    once more without each group of the jackknife.

    Args:
        shape: The model's.
        texts: The texts.
        groups: Groups of the jackknife.
        moments: Whether token moments are swept, not sentence vectors.
        vectors: Whether some metric takes the sentence vectors themselves.

    Returns:
        The forecast.

    Source:
        Golub & Van Loan, "Matrix Computations", 4th ed. 2013, section 8.6, for the decompositions.
    """
    d = shape.d_model
    n = d if moments else max(2, texts.sentences // 2)
    m, k = min(n, d), min(2 * min(n, d), d)
    triangle = 2 * n * d**2 if n > d else 0
    factor = triangle + 6 * (d if n > d else max(n, d)) * m**2 + 20 * m**3
    pair = 6 * d * m**2 + 2 * k**2 * m + 4 / 3 * k**3
    halves = 2 * texts.languages * (shape.n_layers + 1) * (groups + 1)
    return SweepForecast(_memory(n, d, groups, vectors), halves * (factor + pair))


def _memory(n: int, d: int, groups: int, vectors: bool) -> int:
    """The larger of factoring a language's second half and of comparing it with the dominant one.

    There are the vectors of one language, the summaries of the dominant language's halves of every
    cut, and those of the other's; where a metric takes the vectors themselves, those of the halves
    too, in float64 while they are compared, and their cosines.
    """
    m, k = min(n, d), min(2 * min(n, d), d)
    rows = min(n, rows_of_a_block(d))
    cuts = groups + 1
    there = n * d + 2 * d * m * cuts
    halves = n * d * (cuts + 1) if vectors else 0
    complement = 2 * d * d if m < d <= 2 * m else 0
    factoring = n * d // 2 + 2 * d * m + 3 * rows * d + rows * m
    pairing = 4 * d * m + 2 * k * m + 2 * k * k + complement
    work = [factoring, pairing]
    if vectors:
        work.append(4 * n * d + min(n * n, 2 * BLOCK))
    return NUMBER * (there + halves + max(work))
