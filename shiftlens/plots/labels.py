"""The words on the axes: one spelling of the layer convention and of every metric."""

from dataclasses import dataclass

import pandas as pd
from matplotlib.axis import Axis
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from shiftlens.geometry import METRICS

LAYER_AXIS = "layer (residual stream after block l; 0 = embeddings)"
_MOST_TICKS = 17
NARROW = 14
"""So many layer ticks are too many for a panel a third of a page wide."""


@dataclass(frozen=True)
class MetricLabel:
    """How a metric is named on an axis.

    Attributes:
        words: Name in words.
        formula: Equation in matplotlib's mathtext, empty where there is none.
        markup: The same equation in the little HTML that plotly reads.
    """

    words: str
    formula: str = ""
    markup: str = ""


_METRICS = {
    "affine_invariant": MetricLabel(
        "affine-invariant distance",
        r"$\sqrt{\Sigma_i\,\log^2 \lambda_i}$",
        "√(Σ<sub>i</sub> log² λ<sub>i</sub>)",
    ),
    "mean_distance": MetricLabel(
        "distance of the means",
        r"$\|\mu_k - \mu_D\|_2$, in activation units",
        "‖μ<sub>k</sub> − μ<sub>D</sub>‖<sub>2</sub>, in activation units",
    ),
    "mean_distance_rms": MetricLabel(
        "distance of the means, relative",
        r"$\|\mu_k - \mu_D\|_2\,/\,$RMS norm of $D$",
        "‖μ<sub>k</sub> − μ<sub>D</sub>‖<sub>2</sub> / RMS norm of D",
    ),
    "shifcon": MetricLabel(
        "ShifCon subspace distance",
        r"$\sqrt{\Sigma_i\,\log^2 \lambda_i} + \|\mu_k - \mu_D\|_2$",
        "√(Σ<sub>i</sub> log² λ<sub>i</sub>) + ‖μ<sub>k</sub> − μ<sub>D</sub>‖<sub>2</sub>",
    ),
    "log_euclidean": MetricLabel(
        "log-Euclidean distance",
        r"$\|\log K_k - \log K_D\|_F$",
        "‖log K<sub>k</sub> − log K<sub>D</sub>‖<sub>F</sub>",
    ),
    "bures_wasserstein": MetricLabel("Bures-Wasserstein distance", "in activation units"),
    "symmetrised_kl": MetricLabel("symmetrised KL divergence", "in nats", "in nats"),
    "principal_angle": MetricLabel("mean principal angle", "in radians", "in radians"),
    "grassmann": MetricLabel(
        "Grassmann geodesic distance",
        r"$\sqrt{\Sigma_i\,\theta_i^2}$",
        "√(Σ<sub>i</sub> θ<sub>i</sub>²)",
    ),
    "chordal": MetricLabel(
        "chordal distance",
        r"$\sqrt{\Sigma_i\,\sin^2\theta_i}$",
        "√(Σ<sub>i</sub> sin² θ<sub>i</sub>)",
    ),
    "projection": MetricLabel(
        "projection distance",
        r"$\|U_k U_k^T - U_D U_D^T\|_F$",
        "‖U<sub>k</sub>U<sub>k</sub>ᵀ − U<sub>D</sub>U<sub>D</sub>ᵀ‖<sub>F</sub>",
    ),
    "procrustes": MetricLabel("Procrustes distance"),
    "linear_cka": MetricLabel("linear CKA"),
    "debiased_cka": MetricLabel("debiased linear CKA"),
    "cosine": MetricLabel("mean cosine of translations"),
    "centred_cosine": MetricLabel("mean cosine of translations,\ncentred by language"),
    "retrieval": MetricLabel("retrieval P@1, to the dominant language"),
    "retrieval_back": MetricLabel("retrieval P@1, from the dominant language"),
    "csls": MetricLabel("retrieval P@1 by CSLS,\nto the dominant language"),
    "csls_back": MetricLabel("retrieval P@1 by CSLS,\nfrom the dominant language"),
    "mexa": MetricLabel("MEXA"),
    "lda_accuracy": MetricLabel("language told by LDA", "cross-validated accuracy"),
    "probe_accuracy": MetricLabel("language told by a linear probe", "cross-validated accuracy"),
    "silhouette": MetricLabel("silhouette of the two languages"),
    "effective_rank": MetricLabel("effective rank"),
    "anisotropy": MetricLabel("anisotropy", "mean cosine of two sentences"),
    "fixed_rank": MetricLabel(
        "fixed-rank distance",
        r"$\sqrt{\Sigma_i\,\theta_i^2 + \Sigma_i\,\log^2 \lambda_i}$",
        "√(Σ<sub>i</sub> θ<sub>i</sub>² + Σ<sub>i</sub> log² λ<sub>i</sub>)",
    ),
}


def metric_label(metric: str) -> MetricLabel:
    """Return the axis label of a metric.

    Args:
        metric: Name in the sweep's "metric" column.

    Returns:
        The metric's words and equation; an unlisted metric is named by its own words.
    """
    return _METRICS.get(metric, MetricLabel(metric.replace("_", " ")))


def layer_step(layers: int, most: int = _MOST_TICKS) -> int:
    """Return the spacing of layer ticks that keeps their labels apart.

    Args:
        layers: The last layer's number.
        most: So many ticks are too many.

    Returns:
        A power of two, 1 for shallow models.
    """
    step = 1
    while layers // step >= most:
        step *= 2
    return step


def plain_ticks(axis: Axis, values: pd.Series) -> None:
    """Put plain numbers on a logarithmic axis, also within one power of ten.

    Args:
        axis: The axis, logarithmic already.
        values: What is drawn on it.
    """
    narrow = values.max() < 10 * values.min()
    axis.set_major_locator(MaxNLocator(5) if narrow else LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


def area_text(area: tuple[int, int]) -> str:
    """Return the label of the shaded layer area.

    Args:
        area: Shift-toward and shift-back layer.

    Returns:
        Such as "layer area 3–7".
    """
    return f"layer area {area[0]}–{area[1]}"


def floor_text(dominant: str, metric: str = "affine_invariant") -> str:
    """Return the label of the dominant language's own curve.

    Args:
        dominant: Code of the dominant language.
        metric: Which metric's curve it is.

    Returns:
        Such as "en split-half floor"; of a paired metric "en, unrelated sentences"; of a metric
        of a single language "en".
    """
    known = METRICS.get(metric)
    if known is not None and known.kind == "single":
        return dominant
    if known is not None and known.paired:
        return f"{dominant}, unrelated sentences"
    return f"{dominant} split-half floor"


def reference_text(metric: str) -> str:
    """Return the label of what languages show that have nothing to do with each other.

    Args:
        metric: Which metric's reference it is.

    Returns:
        "random subspaces" or "chance".
    """
    known = METRICS.get(metric)
    return "random subspaces" if known is not None and known.requires == "rank" else "chance"


def mean_text(languages: int) -> str:
    """Return the label of the mean curve.

    Args:
        languages: How many languages it is taken over.

    Returns:
        Such as "mean of 12 languages".
    """
    return f"mean of {languages} language{'s' if languages > 1 else ''}"
