"""The lens: what every layer would say after every token of one text, and in which language."""

from time import time_ns
from typing import Any

import pandas as pd
from dash import Dash, Input, Output, Patch, State, ctx, dcc, html, no_update

from shiftlens.app.lens_controls import CONTROLS, HINT, lens_controls, lens_fields
from shiftlens.app.lens_figures import draw_heatmap, draw_lines, framed, seen_colour, summary
from shiftlens.app.lens_request import (
    SHIFTED,
    LensFound,
    can_shift,
    check_request,
    code,
    lens_table,
    link_state,
    read_text,
    token_languages,
)
from shiftlens.app.links import link
from shiftlens.app.ready import ready_texts
from shiftlens.app.running import Runner, Work
from shiftlens.app.session import Session
from shiftlens.app.shift_request import default_area
from shiftlens.app.texts import unknown_tokens
from shiftlens.app.widgets import connect_take_away, graph, take_away
from shiftlens.app.worker import Job
from shiftlens.lens import TokenLanguages

CANNOT = "this model does not predict the next token; give a causal language model"
FIGURES = {"lens-figure": "Heatmap", "lens-lines": "Lines"}


class LensView:
    """The view of the logit lens.

    Args:
        session: The model and what was measured of it.
    """

    name = "lens"
    title = "Lens"

    def __init__(self, session: Session):
        self.session = session
        self.runner = Runner("lens", session.worker)
        self.examples = ready_texts() if session.counts else {}
        self.fields = lens_fields(session)
        self.area = default_area(session)
        self._tokens: tuple[TokenLanguages | None, str] | None = None

    def layout(self) -> list[Any]:
        """The view's parts."""
        stores = [dcc.Store(id=f"lens-{name}") for name in ("restore", "go", "position", "seen")]
        if not self.session.can_generate:
            return [*stores, html.P(CANNOT, className="lacking")]
        figures = html.Div(
            [
                html.Div(graph("lens-figure", doubleClick=False), className="card wide"),
                html.Div(graph("lens-lines"), className="card", id="lens-masses"),
            ],
            className="stack",
            id="lens-drawn",
            hidden=True,
        )
        results = [
            self.runner.layout(hint="" if self.examples else HINT),
            self.runner.held(
                html.P(id="lens-summary", className="summary"),
                html.P(id="lens-unknown", className="warning"),
                figures,
                html.P(id="lens-lacks", className="summary"),
                take_away("lens", FIGURES),
            ),
        ]
        return [
            *stores,
            html.Aside(lens_controls(self.session, self.area, self.examples), className="controls"),
            html.Div(results, className="results"),
        ]

    def connect(self, app: Dash) -> None:
        """Register the view's callbacks."""
        if not self.session.can_generate:
            return
        self.runner.connect(app)
        self._connect_typing(app)
        self._connect_asking(app)
        self._connect_showing(app)
        connect_take_away(app, "lens", list(FIGURES), self._table)

    def _connect_typing(self, app: Dash) -> None:
        @app.callback(
            *(Output(f"lens-{name}", "value") for name in (*CONTROLS, "example")),
            Output("lens-position", "data"),
            Output("lens-go", "data"),
            Input("lens-restore", "data"),
            Input("lens-example", "value"),
            Input("view", "value"),
            Input("lens-text", "value"),
            State(self.runner.asked, "data"),
            prevent_initial_call=True,
        )
        def fill(restored: Any, example: str | None, view: str, typed: str, asked: Any) -> Any:
            causes = ctx.triggered_prop_ids.keys()
            first = self._example(next(iter(self.examples), None))
            if "lens-example.value" in causes:
                state = self._example(example)
            elif restored and "lens-restore.data" in causes:
                state = {**({} if "text" in restored else first), **restored}
            elif causes & {"view.value", "lens-restore.data"} and not asked:
                state = first if view == "lens" else {}
            else:
                state = {}
            shown = {value: key for key, value in self.examples.items()}
            title = shown.get(state.get("text", typed))
            if not state:
                return [*[no_update] * len(CONTROLS), title, no_update, no_update]
            fields = [state.get(name, no_update) for name in CONTROLS]
            go = time_ns() if "text" in state else no_update
            return [*fields, title, state.get("position"), go]

        @app.callback(
            Output("lens-ready", "hidden"),
            Output("lens-shifting", "hidden"),
            Output("lens-speaking", "hidden"),
            Input("lens-shift", "value"),
        )
        def needed(shift: str) -> tuple[bool, bool, bool]:
            return not self.examples, not can_shift(self.session), shift != SHIFTED

    def _connect_asking(self, app: Dash) -> None:
        @app.callback(
            Output(self.runner.asked, "data"),
            Input("lens-run", "n_clicks"),
            Input("lens-go", "data"),
            State("lens-text", "value"),
            State("lens-shift", "value"),
            State("lens-language", "value"),
            State(self.runner.asked, "data"),
            prevent_initial_call=True,
        )
        def ask(clicks: int | None, go: int | None, *values: Any) -> Any:
            *typed, asked = values
            if not go and not clicks:
                return no_update
            return self.runner.ask(asked, lambda: self._read(*typed))

        @app.callback(
            Output("lens-position", "data", allow_duplicate=True),
            Output("lens-figure", "clickData"),
            Input("lens-figure", "clickData"),
            prevent_initial_call=True,
        )
        def choose(clicked: Any) -> Any:
            point = (clicked or {}).get("points", [{}])[0]
            return (int(point["x"]) if "x" in point else no_update), None

    def _connect_showing(self, app: Dash) -> None:
        @app.callback(
            Output("lens-figure", "figure"),
            Output("lens-figure", "style"),
            Output("lens-lines", "figure"),
            Output("lens-masses", "hidden"),
            Output("lens-summary", "children"),
            Output("lens-unknown", "children"),
            Output("lens-lacks", "children"),
            Output("lens-drawn", "hidden"),
            Output("lens-take", "hidden"),
            Output("lens-link", "href"),
            Output("lens-code", "children"),
            Output("lens-seen", "data"),
            Input(self.runner.done, "data"),
            Input("lens-colour", "value"),
            Input("lens-position", "data"),
            State("lens-seen", "data"),
            prevent_initial_call=True,
        )
        def draw(done: str | None, colour: str, position: int | None, seen: Any) -> Any:
            found = self.runner.result(done)
            if found is None:
                if done:
                    self.runner.lost()
                return (no_update,) * 12
            request, read = found
            lens, last = read.lens, len(read.lens.prompt) - 1
            chosen = last if position is None or position > last else position
            drawn = seen_colour(lens, colour)
            figure: Any = Patch()
            style: Any = no_update
            if seen == [done, drawn]:
                figure["layout"]["shapes"] = framed(lens, chosen)
            else:
                figure, style = draw_heatmap(request, lens, drawn, chosen)
            href = link("lens", link_state(request) | {"colour": drawn, "position": chosen})
            python = code(self.session, request, lens, drawn, chosen)
            unknown = unknown_tokens(self.session.model, request.text)
            lacks = f"By language: {read.lacks}" if read.lacks else ""
            words = (summary(lens), unknown, lacks)
            lines = (draw_lines(lens, chosen), not lens.tokens)
            return figure, style, *lines, *words, False, False, href, python, [done, drawn]

    def _example(self, language: str | None) -> dict[str, Any]:
        if language not in self.examples:
            return {}
        return {"text": self.examples[language], "language": language}

    def _read(self, *typed: Any) -> Work:
        request = check_request(self.session, self.area, *typed)

        def work(job: Job) -> Any:
            if self._tokens is None:
                job.begin("counting which tokens are of which language")
                self._tokens = token_languages(self.session)
            tokens, lacks = self._tokens
            return request, LensFound(read_text(self.session, request, tokens, job), lacks)

        return work

    def _table(self, done: str | None) -> pd.DataFrame | None:
        found = self.runner.result(done)
        return None if found is None else lens_table(found[1].lens)
