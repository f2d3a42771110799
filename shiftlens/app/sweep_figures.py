"""What the view of the sweep draws and reads out, and the lines of Python that draw it."""

from typing import Any

import plotly.graph_objects as go
from dash import html

from shiftlens.app.measured import Measured
from shiftlens.app.session import Session
from shiftlens.app.widgets import fit, spoken
from shiftlens.languages import language_name
from shiftlens.plots import layer_distance_interactive, metric_label
from shiftlens.plots.layer_page import LEGEND
from shiftlens.plots.style import language_styles


def curves_figure(measured: Measured, metric: str, layer: int) -> go.Figure:
    """The curves of one metric, with a line at the layer that is chosen."""
    table = measured.table[measured.table["metric"] == metric]
    title = metric_label(metric).words.replace("\n", " ").capitalize()
    figure = layer_distance_interactive(table, measured.area, measured.dominant, metric, title)
    figure.layout.updatemenus = ()
    fit(figure).update_layout(uirevision=metric, legend=LEGEND)
    figure.add_vline(layer, line={"color": "#0072B2", "width": 1.5, "dash": "dot"})
    return figure


def translations(session: Session, measured: Measured, number: int) -> list[Any]:
    """A sentence in every language."""
    if not 0 < number <= measured.store.n_sentences:
        return [html.P(f"there is no sentence {number}", className="hint")]
    lines: list[Any] = [html.H2(f"Sentence {number}")]
    for language, style in language_styles(session.languages).items():
        mark = html.I(style={"background": style.colour})
        name = html.Span([mark, language_name(language)], className="language")
        text = spoken(measured.texts[language][number - 1], language)
        lines.append(html.Div([name, text], className="translation"))
    return lines


def code(
    session: Session, measured: Measured, metric: str, axes: str, layer: int, row: int | None
) -> str:
    """The lines of Python that draw both figures."""
    ring = "" if row is None else f", sentence={row}"
    return f"""import pandas as pd
import shiftlens as sl
from shiftlens.languages import language_name
from shiftlens.plots import layer_distance_interactive, layer_geometry

{session.load_code}
{measured.code}
layer_distance_interactive(table, {measured.area}, "{measured.dominant}", "{metric}").show()

{measured.texts_code}
points = sl.project_layers(store, "{axes}")
layer_geometry(points, {layer}, texts, "{measured.dominant}"{ring}).show()"""
