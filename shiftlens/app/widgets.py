"""The parts that all views are built of."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update, set_props

from shiftlens.app.running import GONE
from shiftlens.plots.labels import layer_step
from shiftlens.plots.save import PAGE_CONFIG, save_html

GRAPH_CONFIG: Any = {**PAGE_CONFIG, "toImageButtonOptions": {"format": "png", "scale": 2}}
TYPED = 20_000
"""Where the browser itself cuts what is typed; what is too long is refused far below."""


def field(label: str, *parts: Any, hint: str = "", id: str | None = None) -> html.Div:
    """A control with its name above and, where it needs one, a word of help below."""
    rows = [html.Span(label, className="label"), *parts]
    if hint:
        rows.append(html.Span(hint, className="hint"))
    more: dict[str, Any] = {"id": id} if id else {}
    return html.Div(rows, className="field", **more)


def text_area(id: str, rows: int, label: str) -> dcc.Textarea:
    """A field for text in any script, which decides its own direction."""
    return dcc.Textarea(
        id=id, rows=rows, dir="auto", spellCheck=False, maxLength=TYPED, value="", title=label
    )


def choice(id: str, options: Any, value: Any = None, blank: str = "") -> dcc.Dropdown:
    """A menu of which one entry is chosen; while there is none, ``blank`` stands there."""
    return dcc.Dropdown(
        id=id, options=options, value=value, clearable=False, searchable=False, placeholder=blank
    )


def layer_marks(first: int, last: int) -> dict[int, str]:
    """Numbers under a slider of layers, as many as there is room for."""
    return {layer: str(layer) for layer in range(first, last + 1, layer_step(2 * last))}


def graph(id: str, **config: Any) -> dcc.Graph:
    """A figure that fills its card.

    Args:
        id: Its id.
        config: What plotly is to do otherwise than in the other figures.
    """
    style = {"height": "clamp(470px, 32vw, 620px)"}
    merged: Any = {**GRAPH_CONFIG, **config}
    return dcc.Graph(id=id, config=merged, figure=empty_figure(), style=style)


def empty_figure() -> go.Figure:
    """Nothing, without axes."""
    figure = go.Figure()
    figure.update_layout(template="plotly_white", xaxis_visible=False, yaxis_visible=False)
    return figure


def fit(figure: go.Figure) -> go.Figure:
    """Let a figure's words fit into its card."""
    figure.update_layout(margin={"t": 70, "r": 30}, title_font_size=16)
    figure.update_xaxes(title_font_size=13)
    figure.update_yaxes(title_font_size=12)
    figure.update_traces(colorbar_title_font_size=12, selector={"type": "heatmap"})
    return figure


def spoken(text: str, language: str | None = None, **options: Any) -> html.Span:
    """Text in some language, in its own direction."""
    more: dict[str, Any] = {"lang": language} if language else {}
    return html.Span(text, dir="auto", **more, **options)


def take_away(view: str, figures: Mapping[str, str]) -> html.Div:
    """Link, downloads and code of a view; hidden until there is a result.

    Args:
        view: The view.
        figures: Id of each figure to what its buttons call it.
    """
    buttons: list[Any] = [
        html.A("Link to this view", id=f"{view}-link", href="", className="quiet")
    ]
    for figure, name in figures.items():
        buttons += [
            html.Button(f"{name}, PNG", id=f"{figure}-png", className="quiet"),
            html.Button(f"{name}, HTML", id=f"{figure}-html", className="quiet"),
            dcc.Download(id=f"{figure}-file"),
        ]
    code = [
        dcc.Clipboard(target_id=f"{view}-code", title="copy", className="copy"),
        html.Pre(id=f"{view}-code", dir="ltr"),
    ]
    parts = [
        html.Div(
            [
                *buttons,
                html.Button("Table, CSV", id=f"{view}-csv", className="quiet"),
                dcc.Download(id=f"{view}-csv-file"),
            ],
            className="row",
        ),
        html.Details([html.Summary("The same in Python"), html.Div(code, className="code")]),
    ]
    return html.Div(parts, id=f"{view}-take", className="take", hidden=True)


def connect_take_away(
    app: Dash, view: str, figures: Sequence[str], table: Callable[[str | None], pd.DataFrame | None]
) -> None:
    """Connect what :func:`take_away` shows.

    Args:
        app: The page.
        view: The view.
        figures: Ids of its figures.
        table: From the id of the view's last job to the table to download.
    """
    app.clientside_callback(
        ClientsideFunction("shiftlens", "address"),
        Output(f"{view}-link", "title"),
        Input(f"{view}-link", "href"),
        Input("view", "value"),
        State(f"{view}-link", "id"),
        prevent_initial_call=True,
    )
    for figure in figures:
        _connect_figure(app, figure)

    @app.callback(
        Output(f"{view}-csv-file", "data"),
        Input(f"{view}-csv", "n_clicks"),
        State(f"{view}-done", "data"),
        prevent_initial_call=True,
    )
    def download(_: int, done: str | None) -> Any:
        rows = table(done)
        if rows is None:
            set_props(f"{view}-asked", {"data": {"refused": GONE}})
            return no_update
        name = f"shiftlens_{view}.csv"
        return {"content": rows.to_csv(index=False), "filename": name, "type": "text/csv"}


def _connect_figure(app: Dash, figure: str) -> None:
    """PNG by plotly's own drawing; HTML as one file that asks no host for anything."""
    app.clientside_callback(
        ClientsideFunction("shiftlens", "png"),
        Output(f"{figure}-png", "title"),
        Input(f"{figure}-png", "n_clicks"),
        State(figure, "id"),
        prevent_initial_call=True,
    )

    @app.callback(
        Output(f"{figure}-file", "data"),
        Input(f"{figure}-html", "n_clicks"),
        State(figure, "figure"),
        prevent_initial_call=True,
    )
    def download(_: int, drawn: dict[str, Any]) -> dict[str, str]:
        name = f"shiftlens_{figure}.html"
        with TemporaryDirectory() as folder:
            page = save_html(go.Figure(drawn), Path(folder) / name).read_text(encoding="utf-8")
        return {"content": page, "filename": name, "type": "text/html"}
