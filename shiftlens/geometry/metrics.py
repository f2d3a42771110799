"""The table of metrics that a sweep over layers and languages can use."""

from functools import partial
from typing import Any

import numpy as np

from shiftlens.errors import ShiftlensError
from shiftlens.geometry import chance, grassmann, retrieval, similarity, spd_distances
from shiftlens.geometry.affine_invariant import affine_invariant
from shiftlens.geometry.leading import fixed_rank, mean_angle, of_bases
from shiftlens.geometry.metric import Metric
from shiftlens.geometry.separability import lda_accuracy, probe_accuracy, silhouette
from shiftlens.geometry.shifcon import mean_distance, relative_mean_distance, shifcon_distance
from shiftlens.geometry.spread import anisotropy, effective_rank_of
from shiftlens.geometry.summary import LanguageSummary

SHARE = (0.0, 1.0)
COSINE = (-1.0, 1.0)


def _shifcon_total(k: LanguageSummary, dominant: LanguageSummary) -> float:
    return shifcon_distance(k, dominant).total


def _effective_rank(own: LanguageSummary) -> float:
    return effective_rank_of(np.sqrt(own.variances))


def _cosine_there(x: Any, y: Any) -> float:
    return retrieval.cosine_retrieval(x, y).there


def _cosine_back(x: Any, y: Any) -> float:
    return retrieval.cosine_retrieval(x, y).back


def _csls_there(x: Any, y: Any) -> float:
    return retrieval.csls_retrieval(x, y).there


def _csls_back(x: Any, y: Any) -> float:
    return retrieval.csls_retrieval(x, y).back


def _mexa(x: Any, y: Any) -> float:
    return retrieval.mexa(x, y).score


_covariance = partial(Metric, kind="distance", requires="shrinkage")
_subspace = partial(Metric, kind="distance", requires="rank")
_likeness = partial(Metric, kind="similarity", requires="pairs")
_retrieval = partial(_likeness, symmetric=False, reference=chance.one_in_n, bounds=SHARE)
_accuracy = partial(
    Metric, kind="dissimilarity", requires="rows", reference=chance.half, minimum=5, bounds=SHARE
)

_TABLE = (
    _covariance(
        "affine_invariant",
        "affine-invariant distance of the covariances (ShifCon's log term)",
        function=affine_invariant,
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
    _covariance("shifcon", "log term + raw mean term, as in ShifCon", function=_shifcon_total),
    _covariance(
        "log_euclidean",
        "log-Euclidean distance of the covariances",
        function=spd_distances.log_euclidean,
    ),
    _covariance(
        "bures_wasserstein",
        "Bures-Wasserstein distance of the covariances",
        requires="covariance",
        function=spd_distances.bures_wasserstein,
    ),
    _covariance(
        "symmetrised_kl",
        "symmetrised KL (Jeffreys) divergence of centred Gaussians, in nats",
        kind="dissimilarity",
        function=spd_distances.symmetrised_kl,
    ),
    _subspace(
        "fixed_rank",
        "fixed-rank distance of Bonnabel & Sepulchre, weight 1 (not a metric)",
        kind="dissimilarity",
        function=fixed_rank,
    ),
    _subspace(
        "principal_angle",
        "mean principal angle of the subspaces, in radians",
        kind="dissimilarity",
        function=of_bases(mean_angle),
        reference=chance.random_angle,
    ),
    _subspace(
        "grassmann",
        "geodesic distance of the subspaces on the Grassmannian",
        function=of_bases(grassmann.grassmann_geodesic),
        reference=chance.random_geodesic,
    ),
    _subspace(
        "chordal",
        "chordal distance of the subspaces",
        function=of_bases(grassmann.chordal_distance),
        reference=chance.random_chordal,
    ),
    _subspace(
        "projection",
        "Frobenius distance of the subspaces' projectors",
        function=of_bases(grassmann.projection_distance),
        reference=chance.random_projection,
    ),
    _likeness(
        "procrustes",
        "orthogonal Procrustes distance of centred, scaled states",
        kind="distance",
        function=similarity.procrustes_distance,
    ),
    _likeness("linear_cka", "linear CKA", function=similarity.linear_cka, bounds=SHARE),
    _likeness(
        "debiased_cka",
        "linear CKA from the unbiased estimate of HSIC",
        function=similarity.debiased_linear_cka,
        reference=chance.zero,
        minimum=4,
        bounds=COSINE,
    ),
    _likeness(
        "cosine",
        "mean cosine of a sentence and its translation",
        function=similarity.mean_cosine,
        bounds=COSINE,
    ),
    _likeness(
        "centred_cosine",
        "mean cosine of translations, each language's own mean subtracted",
        function=partial(similarity.mean_cosine, centred=True),
        bounds=COSINE,
    ),
    _retrieval(
        "retrieval",
        "P@1: share of the language's sentences that find their dominant translation",
        function=_cosine_there,
    ),
    _retrieval(
        "retrieval_back",
        "P@1: share of the dominant sentences that find their translation",
        function=_cosine_back,
    ),
    _retrieval("csls", "retrieval by CSLS, 10 neighbours", function=_csls_there, minimum=10),
    _retrieval(
        "csls_back", "retrieval_back by CSLS, 10 neighbours", function=_csls_back, minimum=10
    ),
    _likeness(
        "mexa",
        "MEXA: share of translation pairs that are each other's best",
        function=_mexa,
        reference=chance.one_pair_in_n,
        bounds=SHARE,
    ),
    _accuracy(
        "lda_accuracy",
        "accuracy of telling the languages apart by LDA, cross-validated",
        function=lda_accuracy,
    ),
    _accuracy(
        "probe_accuracy",
        "accuracy of telling the languages apart by a linear probe, cross-validated; it is "
        "blind beside massive activations, as lda_accuracy is not",
        function=probe_accuracy,
    ),
    Metric(
        "silhouette",
        "mean silhouette of the two languages as clusters",
        "dissimilarity",
        "rows",
        silhouette,
        reference=chance.zero,
        bounds=COSINE,
    ),
    Metric(
        "effective_rank",
        "effective rank of the centred states (of one language)",
        "single",
        "nothing",
        _effective_rank,
    ),
    Metric(
        "anisotropy",
        "mean cosine of two different sentences (of one language)",
        "single",
        "rows",
        anisotropy,
        bounds=COSINE,
    ),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in _TABLE}


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
