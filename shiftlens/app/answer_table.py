"""The answers without the shift and with it, side by side."""

from typing import Any

from dash import html

from shiftlens.app.shift_request import ShiftRequest
from shiftlens.app.shifted import ShiftComparison
from shiftlens.app.widgets import spoken
from shiftlens.languages import language_name


def answer_table(request: ShiftRequest, comparison: ShiftComparison) -> list[Any]:
    """The answers side by side, one row a language; right ones are marked where that is known."""
    a, b = request.area
    columns = ["", "prompt", "without", f"with the shift, layers {a}–{b}, × {request.strength:g}"]
    rows = []
    for row in comparison.table.to_dict("records"):
        language = str(row["language"])
        changed = row["answer"] != row["shifted_answer"]
        cells = [
            html.Th(language_name(language), scope="row"),
            html.Td(spoken(row["prompt"], language), className="prompt"),
            _answer(row["answer"], row["expected"], language, False),
            _answer(row["shifted_answer"], row["expected"], language, changed),
        ]
        rows.append(html.Tr(cells))
    head = html.Thead(html.Tr([html.Th(name, scope="col") for name in columns]))
    parts: list[Any] = [html.Table([head, html.Tbody(rows)], className="answers")]
    if request.expected:
        right = [
            int((comparison.table[column] == comparison.table["expected"]).sum())
            for column in ("answer", "shifted_answer")
        ]
        words = f"right without the shift: {right[0]} of {len(rows)}; with it: {right[1]}"
        parts.insert(0, html.P(words, className="summary"))
    return parts


def _answer(answer: str, expected: str, language: str, changed: bool) -> html.Td:
    mark = [] if not expected else [html.Span("✓" if answer == expected else "✗")]
    look = " ".join(
        ["answer", *(["changed"] if changed else []), *(["right"] if answer == expected else [])]
    )
    shown = spoken(answer, language) if answer else html.Em("nothing")
    return html.Td([*mark, shown], className=look)
