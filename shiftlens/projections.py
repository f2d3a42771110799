"""The sentences of all languages at every layer, in a few dimensions that are the same throughout.

Figures of them are ``layers_interactive`` and ``layers_figure`` of :mod:`shiftlens.plots`.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from shiftlens.errors import ShiftlensError
from shiftlens.store import ActivationStore

METHODS = ("lda", "lda-labels", "pca")
AXES = ("x", "y", "z")
DRAWN = 120
"""Sentences a language that are drawn unless asked otherwise."""

_FITTED_VALUES = 2e7
"""Most numbers that the axes are fitted to; beyond, fewer sentences are taken, evenly spread."""


def project_layers(
    store: ActivationStore,
    method: str = "lda",
    *,
    dimensions: int = 2,
    labels: Sequence[str] | None = None,
    drawn: int = DRAWN,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    r"""Project the sentence vectors of every layer to two or three dimensions, the same at all.

    The residual stream grows from layer to layer, so each layer is first brought to its own
    origin and unit:

    .. math:: z_l = (s_l - m_l) / r_l

    with m_l the mean of its states over all languages and r_l the root of their mean squared
    distance from it. One projection is then fitted to all layers together, on the sentences of
    even number, and sentences of odd number are projected: what keeps classes apart in the
    picture does so on sentences that it was not fitted to, and a point's way from layer to layer
    is its own and not that of turning axes.

    Args:
        store: Sentence vectors.
        method: ``lda``, linear discriminant analysis with the languages as classes and Ledoit and
            Wolf's shrinkage; ``lda-labels``, the same with the sentences' labels as classes; or
            ``pca``.
        dimensions: 2 or 3.
        labels: What each sentence is about, such as its task or topic, one for every sentence of
            the store and the same in all languages; ``lda-labels`` needs them, and the other
            methods only pass them on.
        drawn: Most sentences a language that are projected, evenly spread.
        report: Called with how much is done, and of how much.

    Returns:
        Tidy: ``method``, ``layer``, ``language``, ``sentence`` (row number), ``label`` where there
        are labels, then ``x``, ``y`` and, of three dimensions, ``z``.

    Raises:
        ShiftlensError: An unknown method or number of dimensions, fewer than four sentences, too
            few classes for the dimensions, labels that are not one a sentence or of which one has
            fewer than two of the sentences fitted to, or states that are all the same at some
            layer.

    Source:
        Zhang et al., "ShifCon", ACL 2025, arXiv:2410.19453, Figure 1, for the two LDAs; fitting
        once to all layers, on other sentences than are drawn, is shiftlens's.
    """
    _check(store, method, dimensions, labels, drawn)
    fitted = _fitted_rows(store)
    classes = _classes(store, method, dimensions, labels, fitted)
    shown = evenly(np.arange(1, store.n_sentences, 2), drawn)
    steps = 2 * len(store.layers)
    places: dict[int, tuple[np.ndarray, float]] = {}
    pool: list[np.ndarray] = []
    for layer, states in _layers(store, fitted):
        mean, scale = places[layer] = _origin_and_unit(layer, states)
        pool.append((states - mean) / scale)
        report(len(pool), steps)
    projection = _fit(np.concatenate(pool), classes, dimensions)
    points = []
    for layer, states in _layers(store, shown):
        mean, scale = places[layer]
        points.append(projection.transform((states - mean) / scale)[:, :dimensions])
        report(len(pool) + len(points), steps)
    table = _rows(store, method, shown, labels)
    table[list(AXES[:dimensions])] = np.concatenate(points)
    return table


def evenly(rows: np.ndarray, most: int) -> np.ndarray:
    """At most so many of some rows, evenly spread."""
    return rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int)]


def _origin_and_unit(layer: int, states: np.ndarray) -> tuple[np.ndarray, float]:
    """Mean of a layer's states, and the root of their mean squared distance from it."""
    mean = states.mean(axis=0)
    scale = float(np.sqrt(((states - mean) ** 2).sum(axis=1).mean()))
    if not scale:
        raise ShiftlensError(f"layer {layer}: the states of all sentences are the same")
    return mean, scale


def _rows(
    store: ActivationStore, method: str, shown: np.ndarray, labels: Sequence[str] | None
) -> pd.DataFrame:
    """What each point is of: layer after layer, language after language."""
    index = pd.MultiIndex.from_product(
        [[method], store.layers, store.languages, shown],
        names=["method", "layer", "language", "sentence"],
    )
    table = index.to_frame(index=False)
    if labels is not None:
        table["label"] = [labels[row] for row in table["sentence"]]
    return table


def _check(
    store: ActivationStore, method: str, dimensions: int, labels: Sequence[str] | None, drawn: int
) -> None:
    if method not in METHODS:
        *others, last = METHODS
        raise ShiftlensError(f"unknown projection {method!r}; choose {', '.join(others)} or {last}")
    if dimensions not in (2, 3):
        raise ShiftlensError(f"a picture has 2 or 3 dimensions, not {dimensions}")
    if drawn < 1:
        raise ShiftlensError(f"cannot draw {drawn} sentences; draw at least 1")
    if store.n_sentences < 4:
        raise ShiftlensError("a projection takes four sentences or more: half of them to fit it")
    if labels is None and method == "lda-labels":
        raise ShiftlensError(
            "lda-labels tells the labels of sentences apart: give labels, one a sentence"
        )
    if labels is not None and len(labels) != store.n_sentences:
        raise ShiftlensError(
            f"{len(labels)} labels for {store.n_sentences} sentences; give one a sentence, in the "
            "order of the corpus"
        )


def _fitted_rows(store: ActivationStore) -> np.ndarray:
    """Sentences of even number, as many as the bound on the numbers fitted to allows."""
    each = len(store.layers) * len(store.languages) * int(store.manifest["model"]["d_model"])
    return evenly(np.arange(0, store.n_sentences, 2), max(2, int(_FITTED_VALUES / each)))


def _classes(
    store: ActivationStore,
    method: str,
    dimensions: int,
    labels: Sequence[str] | None,
    fitted: np.ndarray,
) -> np.ndarray | None:
    """The class of each state fitted to, layer after layer and language after language."""
    if method == "pca":
        return None
    if method == "lda":
        names, told = list(store.languages), "languages"
        of_layer = np.repeat(store.languages, len(fitted))
    else:
        assert labels is not None
        names, told = sorted(set(labels)), "labels"
        own = [labels[row] for row in fitted]
        _check_counts(names, own)
        of_layer = np.tile(own, len(store.languages))
    if len(names) <= dimensions:
        raise ShiftlensError(
            f"LDA tells {len(names)} {told} ({', '.join(names)}) apart in fewer than {dimensions} "
            f"dimensions; it takes {dimensions + 1}"
        )
    return np.tile(of_layer, len(store.layers))


def _check_counts(names: Sequence[str], fitted: Sequence[str]) -> None:
    counts = Counter(fitted)
    for name in names:
        if counts[name] < 2:
            raise ShiftlensError(
                f"label {name!r} has {counts[name]} of the {len(fitted)} sentences that the axes "
                "are fitted to (those of even number, counted from 0); it takes 2: join rare "
                "labels, or shuffle the sentences"
            )


def _layers(store: ActivationStore, rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Each layer with the states of these sentences, language after language, in float64."""
    for layer in store.layers:
        sides = [store.states(language, layer)[rows] for language in store.languages]
        yield layer, np.concatenate(sides).astype(np.float64)


def _fit(
    states: np.ndarray, classes: np.ndarray | None, dimensions: int
) -> LinearDiscriminantAnalysis | PCA:
    if classes is None:
        return PCA(n_components=dimensions, svd_solver="covariance_eigh").fit(states)
    lda = LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto", n_components=dimensions)
    return lda.fit(states, classes)
