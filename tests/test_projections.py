"""The axes of all layers, against numpy, scikit-learn and their own promises."""

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from shiftlens import projections
from shiftlens.errors import ShiftlensError
from shiftlens.projections import project_layers
from shiftlens.store import ActivationStore

LANGUAGES = ("en", "fi", "fa", "ja")
N, LAYERS, WIDTH = 40, 3, 12
LABELS = [("past", "present", "future", "never")[n // 2 % 4] for n in range(N)]


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


@pytest.mark.parametrize("dimensions", [2, 3])
def test_pca_is_numpys_svd_of_all_layers_together(store, dimensions):
    table = project_layers(store, "pca", dimensions=dimensions)
    even, odd = np.arange(0, N, 2), np.arange(1, N, 2)
    states = standardised(random_states(), even)
    pooled = states[:, even].reshape(-1, WIDTH)
    axes = np.linalg.svd(pooled - pooled.mean(axis=0))[2][:dimensions]
    expected = (states[:, odd] - pooled.mean(axis=0)) @ axes.T
    for layer in range(LAYERS):
        for k, code in enumerate(LANGUAGES):
            rows = table[(table["layer"] == layer) & (table["language"] == code)]
            assert rows["sentence"].tolist() == odd.tolist()
            got = rows[list("xyz"[:dimensions])].to_numpy()
            signs = np.sign((got * expected[k, :, layer]).sum(axis=0))
            np.testing.assert_allclose(got * signs, expected[k, :, layer], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("method", ["lda", "lda-labels"])
def test_lda_is_scikit_learns_of_all_layers_together(store, method, dimensions):
    table = project_layers(store, method, dimensions=dimensions, labels=LABELS)
    even, odd = np.arange(0, N, 2), np.arange(1, N, 2)
    states = standardised(random_states(), even)
    x = states[:, even].transpose(2, 0, 1, 3).reshape(-1, WIDTH)
    of_layer = {
        "lda": np.repeat(LANGUAGES, len(even)),
        "lda-labels": np.tile(np.array(LABELS)[even], len(LANGUAGES)),
    }[method]
    lda = LinearDiscriminantAnalysis("eigen", shrinkage="auto", n_components=dimensions)
    lda.fit(x, np.tile(of_layer, LAYERS))
    for layer in range(LAYERS):
        expected = lda.transform(states[2, odd, layer])
        rows = table[(table["layer"] == layer) & (table["language"] == "fa")]
        assert rows["sentence"].tolist() == odd.tolist()
        assert rows["label"].tolist() == [LABELS[n] for n in odd]
        np.testing.assert_allclose(rows[list("xyz"[:dimensions])], expected, rtol=1e-6)
    assert set(table["method"]) == {method} and ("z" in table) == (dimensions == 3)


@pytest.mark.parametrize("method", ["pca", "lda", "lda-labels"])
def test_moving_and_scaling_a_layer_leaves_the_plane_as_it_was(store, tmp_path, method):
    states = random_states()
    states[:, :, 1] = 7 * states[:, :, 1] + 100 * np.arange(WIDTH, dtype=np.float32)
    moved = project_layers(store_of(tmp_path / "b", states), method, labels=LABELS)
    first = project_layers(store, method, labels=LABELS)
    np.testing.assert_allclose(moved[["x", "y"]], first[["x", "y"]], atol=1e-3)


@pytest.mark.parametrize("method", ["pca", "lda", "lda-labels"])
def test_the_axes_were_not_fitted_to_what_is_drawn(store, tmp_path, method):
    """Neither the states nor the labels of drawn sentences move the axes; those of others do."""
    first = project_layers(store, method, labels=LABELS)
    rng = np.random.default_rng(1)
    states = random_states()
    states[:, 5::2] = rng.normal(scale=50, size=states[:, 5::2].shape)
    labels = list(LABELS)
    labels[1::2] = rng.permutation(LABELS[1::2]).tolist()
    other = project_layers(store_of(tmp_path / "c", states), method, labels=labels)
    same = first["sentence"] < 5
    assert same.sum() == 2 * LAYERS * len(LANGUAGES)
    np.testing.assert_array_equal(other[same][["x", "y"]], first[same][["x", "y"]])
    assert (other[~same]["x"] - first[~same]["x"]).abs().max() > 0.1
    states = random_states()
    states[:, 4] += 10 * rng.normal(size=WIDTH)
    moved = project_layers(store_of(tmp_path / "d", states), method, labels=LABELS)
    assert (moved[same]["x"] - first[same]["x"]).abs().max() > 0.01


def test_labels_that_say_nothing_do_not_look_apart(tmp_path):
    """With more dimensions than sentences a picture of the fitted ones would show clusters."""
    rng = np.random.default_rng(2)
    states = rng.normal(size=(len(LANGUAGES), N, LAYERS, WIDTH)).astype(np.float32)
    table = project_layers(store_of(tmp_path / "noise", states), "lda-labels", labels=LABELS)
    within = table.groupby("label")[["x", "y"]].std().mean()
    between = table.groupby("label")[["x", "y"]].mean().std()
    assert (between < within / 2).all()


def test_planted_labels_lie_apart_and_languages_together_and_the_other_way_round(tmp_path):
    rng = np.random.default_rng(3)
    states = random_states()
    topics = {label: 9 * rng.normal(size=WIDTH) for label in sorted(set(LABELS))}
    states[:] += np.array([topics[label] for label in LABELS])[None, :, None]
    store = store_of(tmp_path / "planted", states)
    for method, apart, together in (
        ("lda-labels", "label", "language"),
        ("lda", "language", "label"),
    ):
        table = project_layers(store, method, labels=LABELS)
        table = table[table["layer"] == 0]
        distances = {
            by: table.groupby(by)[["x", "y"]].mean().std().max() for by in (apart, together)
        }
        assert distances[apart] > 3 * distances[together]


def test_few_sentences_are_drawn_and_few_numbers_fitted_to(tmp_path, monkeypatch):
    store = store_of(tmp_path / "many", random_states(n=600))
    counts = project_layers(store, "pca").groupby(["layer", "language"]).size()
    assert set(counts) == {120}
    monkeypatch.setattr(projections, "_FITTED_VALUES", 10 * WIDTH * LAYERS * len(LANGUAGES))
    rows = projections._fitted_rows(store)
    assert len(rows) == 10 and (rows % 2 == 0).all() and rows[-1] == 598
    assert len(project_layers(store, "lda")) == 120 * LAYERS * len(LANGUAGES)
    few = project_layers(store, "pca", drawn=7)["sentence"].unique()
    assert few.tolist() == [1, 101, 201, 301, 399, 499, 599]


def test_progress_runs_to_its_end(store):
    seen = []
    project_layers(store, "pca", report=lambda done, total: seen.append((done, total)))
    assert seen == [(n, 2 * LAYERS) for n in range(1, 2 * LAYERS + 1)]


def test_what_cannot_be_projected_is_refused(store, tmp_path):
    two = store_of(tmp_path / "two", random_states(("en", "fi")), ("en", "fi"))
    few = store_of(tmp_path / "few", random_states(n=3))
    same = np.ones((len(LANGUAGES), 8, LAYERS, WIDTH), dtype=np.float32)
    same = store_of(tmp_path / "same", same)
    halves = ["even", "odd"] * (N // 2)
    rare = [*LABELS[:-2], "rare", "rare"]
    for of, method, settings, message in (
        (store, "tsne", {}, "unknown projection 'tsne'; choose lda, lda-labels or pca"),
        (store, "lda", {"dimensions": 4}, "2 or 3 dimensions, not 4"),
        (store, "lda", {"drawn": 0}, "cannot draw 0 sentences"),
        (two, "lda", {}, "2 languages .en, fi. apart in fewer than 2 dimensions; it takes 3"),
        (few, "pca", {}, "four sentences"),
        (same, "pca", {}, "layer 0: the states of all sentences are the same"),
        (store, "lda-labels", {}, "give labels, one a sentence"),
        (store, "pca", {"labels": LABELS[1:]}, "39 labels for 40 sentences"),
        (store, "lda-labels", {"labels": halves}, "'odd' has 0 of the 20 sentences"),
        (store, "lda-labels", {"labels": rare}, "'rare' has 1 of the 20 sentences"),
        (
            store,
            "lda-labels",
            {"labels": [label.replace("never", "past") for label in LABELS], "dimensions": 3},
            "3 labels .future, past, present. apart in fewer than 3 dimensions; it takes 4",
        ),
    ):
        with pytest.raises(ShiftlensError, match=message):
            project_layers(of, method, **settings)
    assert len(project_layers(two, "pca")) == 2 * 20 * LAYERS
