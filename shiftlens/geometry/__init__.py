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
    random_subspaces,
)
from shiftlens.geometry.metrics import METRICS, Metric
from shiftlens.geometry.moments import Moments
from shiftlens.geometry.retrieval import (
    Mexa,
    Retrieval,
    cosine_retrieval,
    csls_retrieval,
    mexa,
)
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
from shiftlens.geometry.subspaces import (
    fixed_rank_distance,
    principal_angles,
    svd_basis,
    variance_rank,
)
from shiftlens.geometry.summary import LanguageSummary, summarise

__all__ = [
    "METRICS",
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
    "bures_wasserstein",
    "chordal_distance",
    "cosine_retrieval",
    "csls_retrieval",
    "debiased_linear_cka",
    "fixed_rank_distance",
    "grassmann_geodesic",
    "linear_cka",
    "log_euclidean",
    "mean_cosine",
    "mean_distance",
    "mexa",
    "parse_shrinkage",
    "principal_angles",
    "procrustes_distance",
    "project_affine",
    "projection_distance",
    "random_subspaces",
    "shifcon_distance",
    "shrunk_covariance",
    "summarise",
    "svd_basis",
    "symmetrised_kl",
    "variance_rank",
]
