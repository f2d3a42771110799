"""A comparison of two runs, as a person reads it: lines for the terminal, and a page."""

from html import escape
from pathlib import Path

import pandas as pd

from shiftlens.folders.runs import RunFolder
from shiftlens.plots.compared import compared_curves
from shiftlens.reports.compare import Comparison, Curves
from shiftlens.reports.parts import curves_part, write_page

PAGE = "compare.html"
_KINDS = {"sweep": "sweep", "train": "training"}
_WIDEST = 40


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
        rows = [[name, _short(one), _short(other)] for name, (one, other) in found.settings.items()]
        lines += ["", "settings that differ", *_columns(rows)]
    if found.areas:
        rows = [
            [metric, one or "–", "the same" if one == other else other or "–"]
            for metric, (one, other) in found.areas.items()
        ]
        lines += ["", "areas", *_columns(rows)]
    for curves in found.curves:
        lines += ["", *_curve_lines(curves)]
    if found.scores is not None:
        lines += ["", *_score_lines(found, found.scores)]
    return "\n".join(lines)


def write_comparison(found: Comparison, path: Path) -> Path:
    """Write the page, with the curves of both runs on the same axes.

    Args:
        found: What was found.
        path: The file.

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
        sameness=sameness(found),
        names=[_title(run) for run in found.runs],
        figures=figures,
    )


def sameness(found: Comparison) -> str:
    """Whether model and text are the same, in words."""
    model = "the same model" if found.same_model else "different models"
    text = "the same text" if found.same_corpus else "different text"
    return f"{model}, {text}"


def _title(run: RunFolder) -> str:
    return f"{run.out.as_posix()}, a {_KINDS[run.kind]} of {run.name}"


def _short(value: object) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"


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
    title = f"curves: {second} against {first}"
    if not (curves.agreement["largest"] > 0).any():
        return [f"{title}: the same"]
    return [
        title,
        *(f"  ! {warning}: distances are not comparable" for warning in curves.warnings),
        *_indented(shown),
        f"  {metric}, mean over the languages of both",
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
