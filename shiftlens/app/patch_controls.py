"""The controls of the view of patching, and what a link to it may set."""

from collections.abc import Mapping
from typing import Any

from dash import html

from shiftlens.app.links import number, one_of, text
from shiftlens.app.patch_cells import ALL_HEADS, Cell
from shiftlens.app.patch_request import BLANK
from shiftlens.app.texts import LONGEST_ANSWER, LONGEST_TEXT, MOST_ANSWERS
from shiftlens.app.widgets import choice, field, text_area
from shiftlens.models import LanguageModel
from shiftlens.patching import ALIGNMENTS, COMPONENTS, METRICS, Example
from shiftlens.patching.components import n_heads

HINT = (
    "Type a clean and a corrupt text, which differ in what the answer hangs on, and the answers to "
    "tell apart; then press Run."
)
_LIST = MOST_ANSWERS * (LONGEST_ANSWER + 1)
FIELDS = {
    "clean": text("the clean text", LONGEST_TEXT),
    "corrupt": text("the corrupt text", LONGEST_TEXT),
    "answers": text("the list of answers", _LIST),
    "component": one_of("component", lambda: list(COMPONENTS)),
    "metric": one_of("metric", lambda: list(METRICS)),
    "align": one_of("alignment", lambda: list(ALIGNMENTS)),
    "words": text("the list of word pairs", _LIST),
    "head": number("head", 0, 10_000, int),
    "cell": lambda value: str(Cell.read(value)),
}
"""What a link may set."""


def patch_controls(model: LanguageModel, examples: Mapping[str, Example]) -> list[Any]:
    """Build the controls, those of texts empty.

    Args:
        model: The model, whose heads can be chosen.
        examples: What can be tried at once, by title; where there are none their menu is hidden.
    """
    heads = {ALL_HEADS: "all, at the last site"}
    heads |= {head: f"head {head}" for head in range(n_heads(model))}
    options = [{"label": name, "value": str(head)} for head, name in heads.items()]
    ready = choice("patch-example", list(examples), blank="your own")
    metrics = {name: metric.words for name, metric in METRICS.items()}
    return [
        html.P(
            "The clean text's states are put into the corrupt text's run, one place at a "
            "time: where the answer changes, it was made."
        ),
        field("Example", ready) if examples else html.Div(ready, hidden=True),
        field("Clean text", text_area("patch-clean", 2, "the clean text")),
        field("Corrupt text", text_area("patch-corrupt", 2, "the corrupt text")),
        field(
            "Answers",
            text_area("patch-answers", 2, "answers, one a line"),
            hint="one a line, the right one first; or each after its language, as in fi: yksi",
        ),
        field("Patch the", choice("patch-component", COMPONENTS, BLANK["component"])),
        field("Heads", choice("patch-head", options, str(ALL_HEADS)), id="patch-heads"),
        field("Measure the", choice("patch-metric", metrics, BLANK["metric"])),
        field(
            "Align by",
            choice("patch-align", {name: name for name in ALIGNMENTS}, BLANK["align"]),
            html.Span(id="patch-align-hint", className="hint"),
        ),
        field(
            "Word pairs",
            text_area("patch-words", 2, "pairs of words, one a line"),
            hint="one a line: clean word = corrupt word",
            id="patch-pairs",
        ),
        html.Button("Run", id="patch-run"),
    ]
