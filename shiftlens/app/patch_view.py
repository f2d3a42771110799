"""Patching: where in the model one text's answer comes from, cell by cell."""

from time import time_ns
from typing import Any

import pandas as pd
from dash import Dash, Input, Output, Patch, State, ctx, dcc, html, no_update

from shiftlens.app.answer_card import answer_cards, summary
from shiftlens.app.links import link, number, one_of, text
from shiftlens.app.patch_cells import ALL_HEADS, Cell, cell_of, drawn, outline
from shiftlens.app.patch_request import (
    PatchRequest,
    check_request,
    code,
    example_state,
    link_state,
    run_answer,
    run_patch,
)
from shiftlens.app.running import Runner, Work
from shiftlens.app.session import Session
from shiftlens.app.texts import LONGEST_ANSWER, LONGEST_TEXT, MOST_ANSWERS
from shiftlens.app.widgets import (
    choice,
    connect_take_away,
    field,
    fit,
    graph,
    take_away,
    text_area,
)
from shiftlens.errors import ShiftlensError
from shiftlens.patching import ALIGNMENTS, COMPONENTS, EXAMPLES, METRICS, PatchResult
from shiftlens.patching.components import n_heads
from shiftlens.plots import patch_heatmap_interactive

CANNOT = "this model does not write text; give a causal language model"
TYPED = ("clean", "corrupt", "answers", "component", "metric", "align", "words")
_LIST = MOST_ANSWERS * (LONGEST_ANSWER + 1)


class PatchView:
    """The first view.

    Args:
        session: The model and what was measured of it.
    """

    name = "patch"
    title = "Patch"

    def __init__(self, session: Session):
        self.session = session
        self.runner = Runner("patch", session.worker)
        self.clicks = Runner("click", session.worker)
        self.examples = EXAMPLES if session.counts else {}
        self.fields = {
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

    def layout(self) -> list[Any]:
        """The view's parts."""
        stores = [dcc.Store(id=f"patch-{name}") for name in ("restore", "go", "cell")]
        if not self.session.can_generate:
            return [*stores, html.P(CANNOT, className="lacking")]
        results = [
            self.runner.layout(),
            html.P(id="patch-shows", className="summary"),
            html.P(id="patch-summary", className="summary"),
            html.Div(graph("patch-figure"), className="card", id="patch-drawn", hidden=True),
            self.clicks.layout(),
            html.Div(id="patch-answer", className="answer-row"),
            take_away("patch", {"patch-figure": "Figure"}),
        ]
        return [
            *stores,
            html.Aside(self._controls(), className="controls"),
            html.Div(results, className="results"),
        ]

    def _controls(self) -> list[Any]:
        heads = {ALL_HEADS: "all, at the last site"}
        heads |= {head: f"head {head}" for head in range(n_heads(self.session.model))}
        options = [{"label": name, "value": str(head)} for head, name in heads.items()]
        ready = [field("Example", choice("patch-example", list(self.examples)))]
        if not self.examples:
            ready = [html.Div(choice("patch-example", []), hidden=True)]
        metrics = {name: metric.words for name, metric in METRICS.items()}
        return [
            html.P(
                "The clean text's states are put into the corrupt text's run, one place at a "
                "time: where the answer changes, it was made."
            ),
            *ready,
            field("Clean text", text_area("patch-clean", 2, "the clean text")),
            field("Corrupt text", text_area("patch-corrupt", 2, "the corrupt text")),
            field(
                "Answers",
                text_area("patch-answers", 2, "answers, one a line"),
                hint="one a line, the right one first; or each after its language, as in fi: yksi",
            ),
            field("Patch the", choice("patch-component", COMPONENTS, "resid")),
            field("Heads", choice("patch-head", options, str(ALL_HEADS)), id="patch-heads"),
            field("Measure the", choice("patch-metric", metrics, "logit_difference")),
            field(
                "Align by",
                choice("patch-align", {name: name for name in ALIGNMENTS}, "auto"),
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

    def connect(self, app: Dash) -> None:
        """Register the view's callbacks."""
        if not self.session.can_generate:
            return
        self.runner.connect(app)
        self.clicks.connect(app)
        self._connect_typing(app)
        self._connect_asking(app)
        self._connect_showing(app)
        connect_take_away(app, "patch", ["patch-figure"], self._table)

    def _connect_typing(self, app: Dash) -> None:
        @app.callback(
            *(Output(f"patch-{name}", "value") for name in (*TYPED, "head")),
            Output("patch-cell", "data"),
            Output("patch-example", "value"),
            Output("patch-shows", "children"),
            Output("patch-go", "data"),
            Input("patch-restore", "data"),
            Input("patch-example", "value"),
            Input("view", "value"),
            State(self.runner.asked, "data"),
            prevent_initial_call=True,
        )
        def fill(restored: Any, example: str | None, view: str, asked: Any) -> list[Any]:
            causes = ctx.triggered_prop_ids.keys()
            state: dict[str, Any] = {}
            chosen = None
            if "patch-restore.data" in causes and "clean" in (restored or {}):
                state = restored
            elif "patch-example.value" in causes or (view == "patch" and not asked):
                chosen = example or next(iter(self.examples), None)
                state = (
                    example_state(self.examples[chosen])
                    if chosen and chosen in self.examples
                    else {}
                )
            if not state:
                return [no_update] * (len(TYPED) + 5)
            defaults = {"answers": "", "words": ""}
            values = [{**defaults, **state}.get(name, no_update) for name in TYPED]
            head = str(state.get("head", ALL_HEADS))
            shows = self.examples[chosen].shows if chosen and self.session.is_demo else ""
            return [*values, head, state.get("cell"), chosen, shows, time_ns()]

        @app.callback(
            Output("patch-heads", "hidden"),
            Output("patch-pairs", "hidden"),
            Output("patch-align-hint", "children"),
            Input("patch-component", "value"),
            Input("patch-align", "value"),
        )
        def needed(component: str, align: str) -> tuple[bool, bool, str]:
            return component != "head", align != "words", ALIGNMENTS.get(align, "")

    def _connect_asking(self, app: Dash) -> None:
        @app.callback(
            Output(self.runner.asked, "data"),
            Input("patch-run", "n_clicks"),
            Input("patch-go", "data"),
            *(State(f"patch-{name}", "value") for name in TYPED),
            State(self.runner.asked, "data"),
            prevent_initial_call=True,
        )
        def ask(clicks: int | None, go: int | None, *values: Any) -> Any:
            *typed, asked = values
            if not go and not clicks:
                return no_update
            return self.runner.ask(asked, lambda: self._patch(*typed))

        @app.callback(
            Output("patch-cell", "data", allow_duplicate=True),
            Input("patch-figure", "clickData"),
            State("patch-head", "value"),
            State(self.runner.done, "data"),
            prevent_initial_call=True,
        )
        def click(clicked: Any, head: str, done: str | None) -> Any:
            found = self.runner.result(done)
            point = (clicked or {}).get("points", [{}])[0]
            if found is None or "x" not in point:
                return no_update
            return str(cell_of(point, found[1], drawn(found[1], int(head))))

        @app.callback(
            Output(self.clicks.asked, "data"),
            Input("patch-cell", "data"),
            Input(self.runner.done, "data"),
            State(self.clicks.asked, "data"),
            prevent_initial_call=True,
        )
        def ask_cell(cell: str | None, done: str | None, asked: dict[str, Any] | None) -> Any:
            found = self.runner.result(done)
            if cell is None or found is None:
                return no_update
            return self.clicks.ask(asked, lambda: self._answer(found[0], found[1], cell))

    def _connect_showing(self, app: Dash) -> None:
        @app.callback(
            Output("patch-figure", "figure"),
            Output("patch-summary", "children"),
            Output("patch-drawn", "hidden"),
            Output("patch-take", "hidden"),
            Output("patch-link", "href"),
            Output("patch-code", "children"),
            Input(self.runner.done, "data"),
            Input("patch-head", "value"),
            Input("patch-cell", "data"),
            prevent_initial_call=True,
        )
        def draw(done: str | None, head: str, cell: str | None) -> Any:
            found = self.runner.result(done)
            if found is None:
                return (no_update,) * 6
            request, result = found
            place = Cell.read(cell) if cell else None
            options = drawn(result, int(head))
            marks = outline(place, result, options)
            if ctx.triggered_prop_ids.keys() == {"patch-cell.data"}:
                figure: Any = Patch()
                figure["layout"]["shapes"] = marks
            else:
                figure = patch_heatmap_interactive(result, **options)
                fit(figure).update_layout(shapes=marks)
            state = {**link_state(request), "head": options.get("head"), "cell": cell}
            python = code(self.session, request, options, place)
            return figure, summary(result), False, False, link("patch", state), python

        @app.callback(
            Output("patch-answer", "children"),
            Input(self.clicks.done, "data"),
            prevent_initial_call=True,
        )
        def answer(done: str | None) -> Any:
            found = self.clicks.result(done)
            return no_update if found is None else answer_cards(*found)

    def _patch(self, *typed: Any) -> Work:
        request = check_request(*typed)
        return lambda job: (request, run_patch(self.session, request, job))

    def _answer(self, request: PatchRequest, result: PatchResult, cell: str) -> Work:
        place = Cell.read(cell)
        if place.site >= len(result.sites):
            raise ShiftlensError(f"there is no site {place.site} in these texts; click a cell")
        return lambda job: (request, run_answer(self.session, request, place, job))

    def _table(self, done: str | None) -> pd.DataFrame | None:
        found = self.runner.result(done)
        return None if found is None else found[1].table
