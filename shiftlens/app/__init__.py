"""The page: patching, the shift and the sweep of one model, in the browser of this machine.

``shiftlens serve`` opens it. What its views compute and draw is here without the page too, for
notebooks: :func:`compare_shift` with :func:`shift_figure`; the other figures are
``patch_heatmap_interactive``, ``layer_distance_interactive`` and ``layer_geometry`` of
:mod:`shiftlens.plots`. Only the page itself needs Dash.
"""

from shiftlens.app.shifted import ShiftComparison, compare_shift, shift_figure

__all__ = ["ShiftComparison", "compare_shift", "shift_figure"]
