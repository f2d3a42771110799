"""Steering from states to a curve on disk: what ``shiftlens steer`` runs."""

from collections.abc import Callable, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import pandas as pd

from shiftlens.asked import check_kind, check_sizes
from shiftlens.collect import collect_states
from shiftlens.config import to_yaml
from shiftlens.corpora import Corpus, load_corpus
from shiftlens.errors import ShiftlensError
from shiftlens.files import check_folder, running, write_atomic
from shiftlens.folders.opening import open_run_folder
from shiftlens.folders.runs import DemoFolder
from shiftlens.geometry.language_subspace import LanguageSubspace
from shiftlens.identity import prediction_hashes
from shiftlens.kept_tables import KeptTables
from shiftlens.language_vectors import LanguageVectors
from shiftlens.languages import language_code
from shiftlens.loading import load_model
from shiftlens.models import LanguageModel
from shiftlens.plots.save import save_figure
from shiftlens.plots.steering import steering_figure
from shiftlens.sft import SftRecord, load_records, records_sha256
from shiftlens.steering import Steering, check_layer, check_ridge
from shiftlens.steering_config import SteerConfig
from shiftlens.steering_curve import NO_LANGUAGE, check_items, steering_curve
from shiftlens.store import STORE, ActivationStore
from shiftlens.whose import check_run_folder
from shiftlens.written import write_table

_PRINTED = {
    "language": "in",
    "other_language": "in",
    "exact_match": "right in",
    "perplexity": "perplexity",
}
_FEW = 0.05


def run_steering(config: SteerConfig, say: Callable[[str], None] = print) -> pd.DataFrame:
    """Measure the curve of one steering, and write it.

    The folder then holds ``steering.csv``, ``.parquet``, ``.png`` and ``.svg``, ``config.yaml``,
    ``steer_inputs.json``, ``read/``, a part of the table a strength, from which a run that stopped
    goes on, and, where there was no run, ``activations/``.

    Returns:
        The table of :func:`shiftlens.steering_curve.steering_curve`.

    Raises:
        ShiftlensError: Something asked for is not there or does not fit (named).
    """
    out = Path(config.out)
    check_folder(out)
    strengths = read_strengths(config.strengths)
    config.source, config.target = map(language_code, (config.source, config.target))
    check_kind(config.kind)
    check_ridge(config.ridge)
    check_sizes(batch_size=config.batch_size)
    check_run_folder(config, may_change=("out", "device", "batch_size"))
    records = load_records(config.records)
    check_items(records, config.source, config.target)
    corpus = _corpus(config)
    model = load_model(config.model, dtype=config.dtype, device=config.device)
    if not model.hf.can_generate():
        raise ShiftlensError(f"model {model.name} cannot generate; give a causal model")
    check_layer(config.layer, model.n_layers)
    texts = corpus or _states(config, model)
    with running(out):
        kept = KeptTables.begin(out, "steer", _inputs(config, model, records, texts))
        store = collect_states(model, texts, out / STORE) if isinstance(texts, Corpus) else texts
        return _run(config, model, records, strengths, store, kept, say)


def _inputs(
    config: SteerConfig,
    model: LanguageModel,
    records: list[SftRecord],
    texts: Corpus | ActivationStore,
) -> dict[str, Any]:
    """What the numbers depend on, whatever the strengths: a folder holds a run of one such."""
    return {
        **prediction_hashes(model),
        "records": records_sha256(records),
        "vectors": texts.sha256 if isinstance(texts, Corpus) else texts.manifest_sha256,
        **{name: getattr(config, name) for name in ("source", "target", "layer", "kind", "ridge")},
    }


def _run(
    config: SteerConfig,
    model: LanguageModel,
    records: list[SftRecord],
    strengths: list[float],
    store: ActivationStore,
    kept: KeptTables,
    say: Callable[[str], None],
) -> pd.DataFrame:
    """The curve, written."""
    out = Path(config.out)
    sides = (config.source, config.target, config.layer)
    steering = fit_steering(config.kind, store, *sides, config.ridge)
    asked = (config.source, config.target, steering, strengths, config.batch_size)
    table = steering_curve(model, records, *asked, kept.table)
    write_table(out / "steering", table)
    title = f"{config.kind}, {config.source} to {config.target}, layer {config.layer}"
    figures = save_figure(steering_figure(table, title), out / "steering")
    write_atomic(out / "config.yaml", to_yaml(config).encode())
    n = int(table["n"].max())
    say(f"{title}: {n} prompts, vectors of {store.n_sentences} sentences in {store.path}")
    say(_summary(table, config.source, config.target))
    say("\n".join(map(str, ["", out / "steering.csv", *figures])))
    return table


def _summary(table: pd.DataFrame, source: str, target: str) -> str:
    """The values by strength; other languages that few answers are in throughout are left out."""
    most = table.groupby(["measure", "language"])["value"].transform("max")
    always = table["language"].isin([source, target, NO_LANGUAGE])
    shown = table[(table["measure"] != "language") | (most >= _FEW) | always]
    columns = shown["measure"].map(_PRINTED) + " " + shown["language"]
    wide = shown.assign(column=columns).pivot(index="strength", columns="column", values="value")
    head = (
        f"share of answers known in each language (other: in neither {source} nor {target}; none: "
        "in no language),\nshare that are right, and perplexity of the right answer"
    )
    values = wide[list(dict.fromkeys(columns))].round(3).rename_axis(columns=None)
    return f"{head}\n{values.to_string()}"


def read_strengths(text: str) -> list[float]:
    """Read strengths separated by commas.

    Raises:
        ShiftlensError: One is no number, infinite, or given twice.
    """
    try:
        strengths = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise ShiftlensError(f"strengths {text!r}: {error}; give numbers as in 0,1,2") from None
    if not all(map(isfinite, strengths)):
        raise ShiftlensError(f"strengths {text!r}: one is NaN or infinite; give finite numbers")
    if len(set(strengths)) < len(strengths):
        raise ShiftlensError(f"strengths {text!r}: one is given twice; give each once")
    return strengths


def _corpus(config: SteerConfig) -> Corpus | None:
    """The text to measure vectors on; None where a run has them."""
    if config.run is not None:
        return None
    source = config.corpus or ("demo" if config.model == "demo" else None)
    if source is None:
        raise ShiftlensError("give --run, a sweep of the model, or --corpus, parallel text")
    corpus = load_corpus(source)
    _check_there((config.source, config.target), corpus.languages)
    return corpus


def _check_there(asked: Sequence[str], languages: Sequence[str]) -> None:
    for language in asked:
        if language not in languages:
            known = ", ".join(languages)
            raise ShiftlensError(f"language {language!r} has no vectors (there: {known})")


def _states(config: SteerConfig, model: LanguageModel) -> ActivationStore:
    """This model's states in the run."""
    folder = open_run_folder(str(config.run))
    opened = folder.sweep if isinstance(folder, DemoFolder) else folder
    sha256 = model.sha256
    for states in opened.states.values():
        store = states.store
        if isinstance(store, ActivationStore) and store.manifest["model"]["sha256"] == sha256:
            _check_there((config.source, config.target), store.languages)
            return store
    raise ShiftlensError(
        f"{config.run} holds no sentence vectors of model {model.name} (other weights, another "
        "dtype, or token moments only); sweep this model, or give --corpus in place of --run"
    )


def fit_steering(
    kind: str, store: ActivationStore, source: str, target: str, layer: int, ridge: float = 0.0
) -> Steering:
    """Make a steering of a kind from the sentence vectors of a store.

    Args:
        kind: One of :data:`shiftlens.steering_config.KINDS`. ``subspace-onto`` takes the target's
            subspace and ``subspace-out`` the source's, both with 90% of the variance.
        store: Sentence vectors of every language at every layer.
        source: Language of the texts to be steered.
        target: Language to steer to.
        layer: Where.
        ridge: For ``incline``.

    Raises:
        ShiftlensError: An unknown kind, no such layer, or a language without states.
    """
    check_kind(kind)
    check_layer(layer, store.layers[-1])
    _check_there((source, target), store.languages)
    if kind.startswith("subspace"):
        onto = kind == "subspace-onto"
        states = store.states(target if onto else source, layer)
        return Steering.subspace(LanguageSubspace().fit(states), layer, onto)
    if kind == "incline":
        return Steering.incline(
            store.states(source, layer), store.states(target, layer), layer, ridge
        )
    vectors = LanguageVectors.from_store(store)
    if kind == "language":
        return Steering.language(vectors, target, layer)
    if kind == "lsar":
        return Steering.lsar(vectors, layer)
    return Steering.difference(vectors, source, target, layer)
