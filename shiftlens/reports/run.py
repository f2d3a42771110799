"""One self-contained HTML page of one run: a sweep, or a training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from shiftlens.config import SweepConfig, TrainConfig
from shiftlens.folders.runs import RunFolder, SweepFolder, TrainFolder
from shiftlens.geometry import METRICS
from shiftlens.languages import language_name
from shiftlens.layer_sweep import LayerSweep
from shiftlens.reports.cautions import cautions, token_table
from shiftlens.reports.curve_tables import rank_correlation
from shiftlens.reports.figures import sweep_figures
from shiftlens.reports.parts import command_line, write_page
from shiftlens.reports.training import training_context

PAGE = "report.html"


def write_run_report(
    run: RunFolder, path: Path | None = None, labels: str | Path | None = None
) -> Path:
    """Write the page of a sweep or a training; the same run gives the same bytes.

    Args:
        run: The run folder.
        path: The file; by default ``report.html`` in the run folder.
        labels: File with a label a sentence, for an LDA with the labels as classes.

    Returns:
        The file.

    Raises:
        ShiftlensError: A file of the run is damaged, or the labels are not of its sentences.
    """
    return write_page(
        path or run.out / PAGE,
        "run.html",
        title=f"{_KINDS[run.kind]} of {run.name}",
        run=run,
        sweep=run.first.sweep,
        facts=_facts(run),
        warnings=cautions(run),
        tokens=token_table(run),
        areas=_areas(run.first.sweep),
        curves_by_layer=curves_by_layer(run.first.sweep),
        figures=sweep_figures(run, run.first, labels, "first"),
        training=training_context(run, labels) if isinstance(run, TrainFolder) else None,
        command=_command(run),
        again=f"shiftlens {run.kind} --config {run.out.as_posix()}/config.yaml --out runs/again",
    )


_KINDS = {"sweep": "Layer sweep", "train": "ShifCon training"}


def _command(run: RunFolder) -> str:
    config = SweepConfig if isinstance(run, SweepFolder) else TrainConfig
    return command_line(run.kind, run.settings, config)


def _facts(run: RunFolder) -> dict[str, str]:
    """What was run, a line each."""
    manifest, model = run.first.store.manifest, run.model
    pooling = manifest["pooling"]
    positions = "all tokens" if pooling["special_tokens"] else "the text's own tokens"
    pooled = positions + (", without the first" if pooling["skip_first"] else "")
    tokens = run.settings.get("states") == "tokens"
    languages = ", ".join(f"{language_name(c)} ({c})" for c in run.first.store.languages)
    facts = {
        "model": f"{model.name}: {model.architecture}, {model.n_layers} blocks, d = "
        f"{model.d_model}, {model.dtype}",
        "model hash": model.sha256,
        "parallel text": f"{run.settings[run.corpus_setting]}: {run.first.store.n_sentences} "
        "sentences a language",
        "text hash": manifest["corpus"]["sha256"],
        "languages": f"{languages}; dominant {language_name(run.dominant)}",
        "states": f"{pooled}, {'each a state' if tokens else 'mean vector a sentence'}",
        "measured on": _measured_on(run.first.sweep.table),
    }
    if isinstance(run, TrainFolder):
        facts |= {
            "arm": run.settings["arm"],
            "instructions": run.settings["sft"],
            "test": run.settings["test"] or "none",
        }
    return {**facts, "versions": run.versions}


def _measured_on(table: pd.DataFrame) -> str:
    n = " to ".join(str(n) for n in sorted({table["n"].min(), table["n"].max()}))
    return f"n = {n} in each half, d = {table['d'].iloc[0]}, shrinkage {table['shrinkage'].iloc[0]}"


def curves_by_layer(sweep: LayerSweep) -> pd.DataFrame:
    """Mean over the other languages by layer, a column a metric, and the first one's floor."""
    curves = pd.DataFrame({metric: sweep.mean_curve(metric) for metric in _metrics(sweep)})
    rows = sweep.table[
        (sweep.table["metric"] == sweep.metric) & (sweep.table["language"] == sweep.dominant)
    ]
    if METRICS[sweep.metric].kind != "single":
        what = "unrelated" if METRICS[sweep.metric].paired else "floor"
        floor = rows.set_index("layer")["value"]
        curves.insert(1, f"{sweep.metric}: {sweep.dominant} {what}", floor)
    return curves.rename_axis("layer")


def _metrics(sweep: LayerSweep) -> Sequence[str]:
    return list(sweep.table["metric"].unique())


def _areas(sweep: LayerSweep) -> list[dict[str, Any]]:
    """The area that each metric chooses, and how far it orders the layers as the first does."""
    if not sweep.areas:
        return []
    near = {metric: _nearness(sweep, metric) for metric in sweep.areas}
    first, *_ = near.values()
    chosen = next(iter(sweep.areas.values()))
    own = set(range(chosen.start, chosen.stop + 1))
    return [
        {
            "metric": metric,
            "area": area,
            "similar": METRICS[metric].kind == "similarity",
            "shared": len(own & set(range(area.start, area.stop + 1))),
            "width": len(own),
            "rho": rank_correlation(first, near[metric]),
        }
        for metric, area in sweep.areas.items()
    ]


def _nearness(sweep: LayerSweep, metric: str) -> pd.Series:
    """The mean curve of the layers that an area is chosen from, high where languages are near."""
    curve = pd.Series(sweep.mean_curve(metric)).iloc[1:-1]
    return curve if METRICS[metric].kind == "similarity" else -curve
