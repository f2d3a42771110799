"""The neurons: which are of which language, and what the model says with them scaled."""

from time import time_ns
from typing import Any

import numpy as np
import pandas as pd
from dash import Dash, Input, Output, State, ctx, dcc, html, no_update
from numpy.typing import NDArray

from shiftlens.app.links import link
from shiftlens.app.neuron_controls import CONTROLS, HINT, TYPE, neuron_controls, neuron_fields
from shiftlens.app.neuron_figures import counts_figure, overlap_figure, scaled_cards, summary
from shiftlens.app.neuron_request import (
    answer_scaled,
    check_scale,
    check_share,
    code,
    count_active,
)
from shiftlens.app.ready import ready_texts
from shiftlens.app.running import Runner, Work
from shiftlens.app.session import Session
from shiftlens.app.texts import unknown_tokens
from shiftlens.app.widgets import connect_take_away, fit, graph, take_away
from shiftlens.app.worker import Job
from shiftlens.neurons import NeuronsFound, choose_neurons

CANNOT = "this model does not write text; give a causal language model"
OPENED = {"view.value", "neurons-restore.data"}
FIGURES = {"neurons-counts": "Counts", "neurons-overlap": "Overlap"}


class NeuronView:
    """The view of the language-specific neurons.

    Args:
        session: The model and what was measured of it.
    """

    name = "neurons"
    title = "Neurons"

    def __init__(self, session: Session):
        self.session = session
        self.runner = Runner("neurons", session.worker)
        self.answers = Runner("scaled", session.worker)
        self.examples = ready_texts() if session.counts else {}
        self.fields = neuron_fields(session)
        self.lacking = session.missing if session.can_generate else CANNOT
        self._active: NDArray[np.float64] | None = None

    def layout(self) -> list[Any]:
        """The view's parts."""
        stores = [dcc.Store(id=f"neurons-{name}") for name in ("restore", "go")]
        if self.lacking:
            return [*stores, html.P(self.lacking, className="lacking")]
        cards = [html.Div(graph(name), className="card") for name in FIGURES]
        results = [
            self.runner.layout(hint=HINT),
            self.runner.held(
                html.P(id="neurons-summary", className="summary"),
                html.Div(cards, className="pair", id="neurons-drawn", hidden=True),
                html.P(id="neurons-unknown", className="warning"),
                self.answers.layout(),
                self.answers.held(html.Div(id="neurons-answer", className="answer-row two")),
                take_away("neurons", FIGURES),
            ),
        ]
        return [
            *stores,
            html.Aside(neuron_controls(self.session, self.examples), className="controls"),
            html.Div(results, className="results"),
        ]

    def connect(self, app: Dash) -> None:
        """Register the view's callbacks."""
        if self.lacking:
            return
        self.runner.connect(app)
        self.answers.connect(app)
        self._connect_typing(app)
        self._connect_asking(app)
        self._connect_showing(app)
        connect_take_away(app, "neurons", list(FIGURES), self._table)

    def _connect_typing(self, app: Dash) -> None:
        @app.callback(
            *(Output(f"neurons-{name}", "value") for name in (*CONTROLS, "example")),
            Output("neurons-ready", "hidden"),
            Output("neurons-go", "data"),
            Input("neurons-restore", "data"),
            Input("neurons-example", "value"),
            Input("view", "value"),
            Input("neurons-text", "value"),
            State(self.runner.asked, "data"),
        )
        def fill(restored: Any, example: str | None, view: str, typed: str, asked: Any) -> Any:
            causes = ctx.triggered_prop_ids.keys()
            state: dict[str, Any] = {}
            go: Any = no_update
            if "neurons-example.value" in causes and example in self.examples:
                state = {"text": self.examples[example]}
            elif restored and "neurons-restore.data" in causes:
                state, go = {"text": self._first()} | restored, time_ns()
            elif causes & OPENED and view == "neurons" and self.examples and not asked:
                state, go = {"text": self._first()}, time_ns()
            shown = {value: key for key, value in self.examples.items()}
            title = shown.get(state.get("text", typed))
            fields = [state.get(name, no_update) for name in CONTROLS]
            return [*fields, title, not self.examples, go]

    def _connect_asking(self, app: Dash) -> None:
        @app.callback(
            Output(self.runner.asked, "data"),
            Input("neurons-run", "n_clicks"),
            Input("neurons-go", "data"),
            State("neurons-share", "value"),
            State(self.runner.asked, "data"),
            prevent_initial_call=True,
        )
        def ask(clicks: int | None, go: int | None, share: float, asked: Any) -> Any:
            if not go and not clicks:
                return no_update
            return self.runner.ask(asked, lambda: self._find(share))

        @app.callback(
            Output(self.answers.asked, "data"),
            Input(self.runner.done, "data"),
            Input("neurons-language", "value"),
            Input("neurons-scale", "value"),
            Input("neurons-example", "value"),
            Input("neurons-answer-it", "n_clicks"),
            State("neurons-text", "value"),
            State(self.answers.asked, "data"),
            prevent_initial_call=True,
        )
        def ask_answer(done: str | None, *values: Any) -> Any:
            language, scale, example, _, typed, asked = values
            found = self.runner.result(done)
            if found is None:
                return self.answers.wait(asked)
            text = self.examples[example] if self._chose(example) else typed
            if not (text or "").strip() and not self._pressed():
                return self.answers.wait(asked, TYPE)
            return self.answers.ask(asked, lambda: self._answer(done, found, text, language, scale))

    def _connect_showing(self, app: Dash) -> None:
        @app.callback(
            *(Output(figure, "figure") for figure in FIGURES),
            Output("neurons-summary", "children"),
            Output("neurons-drawn", "hidden"),
            Output("neurons-take", "hidden"),
            Input(self.runner.done, "data"),
            prevent_initial_call=True,
        )
        def draw(done: str | None) -> Any:
            found = self.runner.result(done)
            if found is None:
                return (no_update,) * 5
            figures = fit(counts_figure(found)), fit(overlap_figure(found))
            return *figures, summary(found), False, False

        @app.callback(
            Output("neurons-answer", "children"),
            Output("neurons-unknown", "children"),
            Output("neurons-link", "href"),
            Output("neurons-code", "children"),
            Input(self.answers.done, "data"),
            Input(self.runner.done, "data"),
            prevent_initial_call=True,
        )
        def show(answered: str | None, done: str | None) -> Any:
            found = self.runner.result(done)
            if found is None:
                return (no_update,) * 4
            answer = self.answers.result(answered)
            if answer is None or answer[0] != done:
                href = link("neurons", {"share": found.share})
                return [], "", href, code(self.session, found, None)
            _, request, scaled = answer
            state = {"share": found.share, "language": request.language}
            state |= {"scale": request.scale, "text": request.text}
            unknown = unknown_tokens(self.session.model, request.text)
            python = code(self.session, found, request)
            return scaled_cards(request, scaled), unknown, link("neurons", state), python

    def _first(self) -> str:
        """The example in the language that is chosen first."""
        return self.examples.get(self.session.languages[-1], "")

    def _chose(self, example: str | None) -> bool:
        return "neurons-example.value" in ctx.triggered_prop_ids and example in self.examples

    def _pressed(self) -> bool:
        return "neurons-answer-it.n_clicks" in ctx.triggered_prop_ids

    def _find(self, share: float) -> Work:
        kept = check_share(share)

        def work(job: Job) -> NeuronsFound:
            if self._active is None:
                self._active = count_active(self.session, job)
            return choose_neurons(self.session.corpus.languages, self._active, kept)

        return work

    def _answer(self, done: str | None, found: NeuronsFound, *typed: Any) -> Work:
        request = check_scale(self.session, *typed)
        return lambda job: (done, request, answer_scaled(self.session, found, request, job))

    def _table(self, done: str | None) -> pd.DataFrame | None:
        found = self.runner.result(done)
        return None if found is None else found.table()
