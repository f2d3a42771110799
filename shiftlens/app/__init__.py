"""The page: patching, the shift and the sweep of one model, in the browser of this machine.

``shiftlens serve`` opens it. What its views compute and draw is here without the page too, for
notebooks: :func:`compare_shift` with :func:`shift_figure`, and :func:`project_layers` with
:func:`layer_geometry`; the other figures are ``patch_heatmap_interactive`` and
``layer_distance_interactive`` of :mod:`shiftlens.plots`. Only the page itself needs Dash.
"""

from shiftlens.app.projections import layer_geometry, project_layers
from shiftlens.app.shifted import ShiftComparison, compare_shift, shift_figure

__all__ = [
    "ShiftComparison",
    "compare_shift",
    "layer_geometry",
    "project_layers",
    "shift_figure",
]
