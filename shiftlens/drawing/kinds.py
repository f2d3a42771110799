"""Every figure that a run folder can give, by name, with what each of them needs."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import pandas as pd

from shiftlens import plots
from shiftlens.before_after import distances_drawing, geometry_drawing
from shiftlens.drawing.files import Drawing, distance_drawing
from shiftlens.drawing.needs import (
    Subject,
    metric_not_swept,
    no_alignment,
    no_log,
    no_pairs,
    no_results,
    no_sentence_states,
    nothing,
    training_of,
)
from shiftlens.folders.runs import SweepFolder
from shiftlens.pairs import language_pairs
from shiftlens.projections import DRAWN, project_layers
from shiftlens.sentence_labels import demo_labels, read_labels
from shiftlens.store import ActivationStore


@dataclass(frozen=True)
class FigureKind:
    """One figure, which may be of several files.

    Attributes:
        needs: What a run must hold, in words.
        draw: Its drawings.
        lacks: Why it cannot be drawn of a subject; empty where it can.
        training: Whether it is one of a training, and not one of each of a run's states.
    """

    needs: str
    draw: Callable[[Subject], Iterator[Drawing]]
    lacks: Callable[[Subject], str]
    training: bool = False


def pair_table(subject: Subject, layers: Sequence[int] | None = None) -> pd.DataFrame:
    """One metric between every two languages, with the settings of the run's sweep."""
    run = subject.run
    names = ("shrinkage", "rank", "seed") if isinstance(run, SweepFolder) else ()
    return language_pairs(
        subject.states.store,
        subject.pair_metric,
        layers=layers,
        dominant=run.dominant,
        progress=False,
        **{name: run.settings[name] for name in names},
    )


def sentence_labels(subject: Subject) -> tuple[str, ...] | None:
    """The labels asked for, or what the sentences of the embedded demo are about.

    Raises:
        ShiftlensError: The file cannot be read, or lacks a sentence.
    """
    run = subject.run
    if subject.labels is not None:
        return read_labels(subject.labels, run.corpus.ids)
    if run.settings[run.corpus_setting] != "demo":
        return None
    labels = demo_labels(run.corpus.ids)
    fitted = Counter(labels[::2])
    enough = set(fitted) == set(labels) and len(fitted) > 2 and min(fitted.values()) > 1
    return labels if enough else None


def projections(subject: Subject, drawn: int = DRAWN) -> dict[str, pd.DataFrame]:
    """The sentences at every layer in the plane, by each method that is possible.

    Args:
        subject: Whose states.
        drawn: Most sentences a language.

    Returns:
        Method to table.

    Raises:
        ShiftlensError: As :func:`sentence_labels`, or the states are damaged.
    """
    store, labels = _sentence_states(subject), sentence_labels(subject)
    methods = ["lda"] if len(store.languages) > 2 else []
    methods += ["pca", *(["lda-labels"] if labels else [])]
    return {name: project_layers(store, name, labels=labels, drawn=drawn) for name in methods}


def _sentence_states(subject: Subject) -> ActivationStore:
    store = subject.states.store
    assert isinstance(store, ActivationStore)
    return store


def _distance(subject: Subject) -> Iterator[Drawing]:
    run, sweep = subject.run, subject.states.sweep
    facts = (run.area, run.dominant, subject.metric or sweep.metric, run.name)
    yield distance_drawing(sweep.table, *facts)
    if isinstance(run, SweepFolder) and run.projected is not None:
        yield distance_drawing(run.projected, *facts, run.settings["projection"])


def _pairs(subject: Subject) -> Iterator[Drawing]:
    table, name = pair_table(subject), subject.run.name
    yield Drawing(
        "pairs",
        lambda: plots.pair_heatmap(table, subject.layers, name),
        lambda: plots.pair_heatmap_interactive(table, name),
    )


def _geometry(subject: Subject) -> Iterator[Drawing]:
    run, tables = subject.run, projections(subject)
    yield Drawing(
        "geometry", lambda: plots.layers_figure(tables, subject.layers, run.dominant, run.name)
    )
    solid = project_layers(
        _sentence_states(subject), "pca", dimensions=3, labels=sentence_labels(subject)
    )
    for name, table in {**tables, "pca-3d": solid}.items():
        facts = (table, run.corpus.texts, run.dominant, run.area, subject.layer)
        yield Drawing(f"geometry_{name}", page=partial(plots.layers_interactive, *facts))


def _alignment(subject: Subject) -> Iterator[Drawing]:
    run = subject.run
    facts = (subject.states.sweep.table, run.area, run.dominant, run.name)
    yield Drawing(
        "alignment",
        lambda: plots.alignment(*facts),
        lambda: plots.alignment_interactive(*facts),
    )


def _geometry_before_after(subject: Subject) -> Iterator[Drawing]:
    run = training_of(subject)
    stores = {
        when: states.store
        for when, states in run.states.items()
        if isinstance(states.store, ActivationStore)
    }
    layer = run.trained_area[1] - 1 if subject.layer is None else subject.layer
    name = f"{run.name}, {run.settings['arm']}"
    drawing = geometry_drawing(stores, run.corpus.texts, layer, run.dominant, name)
    yield replace(drawing, stem="geometry_before_after")


def _distance_before_after(subject: Subject) -> Iterator[Drawing]:
    run = training_of(subject)
    tables = {when: states.sweep.table for when, states in run.states.items()}
    yield distances_drawing(tables, run.trained_area, run.dominant)


def _curves(subject: Subject) -> Iterator[Drawing]:
    run = training_of(subject)
    log, title = run.log, f"{run.name}, {run.settings['arm']}"
    assert log is not None, "no_log is asked first"
    yield Drawing(
        "training_curves",
        lambda: plots.training_curves(log, title),
        lambda: plots.training_curves_interactive(log, title),
    )


def _scores(subject: Subject) -> Iterator[Drawing]:
    results = training_of(subject).results
    assert results is not None, "no_results is asked first"
    yield Drawing(
        "scores",
        lambda: plots.scores(results),
        lambda: plots.scores_interactive(results),
    )


FIGURES = {
    "layer_distance": FigureKind("the metric swept", _distance, metric_not_swept),
    "pairs": FigureKind("states", _pairs, no_pairs),
    "geometry": FigureKind("states of sentences", _geometry, no_sentence_states),
    "alignment": FigureKind("a metric of translations swept", _alignment, no_alignment),
    "geometry_before_after": FigureKind("a training", _geometry_before_after, nothing, True),
    "layer_distance_before_after": FigureKind("a training", _distance_before_after, nothing, True),
    "training_curves": FigureKind("an arm that is trained", _curves, no_log, True),
    "scores": FigureKind("a training with --test", _scores, no_results, True),
}
"""Name, as `--only` takes it, to figure."""
