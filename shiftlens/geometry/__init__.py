"""Pure mathematics on arrays of states: no models, files or logging.

Arrays go in (torch tensors too, brought to the CPU), float64 arrays and floats come out. Every
covariance is normalised by n. Fit each language once with `summarise`, then call the functions in
`METRICS` on pairs of summaries.
"""

from shiftlens.geometry.affine_invariant import affine_invariant, affine_invariant_dense
from shiftlens.geometry.metrics import METRICS, Metric
from shiftlens.geometry.moments import Moments
from shiftlens.geometry.shifcon import ShifConDistance, mean_distance, shifcon_distance
from shiftlens.geometry.shrinkage import Shrinkage, parse_shrinkage
from shiftlens.geometry.spd import ShrunkCovariance, shrunk_covariance
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
    "Moments",
    "ShifConDistance",
    "Shrinkage",
    "ShrunkCovariance",
    "affine_invariant",
    "affine_invariant_dense",
    "fixed_rank_distance",
    "mean_distance",
    "parse_shrinkage",
    "principal_angles",
    "shifcon_distance",
    "shrunk_covariance",
    "summarise",
    "svd_basis",
    "variance_rank",
]
