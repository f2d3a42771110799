"""The sentences of all languages at every layer, in two dimensions that are the same throughout."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from textwrap import wrap

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from shiftlens.errors import ShiftlensError
from shiftlens.languages import language_name
from shiftlens.plots.geometry import (
    DRAWN,
    JOIN_COLOUR,
    JOINED,
    PROJECTIONS,
    join_text,
    joins,
    spread,
)
from shiftlens.plots.page import lay_out
from shiftlens.plots.style import ENGLISH_COLOUR, language_style
from shiftlens.store import ActivationStore

LEGEND = {
    "orientation": "h",
    "yref": "container",
    "y": 0.02,
    "yanchor": "bottom",
    "itemsizing": "constant",
}
"""Under the axes, where many languages leave the figure its width."""

_FITTED_VALUES = 2e7
"""Most numbers that the axes are fitted to; beyond, fewer sentences are taken, evenly spread."""


def project_layers(
    store: ActivationStore,
    method: str = "lda",
    report: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    r"""Project the sentence vectors of every layer to two dimensions, the same at all layers.

    The residual stream grows from layer to layer, so each layer is first brought to its own
    origin and unit:

    .. math:: z_l = (s_l - m_l) / r_l

    with m_l the mean of its states over all languages and r_l the root of their mean squared
    distance from it. One projection is then fitted to all layers together, on the sentences of
    even number, and sentences of odd number are projected: what keeps languages apart in the
    picture does so on sentences that it was not fitted to, and a point's way from layer to layer
    is its own and not that of turning axes.

    Args:
        store: Sentence vectors.
        method: ``lda``, linear discriminant analysis with the languages as classes and Ledoit and
            Wolf's shrinkage; or ``pca``.
        report: Called with how much is done, and of how much.

    Returns:
        Tidy: ``layer``, ``language``, ``sentence`` (row number), ``x``, ``y``; at most 120
        sentences a language and layer.

    Raises:
        ShiftlensError: An unknown method, fewer than four sentences, LDA of fewer than three
            languages, or states that are all the same at some layer.
    """
    _check(store, method)
    drawn = np.array(spread(pd.DataFrame({"sentence": range(1, store.n_sentences, 2)}), DRAWN))
    fitted = _fitted_rows(store)
    steps = 2 * len(store.layers)
    places: dict[int, tuple[np.ndarray, float]] = {}
    pool: list[np.ndarray] = []
    for layer, states in _layers(store, fitted):
        mean = states.mean(axis=0)
        scale = float(np.sqrt(((states - mean) ** 2).sum(axis=1).mean()))
        if not scale:
            raise ShiftlensError(f"layer {layer}: the states of all sentences are the same")
        places[layer] = mean, scale
        pool.append((states - mean) / scale)
        report(len(pool), steps)
    projection = _fit(np.concatenate(pool), method, len(store.languages), len(fitted))
    tables = []
    for layer, states in _layers(store, drawn):
        mean, scale = places[layer]
        points = projection.transform((states - mean) / scale)[:, :2]
        tables.append(
            pd.DataFrame(points, columns=["x", "y"]).assign(
                layer=layer,
                language=np.repeat(store.languages, len(drawn)),
                sentence=np.tile(drawn, len(store.languages)),
            )
        )
        report(len(pool) + len(tables), steps)
    return pd.concat(tables, ignore_index=True)[["layer", "language", "sentence", "x", "y"]]


def _check(store: ActivationStore, method: str) -> None:
    if method not in PROJECTIONS:
        raise ShiftlensError(f"unknown projection {method!r}; choose {' or '.join(PROJECTIONS)}")
    if store.n_sentences < 4:
        raise ShiftlensError("a projection takes four sentences or more: half of them to fit it")
    if method == "lda" and len(store.languages) < 3:
        raise ShiftlensError(
            f"LDA tells {len(store.languages)} languages apart in fewer than two dimensions; it "
            "takes three"
        )


def _fitted_rows(store: ActivationStore) -> np.ndarray:
    """Sentences of even number, as many as the bound on the numbers fitted to allows."""
    even = np.arange(0, store.n_sentences, 2)
    each = len(store.layers) * len(store.languages) * int(store.manifest["model"]["d_model"])
    count = min(len(even), max(2, int(_FITTED_VALUES / each)))
    return even[np.linspace(0, len(even) - 1, count).round().astype(int)]


def _layers(store: ActivationStore, rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Each layer with the states of these sentences, language after language, in float64."""
    for layer in store.layers:
        sides = [store.states(language, layer)[rows] for language in store.languages]
        yield layer, np.concatenate(sides).astype(np.float64)


def _fit(
    states: np.ndarray, method: str, languages: int, rows: int
) -> LinearDiscriminantAnalysis | PCA:
    if method == "pca":
        return PCA(n_components=2, svd_solver="covariance_eigh").fit(states)
    classes = np.tile(np.repeat(np.arange(languages), rows), len(states) // (languages * rows))
    lda = LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto", n_components=2)
    return lda.fit(states, classes)


def layer_geometry(
    table: pd.DataFrame,
    layer: int,
    texts: Mapping[str, Sequence[str]],
    dominant: str = "en",
    sentence: int | None = None,
    title: str | None = None,
) -> go.Figure:
    """Draw one layer of a projection; all layers have the same axes.

    Args:
        table: From :func:`project_layers`.
        layer: Which layer.
        texts: Language to the sentences behind the row numbers.
        dominant: Code of the language that the grey lines start from.
        sentence: Row number of a sentence to ring in every language; the grey lines are then of
            it alone.
        title: Text above the axes.

    Returns:
        The figure: hovering over a point shows its sentence, and its ``customdata`` is the
        sentence's number.

    Raises:
        ShiftlensError: The table does not have the layer.
    """
    rows = table[table["layer"] == layer]
    if rows.empty:
        raise ShiftlensError(f"the projection has no layer {layer} (0..{table['layer'].max()})")
    own = rows[rows["sentence"] == sentence]
    joined = spread(rows, JOINED) if own.empty else [int(own["sentence"].iloc[0])]
    figure = go.Figure([_joins(rows, joined, dominant), *_points(rows, texts), _rings(own)])
    for number, update in enumerate((figure.update_xaxes, figure.update_yaxes), 1):
        column = table["xy"[number - 1]]
        low, high = float(column.min()), float(column.max())
        margin = 0.04 * (high - low)
        update(
            range=[low - margin, high + margin],
            title_text=f"axis {number} (of all layers)",
        )
    lay_out(
        figure,
        title or f"Layer {layer}; grey: {join_text(len(joined))}",
        legend=LEGEND,
        uirevision="held",
    )
    return figure


def _rings(rows: pd.DataFrame) -> go.Scatter:
    """A ring around each of some points."""
    ring = {"symbol": "circle-open", "size": 15, "color": ENGLISH_COLOUR, "line": {"width": 2}}
    return go.Scatter(
        x=rows["x"].to_numpy(),
        y=rows["y"].to_numpy(),
        mode="markers",
        marker=ring,
        hoverinfo="skip",
        showlegend=False,
    )


def _joins(rows: pd.DataFrame, joined: list[int], dominant: str) -> go.Scatter:
    """Grey lines from some of the dominant language's sentences to their translations."""
    segments = joins(rows, joined, dominant)
    gaps = np.concatenate([segments, np.full_like(segments[:, :1], np.nan)], axis=1).reshape(-1, 2)
    return go.Scatter(
        x=gaps[:, 0],
        y=gaps[:, 1],
        mode="lines",
        line={"color": JOIN_COLOUR, "width": 1},
        hoverinfo="skip",
        showlegend=False,
    )


def _points(rows: pd.DataFrame, texts: Mapping[str, Sequence[str]]) -> list[go.Scatter]:
    traces = []
    for code, points in rows.groupby("language", sort=False):
        style = language_style(str(code))
        sentences = points["sentence"].tolist()
        traces.append(
            go.Scatter(
                x=points["x"].to_numpy(),
                y=points["y"].to_numpy(),
                mode="markers",
                name=language_name(str(code)),
                marker={"color": style.colour, "symbol": style.symbol, "size": 7, "opacity": 0.65},
                customdata=sentences,
                text=[_hover(str(code), number, texts[str(code)][number]) for number in sentences],
                hovertemplate="%{text}<extra></extra>",
            )
        )
    return traces


def _hover(code: str, number: int, sentence: str) -> str:
    lines = "<br>".join(escape(line) for line in wrap(sentence, 60))
    return f"<b>{language_name(code)} ({code})</b>, sentence {number + 1}<br>{lines}"
