"""A sweep from end to end, and the run folder it leaves."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from shiftlens.collect import CollectionPlan, collect_states, plan_collection
from shiftlens.config import SweepConfig, to_yaml
from shiftlens.corpora import Corpus, load_corpus
from shiftlens.errors import ShiftlensError
from shiftlens.languages import language_code, language_list
from shiftlens.models import LanguageModel, load_model
from shiftlens.pooling import Pooling
from shiftlens.store import STORE, ActivationStore, check_folder, make_folder, write_atomic
from shiftlens.sweep import LayerSweep, check_sweep_options, sweep_layers


@dataclass(frozen=True)
class SweepRun:
    """A finished sweep.

    Attributes:
        out: The run folder.
        store: The activations in it.
        sweep: The table and the area.
    """

    out: Path
    store: ActivationStore
    sweep: LayerSweep


def run_sweep(config: SweepConfig, say: Callable[[str], None] = print) -> SweepRun:
    """Collect, sweep, choose the area and draw it.

    The run folder then holds ``activations/``, ``sentences.parquet``, ``tokens.csv``,
    ``sweep.csv``, ``sweep.parquet``, ``area.json``, ``layer_distance.png``, ``.svg`` and
    ``.html``, and ``config.yaml``, which repeats the run.

    Args:
        config: The settings.
        say: Receives the lines that a person reads: the plan, the token report, the results.

    Returns:
        The run.

    Raises:
        ShiftlensError: Something in the settings, model or corpus is not usable; nothing is
            written before all of it has been looked at.
    """
    corpus, model = _load(config)
    plan = plan_collection(
        model,
        corpus,
        pooling=Pooling(config.special_tokens, config.skip_first),
        batch_tokens=config.batch_tokens,
        max_length=config.max_length,
    )
    out = make_folder(Path(config.out))
    say(_forecast(config, model, corpus, plan))
    _check_disk(out, plan)
    tokens = _token_table(plan)
    say(tokens.to_string(index=False))
    store = collect_states(model, corpus, out / STORE, plan=plan)
    sweep = sweep_layers(
        store,
        config.dominant,
        config.metric,
        shrinkage=config.shrinkage,
        share=config.share,
        seed=config.seed,
    )
    write_atomic(out / "tokens.csv", tokens.to_csv(index=False).encode())
    sentences = pd.DataFrame({"id": corpus.ids, **corpus.texts})
    write_atomic(out / "sentences.parquet", _parquet(sentences))
    _write_results(out, sweep, model.name)
    write_atomic(out / "config.yaml", to_yaml(config).encode())
    say(summary(sweep))
    files = sorted(path for path in out.iterdir() if path.suffix != ".lock")
    say("\n".join(["", *(f"  {path}" for path in files)]))
    return SweepRun(out, store, sweep)


def _load(config: SweepConfig) -> tuple[Corpus, LanguageModel]:
    """Look at everything that the user gave, cheapest first."""
    languages = None if config.languages is None else language_list(config.languages)
    config.dominant = language_code(config.dominant)
    corpus = load_corpus(config.corpus, languages, keep_intersection=config.keep_intersection)
    if config.sentences is not None:
        corpus = corpus.head(config.sentences)
    check_sweep_options(
        corpus.languages,
        config.dominant,
        config.metric,
        config.shrinkage,
        len(corpus),
        config.share,
        config.seed,
    )
    check_folder(Path(config.out))
    return corpus, load_model(config.model, dtype=config.dtype, device=config.device)


def _forecast(
    config: SweepConfig, model: LanguageModel, corpus: Corpus, plan: CollectionPlan
) -> str:
    dropped = ", ".join(f"{language}: {n}" for language, n in corpus.dropped.items())
    lines = [
        f"model    {model.name}: {type(model.hf).__name__}, layers 0..{model.n_layers}, "
        f"d_model {model.d_model}, {plan.manifest['model']['dtype']} on {model.device}",
        f"corpus   {config.corpus}: {len(corpus)} sentences in each of "
        f"{', '.join(corpus.languages)}; dominant {config.dominant}",
        f"writes   {config.out}: {plan.disk_bytes / 1e6:.1f} MB of activations",
    ]
    if dropped:
        lines.insert(2, f"dropped  sentences that some language lacks ({dropped})")
    return "\n".join(lines)


def _check_disk(out: Path, plan: CollectionPlan) -> None:
    free = shutil.disk_usage(out).free
    there = sum(file.stat().st_size for file in out.glob(f"{STORE}/*.safetensors"))
    if free + there < plan.disk_bytes:
        raise ShiftlensError(
            f"{out}: the activations take {plan.disk_bytes / 1e6:.1f} MB and "
            f"{free / 1e6:.1f} MB are free; take fewer sentences or another disk"
        )


def _token_table(plan: CollectionPlan) -> pd.DataFrame:
    rows = [
        {"language": language, "sentences": len(tokens.ids), **tokens.report()}
        for language, tokens in plan.tokens.items()
    ]
    return pd.DataFrame(rows)


def _write_results(out: Path, sweep: LayerSweep, model: str) -> None:
    from shiftlens.plots import layer_distance, layer_distance_interactive, save_figure, save_html

    write_atomic(out / "sweep.csv", sweep.table.to_csv(index=False).encode())
    write_atomic(out / "sweep.parquet", _parquet(sweep.table))
    write_atomic(out / "area.json", (json.dumps(area_facts(sweep), indent=1) + "\n").encode())
    area = (sweep.area.start, sweep.area.stop) if sweep.area else None
    first = sweep.table.iloc[0]
    title = f"{Path(model).name}: n = {first['n']}, d = {first['d']}, {first['shrinkage']}"
    figure = layer_distance(sweep.table, area, sweep.dominant, sweep.metric, title)
    save_figure(figure, out / "layer_distance")
    page = layer_distance_interactive(sweep.table, area, sweep.dominant, sweep.metric, title)
    save_html(page, out / "layer_distance.html")


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


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def summary(sweep: LayerSweep) -> str:
    """The curves of the choosing metric and the areas, as a person reads them."""
    first = sweep.table.iloc[0]
    lines = [
        "",
        f"{sweep.metric} to {sweep.dominant} by layer "
        f"(n = {first['n']} against {first['n']} other sentences, d = {first['d']}, "
        f"rank {sweep.table['rank'].min()}-{sweep.table['rank'].max()}, "
        f"shrinkage {first['shrinkage']})",
        sweep.curves(sweep.metric).round(3).to_string(),
        "",
    ]
    if not sweep.areas:
        return "\n".join([*lines, "area     none: the model has fewer than 3 blocks"])
    width = max(map(len, sweep.areas))
    lines += [f"area by {metric:{width}}  {area}" for metric, area in sweep.areas.items()]
    lines[-len(sweep.areas)] += "  <- the area"
    return "\n".join(lines)
