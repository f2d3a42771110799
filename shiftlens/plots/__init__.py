"""Figures: tables in, matplotlib and plotly figures out; only `save` writes files."""

from shiftlens.plots.coverage import interval_coverage
from shiftlens.plots.geometry import before_after, project_before_after
from shiftlens.plots.geometry_page import before_after_interactive
from shiftlens.plots.labels import LAYER_AXIS, MetricLabel, layer_step, metric_label
from shiftlens.plots.layer_distance import layer_distance
from shiftlens.plots.layer_distance_page import layer_distance_interactive
from shiftlens.plots.measures import measure_agreement
from shiftlens.plots.patching import patch_heatmap, patch_heatmap_interactive
from shiftlens.plots.save import PAGE_CONFIG, save_answer, save_figure, save_html
from shiftlens.plots.style import (
    COMMON_LANGUAGES,
    PALETTE,
    LanguageStyle,
    language_style,
    shared_style,
)
from shiftlens.plots.training import distance_before_after, distance_before_after_interactive

__all__ = [
    "COMMON_LANGUAGES",
    "LAYER_AXIS",
    "PAGE_CONFIG",
    "PALETTE",
    "LanguageStyle",
    "MetricLabel",
    "before_after",
    "before_after_interactive",
    "distance_before_after",
    "distance_before_after_interactive",
    "interval_coverage",
    "language_style",
    "layer_distance",
    "layer_distance_interactive",
    "layer_step",
    "measure_agreement",
    "metric_label",
    "patch_heatmap",
    "patch_heatmap_interactive",
    "project_before_after",
    "save_answer",
    "save_figure",
    "save_html",
    "shared_style",
]
