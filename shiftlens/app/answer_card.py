"""What the model says after one patch, beside what it says without."""

from typing import Any

from dash import html

from shiftlens.app.patch_request import PatchRequest
from shiftlens.app.widgets import spoken
from shiftlens.patching import Continuation, PatchedAnswer, PatchResult


def summary(result: PatchResult) -> list[Any]:
    """The two unpatched runs in one line: what each says, and the metric."""
    return [
        f"{result.metric_words}: clean ",
        html.B(f"{result.clean_value:.3g}"),
        " (“",
        spoken(result.clean_top),
        "”), corrupt ",
        html.B(f"{result.corrupt_value:.3g}"),
        " (“",
        spoken(result.corrupt_top),
        "”). Click a cell to let the model answer with that one patch.",
    ]


def answer_cards(request: PatchRequest, answer: PatchedAnswer) -> list[Any]:
    """Three cards: the corrupt run, the same with the patch, and the clean run."""
    head = "" if answer.head is None else f", head {answer.head}"
    where = f"layer {answer.layer}{head}, at “{answer.site.label}”"
    return [
        answer_card("corrupt", request.corrupt, answer.corrupt),
        answer_card("corrupt, patched", where, answer.patched, "patched"),
        answer_card("clean", request.clean, answer.clean),
    ]


def answer_card(title: str, where: str, said: Continuation, look: str = "") -> html.Div:
    """The greedy continuation, and the likeliest next tokens with their probabilities as bars."""
    text = said.text.strip()
    bars = [
        html.Div(
            [
                spoken(token, className="token"),
                html.Div(html.Div(style={"width": f"{100 * p:.1f}%"}), className="probability"),
                html.Span(f"{p:.3f}", className="number"),
            ],
            className="top",
        )
        for token, p in said.top
    ]
    head = [html.H2(title), spoken(where, className="where", title=where)]
    continuation = spoken(text, className="said") if text else html.Em("nothing", className="said")
    return html.Div([*head, continuation, *bars], className=f"answer-card {look}".strip())
