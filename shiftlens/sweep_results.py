"""What comes out of a sweep: its tables and figure, its area, and what a person reads."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from shiftlens.drawing.files import distance_drawing, spelled_range
from shiftlens.geometry import METRICS
from shiftlens.layer_sweep import LayerSweep
from shiftlens.written import write_table


def write_results(out: Path, sweep: LayerSweep, model: str, projection: str = "") -> None:
    """Write ``sweep`` and ``layer_distance``; of a sweep after a projection under its name.

    Args:
        out: The run folder.
        sweep: What was measured.
        model: What the figure calls the model.
        projection: Name of the projection, or empty.

    Raises:
        ShiftlensError: The folder cannot be written to, or the disk is full.
    """
    ending = f"_{projection}" if projection else ""
    write_table(out / f"sweep{ending}", sweep.table)
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


def summary(sweep: LayerSweep, chosen: bool = True) -> str:
    """The curves of the first metric and the areas, as a person reads them.

    Args:
        sweep: The sweep.
        chosen: Whether the first metric's area is the one that is taken.
    """
    lines = ["", _heading(sweep), sweep.curves(sweep.metric).round(3).to_string(), ""]
    if sweep.areas is None:
        return "\n".join([*lines, "area     none: the model has fewer than 3 blocks"])
    if not sweep.areas:
        return "\n".join([*lines, f"area     none: {sweep.metric} is of one language"])
    width = max(map(len, sweep.areas))
    lines += [f"area by {metric:{width}}  {area}" for metric, area in sweep.areas.items()]
    if chosen:
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


def projection_summary(before: LayerSweep, after: LayerSweep, projection: str) -> str:
    """Mean curves of every metric, before and after a projection."""
    curves = {
        (metric, when): sweep.mean_curve(metric)
        for metric in before.table["metric"].unique()
        for when, sweep in (("before", before), ("after", after))
    }
    table = pd.DataFrame(curves).T.round(3)
    return f"\nmean over the languages by layer, before and after {projection}\n{table.to_string()}"
