"""Patching: where in the model one text's answer comes from, cell by cell."""

from time import time_ns
from typing import Any

import pandas as pd
from dash import Dash, Input, Output, Patch, State, ctx, dcc, html, no_update

from shiftlens.app.answer_card import answer_cards, summary
from shiftlens.app.links import link
from shiftlens.app.patch_cells import ALL_HEADS, Cell, cell_of, drawn, has_cell, outline
from shiftlens.app.patch_controls import FIELDS, HINT, patch_controls
from shiftlens.app.patch_request import (
    BLANK,
    PatchRequest,
    check_request,
    code,
    example_of,
    example_state,
    link_state,
    run_answer,
    run_patch,
)
from shiftlens.app.running import Runner, Work
from shiftlens.app.session import Session
from shiftlens.app.texts import unknown_tokens
from shiftlens.app.widgets import connect_take_away, fit, graph, take_away
from shiftlens.errors import ShiftlensError
from shiftlens.patching import ALIGNMENTS, EXAMPLES, PatchResult
from shiftlens.plots import patch_heatmap_interactive

CANNOT = "this model does not write text; give a causal language model"


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
        self.fields = FIELDS

    def layout(self) -> list[Any]:
        """The view's parts."""
        stores = [dcc.Store(id=f"patch-{name}") for name in ("restore", "go", "cell", "seen")]
        if not self.session.can_generate:
            return [*stores, html.P(CANNOT, className="lacking")]
        figure = graph("patch-figure", doubleClick=False)
        results = [
            self.runner.layout(hint="" if self.examples else HINT),
            self.runner.held(
                html.P(id="patch-shows", className="summary"),
                html.P(id="patch-summary", className="summary"),
                html.P(id="patch-unknown", className="warning"),
                html.Div(figure, className="card", id="patch-drawn", hidden=True),
                self.clicks.layout(),
                self.clicks.held(html.Div(id="patch-answer", className="answer-row")),
                take_away("patch", {"patch-figure": "Figure"}),
            ),
        ]
        controls = patch_controls(self.session.model, self.examples)
        return [
            *stores,
            html.Aside(controls, className="controls"),
            html.Div(results, className="results"),
        ]

    def connect(self, app: Dash) -> None:
        """Register the view's callbacks."""
        if not self.session.can_generate:
            return
        self.runner.connect(app)
        self.clicks.connect(app)
        self._connect_typing(app)
        self._connect_asking(app)
        self._connect_choosing(app)
        self._connect_showing(app)
        self._connect_answering(app)
        connect_take_away(app, "patch", ["patch-figure"], self._table)

    def _connect_typing(self, app: Dash) -> None:
        @app.callback(
            *(Output(f"patch-{name}", "value") for name in (*BLANK, "head")),
            Output("patch-cell", "data"),
            Output("patch-example", "value"),
            Output("patch-go", "data"),
            Input("patch-restore", "data"),
            Input("patch-example", "value"),
            Input("view", "value"),
            *(Input(f"patch-{name}", "value") for name in BLANK),
            State(self.runner.asked, "data"),
            prevent_initial_call=True,
        )
        def fill(restored: Any, example: str | None, view: str, *values: Any) -> list[Any]:
            *typed, asked = values
            causes = ctx.triggered_prop_ids.keys()
            first = next(iter(self.examples), None)
            if "patch-example.value" in causes:
                state = self._example(example)
            elif restored and "patch-restore.data" in causes:
                state = {**self._example(None if "clean" in restored else first), **restored}
            elif first and causes & {"view.value", "patch-restore.data"} and not asked:
                state = self._example(first) if view == "patch" else {}
            else:
                state = {}
            if not state:
                title = example_of(dict(zip(BLANK, typed, strict=True)), self.examples)
                return [*[no_update] * (len(BLANK) + 2), title, no_update]
            fields = [{**BLANK, **state}[name] for name in BLANK]
            title = example_of(state, self.examples)
            go = time_ns() if "clean" in state else no_update
            return [*fields, str(state.get("head", ALL_HEADS)), state.get("cell"), title, go]

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
            *(State(f"patch-{name}", "value") for name in BLANK),
            State(self.runner.asked, "data"),
            prevent_initial_call=True,
        )
        def ask(clicks: int | None, go: int | None, *values: Any) -> Any:
            *typed, asked = values
            if not go and not clicks:
                return no_update
            return self.runner.ask(asked, lambda: self._patch(*typed))

    def _connect_choosing(self, app: Dash) -> None:
        @app.callback(
            Output("patch-cell", "data", allow_duplicate=True),
            Output("patch-figure", "clickData"),
            Input("patch-figure", "clickData"),
            Input(self.runner.done, "data"),
            State("patch-head", "value"),
            State("patch-cell", "data"),
            prevent_initial_call=True,
        )
        def choose(clicked: Any, done: str | None, head: str, cell: str | None) -> Any:
            found = self.runner.result(done)
            point = (clicked or {}).get("points", [{}])[0]
            if found is None and point:
                self.runner.lost()
            elif found is not None and "x" in point:
                return str(cell_of(point, found[1], drawn(found[1], int(head)))), None
            elif found is not None and cell and not has_cell(found[1], Cell.read(cell)):
                return None, None
            return no_update, None

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
                return self.clicks.wait(asked)
            return self.clicks.ask(asked, lambda: self._answer(done, found[0], found[1], cell))

    def _connect_showing(self, app: Dash) -> None:
        @app.callback(
            Output("patch-figure", "figure"),
            Output("patch-shows", "children"),
            Output("patch-summary", "children"),
            Output("patch-unknown", "children"),
            Output("patch-drawn", "hidden"),
            Output("patch-take", "hidden"),
            Output("patch-link", "href"),
            Output("patch-code", "children"),
            Output("patch-seen", "data"),
            Input(self.runner.done, "data"),
            Input("patch-head", "value"),
            Input("patch-cell", "data"),
            State("patch-seen", "data"),
            prevent_initial_call=True,
        )
        def draw(done: str | None, head: str, cell: str | None, seen: list[str] | None) -> Any:
            found = self.runner.result(done)
            if found is None:
                if done:
                    self.runner.lost()
                return (no_update,) * 9
            request, result = found
            place = Cell.read(cell) if cell else None
            options = drawn(result, int(head))
            marks = outline(place, result, options)
            if seen == [done, head]:
                figure: Any = Patch()
                figure["layout"]["shapes"] = marks
            else:
                figure = patch_heatmap_interactive(result, **options)
                fit(figure).update_layout(shapes=marks, dragmode=False)
            state = {**link_state(request), "head": options.get("head"), "cell": cell}
            title = example_of(link_state(request), self.examples)
            shows = self.examples[title].shows if title and self.session.is_demo else ""
            unknown = unknown_tokens(self.session.model, request.clean, request.corrupt)
            python = code(self.session, request, options, place)
            words = (shows, summary(result), unknown)
            return figure, *words, False, False, link("patch", state), python, [done, head]

    def _connect_answering(self, app: Dash) -> None:
        @app.callback(
            Output("patch-answer", "children"),
            Input(self.clicks.done, "data"),
            Input("patch-cell", "data"),
            Input(self.runner.done, "data"),
            prevent_initial_call=True,
        )
        def answer(answered: str | None, cell: str | None, done: str | None) -> Any:
            found = self.clicks.result(answered)
            if found is None or cell is None or found[0] != done:
                return []
            return answer_cards(*found[1:])

    def _example(self, title: str | None) -> dict[str, Any]:
        return example_state(self.examples[title]) if title else {}

    def _patch(self, *typed: Any) -> Work:
        request = check_request(*typed)
        return lambda job: (request, run_patch(self.session, request, job))

    def _answer(
        self, done: str | None, request: PatchRequest, result: PatchResult, cell: str
    ) -> Work:
        place = Cell.read(cell)
        if not has_cell(result, place):
            raise ShiftlensError(f"this patching has no cell {cell}; click one")
        return lambda job: (done, request, run_answer(self.session, request, place, job))

    def _table(self, done: str | None) -> pd.DataFrame | None:
        found = self.runner.result(done)
        return None if found is None else found[1].table
