"""The words on the axes: one spelling of the layer convention and of every metric."""

from dataclasses import dataclass

LAYER_AXIS = "layer (residual stream after block l; 0 = embeddings)"
_MOST_TICKS = 17


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


def layer_step(layers: int) -> int:
    """Return the spacing of layer ticks that keeps their labels apart.

    Args:
        layers: The last layer's number.

    Returns:
        A power of two, 1 for shallow models.
    """
    step = 1
    while layers // step >= _MOST_TICKS:
        step *= 2
    return step


def area_text(area: tuple[int, int]) -> str:
    """Return the label of the shaded layer area.

    Args:
        area: Shift-toward and shift-back layer.

    Returns:
        Such as "layer area 3–7".
    """
    return f"layer area {area[0]}–{area[1]}"


def floor_text(dominant: str) -> str:
    """Return the label of the dominant language's distance to itself.

    Args:
        dominant: Code of the dominant language.

    Returns:
        Such as "en split-half floor".
    """
    return f"{dominant} split-half floor"


def mean_text(languages: int) -> str:
    """Return the label of the mean curve.

    Args:
        languages: How many languages it is taken over.

    Returns:
        Such as "mean of 12 languages".
    """
    return f"mean of {languages} language{'s' if languages > 1 else ''}"
