"""The sweep: distance by layer, and the sentences in the plane at the layer that is chosen."""

from typing import Any

import pandas as pd
import plotly.graph_objects as go
from dash import Dash, Input, Output, State, ctx, dcc, html, no_update

from shiftlens.app.links import link, number, one_of
from shiftlens.app.measured import Measured
from shiftlens.app.projections import LEGEND, layer_geometry, project_layers
from shiftlens.app.running import Runner, Work
from shiftlens.app.session import Session
from shiftlens.app.widgets import (
    choice,
    connect_take_away,
    field,
    fit,
    graph,
    layer_marks,
    spoken,
    take_away,
)
from shiftlens.app.worker import Job
from shiftlens.errors import ShiftlensError
from shiftlens.geometry import METRICS
from shiftlens.languages import language_name
from shiftlens.plots import layer_distance_interactive, metric_label
from shiftlens.plots.style import language_style

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
            field("Distance", choice("sweep-metric", [])),
            field("Axes of the plane", choice("sweep-axes", PROJECTED, "pca"), hint=HINT),
            html.Div(id="sweep-sentence", className="sentence"),
        ]
        results = [
            self.runner.layout(),
            html.Div(
                [
                    html.Div(graph("sweep-curves"), className="card"),
                    html.Div(graph("sweep-plane"), className="card"),
                ],
                className="pair",
            ),
            take_away("sweep", {"sweep-curves": "Curves", "sweep-plane": "Plane"}),
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
            State(self.runner.asked, "data"),
            prevent_initial_call=True,
        )
        def ask(view: str, axes: str, asked: dict[str, Any] | None) -> Any:
            if view != "sweep" or (asked and "sweep-axes.value" not in ctx.triggered_prop_ids):
                return no_update
            return self.runner.ask(asked, lambda: self._project(axes))

    def _connect_drawing(self, app: Dash) -> None:
        @app.callback(
            Output("sweep-metric", "options"),
            Output("sweep-metric", "value"),
            Output("sweep-take", "hidden"),
            Input(self.runner.done, "data"),
            State("sweep-metric", "value"),
            State("sweep-restore", "data"),
            prevent_initial_call=True,
        )
        def offer(_: str, metric: str | None, restored: dict[str, Any] | None) -> tuple[Any, ...]:
            there = list(self._measured().table["metric"].unique())
            wanted = metric or (restored or {}).get("metric")
            labels = {name: metric_label(name).words.replace("\n", " ") for name in there}
            return labels, wanted if wanted in there else there[0], False

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
            return figure, link("sweep", state), self._code(metric, axes, layer, row)

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
            if not 0 < number <= measured.store.n_sentences:
                return html.P(f"there is no sentence {number}", className="hint")
            lines: list[Any] = [html.H2(f"Sentence {number}")]
            for code in self.session.languages:
                mark = html.I(style={"background": language_style(code).colour})
                name = html.Span([mark, language_name(code)], className="language")
                text = spoken(measured.texts[code][number - 1], code)
                lines.append(html.Div([name, text], className="translation"))
            return lines

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
                self._projections[axes] = project_layers(measured.store, axes, job.report)
            return axes

        return work

    def _table(self, done: str | None) -> pd.DataFrame:
        return self._measured().table

    def _code(self, metric: str, axes: str, layer: int, row: int | None) -> str:
        """The lines of Python that draw both figures."""
        measured = self._measured()
        ring = "" if row is None else f", sentence={row}"
        return f"""import pandas as pd
import shiftlens as sl
from shiftlens.app import layer_geometry, project_layers
from shiftlens.plots import layer_distance_interactive

{self.session.load_code}
{measured.code}
layer_distance_interactive(table, {measured.area}, "{measured.dominant}", "{metric}").show()

{measured.texts_code}
points = project_layers(store, "{axes}")
layer_geometry(points, {layer}, texts, "{measured.dominant}"{ring}).show()"""


def curves_figure(measured: Measured, metric: str, layer: int) -> go.Figure:
    """The curves of one metric, with a line at the layer that is chosen."""
    table = measured.table[measured.table["metric"] == metric]
    title = metric_label(metric).words.replace("\n", " ").capitalize()
    figure = layer_distance_interactive(table, measured.area, measured.dominant, metric, title)
    figure.layout.updatemenus = ()
    fit(figure).update_layout(uirevision=metric, legend=LEGEND)
    figure.add_vline(layer, line={"color": "#0072B2", "width": 1.5, "dash": "dot"})
    return figure
