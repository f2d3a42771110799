"""The plane of all layers, against numpy and its own promises."""

import numpy as np
import pandas as pd
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from shiftlens.app import layer_geometry, project_layers, projections
from shiftlens.errors import ShiftlensError
from shiftlens.languages import language_name
from shiftlens.store import ActivationStore

LANGUAGES = ("en", "fi", "fa", "ja")
N, LAYERS, WIDTH = 40, 3, 12
TEXTS = {code: [f"{code} <b>{n}</b>" for n in range(N)] for code in LANGUAGES}


def random_states(languages=LANGUAGES, n=N, seed=0):
    """Clusters by language that drift and grow from layer to layer, ``(k, n, layers, d)``."""
    rng = np.random.default_rng(seed)
    centres = 3 * rng.normal(size=(len(languages), 1, 1, WIDTH))
    drift = rng.normal(size=(1, 1, LAYERS, WIDTH))
    growth = np.array([1.0, 4.0, 20.0])[None, None, :, None]
    noise = rng.normal(size=(len(languages), n, LAYERS, WIDTH))
    return ((centres + drift + noise) * growth).astype(np.float32)


def store_of(path, states, languages=LANGUAGES):
    n = states.shape[1]
    manifest = {
        "model": {"d_model": WIDTH},
        "corpus": {"languages": list(languages), "sentences": n},
        "layers": list(range(LAYERS)),
        "shards": [
            {"file": f"{code}.safetensors", "language": code, "rows": n} for code in languages
        ],
    }
    store = ActivationStore.create(path, manifest)
    for code, rows in zip(languages, states, strict=True):
        store.write(f"{code}.safetensors", np.arange(n), rows)
    return store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return store_of(tmp_path_factory.mktemp("store") / "a", random_states())


def standardised(states, rows):
    """Each layer of ``(k, n, layers, d)`` at its origin and unit, by its sentences ``rows``."""
    own = states[:, rows].astype(np.float64)
    mean = own.mean(axis=(0, 1))
    scale = np.sqrt(((own - mean) ** 2).sum(-1).mean(axis=(0, 1)))
    return (states - mean) / scale[:, None]


def test_pca_is_numpys_svd_of_all_layers_together(store):
    table = project_layers(store, "pca")
    even, odd = np.arange(0, N, 2), np.arange(1, N, 2)
    states = standardised(random_states(), even)
    pooled = states[:, even].reshape(-1, WIDTH)
    axes = np.linalg.svd(pooled - pooled.mean(axis=0))[2][:2]
    expected = (states[:, odd] - pooled.mean(axis=0)) @ axes.T
    for layer in range(LAYERS):
        for k, code in enumerate(LANGUAGES):
            rows = table[(table["layer"] == layer) & (table["language"] == code)]
            assert rows["sentence"].tolist() == odd.tolist()
            got = rows[["x", "y"]].to_numpy()
            signs = np.sign((got * expected[k, :, layer]).sum(axis=0))
            np.testing.assert_allclose(got * signs, expected[k, :, layer], rtol=1e-6, atol=1e-8)


def test_lda_is_scikit_learns_of_all_layers_together(store):
    table = project_layers(store, "lda")
    even, odd = np.arange(0, N, 2), np.arange(1, N, 2)
    states = standardised(random_states(), even)
    x = states[:, even].transpose(2, 0, 1, 3).reshape(-1, WIDTH)
    y = np.tile(np.repeat(np.arange(len(LANGUAGES)), len(even)), LAYERS)
    lda = LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto", n_components=2).fit(x, y)
    expected = lda.transform(states[2, odd, 1])
    got = table[(table["layer"] == 1) & (table["language"] == "fa")][["x", "y"]].to_numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize("method", ["pca", "lda"])
def test_moving_and_scaling_a_layer_leaves_the_plane_as_it_was(store, tmp_path, method):
    states = random_states()
    states[:, :, 1] = 7 * states[:, :, 1] + 100 * np.arange(WIDTH, dtype=np.float32)
    moved = project_layers(store_of(tmp_path / "b", states), method)
    first = project_layers(store, method)
    np.testing.assert_allclose(moved[["x", "y"]], first[["x", "y"]], atol=1e-3)


def test_the_axes_were_not_fitted_to_what_is_drawn(store, tmp_path):
    states = random_states()
    states[:, 3] += 50
    other = project_layers(store_of(tmp_path / "c", states), "pca")
    first = project_layers(store, "pca")
    same = first["sentence"] != 3
    np.testing.assert_allclose(other[same][["x", "y"]], first[same][["x", "y"]])
    assert (other[~same]["x"] - first[~same]["x"]).abs().min() > 0.1


def test_few_sentences_are_drawn_and_few_numbers_fitted_to(tmp_path, monkeypatch):
    store = store_of(tmp_path / "many", random_states(n=600))
    counts = project_layers(store, "pca").groupby(["layer", "language"]).size()
    assert set(counts) == {120}
    monkeypatch.setattr(projections, "_FITTED_VALUES", 10 * WIDTH * LAYERS * len(LANGUAGES))
    rows = projections._fitted_rows(store)
    assert len(rows) == 10 and (rows % 2 == 0).all() and rows[-1] == 598
    assert len(project_layers(store, "lda")) == 120 * LAYERS * len(LANGUAGES)


def test_progress_runs_to_its_end(store):
    seen = []
    project_layers(store, "pca", lambda done, total: seen.append((done, total)))
    assert seen == [(n, 2 * LAYERS) for n in range(1, 2 * LAYERS + 1)]


def test_what_cannot_be_projected_is_refused(store, tmp_path):
    with pytest.raises(ShiftlensError, match="unknown projection 'tsne'; choose lda or pca"):
        project_layers(store, "tsne")
    two = store_of(tmp_path / "two", random_states(("en", "fi")), ("en", "fi"))
    with pytest.raises(ShiftlensError, match="2 languages"):
        project_layers(two, "lda")
    assert len(project_layers(two, "pca")) == 2 * 20 * LAYERS
    few = store_of(tmp_path / "few", random_states(n=3))
    with pytest.raises(ShiftlensError, match="four sentences"):
        project_layers(few, "pca")
    same = np.ones((len(LANGUAGES), 8, LAYERS, WIDTH), dtype=np.float32)
    with pytest.raises(ShiftlensError, match="layer 0: the states of all sentences are the same"):
        project_layers(store_of(tmp_path / "same", same), "pca")


def test_the_figure_has_the_same_axes_at_every_layer_and_shows_the_sentences(store):
    table = project_layers(store, "pca")
    figures = [layer_geometry(table, layer, TEXTS) for layer in range(LAYERS)]
    ranges = {(figure.layout.xaxis.range, figure.layout.yaxis.range) for figure in figures}
    assert len(ranges) == 1
    low, high = figures[0].layout.xaxis.range
    assert low < table["x"].min() and high > table["x"].max()
    traces = {trace.name: trace for trace in figures[1].data if trace.name}
    assert list(traces) == [language_name(code) for code in LANGUAGES]
    rows = table[(table["layer"] == 1) & (table["language"] == "fi")]
    np.testing.assert_array_equal(traces["Finnish"].x, rows["x"])
    assert list(traces["Finnish"].customdata) == rows["sentence"].tolist()
    assert "fi &lt;b&gt;5&lt;/b&gt;" in traces["Finnish"].text[2]


def test_a_sentence_is_ringed_and_joined_to_its_translations(store):
    table = project_layers(store, "pca")
    figure = layer_geometry(table, 2, TEXTS, sentence=7)
    own = table[(table["layer"] == 2) & (table["sentence"] == 7)]
    np.testing.assert_array_equal(figure.data[-1].x, own["x"])
    joined = pd.Series(figure.data[0].x).dropna()
    assert set(joined) == set(own["x"]) and len(joined) == 2 * (len(LANGUAGES) - 1)
    assert len(layer_geometry(table, 2, TEXTS, sentence=8).data[-1].x) == 0
    with pytest.raises(ShiftlensError, match=r"no layer 9 \(0..2\)"):
        layer_geometry(table, 9, TEXTS)
