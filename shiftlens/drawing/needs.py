"""What a figure is drawn of, and why it cannot be where something is lacking."""

from dataclasses import dataclass
from pathlib import Path

from shiftlens.folders.runs import RunFolder, States, TrainFolder
from shiftlens.geometry import METRICS
from shiftlens.plots.alignment import ALIGNMENT_METRICS
from shiftlens.store import ActivationStore

LEAST_SENTENCES = 4
"""Half of the sentences fit a projection's axes."""


@dataclass(frozen=True)
class Subject:
    """What a figure is drawn of, and what the reader asked for.

    Attributes:
        run: The run folder.
        states: Those of its states that the figure is of.
        metric: Metric of distance and pairs; None for the sweep's first.
        layer: Layer of the geometry and the pairs; None for those that tell the most.
        labels: File with a label a sentence.
    """

    run: RunFolder
    states: States
    metric: str | None = None
    layer: int | None = None
    labels: str | Path | None = None

    @property
    def pair_metric(self) -> str:
        """The metric asked for, or the first swept one that compares languages."""
        swept = self.states.sweep.table["metric"].unique()
        comparing = (name for name in swept if METRICS[name].kind != "single")
        return self.metric or next(comparing, "affine_invariant")

    @property
    def layers(self) -> list[int]:
        """The layer asked for; or the first, those of the area (or the middle) and the last."""
        if self.layer is not None:
            return [self.layer]
        last = self.states.store.layers[-1]
        return sorted({0, *(self.run.area or (last // 2,)), last})


def training_of(subject: Subject) -> TrainFolder:
    """The training that a figure of trainings is drawn of."""
    assert isinstance(subject.run, TrainFolder)
    return subject.run


def nothing(subject: Subject) -> str:
    """Nothing is lacking."""
    return ""


def metric_not_swept(subject: Subject) -> str:
    """Why the metric asked for has no curves."""
    swept = list(subject.states.sweep.table["metric"].unique())
    if subject.metric is None or subject.metric in swept:
        return ""
    return f"metric {subject.metric} was not swept; there is {', '.join(swept)}"


def no_sentence_states(subject: Subject) -> str:
    """Why there are no sentences to draw."""
    if not isinstance(subject.states.store, ActivationStore):
        return "the run holds moments of tokens, and no states of sentences"
    few = subject.states.store.n_sentences < LEAST_SENTENCES
    return f"it takes {LEAST_SENTENCES} sentences" if few else ""


def no_pairs(subject: Subject) -> str:
    """Why the metric cannot be taken of every two languages."""
    metric = METRICS[subject.pair_metric]
    if metric.kind == "single":
        return f"metric {metric.name} is of a single language"
    return no_sentence_states(subject) if metric.takes == "states" else ""


def no_alignment(subject: Subject) -> str:
    """Why there is no alignment of translations."""
    swept = set(subject.states.sweep.table["metric"])
    if swept & set(ALIGNMENT_METRICS):
        return ""
    return f"none of {', '.join(ALIGNMENT_METRICS)} was swept"


def no_log(subject: Subject) -> str:
    """Why there are no losses."""
    run = training_of(subject)
    if run.log is None:
        return f"the arm {run.settings['arm']} is not trained"
    return "" if "loss" in run.log else "the training was too short to log a loss"


def no_results(subject: Subject) -> str:
    """Why there are no test results."""
    return "the training had no --test" if training_of(subject).results is None else ""
