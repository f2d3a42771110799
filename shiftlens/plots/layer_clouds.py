"""Points and grey lines that move from layer to layer: their places once, the rest not repeated."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from shiftlens.languages import language_name
from shiftlens.plots.geometry import JOIN_COLOUR, JOINED, spread
from shiftlens.plots.hover import hover_lines, hover_name
from shiftlens.plots.style import LanguageStyle, language_styles

MOST_SVG = 2000
"""Most points a layer that the browser draws as shapes of the page; beyond, it takes WebGL."""

_SOLID = {
    "triangle-up": "diamond",
    "triangle-down": "square",
    "triangle-left": "circle",
    "triangle-right": "square",
    "x": "cross",
    "star": "diamond",
}
"""Stand-ins for markers that plotly lacks in three dimensions, or takes from a font."""


@dataclass(frozen=True)
class Cloud:
    """What moves together and has one look.

    Attributes:
        places: Where it is at every layer, ``(layers, dimensions, points)``, float32.
        look: The rest of its trace in plotly, which no layer changes.
        label: The label of its sentences; None of grey lines, and where there are no labels.
    """

    places: np.ndarray
    look: dict[str, Any]
    label: str | None = None

    def trace(self, place: int) -> dict[str, Any]:
        """Its trace in plotly at one layer."""
        return self.look | dict(zip("xyz", self.places[place], strict=False))


def clouds(table: pd.DataFrame, texts: Mapping[str, Sequence[str]], dominant: str) -> list[Cloud]:
    """Cut a projection into grey lines, one a language, and points, one a language and label.

    Args:
        table: From :func:`shiftlens.projections.project_layers`.
        texts: Language to the sentences behind the row numbers.
        dominant: Code of the language that the grey lines start from.

    Returns:
        Lines first, so that they lie under the points.
    """
    axes = [axis for axis in "xyz" if axis in table]
    wide = table.pivot(index=["language", "sentence"], columns="layer", values=axes)
    codes = [str(code) for code in table["language"].unique()]
    places = {
        code: np.stack([wide.loc[code][axis].to_numpy(np.float32).T for axis in axes], axis=1)
        for code in codes
    }
    known = np.sort(table["sentence"].unique())
    kind = "scatter3d" if len(axes) == 3 else "scattergl" if len(wide) > MOST_SVG else "scatter"
    joined = np.searchsorted(known, spread(table, JOINED))
    lines = [
        _lines(code, places[dominant][:, :, joined], places[code][:, :, joined])
        for code in codes
        if code != dominant
    ]
    points = [
        Cloud(
            places[code][:, :, np.searchsorted(known, sentences)],
            _points(code, style, label, sentences, texts[code], kind) | {"showlegend": not number},
            label,
        )
        for code, style in language_styles(codes).items()
        for number, (label, sentences) in enumerate(_by_label(table))
    ]
    return [*lines, *points]


def _by_label(table: pd.DataFrame) -> list[tuple[str | None, np.ndarray]]:
    """The sentences of each label, in alphabetical order; of None where there are no labels."""
    if "label" not in table:
        return [(None, table["sentence"].unique())]
    labels = table.drop_duplicates("sentence").set_index("sentence")["label"]
    return [(str(label), own.index.to_numpy()) for label, own in labels.groupby(labels)]


def _lines(code: str, starts: np.ndarray, ends: np.ndarray) -> Cloud:
    """Lines from some of the dominant language's sentences to their translations, with gaps."""
    layers, axes, _ = starts.shape
    gaps = np.full_like(starts, np.nan)
    look = {
        "type": "scatter3d" if axes == 3 else "scatter",
        "mode": "lines",
        "line": {"color": JOIN_COLOUR, "width": 1},
        "hoverinfo": "skip",
        "showlegend": False,
        "legendgroup": code,
    }
    return Cloud(np.stack([starts, ends, gaps], axis=3).reshape(layers, axes, -1), look)


def _points(
    code: str,
    style: LanguageStyle,
    label: str | None,
    sentences: np.ndarray,
    texts: Sequence[str],
    kind: str,
) -> dict[str, Any]:
    solid = kind == "scatter3d"
    told = "" if label is None else "<br>label: %{meta[0]}"
    return {
        "type": kind,
        "mode": "markers",
        "name": language_name(code),
        "legendgroup": code,
        "marker": {
            "color": style.colour,
            "symbol": _SOLID.get(style.symbol, style.symbol) if solid else style.symbol,
            "size": 3.5 if solid else 6,
            "opacity": 0.65,
        },
        "customdata": sentences.astype(np.int32) + 1,
        "text": [hover_lines(texts[sentence]) for sentence in sentences],
        "meta": None if label is None else [escape(label)],
        "hovertemplate": f"{hover_name(code)}, sentence %{{customdata}}<br>%{{text}}{told}"
        "<extra></extra>",
    }
