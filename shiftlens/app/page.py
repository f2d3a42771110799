"""The page: a head with the model and its views, of which one shows."""

import sys
import traceback
from pathlib import Path
from typing import Any

from dash import ClientsideFunction, Dash, Input, Output, dcc, html, no_update, set_props

from shiftlens.app.lens_view import LensView
from shiftlens.app.links import asked_view, read_link
from shiftlens.app.neuron_view import NeuronView
from shiftlens.app.patch_view import PatchView
from shiftlens.app.security import protect
from shiftlens.app.session import Session
from shiftlens.app.shift_view import ShiftView
from shiftlens.app.sweep_view import SweepView
from shiftlens.errors import ShiftlensError

INDEX = """<!DOCTYPE html>
<html lang="en">
<head>{%metas%}<title>{%title%}</title>{%favicon%}{%css%}</head>
<body>{%app_entry%}<footer>{%config%}{%scripts%}{%renderer%}</footer></body>
</html>"""

SHOWN: dict[str, str] = {}
HIDDEN = {"display": "none"}


def build(session: Session, port: int) -> Dash:
    """Build the page.

    Args:
        session: The model and what was measured of it.
        port: Where it will listen, which its guard must know.

    Returns:
        The app; its ``server`` answers only this machine's own browser.
    """
    app = Dash(
        "shiftlens.app",
        assets_folder=str(Path(__file__).with_name("assets")),
        serve_locally=True,
        index_string=INDEX,
        title="shiftlens",
        update_title="",
        add_log_handler=False,
        on_error=_tell,
    )
    kinds: Any = (PatchView, ShiftView, SweepView, LensView, NeuronView)
    views = {kind.name: kind(session) for kind in kinds}
    app.layout = _layout(session, views)
    _connect(app, views)
    for view in views.values():
        view.connect(app)
    protect(app.server, port, list(app.csp_hashes()))
    return app


def _tell(error: Exception) -> None:
    """Say on the page that a callback failed, and on the terminal why."""
    traceback.print_exception(error, file=sys.stderr)
    set_props("message", {"children": f"this failed: {type(error).__name__}: {error}"})


def _layout(session: Session, views: dict[str, Any]) -> html.Div:
    model = session.model
    facts = f"{model.name}: {model.n_layers} blocks, width {model.d_model}"
    tabs = [
        dcc.Tab(label=view.title, value=name, className="tab", selected_className="tab chosen")
        for name, view in views.items()
    ]
    return html.Div(
        [
            dcc.Location(id="url", refresh=False),
            html.Header(
                [
                    html.Div([html.Span("shiftlens", className="mark"), html.Span(facts)]),
                    dcc.Tabs(tabs, id="view", value=next(iter(views)), className="tabs"),
                ]
            ),
            html.Div(id="message", className="message", role="alert"),
            *(
                html.Main(view.layout(), id=f"{name}-panel", className="view")
                for name, view in views.items()
            ),
        ]
    )


def _connect(app: Dash, views: dict[str, Any]) -> None:
    """Read the link once, and show the view that is chosen."""

    @app.callback(
        Output("view", "value"),
        Output("message", "children"),
        *(Output(f"{name}-restore", "data") for name in views),
        Input("url", "search"),
    )
    def restore(search: str | None) -> list[Any]:
        try:
            name, state = read_link(search, {key: view.fields for key, view in views.items()})
            message = ""
        except ShiftlensError as error:
            name, state, message = asked_view(search, views), {}, str(error)
        chosen = name or next(iter(views))
        return [chosen, message, *(state if key == chosen else no_update for key in views)]

    app.clientside_callback(
        ClientsideFunction("shiftlens", "turn"),
        Output("message", "title"),
        Input("view", "value"),
        prevent_initial_call=True,
    )

    @app.callback(
        *(Output(f"{name}-panel", "style") for name in views),
        Input("view", "value"),
    )
    def show(chosen: str) -> list[dict[str, str]]:
        return [SHOWN if name == chosen else HIDDEN for name in views]
