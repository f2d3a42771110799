"""The figures of a run's page: curves, pairs of languages and geometry of one of its states."""

from pathlib import Path

import numpy as np

from shiftlens import plots
from shiftlens.drawing.kinds import FIGURES, pair_table, projections
from shiftlens.drawing.needs import Subject
from shiftlens.errors import ShiftlensError
from shiftlens.folders.runs import RunFolder, States
from shiftlens.projections import DRAWN, METHODS
from shiftlens.reports.parts import curves_part, figure_part

MOST_POINTS = 15_000
"""Sentences that a picture of all layers draws at most, so that the page stays small."""
MOST_CELLS = 20_000
"""Cells that the matrices of language pairs have at most, all layers together."""
TALL = 660

METHOD_WORDS = {
    "lda": "LDA, languages as classes: the axes that tell the languages apart",
    "lda-labels": "LDA, labels as classes: the axes that tell what sentences are about",
    "pca": "PCA: the axes of largest variance",
}


def sweep_figures(
    run: RunFolder, states: States, labels: str | Path | None, name: str
) -> dict[str, str | dict[str, str]]:
    """Draw one of a run's states for its page.

    Args:
        run: The run folder.
        states: Which of its states.
        labels: File with a label a sentence.
        name: What the figures' ids begin with.

    Returns:
        ``curves`` and ``pairs`` as parts of a page, ``geometry`` from what it is to its part, and
        ``lacking`` from figure to why it is not there.
    """
    subject = Subject(run, states, labels=labels)
    sweep = states.sweep
    curves = plots.layer_distance_interactive(sweep.table, run.area, run.dominant, sweep.metric)
    lacking = {
        kind: reason
        for kind in ("pairs", "geometry")
        if (reason := FIGURES[kind].lacks(subject) or _no_texts(run, kind))
    }
    return {
        "curves": curves_part(curves, f"{name}-curves"),
        "metric": subject.pair_metric,
        "pairs": "" if "pairs" in lacking else _pairs(subject, name),
        "geometry": {} if "geometry" in lacking else _geometry(subject, name),
        "lacking": lacking,
    }


def _no_texts(run: RunFolder, kind: str) -> str:
    """Why the sentences cannot be shown; empty where they can, or need not be."""
    if kind != "geometry":
        return ""
    try:
        len(run.corpus)
    except ShiftlensError as error:
        return str(error)
    return ""


def _pairs(subject: Subject, name: str) -> str:
    layers = np.array(subject.states.store.layers)
    most = max(1, MOST_CELLS // len(subject.states.store.languages) ** 2)
    shown = layers[np.linspace(0, len(layers) - 1, min(most, len(layers))).round().astype(int)]
    table = pair_table(subject, sorted({*map(int, shown), *(subject.run.area or ())}))
    return figure_part(plots.pair_heatmap_interactive(table), f"{name}-pairs", TALL)


def _geometry(subject: Subject, name: str) -> dict[str, str]:
    store = subject.states.store
    most = MOST_POINTS // (len(store.layers) * len(store.languages))
    tables = projections(subject, min(DRAWN, max(8, most)))
    run = subject.run
    return {
        METHOD_WORDS[method]: figure_part(
            plots.layers_interactive(tables[method], run.corpus.texts, run.dominant, run.area),
            f"{name}-{method}",
            TALL,
        )
        for method in METHODS
        if method in tables
    }
