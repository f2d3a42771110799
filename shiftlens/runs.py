"""A sweep from end to end, and the run folder it leaves."""

import contextlib
import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from shiftlens import ranks
from shiftlens.collect import CollectionPlan, collect_states, plan_collection
from shiftlens.config import SweepConfig, to_yaml
from shiftlens.corpora import Corpus, load_corpus
from shiftlens.drawing.files import distance_drawing, spelled_range
from shiftlens.errors import ShiftlensError
from shiftlens.files import check_folder, running, write_atomic
from shiftlens.forecast.table import size
from shiftlens.forecast.whole import forecast_planned
from shiftlens.geometry import METRICS, PROJECTIONS
from shiftlens.halves import split_rows
from shiftlens.languages import language_code, language_list
from shiftlens.models import LanguageModel, load_model
from shiftlens.pooling import Pooling
from shiftlens.reports.cautions import measured_on
from shiftlens.store import STORE, ActivationStore
from shiftlens.sweep import LayerSweep, sweep_layers
from shiftlens.sweep_options import SweepOptions
from shiftlens.token_moments import TOKENS, TokenMoments, TokenPlan, collect_token_moments
from shiftlens.whose import check_languages, check_run_folder


@dataclass(frozen=True)
class SweepRun:
    """A finished sweep.

    Attributes:
        out: The run folder.
        store: The activations in it, or the token moments.
        sweep: The table and the area.
        projected: The sweep after the projection, where there is one.
    """

    out: Path
    store: ActivationStore | TokenMoments
    sweep: LayerSweep
    projected: LayerSweep | None = None


def run_sweep(config: SweepConfig, say: Callable[[str], None] = print) -> SweepRun:
    """Collect, sweep, choose the area and draw it.

    The run folder then holds ``activations/`` (or ``token_moments/``), ``sentences.parquet``,
    ``tokens.csv``, ``sweep.csv``, ``sweep.parquet``, ``area.json``, ``layer_distance.png``,
    ``.svg`` and ``.html``, and ``config.yaml``, which repeats the run; after a projection also
    ``sweep_NAME`` and ``layer_distance_NAME`` under the projection's name.

    Args:
        config: The settings.
        say: Receives the lines that a person reads: the plan, the token report, the results.

    Returns:
        The run.

    Raises:
        ShiftlensError: Something in the settings, model or corpus is not usable, of which nothing
            is written, or the disk has no room, which is looked at once the folder is there.
    """
    corpus, model, plan = _planned(config)
    with ranks.held_by_first(running(config.out)):
        store = _collected(config, corpus, model, plan, say)
        return ranks.from_first(lambda: _measure(config, corpus, plan, store, say))


def run_collect(
    config: SweepConfig, say: Callable[[str], None] = print
) -> ActivationStore | TokenMoments:
    """Fill ``activations/`` (or ``token_moments/``) of a run folder, and no more.

    A sweep with the same settings goes on from there, of the states only what it lacks.

    Args:
        config: The settings of the sweep that the states are for.
        say: Receives the lines that a person reads.

    Returns:
        The complete store.

    Raises:
        ShiftlensError: As :func:`run_sweep`.
    """
    corpus, model, plan = _planned(config)
    with ranks.held_by_first(running(config.out)):
        store = _collected(config, corpus, model, plan, say)
    say(f"\n  {store.path}")
    return store


def _planned(config: SweepConfig) -> tuple[Corpus, LanguageModel, CollectionPlan]:
    """Look at everything that the user gave, and lay out what to collect; nothing is written."""
    with ranks.together():
        corpus, model = load_inputs(config)
        plan = plan_collection(
            model,
            corpus,
            pooling=Pooling(config.special_tokens, config.skip_first),
            batch_tokens=config.batch_tokens,
            max_length=config.max_length,
        )
        if config.states == "tokens":
            plan = TokenPlan.of(plan, _halves(config, corpus))
    return corpus, model, plan


def _collected(
    config: SweepConfig,
    corpus: Corpus,
    model: LanguageModel,
    plan: CollectionPlan,
    say: Callable[[str], None],
) -> ActivationStore | TokenMoments:
    """The states, which the processes of a launcher collect together."""
    with ranks.together():
        say(_forecast(config, model, corpus, plan))
        _check_disk(Path(config.out), plan)
        say(_token_table(plan, corpus.dropped).to_string(index=False))
    return _collect(config, model, corpus, plan)


def _measure(
    config: SweepConfig,
    corpus: Corpus,
    plan: CollectionPlan,
    store: ActivationStore | TokenMoments,
    say: Callable[[str], None],
) -> SweepRun:
    """Everything after the states."""
    out, name = Path(config.out), Path(config.model).name
    options = asdict(_options(config))
    sweep = sweep_layers(store, config.dominant, **{**options, "projection": "none"})
    _remove_projected(out)
    tokens = _token_table(plan, corpus.dropped)
    write_atomic(out / "tokens.csv", tokens.to_csv(index=False).encode())
    write_atomic(out / "sentences.parquet", parquet(corpus.table()))
    _write_results(out, sweep, name)
    write_atomic(out / "area.json", (json.dumps(area_facts(sweep), indent=1) + "\n").encode())
    say(summary(sweep))
    projected = None
    if config.projection != "none":
        projected = sweep_layers(store, config.dominant, **options)
        _write_results(out, projected, name, config.projection)
        say(_projection_summary(sweep, projected, config.projection))
    for line in measured_on(sweep.table, tokens):
        print(f"warning: {line}", file=sys.stderr)
    write_atomic(out / "config.yaml", to_yaml(config).encode())
    files = sorted(path for path in out.iterdir() if path.suffix != ".lock")
    say("\n".join(["", *(f"  {path}" for path in files)]))
    return SweepRun(out, store, sweep, projected)


def _options(config: SweepConfig) -> SweepOptions:
    return SweepOptions(
        config.metric,
        config.shrinkage,
        config.rank,
        config.groups,
        config.projection,
        config.projection != "none",
        config.share,
        config.seed,
    )


def _remove_projected(out: Path) -> None:
    """What an earlier run with another projection left would pass for this run's."""
    for name in PROJECTIONS:
        for file in (*out.glob(f"sweep_{name}.*"), *out.glob(f"layer_distance_{name}.*")):
            file.unlink()


def load_inputs(config: SweepConfig) -> tuple[Corpus, LanguageModel]:
    """Look at everything that the user gave, cheapest first.

    Raises:
        ShiftlensError: Something in the settings, model or corpus is not usable.
    """
    check_folder(Path(config.out))
    check_run_folder(config)
    languages = None if config.languages is None else language_list(config.languages)
    config.dominant = language_code(config.dominant)
    corpus = load_corpus(config.corpus, languages, keep_intersection=config.keep_intersection)
    check_languages(Path(config.out), corpus.languages)
    if config.sentences is not None:
        corpus = corpus.head(config.sentences)
    if config.states not in ("sentences", "tokens"):
        raise ShiftlensError(f"states {config.states!r} are neither sentences nor tokens")
    tokens = config.states == "tokens"
    _options(config).check(corpus.languages, config.dominant, len(corpus), tokens)
    return corpus, load_model(config.model, dtype=config.dtype, device=config.device)


def _collect(
    config: SweepConfig, model: LanguageModel, corpus: Corpus, plan: CollectionPlan
) -> ActivationStore | TokenMoments:
    out = Path(config.out)
    if config.states == "sentences":
        return collect_states(model, corpus, out / STORE, plan=plan)
    halves = _halves(config, corpus)
    return collect_token_moments(model, corpus, out / TOKENS, halves=halves, plan=plan)


def _halves(config: SweepConfig, corpus: Corpus) -> tuple[np.ndarray, np.ndarray]:
    first, second = split_rows(len(corpus), config.seed)
    return first, second


def _forecast(
    config: SweepConfig, model: LanguageModel, corpus: Corpus, plan: CollectionPlan
) -> str:
    what = "token moments" if config.states == "tokens" else "activations"
    dropped = ", ".join(f"{language}: {n}" for language, n in corpus.dropped.items())
    lines = [
        f"model    {model.name}: {type(model.hf).__name__}, layers 0..{model.n_layers}, "
        f"d_model {model.d_model}, {plan.manifest['model']['dtype']} on {model.device}",
        f"corpus   {config.corpus}: {len(corpus)} sentences in each of "
        f"{', '.join(corpus.languages)}; dominant {config.dominant}",
    ]
    if dropped:
        lines.append(f"dropped  sentences that some language lacks ({dropped})")
    size_on_disk = f"{plan.disk_bytes / 1e6:.1f} MB of {what}"
    if _collected_before(config, plan):
        return "\n".join([*lines, f"has      {config.out}: {size_on_disk}, all collected"])
    lines.append(f"writes   {config.out}: {size_on_disk}")
    with contextlib.suppress(ShiftlensError):  # of a model that cannot run without its weights
        tokens = config.states == "tokens"
        metrics = _options(config).check(
            corpus.languages, config.dominant, len(corpus), tokens=tokens
        )
        vectors = any(metric.takes == "states" for metric in metrics)
        work = forecast_planned(model, plan, tokens, groups=config.groups, vectors=vectors)
        lines.append(
            f"takes    {work.collection.flops:.1e} FLOPs in the model and "
            f"{size(max(work.collection.peak, work.sweep.memory))} of memory beside the libraries"
        )
    return "\n".join(lines)


def _collected_before(config: SweepConfig, plan: CollectionPlan) -> bool:
    """Whether the folder has all states that the plan asks for."""
    kind, name = (TokenMoments, TOKENS) if config.states == "tokens" else (ActivationStore, STORE)
    try:
        return kind.open(Path(config.out) / name).holds(plan.manifest)
    except ShiftlensError:
        return False


def _check_disk(out: Path, plan: CollectionPlan) -> None:
    free = shutil.disk_usage(out).free
    there = sum(file.stat().st_size for file in out.glob("*/*.safetensors"))
    if free + there < plan.disk_bytes:
        raise ShiftlensError(
            f"{out}: the states take {plan.disk_bytes / 1e6:.1f} MB and {free / 1e6:.1f} MB are "
            "free; take fewer sentences or another disk"
        )


def _token_table(plan: CollectionPlan, dropped: Mapping[str, int]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "language": language,
            "sentences": len(tokens.ids),
            **tokens.report(),
            "dropped": dropped.get(language, 0),
        }
        for language, tokens in plan.tokens.items()
    )


def _write_results(out: Path, sweep: LayerSweep, model: str, projection: str = "") -> None:
    ending = f"_{projection}" if projection else ""
    write_atomic(out / f"sweep{ending}.csv", sweep.table.to_csv(index=False).encode())
    write_atomic(out / f"sweep{ending}.parquet", parquet(sweep.table))
    area = (sweep.area.start, sweep.area.stop) if sweep.area else None
    facts = (area, sweep.dominant, sweep.metric, model, projection)
    distance_drawing(sweep.table, *facts).save(out)


def area_facts(sweep: LayerSweep) -> dict[str, Any]:
    """What ``area.json`` holds: the area, the areas other metrics choose, the mean curves."""
    areas = sweep.areas or {}
    return {
        "layer_convention": "layer l is the residual stream after block l; 0 enters block 1",
        "dominant": sweep.dominant,
        "metric": sweep.metric,
        "area": asdict(sweep.area) if sweep.area else None,
        "areas": {metric: asdict(area) for metric, area in areas.items()},
        "mean_distance_by_layer": {
            metric: sweep.mean_curve(metric) for metric in sweep.table["metric"].unique()
        },
    }


def parquet(table: pd.DataFrame) -> bytes:
    """A table as the content of a Parquet file."""
    buffer = BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def summary(sweep: LayerSweep) -> str:
    """The curves of the first metric and the areas, as a person reads them."""
    lines = ["", _heading(sweep), sweep.curves(sweep.metric).round(3).to_string(), ""]
    if sweep.areas is None:
        return "\n".join([*lines, "area     none: the model has fewer than 3 blocks"])
    if not sweep.areas:
        return "\n".join([*lines, f"area     none: {sweep.metric} is of one language"])
    width = max(map(len, sweep.areas))
    lines += [f"area by {metric:{width}}  {area}" for metric, area in sweep.areas.items()]
    lines[-len(sweep.areas)] += "  <- the area"
    return "\n".join(lines)


def _heading(sweep: LayerSweep) -> str:
    """What the first metric was measured on."""
    metric = METRICS[sweep.metric]
    rows = sweep.table[sweep.table["metric"] == sweep.metric]
    facts = [f"n = {spelled_range(rows['n'])} in each half", f"d = {rows['d'].iloc[0]}"]
    if metric.takes == "summary":
        facts.append(f"rank {spelled_range(rows['rank'])}")
    if metric.requires in ("shrinkage", "covariance"):
        facts.append(f"shrinkage {rows['shrinkage'].iloc[0]}")
    to = "" if metric.kind == "single" else f" to {sweep.dominant}"
    return f"{metric.name}{to} by layer ({', '.join(facts)})"


def _projection_summary(before: LayerSweep, after: LayerSweep, projection: str) -> str:
    """Mean curves of every metric, before and after a projection."""
    curves = {
        (metric, when): sweep.mean_curve(metric)
        for metric in before.table["metric"].unique()
        for when, sweep in (("before", before), ("after", after))
    }
    table = pd.DataFrame(curves).T.round(3)
    return f"\nmean over the languages by layer, before and after {projection}\n{table.to_string()}"
