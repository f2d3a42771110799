"""A comparison of two runs, as a person reads it: lines for the terminal, and a page."""

import hashlib
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from shiftlens.errors import ShiftlensError
from shiftlens.folders.runs import RunFolder
from shiftlens.plots.compared import compared_curves
from shiftlens.reports.compare import Comparison, Curves
from shiftlens.reports.parts import curves_part, write_page

_KINDS = {"sweep": "sweep", "train": "training"}
_WIDEST = 40
UNSET = "not set"
"""A setting that was left out and has no default."""


def comparison_text(found: Comparison) -> str:
    """The comparison in lines for a terminal.

    Args:
        found: What was found.

    Returns:
        A short heading each for settings, areas, curves and scores.
    """
    lines = [
        f"first   {_title(found.runs[0])}",
        f"second  {_title(found.runs[1])}",
        f"        {sameness(found)}",
    ]
    if not found.differs:
        return "\n".join([*lines, "", "nothing differs"])
    if found.settings:
        rows = [[name, *_shortened(*values)] for name, values in found.settings.items()]
        lines += ["", "settings that differ", *_columns(rows)]
    if found.areas:
        rows = [
            [metric, one or "none", "the same" if one == other else other or "none"]
            for metric, (one, other) in found.areas.items()
        ]
        lines += ["", "areas", *_columns(rows)]
    for curves in found.curves:
        lines += ["", *_curve_lines(curves)]
    if found.scores is not None:
        lines += ["", *_score_lines(found, found.scores)]
    return "\n".join(lines)


def page_of(found: Comparison) -> Path:
    """The page of two runs where none is named: ``compare-FIRST-SECOND.html``, here.

    Raises:
        ShiftlensError: A page of other runs, in folders of the same names, is there.
    """
    first, second = (run.out.resolve().name for run in found.runs)
    path = Path(f"compare-{first}-{second}.html")
    if path.exists() and _mark(found) not in path.read_text(encoding="utf-8", errors="replace"):
        raise ShiftlensError(f"{path} is there and is not of these two runs; give --out PAGE")
    return path


def write_comparison(found: Comparison, path: Path) -> Path:
    """Write the page, with the curves of both runs on the same axes.

    Args:
        found: What was found.
        path: The file; what it held before is replaced.

    Returns:
        The file.
    """
    figures = [
        curves_part(
            compared_curves(
                curves.tables, (escape(curves.names[0]), escape(curves.names[1])), curves.areas
            ),
            f"curves-{number}",
        )
        for number, curves in enumerate(found.curves)
    ]
    return write_page(
        path,
        "compare.html",
        title="Two runs compared",
        found=found,
        mark=Markup(_mark(found)),
        unset=UNSET,
        left_out=left_out,
        sameness=sameness(found),
        names=[_title(run) for run in found.runs],
        figures=figures,
    )


def sameness(found: Comparison) -> str:
    """Whether model and text are the same, in words."""
    model = "the same model" if found.same_model else "different models"
    languages = [set(run.first.store.languages) for run in found.runs]
    other = "different text" if languages[0] == languages[1] else "text in different languages"
    text = "the same text" if found.same_corpus else other
    return f"{model}, {text}"


def left_out(first: Sequence[str], second: Sequence[str]) -> str:
    """Which languages are not compared, and of which run they are; empty where all are."""
    sides = zip((first, second), ("first", "second"), strict=True)
    parts = [f"{', '.join(codes)} ({side} run only)" for codes, side in sides if codes]
    return f"left out: {'; '.join(parts)}" if parts else ""


def _mark(found: Comparison) -> str:
    """The line of a page that tells of which runs it is."""
    places = "\n".join(run.out.resolve().as_posix() for run in found.runs)
    runs = hashlib.sha256(places.encode()).hexdigest()
    return f'<meta name="shiftlens-compare" content="{runs}">'


def _title(run: RunFolder) -> str:
    return f"{run.out.as_posix()}, a {_KINDS[run.kind]} of {run.name}"


def _shortened(one: object, other: object) -> list[str]:
    """Two values, the long ones cut to where they part."""
    texts = [UNSET if value is None else str(value) for value in (one, other)]
    if max(map(len, texts)) <= _WIDEST:
        return texts
    shared = os.path.commonprefix(texts)  # noqa: RUF071 - characters, not folders
    start = max(0, len(shared) - _WIDEST // 2)
    return [_cut(text, start) for text in texts]


def _cut(text: str, start: int) -> str:
    left = text[start : start + _WIDEST]
    return "…" * (start > 0) + left + "…" * (start + _WIDEST < len(text))


def _columns(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  "
        + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _curve_lines(curves: Curves) -> list[str]:
    first, second = curves.names
    shown = curves.agreement.rename(
        columns={
            "layers": "rho over layers",
            "languages": "rho over languages",
            "largest": "largest difference",
        }
    )
    metric = next(iter(curves.tables))
    title = f"curves: {second} against {first}, mean over {', '.join(curves.languages)}"
    missing = [f"  {text}" for text in [left_out(*curves.left_out)] if text]
    if not (curves.agreement["largest"] > 0).any():
        return [f"{title}: the same", *missing]
    return [
        title,
        *missing,
        *(f"  ! {warning}: distances are not comparable" for warning in curves.warnings),
        *_indented(shown),
        f"  {metric} by layer",
        *_indented(curves.tables[metric]),
    ]


def _indented(table: pd.DataFrame) -> list[str]:
    lines = table.rename_axis(index=None).to_string(float_format="{:.4g}".format).splitlines()
    return ["  " + line for line in lines]


def _score_lines(found: Comparison, scores: pd.DataFrame) -> list[str]:
    """Exact match after training, in per cent, and its difference in points."""
    rows = [["language", "first", "second", "difference and its 95% interval"]]
    for code, row in scores.iterrows():
        ends = " to ".join(f"{100 * row[f'difference_{end}']:+.1f}" for end in ("low", "high"))
        shares = [f"{100 * row[name]:.1f}" for name in ("first", "second")]
        rows.append([str(code), *shares, f"{100 * row['difference']:+.1f} [{ends}]"])
    lines = ["right answers after training (%)", *_columns(rows)]
    if text := left_out(*found.tested_by_one):
        lines.append(f"  {text}")
    if not found.same_questions:
        lines.append("  ! the questions are not the same")
    mean = found.mean
    if mean is not None and mean["seeds"] > 1:
        low, high = (f"{100 * mean[end]:+.1f}" for end in ("low", "high"))
        lines.append(
            f"  mean over the {mean['seeds']:.0f} other languages {100 * mean['mean']:+.1f} "
            f"[{low} to {high}], each paired with itself"
        )
    return lines
