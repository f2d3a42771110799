"""The shift: what the model says with it and without, language by language."""

from typing import Any

import pandas as pd
from dash import Dash, Input, Output, State, ctx, dcc, html, no_update

from shiftlens.app.answer_table import answer_table
from shiftlens.app.links import link, number, one_of, text
from shiftlens.app.ready import OWN, ready_prompts
from shiftlens.app.running import Runner, Work
from shiftlens.app.session import Session
from shiftlens.app.shift_request import (
    STRONGEST,
    check_request,
    code,
    compare,
    default_area,
    too_shallow,
)
from shiftlens.app.shifted import shift_figure
from shiftlens.app.texts import LONGEST_TEXT, unknown_tokens
from shiftlens.app.widgets import (
    choice,
    connect_take_away,
    field,
    fit,
    graph,
    layer_marks,
    take_away,
    text_area,
)
from shiftlens.languages import language_name

CANNOT = "this model does not write text; give a causal language model"
SHALLOW = "this model has fewer than 3 blocks: there are no two layers to shift between"
TYPE = "Type a prompt, choose the language it is in, and press Answer it."
CONTROLS = ("item", "language", "text", "area", "strength")


class ShiftView:
    """The second view.

    Args:
        session: The model and what was measured of it.
    """

    name = "shift"
    title = "Shift"

    def __init__(self, session: Session):
        self.session = session
        self.runner = Runner("shift", session.worker)
        last = session.model.n_layers - 1
        self.fields = {
            "item": one_of("prompt", lambda: list(self._items())),
            "language": one_of("language", lambda: session.languages),
            "text": text("the prompt", LONGEST_TEXT),
            "a": number("layer a", 1, last, int),
            "b": number("layer b", 1, last, int),
            "strength": number("the strength", 0, STRONGEST),
        }
        self.lacking = session.missing
        if not session.can_generate:
            self.lacking = CANNOT
        elif too_shallow(session):
            self.lacking = SHALLOW

    def layout(self) -> list[Any]:
        """The view's parts."""
        if self.lacking:
            return [dcc.Store(id="shift-restore"), html.P(self.lacking, className="lacking")]
        last = self.session.model.n_layers - 1
        items = self._items()
        names = {code: language_name(code) for code in self.session.languages}
        strengths = {value: f"{value:g}" for value in (0, 0.5, 1, 1.5)}
        area = list(default_area(self.session))
        controls = [
            html.P(
                "At layer a every state is moved by the difference of the languages' means, into "
                "the dominant language's subspace; at layer b back."
            ),
            field("Prompt", choice("shift-item", items, next(iter(items)))),
            field("Language", choice("shift-language", names, list(names)[-1])),
            field(
                "Your own prompt",
                text_area("shift-text", 3, "your own prompt"),
                html.Button("Answer it", id="shift-run"),
                id="shift-own",
            ),
            field(
                "Layers a and b",
                dcc.RangeSlider(
                    1, last, 1, layer_marks(1, last), area, pushable=1, id="shift-area"
                ),
            ),
            field("Strength", dcc.Slider(0, STRONGEST, 0.05, strengths, 1, id="shift-strength")),
        ]
        results = [
            self.runner.layout(again=True),
            self.runner.held(
                html.P(id="shift-unknown", className="warning"),
                html.Div(id="shift-answers", className="card"),
                html.Div(graph("shift-figure"), className="card", id="shift-drawn", hidden=True),
                take_away("shift", {"shift-figure": "Figure"}),
            ),
        ]
        return [
            dcc.Store(id="shift-restore"),
            html.Aside(controls, className="controls"),
            html.Div(results, className="results"),
        ]

    def connect(self, app: Dash) -> None:
        """Register the view's callbacks."""
        if self.lacking:
            return
        self.runner.connect(app)
        self._connect_restoring(app)
        self._connect_asking(app)
        self._connect_showing(app)
        connect_take_away(app, "shift", ["shift-figure"], self._table)

    def _connect_restoring(self, app: Dash) -> None:
        @app.callback(
            *(Output(f"shift-{name}", "value") for name in CONTROLS),
            Input("shift-restore", "data"),
            prevent_initial_call=True,
        )
        def restore(state: dict[str, Any] | None) -> list[Any]:
            state = dict(state or {})
            if "a" in state and "b" in state:
                state["area"] = [state["a"], state["b"]]
            if "text" in state:
                state["item"] = OWN
            return [state.get(name, no_update) for name in CONTROLS]

        @app.callback(
            Output("shift-own", "hidden"),
            Input("shift-item", "value"),
        )
        def own(item: str) -> bool:
            return item != OWN

    def _connect_asking(self, app: Dash) -> None:
        @app.callback(
            Output(self.runner.asked, "data"),
            Input("view", "value"),
            Input("shift-run", "n_clicks"),
            Input(self.runner.again, "n_clicks"),
            Input("shift-item", "value"),
            Input("shift-language", "value"),
            Input("shift-area", "value"),
            Input("shift-strength", "value"),
            State("shift-text", "value"),
            State(self.runner.asked, "data"),
            prevent_initial_call=True,
        )
        def ask(view: str, _: int, again: int, *values: Any) -> Any:
            item, language, area, strength, typed, asked = values
            causes = ctx.triggered_prop_ids.keys()
            same = causes <= {"view.value"} | ({"shift-language.value"} if item != OWN else set())
            if view != "shift" or (same and not self.runner.stopped(asked)):
                return no_update
            if item == OWN and not (typed or "").strip() and "shift-run.n_clicks" not in causes:
                return self.runner.wait(asked, TYPE)
            return self.runner.ask(
                asked, lambda: self._compare(item, language, typed, area, strength)
            )

    def _connect_showing(self, app: Dash) -> None:
        @app.callback(
            Output("shift-unknown", "children"),
            Output("shift-answers", "children"),
            Output("shift-figure", "figure"),
            Output("shift-figure", "style"),
            Output("shift-drawn", "hidden"),
            Output("shift-take", "hidden"),
            Output("shift-link", "href"),
            Output("shift-code", "children"),
            Input(self.runner.done, "data"),
            Input("shift-language", "value"),
            prevent_initial_call=True,
        )
        def show(done: str | None, language: str) -> Any:
            found = self.runner.result(done)
            if found is None:
                return (no_update,) * 8
            request, comparison = found
            unknown = unknown_tokens(self.session.model, *request.prompts.values())
            looked_at = language if language in request.prompts else request.language
            figure = fit(shift_figure(comparison, looked_at))
            a, b = request.area
            state = {"language": looked_at, "a": a, "b": b, "strength": request.strength}
            state |= {"text": request.text} if request.text else {"item": request.item}
            python = code(self.session, request, looked_at)
            answers = answer_table(request, comparison)
            tall = {"height": figure.layout.height}
            href = link("shift", state)
            return unknown, answers, figure, tall, False, False, href, python

    def _items(self) -> dict[str, str]:
        """The menu of prompts."""
        items = {}
        if self.session.counts:
            ready = ready_prompts().items()
            items = {item: of[self.session.dominant].prompt for item, of in ready}
        return {**items, OWN: "your own"}

    def _compare(self, *values: Any) -> Work:
        request = check_request(self.session, *values)
        return lambda job: (request, compare(self.session, request, job))

    def _table(self, done: str | None) -> pd.DataFrame | None:
        found = self.runner.result(done)
        return None if found is None else found[1].table
