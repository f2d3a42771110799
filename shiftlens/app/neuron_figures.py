"""What the view of the neurons draws: counts by block, overlaps, and the two answers."""

from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go
from dash import html

from shiftlens.app.answer_card import answer_card
from shiftlens.app.neuron_request import ScaledAnswer, ScaleRequest
from shiftlens.languages import language_name
from shiftlens.neurons import NeuronsFound
from shiftlens.plots.labels import layer_step
from shiftlens.plots.page import lay_out


def counts_figure(found: NeuronsFound) -> go.Figure:
    """How many neurons each block has of each language."""
    values = found.counts
    blocks = list(range(1, len(values) + 1))
    hover = "block %{y}, %{x}: %{z} neurons<extra></extra>"
    figure = go.Figure(_heatmap(values, values, _names(found), blocks, hover, "neurons"))
    lay_out(figure, "Language-specific neurons by block")
    figure.update_xaxes(title_text="language", showgrid=False)
    figure.update_yaxes(
        title_text="block (its MLP)", tick0=1, dtick=layer_step(len(values)), showgrid=False
    )
    return figure


def overlap_figure(found: NeuronsFound) -> go.Figure:
    """How many neurons two languages share; coloured by their share of both languages'."""
    hover = "%{y} and %{x}: %{text} shared, %{z:.2f} of both<extra></extra>"
    names = _names(found)
    words = "shared, of the neurons of either"
    figure = go.Figure(_heatmap(found.jaccard, found.overlap, names, names, hover, words))
    figure.update_traces(zmin=0, zmax=1)
    lay_out(figure, "Neurons that two languages share")
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(showgrid=False, autorange="reversed")
    return figure


def summary(found: NeuronsFound) -> str:
    """What was kept, in one line."""
    kept = int(found.own.any(axis=-1).sum())
    neurons = found.own[..., 0].size
    each = ", ".join(
        f"{language_name(code)} {count}"
        for code, count in zip(found.languages, found.counts.sum(axis=0), strict=True)
    )
    return f"{kept:,} of {neurons:,} neurons are of a language or more: {each}."


def scaled_cards(request: ScaleRequest, answer: ScaledAnswer) -> list[html.Div]:
    """Two cards: the model as it is, and with the neurons scaled."""
    of = f"{answer.neurons} neurons of {language_name(request.language)}, × {request.scale:g}"
    what = "as it is" if request.scale == 1 else "ablated" if request.scale == 0 else "scaled"
    return [
        answer_card("the model", request.text, answer.plain),
        answer_card(f"the model, {what}", of, answer.scaled, "patched"),
    ]


def _names(found: NeuronsFound) -> list[str]:
    return [escape(language_name(code)) for code in found.languages]


def _heatmap(
    values: np.ndarray, texts: np.ndarray, x: list[str], y: list[Any], hover: str, words: str
) -> go.Heatmap:
    return go.Heatmap(
        z=values,
        x=x,
        y=y,
        text=texts,
        texttemplate="%{text}",
        textfont_size=12,
        hovertemplate=hover,
        colorscale="Blues",
        xgap=1,
        ygap=1,
        colorbar={"title": {"text": words, "side": "right"}},
    )
