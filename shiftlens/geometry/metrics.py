"""The table of metrics that a sweep over layers and languages can use."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from shiftlens.errors import ShiftlensError
from shiftlens.geometry import grassmann, retrieval, similarity, spd_distances
from shiftlens.geometry.affine_invariant import affine_invariant
from shiftlens.geometry.arrays import FloatArray
from shiftlens.geometry.separability import lda_accuracy, probe_accuracy, silhouette
from shiftlens.geometry.shifcon import (
    mean_distance,
    relative_mean_distance,
    shifcon_distance,
)
from shiftlens.geometry.spread import anisotropy, effective_rank_of
from shiftlens.geometry.subspaces import fixed_rank_distance, principal_angles
from shiftlens.geometry.summary import LanguageSummary

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


def fixed_rank(k: LanguageSummary, dominant: LanguageSummary) -> float:
    """`fixed_rank_distance` of the leading principal directions of two summaries.

    Uses the sample variances, before shrinkage. Not a true metric.

    Args:
        k: summary of the other language, made with a rank.
        dominant: summary of the dominant language, made with the same rank.

    Returns:
        The distance, >= 0.

    Raises:
        ShiftlensError: if a summary was made without a rank, or the ranks or widths differ.
    """
    u, v = leading_basis(k), leading_basis(dominant)
    return fixed_rank_distance(u, k.variances[: u.shape[1]], v, dominant.variances[: v.shape[1]])


def leading_basis(summary: LanguageSummary) -> FloatArray:
    """The leading principal directions that the subspace metrics compare.

    Args:
        summary: summary of a language, made with a rank p.

    Returns:
        (d, p), orthonormal columns.

    Raises:
        ShiftlensError: if the summary was made without a rank.
    """
    if summary.principal_rank is None:
        raise ShiftlensError(
            "a subspace metric was given a summary made without a rank; give summarise(states, "
            "shrinkage, rank) one rank for every language and layer, such as variance_rank of the "
            "dominant language."
        )
    return summary.basis[:, : summary.principal_rank]


def _of_bases(distance: Callable[[Any, Any], float]) -> Callable[..., float]:
    return lambda k, dominant: distance(leading_basis(k), leading_basis(dominant))


def _mean_angle(u: FloatArray, v: FloatArray) -> float:
    return float(principal_angles(u, v).mean())


def _shifcon_total(k: LanguageSummary, dominant: LanguageSummary) -> float:
    return shifcon_distance(k, dominant).total


def _there(measure: Callable[..., retrieval.Retrieval], x: Any, y: Any) -> float:
    return measure(x, y).there


def _back(measure: Callable[..., retrieval.Retrieval], x: Any, y: Any) -> float:
    return measure(x, y).back


def _random_geodesic(n: int, d: int, rank: int) -> float:
    return float(np.linalg.norm(grassmann.random_angles(rank, d), axis=1).mean())


def _random_angle(n: int, d: int, rank: int) -> float:
    return float(grassmann.random_angles(rank, d).mean())


def _random_chordal(n: int, d: int, rank: int) -> float:
    return float(np.sqrt(grassmann.random_subspaces(rank, rank, d).squared_chordal))


def _random_projection(n: int, d: int, rank: int) -> float:
    return float(np.sqrt(grassmann.random_subspaces(rank, rank, d).squared_projection))


def _one_in_n(n: int, d: int, rank: int) -> float:
    return 1 / n


def _half(n: int, d: int, rank: int) -> float:
    return 0.5


def _zero(n: int, d: int, rank: int) -> float:
    return 0.0


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "affine_invariant",
            "affine-invariant distance of the covariances (ShifCon's log term)",
            "distance",
            "shrinkage",
            affine_invariant,
        ),
        Metric(
            "mean_distance",
            "distance of the means (raw mean term)",
            "distance",
            "nothing",
            mean_distance,
        ),
        Metric(
            "mean_distance_rms",
            "distance of the means / RMS norm of the dominant states",
            "dissimilarity",
            "nothing",
            relative_mean_distance,
            symmetric=False,
        ),
        Metric(
            "shifcon",
            "log term + raw mean term, as in ShifCon",
            "distance",
            "shrinkage",
            _shifcon_total,
        ),
        Metric(
            "log_euclidean",
            "log-Euclidean distance of the covariances",
            "distance",
            "shrinkage",
            spd_distances.log_euclidean,
        ),
        Metric(
            "bures_wasserstein",
            "Bures-Wasserstein distance of the covariances",
            "distance",
            "covariance",
            spd_distances.bures_wasserstein,
        ),
        Metric(
            "symmetrised_kl",
            "symmetrised KL (Jeffreys) divergence of centred Gaussians, in nats",
            "dissimilarity",
            "shrinkage",
            spd_distances.symmetrised_kl,
        ),
        Metric(
            "fixed_rank",
            "fixed-rank distance of Bonnabel & Sepulchre, weight 1 (not a metric)",
            "dissimilarity",
            "rank",
            fixed_rank,
        ),
        Metric(
            "principal_angle",
            "mean principal angle of the subspaces, in radians",
            "dissimilarity",
            "rank",
            _of_bases(_mean_angle),
            reference=_random_angle,
        ),
        Metric(
            "grassmann",
            "geodesic distance of the subspaces on the Grassmannian",
            "distance",
            "rank",
            _of_bases(grassmann.grassmann_geodesic),
            reference=_random_geodesic,
        ),
        Metric(
            "chordal",
            "chordal distance of the subspaces",
            "distance",
            "rank",
            _of_bases(grassmann.chordal_distance),
            reference=_random_chordal,
        ),
        Metric(
            "projection",
            "Frobenius distance of the subspaces' projectors",
            "distance",
            "rank",
            _of_bases(grassmann.projection_distance),
            reference=_random_projection,
        ),
        Metric(
            "procrustes",
            "orthogonal Procrustes distance of centred, scaled states",
            "distance",
            "pairs",
            similarity.procrustes_distance,
        ),
        Metric(
            "linear_cka",
            "linear CKA",
            "similarity",
            "pairs",
            similarity.linear_cka,
            bounds=(0.0, 1.0),
        ),
        Metric(
            "debiased_cka",
            "linear CKA from the unbiased estimate of HSIC",
            "similarity",
            "pairs",
            similarity.debiased_linear_cka,
            reference=_zero,
            minimum=4,
            bounds=(-1.0, 1.0),
        ),
        Metric(
            "cosine",
            "mean cosine of a sentence and its translation",
            "similarity",
            "pairs",
            similarity.mean_cosine,
            bounds=(-1.0, 1.0),
        ),
        Metric(
            "centred_cosine",
            "mean cosine of translations, each language's own mean subtracted",
            "similarity",
            "pairs",
            partial(similarity.mean_cosine, centred=True),
            bounds=(-1.0, 1.0),
        ),
        Metric(
            "retrieval",
            "P@1: share of the language's sentences that find their dominant translation",
            "similarity",
            "pairs",
            partial(_there, retrieval.cosine_retrieval),
            symmetric=False,
            reference=_one_in_n,
            bounds=(0.0, 1.0),
        ),
        Metric(
            "retrieval_back",
            "P@1: share of the dominant sentences that find their translation",
            "similarity",
            "pairs",
            partial(_back, retrieval.cosine_retrieval),
            symmetric=False,
            reference=_one_in_n,
            bounds=(0.0, 1.0),
        ),
        Metric(
            "csls",
            "retrieval by CSLS, 10 neighbours",
            "similarity",
            "pairs",
            partial(_there, retrieval.csls_retrieval),
            symmetric=False,
            reference=_one_in_n,
            minimum=10,
            bounds=(0.0, 1.0),
        ),
        Metric(
            "csls_back",
            "retrieval_back by CSLS, 10 neighbours",
            "similarity",
            "pairs",
            partial(_back, retrieval.csls_retrieval),
            symmetric=False,
            reference=_one_in_n,
            minimum=10,
            bounds=(0.0, 1.0),
        ),
        Metric(
            "mexa",
            "MEXA: share of translation pairs that are each other's best",
            "similarity",
            "pairs",
            lambda x, y: retrieval.mexa(x, y).score,
            reference=lambda n, d, rank: 1 / (2 * n - 1),
            bounds=(0.0, 1.0),
        ),
        Metric(
            "lda_accuracy",
            "accuracy of telling the languages apart by LDA, cross-validated",
            "dissimilarity",
            "rows",
            lda_accuracy,
            reference=_half,
            minimum=5,
            bounds=(0.0, 1.0),
        ),
        Metric(
            "probe_accuracy",
            "accuracy of telling the languages apart by a linear probe, cross-validated; it is "
            "blind beside massive activations, as lda_accuracy is not",
            "dissimilarity",
            "rows",
            probe_accuracy,
            reference=_half,
            minimum=5,
            bounds=(0.0, 1.0),
        ),
        Metric(
            "silhouette",
            "mean silhouette of the two languages as clusters",
            "dissimilarity",
            "rows",
            silhouette,
            reference=_zero,
            bounds=(-1.0, 1.0),
        ),
        Metric(
            "effective_rank",
            "effective rank of the centred states (of one language)",
            "single",
            "nothing",
            lambda own: effective_rank_of(np.sqrt(own.variances)),
        ),
        Metric(
            "anisotropy",
            "mean cosine of two different sentences (of one language)",
            "single",
            "rows",
            anisotropy,
            bounds=(-1.0, 1.0),
        ),
    )
}


def metrics_named(names: str) -> list[Metric]:
    """Read a list of metrics from the command line.

    Args:
        names: comma-separated keys of `METRICS`, or "all".

    Returns:
        The metrics, in that order, each once.

    Raises:
        ShiftlensError: if there is none, or one is unknown.
    """
    wanted = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    if "all" in wanted:
        wanted = list(dict.fromkeys([*(name for name in wanted if name != "all"), *METRICS]))
    if not wanted:
        raise ShiftlensError(f"no metric given; choose from {', '.join(METRICS)}, or all")
    for name in wanted:
        if name not in METRICS:
            raise ShiftlensError(f"unknown metric {name!r}; choose from {', '.join(METRICS)}, all")
    return [METRICS[name] for name in wanted]
