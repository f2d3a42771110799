"""The sweep: distance by layer, and the sentences in the plane at the layer that is chosen."""

from typing import Any

import pandas as pd
from dash import Dash, Input, Output, State, ctx, dcc, html, no_update

from shiftlens.app.links import link, number, one_of
from shiftlens.app.measured import Measured
from shiftlens.app.running import Runner, Work
from shiftlens.app.session import Session
from shiftlens.app.sweep_figures import code, curves_figure, translations
from shiftlens.app.widgets import (
    choice,
    connect_take_away,
    field,
    fit,
    graph,
    layer_marks,
    take_away,
)
from shiftlens.app.worker import Job
from shiftlens.errors import ShiftlensError
from shiftlens.geometry import METRICS
from shiftlens.plots import layer_geometry, metric_label
from shiftlens.projections import project_layers

PROJECTED = {"pca": "PCA", "lda": "LDA (languages as classes)"}
HINT = (
    "Fitted once, to all layers together: a point's way from layer to layer is its own, not that "
    "of turning axes."
)


class SweepView:
    """The third view.

    Args:
        session: The model and what was measured of it.
    """

    name = "sweep"
    title = "Sweep"

    def __init__(self, session: Session):
        self.session = session
        self.runner = Runner("sweep", session.worker)
        self.fields = {
            "metric": one_of("metric", lambda: list(METRICS)),
            "axes": one_of("axes", lambda: list(PROJECTED)),
            "layer": number("layer", 0, session.model.n_layers, int),
            "sentence": number("sentence", 1, 10_000_000, int),
        }
        self._projections: dict[str, pd.DataFrame] = {}

    def layout(self) -> list[Any]:
        """The view's parts."""
        if self.session.missing:
            return [
                dcc.Store(id="sweep-restore"),
                html.P(self.session.missing, className="lacking"),
            ]
        last = self.session.model.n_layers
        controls = [
            html.P(
                "How far each language lies from the dominant one, layer by layer, and the "
                "sentences themselves at one layer."
            ),
            field(
                "Layer", dcc.Slider(0, last, 1, layer_marks(0, last), last // 2, id="sweep-layer")
            ),
            field("Distance", choice("sweep-metric", [], blank="not measured yet")),
            field("Axes of the plane", choice("sweep-axes", PROJECTED, "pca"), hint=HINT),
            html.Div(id="sweep-sentence", className="sentence"),
        ]
        results = [
            self.runner.layout(again=True),
            html.P(id="sweep-lacks", className="warning"),
            self.runner.held(
                html.Div(
                    [
                        html.Div(graph("sweep-curves"), className="card"),
                        html.Div(graph("sweep-plane"), className="card"),
                    ],
                    className="pair",
                    id="sweep-drawn",
                    hidden=True,
                ),
                take_away("sweep", {"sweep-curves": "Curves", "sweep-plane": "Plane"}),
            ),
        ]
        return [
            dcc.Store(id="sweep-restore"),
            dcc.Store(id="sweep-read"),
            dcc.Store(id="sweep-pinned"),
            html.Aside(controls, className="controls"),
            html.Div(results, className="results"),
        ]

    def connect(self, app: Dash) -> None:
        """Register the view's callbacks."""
        if self.session.missing:
            return
        self.runner.connect(app)
        self._connect_asking(app)
        self._connect_offering(app)
        self._connect_drawing(app)
        self._connect_reading(app)
        connect_take_away(app, "sweep", ["sweep-curves", "sweep-plane"], self._table)

    def _connect_asking(self, app: Dash) -> None:
        @app.callback(
            Output("sweep-layer", "value"),
            Output("sweep-axes", "value"),
            Output("sweep-read", "data"),
            Output("sweep-pinned", "data"),
            Input("sweep-restore", "data"),
            Input("sweep-curves", "clickData"),
            Input("sweep-plane", "hoverData"),
            Input("sweep-plane", "clickData"),
            prevent_initial_call=True,
        )
        def choose(restored: Any, curve: Any, hovered: Any, clicked: Any) -> list[Any]:
            cause = ctx.triggered_prop_ids.keys()
            if "sweep-restore.data" in cause:
                state = restored or {}
                keys = ("layer", "axes", "sentence", "sentence")
                return [state.get(key, no_update) for key in keys]
            if "sweep-curves.clickData" in cause and curve:
                return [int(curve["points"][0]["x"]), *[no_update] * 3]
            click = "sweep-plane.clickData" in cause
            points = ((clicked if click else hovered) or {}).get("points", [])
            number = next((p["customdata"] + 1 for p in points if "customdata" in p), no_update)
            return [no_update, no_update, number, number if click else no_update]

        @app.callback(
            Output(self.runner.asked, "data"),
            Input("view", "value"),
            Input("sweep-axes", "value"),
            Input(self.runner.again, "n_clicks"),
            State(self.runner.asked, "data"),
            prevent_initial_call=True,
        )
        def ask(view: str, axes: str, again: int, asked: dict[str, Any] | None) -> Any:
            opened = ctx.triggered_prop_ids.keys() == {"view.value"}
            if view != "sweep" or (opened and not self.runner.stopped(asked)):
                return no_update
            return self.runner.ask(asked, lambda: self._project(axes))

    def _connect_offering(self, app: Dash) -> None:
        @app.callback(
            Output("sweep-metric", "options"),
            Output("sweep-metric", "value"),
            Output("sweep-lacks", "children"),
            Output("sweep-drawn", "hidden"),
            Output("sweep-take", "hidden"),
            Input(self.runner.done, "data"),
            State("sweep-metric", "value"),
            State("sweep-restore", "data"),
            prevent_initial_call=True,
        )
        def offer(_: str, metric: str | None, restored: dict[str, Any] | None) -> tuple[Any, ...]:
            there = list(self._measured().table["metric"].unique())
            wanted = metric or (restored or {}).get("metric") or there[0]
            labels = {name: metric_label(name).words.replace("\n", " ") for name in there}
            if wanted in there:
                return labels, wanted, "", False, False
            lacks = (
                f"the link asks for {wanted}, which this sweep did not measure; to have it, "
                f"sweep again with --metric {wanted}"
            )
            return labels, there[0], lacks, False, False

    def _connect_drawing(self, app: Dash) -> None:
        @app.callback(
            Output("sweep-curves", "figure"),
            Input("sweep-metric", "value"),
            Input("sweep-layer", "value"),
            prevent_initial_call=True,
        )
        def curves(metric: str | None, layer: int) -> Any:
            return no_update if metric is None else curves_figure(self._measured(), metric, layer)

        @app.callback(
            Output("sweep-plane", "figure"),
            Output("sweep-link", "href"),
            Output("sweep-code", "children"),
            Input(self.runner.done, "data"),
            Input("sweep-layer", "value"),
            Input("sweep-metric", "value"),
            Input("sweep-pinned", "data"),
            prevent_initial_call=True,
        )
        def plane(done: str, layer: int, metric: str | None, sentence: int | None) -> Any:
            axes = self.runner.result(done)
            if axes is None and done:
                self.runner.lost()
            if axes is None or metric is None:
                return no_update, no_update, no_update
            measured, row = self._measured(), None if sentence is None else sentence - 1
            figure: Any = no_update
            if ctx.triggered_prop_ids.keys() != {"sweep-metric.value"}:
                figure = fit(
                    layer_geometry(
                        self._projections[axes], layer, measured.texts, measured.dominant, row
                    )
                )
            state = {"metric": metric, "axes": axes, "layer": layer, "sentence": sentence}
            python = code(self.session, measured, metric, axes, layer, row)
            return figure, link("sweep", state), python

    def _connect_reading(self, app: Dash) -> None:
        @app.callback(
            Output("sweep-sentence", "children"),
            Input("sweep-read", "data"),
            Input(self.runner.done, "data"),
            prevent_initial_call=True,
        )
        def read(number: int | None, _: str) -> Any:
            measured = self.session.known
            if measured is None or number is None:
                return html.P("Hover over a point to read its sentence.", className="hint")
            return translations(self.session, measured, number)

    def _measured(self) -> Measured:
        if self.session.known is None:
            raise ShiftlensError("nothing was measured yet")
        return self.session.known

    def _project(self, axes: str) -> Work:
        if axes not in PROJECTED:
            raise ShiftlensError(f"there are no axes {axes!r}")

        def work(job: Job) -> str:
            measured = self.session.measured(job)
            if axes not in self._projections:
                job.begin("fitting the axes")
                self._projections[axes] = project_layers(measured.store, axes, report=job.report)
            return axes

        return work

    def _table(self, done: str | None) -> pd.DataFrame:
        return self._measured().table
