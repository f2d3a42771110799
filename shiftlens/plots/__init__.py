"""Figures: tables in, matplotlib and plotly figures out; only `save` writes files."""

from shiftlens.plots.alignment import (
    ALIGNMENT_METRICS,
    alignment,
    alignment_interactive,
)
from shiftlens.plots.arms_by_layer import arms_by_layer
from shiftlens.plots.choices import estimator_choices
from shiftlens.plots.coverage import interval_coverage
from shiftlens.plots.distance_scatter import distance_scatter
from shiftlens.plots.geometry import before_after, project_before_after
from shiftlens.plots.geometry_page import before_after_interactive
from shiftlens.plots.labels import LAYER_AXIS, MetricLabel, layer_step, metric_label
from shiftlens.plots.layer_distance import layer_distance
from shiftlens.plots.layer_distance_page import layer_distance_interactive
from shiftlens.plots.layer_page import layer_geometry
from shiftlens.plots.layers import layers_figure
from shiftlens.plots.layers_page import layers_interactive
from shiftlens.plots.losses import training_curves, training_curves_interactive
from shiftlens.plots.measures import measure_agreement
from shiftlens.plots.pairs import pair_heatmap, pair_heatmap_interactive
from shiftlens.plots.panels import layer_distance_panels
from shiftlens.plots.patching import patch_heatmap, patch_heatmap_interactive
from shiftlens.plots.save import PAGE_CONFIG, save_answer, save_figure, save_html
from shiftlens.plots.scores import scores, scores_interactive
from shiftlens.plots.stability import area_stability
from shiftlens.plots.steering import arms_by_language, steering_figure, steering_tradeoff
from shiftlens.plots.style import (
    COMMON_LANGUAGES,
    PALETTE,
    LanguageStyle,
    language_style,
    language_styles,
    shared_style,
)
from shiftlens.plots.training import distance_before_after, distance_before_after_interactive

__all__ = [
    "ALIGNMENT_METRICS",
    "COMMON_LANGUAGES",
    "LAYER_AXIS",
    "PAGE_CONFIG",
    "PALETTE",
    "LanguageStyle",
    "MetricLabel",
    "alignment",
    "alignment_interactive",
    "area_stability",
    "arms_by_language",
    "arms_by_layer",
    "before_after",
    "before_after_interactive",
    "distance_before_after",
    "distance_before_after_interactive",
    "distance_scatter",
    "estimator_choices",
    "interval_coverage",
    "language_style",
    "language_styles",
    "layer_distance",
    "layer_distance_interactive",
    "layer_distance_panels",
    "layer_geometry",
    "layer_step",
    "layers_figure",
    "layers_interactive",
    "measure_agreement",
    "metric_label",
    "pair_heatmap",
    "pair_heatmap_interactive",
    "patch_heatmap",
    "patch_heatmap_interactive",
    "project_before_after",
    "save_answer",
    "save_figure",
    "save_html",
    "scores",
    "scores_interactive",
    "shared_style",
    "steering_figure",
    "steering_tradeoff",
    "training_curves",
    "training_curves_interactive",
]
