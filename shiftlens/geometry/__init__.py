"""Pure mathematics on arrays of states: no models, files or logging.

Arrays go in (torch tensors too, brought to the CPU), float64 arrays and floats come out. Every
covariance is normalised by n. Fit each language once with `summarise`, then call the functions in
`METRICS` on pairs of summaries.
"""

from shiftlens.geometry.affine_invariant import affine_invariant, affine_invariant_dense
from shiftlens.geometry.grassmann import (
    RandomSubspaces,
    chordal_distance,
    grassmann_geodesic,
    project_affine,
    projection_distance,
    random_angles,
    random_subspaces,
)
from shiftlens.geometry.jackknife import (
    Interval,
    delete_group_jackknife,
    jackknife_interval,
    rows_without_groups,
)
from shiftlens.geometry.metric import REQUIREMENTS, Metric
from shiftlens.geometry.metrics import METRICS, metrics_named
from shiftlens.geometry.moments import Moments
from shiftlens.geometry.pairwise import pairwise
from shiftlens.geometry.projection import (
    PROJECTIONS,
    AgnosticProjection,
    fit_projection,
    lsar,
    mean_centring,
)
from shiftlens.geometry.retrieval import (
    Mexa,
    Retrieval,
    cosine_retrieval,
    csls_retrieval,
    mexa,
)
from shiftlens.geometry.separability import lda_accuracy, probe_accuracy, silhouette
from shiftlens.geometry.shifcon import ShifConDistance, mean_distance, shifcon_distance
from shiftlens.geometry.shrinkage import Shrinkage, parse_shrinkage
from shiftlens.geometry.similarity import (
    debiased_linear_cka,
    linear_cka,
    mean_cosine,
    procrustes_distance,
)
from shiftlens.geometry.spd import ShrunkCovariance, shrunk_covariance
from shiftlens.geometry.spd_distances import bures_wasserstein, log_euclidean, symmetrised_kl
from shiftlens.geometry.spread import anisotropy, effective_rank
from shiftlens.geometry.subspaces import (
    fixed_rank_distance,
    principal_angles,
    svd_basis,
    variance_rank,
)
from shiftlens.geometry.summary import LanguageSummary, summarise, summary_of_factor

__all__ = [
    "METRICS",
    "PROJECTIONS",
    "REQUIREMENTS",
    "AgnosticProjection",
    "Interval",
    "LanguageSummary",
    "Metric",
    "Mexa",
    "Moments",
    "RandomSubspaces",
    "Retrieval",
    "ShifConDistance",
    "Shrinkage",
    "ShrunkCovariance",
    "affine_invariant",
    "affine_invariant_dense",
    "anisotropy",
    "bures_wasserstein",
    "chordal_distance",
    "cosine_retrieval",
    "csls_retrieval",
    "debiased_linear_cka",
    "delete_group_jackknife",
    "effective_rank",
    "fit_projection",
    "fixed_rank_distance",
    "grassmann_geodesic",
    "jackknife_interval",
    "lda_accuracy",
    "linear_cka",
    "log_euclidean",
    "lsar",
    "mean_centring",
    "mean_cosine",
    "mean_distance",
    "metrics_named",
    "mexa",
    "pairwise",
    "parse_shrinkage",
    "principal_angles",
    "probe_accuracy",
    "procrustes_distance",
    "project_affine",
    "projection_distance",
    "random_angles",
    "random_subspaces",
    "rows_without_groups",
    "shifcon_distance",
    "shrunk_covariance",
    "silhouette",
    "summarise",
    "summary_of_factor",
    "svd_basis",
    "symmetrised_kl",
    "variance_rank",
]
