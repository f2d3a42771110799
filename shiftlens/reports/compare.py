"""Two runs against each other: what differs in how they were made, and in what they found."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from shiftlens.errors import ShiftlensError
from shiftlens.folders.opening import open_run_folder
from shiftlens.folders.runs import DemoFolder, RunFolder, States, TrainFolder
from shiftlens.geometry import METRICS
from shiftlens.layer_sweep import LayerSweep
from shiftlens.reports.curve_tables import agreement, shared_languages, shared_metrics, side_by_side
from shiftlens.reports.score_tables import mean_difference, score_table

NOT_COMPARED = ("out",)
"""Settings that say where a run lies, not what it did."""


@dataclass(frozen=True)
class Curves:
    """One of the first run's sweeps against one of the second's.

    Attributes:
        names: What the two are called.
        sweeps: The two.
        areas: The two layer areas, or None.
        tables: Metric to its mean curves by layer: ``first, second, difference``.
        agreement: How alike the sweeps order layers and languages, a row a metric.
        warnings: Why their distances are not comparable; empty where they are.
    """

    names: tuple[str, str]
    sweeps: tuple[LayerSweep, LayerSweep]
    areas: tuple[tuple[int, int] | None, tuple[int, int] | None]
    tables: Mapping[str, pd.DataFrame]
    agreement: pd.DataFrame
    warnings: tuple[str, ...]

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that both sweeps have: those that are compared."""
        return tuple(shared_languages(*self.sweeps))

    @property
    def left_out(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The others of each sweep, its own dominant one aside."""
        first, second = (
            tuple(
                code
                for code in sweep.table["language"].unique()
                if code not in (*self.languages, sweep.dominant)
            )
            for sweep in self.sweeps
        )
        return first, second


@dataclass(frozen=True)
class Comparison:
    """Two runs.

    Attributes:
        runs: The two run folders.
        settings: Setting to its two values, of those that differ.
        same_model: Whether both looked at the same weights.
        same_corpus: Whether both read the same sentences in the same languages.
        curves: Their sweeps, compared.
        areas: Metric to what each run would choose, or None where it does not say.
        scores: Exact match by language, with intervals; None where not both were tested.
        mean: Mean difference of the scores over the other languages, with its interval.
        same_questions: Whether both name the same test, and as many questions a language.
    """

    runs: tuple[RunFolder, RunFolder]
    settings: Mapping[str, tuple[Any, Any]]
    same_model: bool
    same_corpus: bool
    curves: tuple[Curves, ...]
    areas: Mapping[str, tuple[str | None, str | None]]
    scores: pd.DataFrame | None
    mean: Mapping[str, float] | None
    same_questions: bool

    @property
    def tested_by_one(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The languages that each run was tested in and the other was not."""
        one, other = (_tested(run)["language"].tolist() for run in self.runs)
        first = tuple(code for code in one if code not in other)
        return first, tuple(code for code in other if code not in one)

    @property
    def differs(self) -> bool:
        """Whether anything at all does."""
        found = [
            table["difference"].abs().max() > 0 for c in self.curves for table in c.tables.values()
        ]
        if self.scores is not None:
            found.append(self.scores["difference"].abs().max() > 0)
        found += [first != second for first, second in self.areas.values()]
        alike = self.same_model and self.same_corpus and not self.settings
        return any(found) or not alike


def open_comparable(path: str | Path) -> RunFolder:
    """Open the folder of a sweep or a training.

    Raises:
        ShiftlensError: It is a demo's, or as :func:`shiftlens.folders.opening.open_run_folder`.
    """
    run = open_run_folder(path)
    if isinstance(run, DemoFolder):
        inside = ", ".join(str(each.out) for each in (run.sweep, *run.trainings.values()))
        raise ShiftlensError(f"{run.out} holds several runs; compare two of {inside}")
    return run


def compare_runs(first: RunFolder, second: RunFolder) -> Comparison:
    """Compare two runs of any kinds.

    Two trainings are compared before with before and after with after; a sweep with a training's
    before and after. Curves are means over the languages that both runs have.

    Args:
        first: A run folder.
        second: Another.

    Returns:
        What differs; differences are second minus first.

    Raises:
        ShiftlensError: They share no language besides the dominant one, or no metric.
    """
    manifests = [run.first.store.manifest for run in (first, second)]
    scores = _scores(first, second)
    return Comparison(
        (first, second),
        _settings(first, second),
        manifests[0]["model"]["sha256"] == manifests[1]["model"]["sha256"],
        manifests[0]["corpus"] == manifests[1]["corpus"],
        tuple(
            _curves(first, second, one, other)
            for one, other in _pairs(list(first.states), list(second.states))
        ),
        _areas(first.first.sweep, second.first.sweep),
        scores,
        None if scores is None else mean_difference(scores, first.dominant),
        scores is not None
        and first.settings["test"] == second.settings["test"]
        and bool((scores["n"] == scores["m"]).all()),
    )


def _settings(first: RunFolder, second: RunFolder) -> dict[str, tuple[Any, Any]]:
    """What differs, the kind of run and the versions included; what one kind lacks is left out."""
    values = [
        {"kind": run.kind, **run.settings, "versions": run.versions} for run in (first, second)
    ]
    return {
        name: (value, values[1][name])
        for name, value in values[0].items()
        if name in values[1] and name not in NOT_COMPARED and value != values[1][name]
    }


def _pairs(first: list[str], second: list[str]) -> list[tuple[str, str]]:
    """Which states of one run are put beside which of the other."""
    shared = [(stage, stage) for stage in first if stage in second]
    if shared:
        return shared
    return [(one, other) for one in first for other in second if "shifted" not in (one, other)]


def _curves(first: RunFolder, second: RunFolder, one: str, other: str) -> Curves:
    states = first.states[one], second.states[other]
    sweeps = states[0].sweep, states[1].sweep
    names = tuple(
        run.out.as_posix() + ("" if stage == "sweep" else f", {stage}")
        for run, stage in ((first, one), (second, other))
    )
    metrics = shared_metrics(*sweeps)
    if not metrics or not shared_languages(*sweeps):
        what = "metric" if not metrics else "language besides the dominant one"
        raise ShiftlensError(f"{names[0]} and {names[1]} share no {what}: nothing to compare")
    return Curves(
        (names[0], names[1]),
        sweeps,
        (first.area, second.area),
        {metric: side_by_side(*sweeps, metric) for metric in metrics},
        agreement(*sweeps),
        tuple(_not_comparable(first, second, states)),
    )


def _not_comparable(
    first: RunFolder, second: RunFolder, states: tuple[States, States]
) -> list[str]:
    """What makes distances of the two runs numbers of different kinds."""
    tables = [each.sweep.table for each in states]
    facts = {
        "n": [f"{table['n'].min()}" for table in tables],
        "d": [f"{table['d'].max()}" for table in tables],
        "shrinkage": [str(table["shrinkage"].iloc[0]) for table in tables],
        "dominant language": [run.dominant for run in (first, second)],
        "states": [str(run.settings.get("states", "sentences")) for run in (first, second)],
        "layers": [f"0..{table['layer'].max()}" for table in tables],
        "pooling": [_pooling(each) for each in states],
    }
    if any(METRICS[name].requires == "rank" for name in tables[0]["metric"].unique()):
        facts["rank"] = [str(run.settings.get("rank", "0.9")) for run in (first, second)]
    warnings = [
        f"{name} differs: {one} and {other}" for name, (one, other) in facts.items() if one != other
    ]
    firsts = [each.sweep.metric for each in states]
    if firsts[0] != firsts[1]:
        warnings.append(f"the areas are chosen by other metrics: {firsts[0]} and {firsts[1]}")
    if other := _other_sentences(first, second):
        warnings.append(f"the sentences differ in {', '.join(other)}")
    return warnings


def _other_sentences(first: RunFolder, second: RunFolder) -> list[str]:
    """Languages of both of which each run has sentences of its own; none where they are gone."""
    try:
        one, other = (
            {code: set(texts) for code, texts in run.corpus.texts.items()}
            for run in (first, second)
        )
    except ShiftlensError:
        return []
    return [
        code
        for code in one
        if code in other and one[code] - other[code] and other[code] - one[code]
    ]


def _pooling(states: States) -> str:
    pooling = states.store.manifest["pooling"]
    return ", ".join(f"{name} {value}" for name, value in pooling.items())


def _areas(first: LayerSweep, second: LayerSweep) -> dict[str, tuple[str | None, str | None]]:
    both = [
        {metric: str(area) for metric, area in (s.areas or {}).items()} for s in (first, second)
    ]
    return {
        metric: (both[0].get(metric), both[1].get(metric))
        for metric in dict.fromkeys([*both[0], *both[1]])
    }


def _scores(first: RunFolder, second: RunFolder) -> pd.DataFrame | None:
    """The results after training, where both runs are tested trainings."""
    table = score_table(_tested(first), _tested(second))
    return None if table.empty else table


def _tested(run: RunFolder) -> pd.DataFrame:
    """The results after training; no rows where there are none."""
    if not isinstance(run, TrainFolder) or run.results is None:
        return pd.DataFrame({"language": []})
    return run.results[run.results["when"] == "after"]
