"""What the page of a training says beyond that of its sweep."""

from pathlib import Path
from typing import Any

import pandas as pd

from shiftlens import plots
from shiftlens.before_after import geometry_drawing
from shiftlens.errors import ShiftlensError
from shiftlens.folders.runs import TrainFolder
from shiftlens.plots.stages_page import Stage, layer_distance_stages
from shiftlens.plots.style import MEAN_COLOUR, PALETTE
from shiftlens.reports.figures import TALL, sweep_figures
from shiftlens.reports.parts import curves_part, figure_part
from shiftlens.reports.score_tables import mean_difference, score_table
from shiftlens.shift import Shift
from shiftlens.store import ActivationStore

_STAGES = {
    "before": ("before training", MEAN_COLOUR, "solid"),
    "after": ("after training", PALETTE[1], "solid"),
    "shifted": ("after training, shift on", PALETTE[0], "dot"),
}


def training_context(run: TrainFolder, labels: str | Path | None) -> dict[str, Any]:
    """Collect what the template shows of a training.

    Args:
        run: The run folder.
        labels: File with a label a sentence.

    Returns:
        Figures and tables by name, empty or None where the run has none.

    Raises:
        ShiftlensError: A file of the run is damaged.
    """
    sweep = run.before
    stages = [
        Stage(name, run.states[stage].sweep.table, colour, dash)
        for stage, (name, colour, dash) in _STAGES.items()
        if stage in run.states
    ]
    distances = layer_distance_stages(stages, run.trained_area, run.dominant, sweep.metric)
    scores = _scores(run)
    return {
        "stages": curves_part(distances, "stages"),
        "picture": _picture(run),
        "curves": _curves(run.log) if run.log is not None and "loss" in run.log else "",
        "scores": scores,
        "mean": None if scores is None else mean_difference(scores, run.dominant),
        "shift": shift_norms(run),
        "after": sweep_figures(run, run.states["after"], labels, "after"),
        "settings": run.settings,
    }


def _picture(run: TrainFolder) -> str:
    """The sentences before and after; empty where they are not there any more."""
    stores = {
        when: states.store
        for when, states in run.states.items()
        if isinstance(states.store, ActivationStore)
    }
    try:
        texts = run.corpus.texts
    except ShiftlensError:
        return ""
    layer = run.trained_area[1] - 1
    drawing = geometry_drawing(stores, texts, layer, run.dominant, run.name)
    assert drawing.page is not None
    page = drawing.page()
    page.update_layout(
        legend={"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom"}
    )
    return figure_part(page, "before-after", page.layout.height)


def _curves(log: pd.DataFrame) -> str:
    page = plots.training_curves_interactive(log)
    return figure_part(page, "training", page.layout.height or TALL)


def _scores(run: TrainFolder) -> pd.DataFrame | None:
    """Test results before and after by language, with intervals."""
    if run.results is None:
        return None
    before, after = (run.results[run.results["when"] == when] for when in ("before", "after"))
    return score_table(before, after)


def shift_norms(run: TrainFolder) -> pd.DataFrame | None:
    r"""Length of the shift of each language, at the layers toward and back.

    .. math:: \|v(D, l) - v(k, l)\|_2

    Args:
        run: A training.

    Returns:
        Index language, of those that are moved, a column a layer of the area, in activation
        units; None without a shift.

    Raises:
        ShiftlensError: The shift is damaged.
    """
    if run.shifted is None:
        return None
    shift = Shift.load(run.out / "model")
    moved = [
        code for code in run.first.store.languages if shift.delta(code, shift.area[0]) is not None
    ]
    norms = {
        f"layer {layer}": {code: _norm(shift, code, layer) for code in moved}
        for layer in shift.area
    }
    return pd.DataFrame(norms).rename_axis("language")


def _norm(shift: Shift, language: str, layer: int) -> float:
    delta = shift.delta(language, layer)
    assert delta is not None
    return float(delta.double().norm())
