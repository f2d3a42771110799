"""The sentences of all languages at every layer, behind a slider."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from shiftlens.plots.geometry import JOINED, join_text
from shiftlens.plots.labels import LAYER_AXIS, area_text
from shiftlens.plots.layer_clouds import Cloud, clouds
from shiftlens.plots.layer_page import held_range
from shiftlens.plots.layers import AXES, PROJECTED, check_projection
from shiftlens.plots.page import lay_out
from shiftlens.plots.style import label_styles


def layers_interactive(
    table: pd.DataFrame,
    texts: Mapping[str, Sequence[str]],
    dominant: str = "en",
    area: tuple[int, int] | None = None,
    layer: int | None = None,
    title: str | None = None,
) -> go.Figure:
    """Draw all layers of a projection, one at a time behind a slider, on the same axes.

    Where the table has labels, a menu colours the sentences by label instead of by language. More
    than 2,000 points a layer, and any in three dimensions, are drawn with WebGL.

    Args:
        table: From :func:`shiftlens.projections.project_layers`, in two or three dimensions.
        texts: Language to the sentences behind the row numbers.
        dominant: Code of the language that the grey lines start from.
        area: Shift-toward and shift-back layer, in bold on the slider; None where there is none.
        layer: The layer shown first; by default the area's first, or the middle one.
        title: Text above the axes.

    Returns:
        The figure: hovering over a point shows its sentence, and a click in the legend takes a
        language out of every layer.

    Raises:
        ShiftlensError: The table does not have the layer or those of the area, or not the dominant
            language.
    """
    layers = sorted(map(int, table["layer"].unique()))
    first = layer if layer is not None else area[0] if area else layers[len(layers) // 2]
    check_projection(table, (first, *(area or ())), dominant)
    parts = clouds(table, texts, dominant)
    figure = go.Figure([part.trace(layers.index(first)) for part in parts])
    method = str(table["method"].iloc[0])
    lay_out(
        figure,
        title or f"Sentences at every layer ({PROJECTED[method]})",
        title_subtitle_text=_subtitle(table, len(next(iter(texts.values()))), area),
        legend={"itemsizing": "constant", "tracegroupgap": 0},
        height=760,
        uirevision="held",
        sliders=[_slider(parts, layers, first, area)],
        updatemenus=[_menu(parts)] if "label" in table else [],
    )
    _hold_axes(figure, table, AXES[method])
    return figure


def _subtitle(table: pd.DataFrame, sentences: int, area: tuple[int, int] | None) -> str:
    drawn = table["sentence"].nunique()
    bold = f"; bold on the slider: {area_text(area)}" if area else ""
    return (
        f"{drawn} of {sentences} sentences a language, the axes fitted to others; "
        f"grey: {join_text(min(JOINED, drawn))}{bold}"
    )


def _slider(
    parts: Sequence[Cloud], layers: list[int], first: int, area: tuple[int, int] | None
) -> dict[str, Any]:
    """The slider, each step of which brings the places at its layer and nothing else."""
    steps = []
    for place, layer in enumerate(layers):
        marked = area is not None and area[0] <= layer <= area[1]
        label = f"<b>layer {layer}</b>" if marked else f"layer {layer}"
        moves = zip("xyz", zip(*(part.places[place] for part in parts), strict=True), strict=False)
        moved = {axis: [_typed(of_part) for of_part in of_parts] for axis, of_parts in moves}
        steps.append({"label": label, "method": "restyle", "args": [moved]})
    return {
        "active": layers.index(first),
        "steps": steps,
        "currentvalue": {"suffix": LAYER_AXIS.removeprefix("layer")},
        "pad": {"t": 60},
    }


def _typed(values: np.ndarray) -> dict[str, str]:
    """An array as plotly reads it from text: plotly itself does so for traces, not for steps."""
    little = np.ascontiguousarray(values, dtype="<f4")
    return {"dtype": "f4", "bdata": b64encode(little.tobytes()).decode()}


def _menu(parts: Sequence[Cloud]) -> dict[str, Any]:
    """The menu that colours the points, the legend with them."""
    by_language = [part.look for part in parts]
    styles = label_styles({part.label for part in parts if part.label is not None})
    seen: set[str] = set()
    by_label = []
    for part in parts:
        if part.label is None:
            by_label.append(part.look | {"legendgroup": ""})
            continue
        style = styles[part.label]
        by_label.append(
            {
                "name": escape(part.label),
                "legendgroup": part.label,
                "showlegend": part.label not in seen,
                "marker": {"color": style.colour, "symbol": style.symbol},
            }
        )
        seen.add(part.label)
    buttons = [
        {"label": f"colour: {told}", "method": "restyle", "args": [_restyle(looks)]}
        for told, looks in (("language", by_language), ("label", by_label))
    ]
    place = {"x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom", "pad": {"b": 8}}
    return {"buttons": buttons, "showactive": True, "bgcolor": "white"} | place


def _restyle(looks: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """What a menu's choice changes of every trace."""
    return {
        "name": [look.get("name") for look in looks],
        "legendgroup": [look["legendgroup"] for look in looks],
        "showlegend": [look["showlegend"] for look in looks],
        "marker.color": [look.get("marker", {}).get("color") for look in looks],
        "marker.symbol": [look.get("marker", {}).get("symbol") for look in looks],
        "visible": [True] * len(looks),
    }


def _hold_axes(figure: go.Figure, table: pd.DataFrame, words: str) -> None:
    """Give every axis its name, and one range for all layers."""
    held = {
        f"{axis}axis": {"range": held_range(table[axis]), "title": {"text": f"{words} {number}"}}
        for number, axis in enumerate("xyz", 1)
        if axis in table
    }
    camera = {"eye": {"x": 1.5, "y": 1.5, "z": 1.0}, "center": {"x": 0, "y": 0, "z": -0.15}}
    scene = {**held, "aspectmode": "cube", "camera": camera}
    figure.update_layout({"scene": scene} if "z" in table else held)
