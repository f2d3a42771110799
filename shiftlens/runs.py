"""A sweep from end to end, and the run folder it leaves."""

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from shiftlens import ranks
from shiftlens.collect import CollectionPlan, collect_states, plan_collection
from shiftlens.config import SweepConfig, to_yaml
from shiftlens.corpora import Corpus, load_corpus
from shiftlens.errors import ShiftlensError
from shiftlens.files import check_folder, running, write_atomic
from shiftlens.geometry import PROJECTIONS
from shiftlens.halves import split_rows
from shiftlens.languages import language_code, language_list
from shiftlens.layer_sweep import LayerSweep
from shiftlens.loading import load_model
from shiftlens.models import LanguageModel
from shiftlens.pooling import Pooling
from shiftlens.reports.cautions import measured_on
from shiftlens.store import STORE, ActivationStore
from shiftlens.sweep import sweep_layers
from shiftlens.sweep_forecast import check_disk, forecast_words, token_table
from shiftlens.sweep_options import SweepOptions
from shiftlens.sweep_results import area_facts, projection_summary, summary, write_results
from shiftlens.token_moments import TOKENS, TokenMoments, TokenPlan, collect_token_moments
from shiftlens.whose import check_languages, check_run_folder
from shiftlens.written import parquet, write_csv, write_json


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
        say(forecast_words(config, model, corpus, plan))
        check_disk(Path(config.out), plan)
        say(token_table(plan, corpus.dropped).to_string(index=False))
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
    options = asdict(SweepOptions.of(config))
    sweep = sweep_layers(store, config.dominant, **{**options, "projection": "none"})
    _remove_projected(out)
    tokens = token_table(plan, corpus.dropped)
    write_csv(out / "tokens.csv", tokens)
    write_atomic(out / "sentences.parquet", parquet(corpus.table()))
    write_results(out, sweep, name)
    write_json(out / "area.json", area_facts(sweep))
    say(summary(sweep))
    projected = None
    if config.projection != "none":
        projected = sweep_layers(store, config.dominant, **options)
        write_results(out, projected, name, config.projection)
        say(projection_summary(sweep, projected, config.projection))
    for line in measured_on(sweep.table, tokens):
        print(f"warning: {line}", file=sys.stderr)
    write_atomic(out / "config.yaml", to_yaml(config).encode())
    files = sorted(path for path in out.iterdir() if path.suffix != ".lock")
    say("\n".join(["", *(f"  {path}" for path in files)]))
    return SweepRun(out, store, sweep, projected)


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
    states = TOKENS if config.states == "tokens" else STORE
    check_languages(Path(config.out), states, corpus.languages)
    if config.sentences is not None:
        corpus = corpus.head(config.sentences)
    if config.states not in ("sentences", "tokens"):
        raise ShiftlensError(f"states {config.states!r} are neither sentences nor tokens")
    tokens = config.states == "tokens"
    SweepOptions.of(config).check(corpus.languages, config.dominant, len(corpus), tokens)
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
