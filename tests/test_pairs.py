"""Pairs of languages: the dominant one's are the sweep's, and the others the same estimator's."""

import numpy as np
import pandas as pd
import pytest
from pyriemann.geometry.distance import distance_riemann
from sklearn.covariance import LedoitWolf
from test_sweep import LAYERS, D, N, gaussians, halves, make_store

import shiftlens as sl
from shiftlens.errors import ShiftlensError
from shiftlens.geometry import METRICS
from shiftlens.pairs import COLUMNS, language_pairs
from shiftlens.sweep import sweep_layers

FOUR = ("fi", "en", "ko", "es")
COMPARING = [name for name, metric in METRICS.items() if metric.kind != "single"]


def translated(languages=FOUR, n=N):
    """States that share what their sentences say, so that some translations are found."""
    meaning = 3 * np.random.default_rng(9).normal(size=(n, LAYERS, D))
    own = gaussians(languages, n)
    return {code: (states + meaning).astype(np.float32) for code, states in own.items()}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("pairs") / "store", translated())


def matrix(table, layer):
    rows = table[table["layer"] == layer]
    return rows.pivot(index="language", columns="other", values="value")


@pytest.mark.parametrize("metric", COMPARING)
def test_the_pairs_with_the_dominant_language_are_the_sweeps_own_numbers(store, metric):
    pairs = language_pairs(store, metric, layers=[1, 3], seed=2)
    swept = sweep_layers(store, "en", metric, seed=2).table
    key = ["layer", "language"]
    own = pairs[pairs["other"] == "en"].set_index(key)[["value", "n", "d"]]
    theirs = swept.set_index(key)[["value", "n", "d"]].loc[own.index]
    pd.testing.assert_frame_equal(own, theirs, check_exact=True)
    assert len(own) == 2 * len(FOUR)


def test_any_two_languages_are_what_a_sweep_between_them_says(tmp_path):
    states = translated()
    pairs = language_pairs(make_store(tmp_path / "all", states), "csls", layers=[2])
    two = make_store(tmp_path / "two", {code: states[code] for code in ("ko", "es")})
    swept = sweep_layers(two, "ko", "csls").table.set_index(["layer", "language"])["value"]
    found = matrix(pairs, 2)
    assert found.loc["es", "ko"] == swept[2, "es"]
    assert found.loc["ko", "ko"] == swept[2, "ko"]


def test_values_are_pyriemanns_on_scikit_learns_covariances_floors_on_the_diagonal(store):
    a, b = halves(N)
    fitted = {
        code: [LedoitWolf().fit(states[half, 1].astype(float)).covariance_ for half in (a, b)]
        for code, states in translated().items()
    }
    found = matrix(language_pairs(store, layers=[1]), 1)
    for k in FOUR:
        for j in FOUR:
            ways = [distance_riemann(fitted[k][h], fitted[j][1 - h]) for h in (0, 1)]
            assert found.loc[k, j] == pytest.approx(np.mean(ways), rel=1e-8)


def test_the_paired_diagonal_is_of_unrelated_sentences(store):
    found = matrix(language_pairs(store, "cosine", layers=[2]), 2)
    states = translated()["ko"][:, 2].astype(float)
    unit = states / np.linalg.norm(states, axis=1, keepdims=True)
    a, b = map(np.sort, halves(N))
    turned = np.roll(np.arange(N // 2), N // 4)
    expected = (unit[a] * unit[b][turned]).sum(axis=1).mean()
    expected = (expected + (unit[b] * unit[a][turned]).sum(axis=1).mean()) / 2
    assert found.loc["ko", "ko"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("metric", COMPARING)
def test_a_symmetric_metric_has_a_symmetric_matrix_and_only_such_a_one(store, metric):
    values = matrix(language_pairs(store, metric, layers=[1]), 1).to_numpy()
    assert np.isfinite(values).all()
    assert len(np.unique(values)) > 2
    assert (values == values.T).all() == METRICS[metric].symmetric


def test_retrieval_back_is_retrieval_the_other_way_round(store):
    there, back = (
        matrix(language_pairs(store, name, layers=[2]), 2)
        for name in ("retrieval", "retrieval_back")
    )
    off = ~np.eye(len(FOUR), dtype=bool)
    np.testing.assert_array_equal(there.to_numpy()[off], back.to_numpy().T[off])


@pytest.mark.parametrize("metric", ["shifcon", "grassmann", "retrieval", "mean_distance_rms"])
def test_the_order_of_the_languages_permutes_the_rows_and_changes_no_number(tmp_path, metric):
    states = translated()
    turned = {code: states[code] for code in ("es", "ko", "fi", "en")}
    one = language_pairs(make_store(tmp_path / "a", states), metric, layers=[0, 2])
    other = language_pairs(make_store(tmp_path / "b", turned), metric, layers=[0, 2])
    assert list(one["other"][:4]) == list(FOUR)
    assert list(other["other"][:4]) == list(turned)
    key = ["layer", "language", "other"]
    pd.testing.assert_frame_equal(
        one.sort_values(key, ignore_index=True),
        other.sort_values(key, ignore_index=True),
        check_exact=True,
    )


def test_the_table_is_tidy(store):
    table = language_pairs(store, layers=[3, 1, 1])
    assert list(table.columns) == COLUMNS
    assert list(table["layer"].unique()) == [1, 3]
    assert len(table) == 2 * len(FOUR) ** 2
    assert not table.duplicated(["layer", "language", "other"]).any()
    assert set(table["n"]) == {N // 2} and set(table["d"]) == {D}
    assert list(language_pairs(store)["layer"].unique()) == list(range(LAYERS))


def test_the_dominant_language_tells_the_rank_alone(tmp_path):
    states = gaussians(("fi", "ko"))
    states["ko"] *= np.float32([9, 1, 1, 1, 1, 1, 1, 1])
    without = make_store(tmp_path, states)
    assert len(language_pairs(without, "shifcon", layers=[0])) == 4
    assert len(language_pairs(without, "grassmann", layers=[0], rank=3)) == 4
    wide, narrow = (language_pairs(without, "grassmann", dominant=code) for code in ("fi", "ko"))
    assert (wide["value"] != narrow["value"]).all()
    with pytest.raises(ShiftlensError, match="dominant language 'en' is not among"):
        language_pairs(without, "grassmann", layers=[0])


def test_token_moments_have_pairs_too(tmp_path):
    corpus = sl.load_corpus("demo", ("en", "fi", "ko")).head(30)
    halved = (range(10), range(10, 30))
    tokens = sl.collect_token_moments(
        sl.load_model("demo"), corpus, tmp_path / "tokens", halves=halved, progress=False
    )
    pairs = language_pairs(tokens, layers=[2])
    swept = sweep_layers(tokens, "en", "affine_invariant", progress=False).table
    swept = swept[swept["layer"] == 2].set_index("language")
    found = pairs.set_index(["language", "other"])
    for code in corpus.languages:
        assert found.loc[(code, "en"), "value"] == swept.loc[code, "value"]
    assert found.loc[("ko", "fi"), "n"] == swept.loc[["ko", "fi"], "n"].min()
    with pytest.raises(ShiftlensError, match="'mexa' needs sentence vectors"):
        language_pairs(tokens, "mexa")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "anisotropy"}, "'anisotropy' is of a single language.*affine_invariant"),
        ({"metric": "euclid"}, "unknown metric 'euclid'"),
        ({"metric": "mexa,cosine"}, "2 metrics; pairs are of one at a time"),
        ({"layers": [1, 9]}, r"layer 9 is not in the store \(0..4\)"),
        ({"layers": []}, "no layer given"),
        ({"shrinkage": "lasso"}, "'lasso' is not"),
        ({"rank": 99, "metric": "chordal"}, "rank 99 is out of reach"),
        ({"seed": -1}, "seed must be 0 or more"),
    ],
)
def test_an_impossible_option_is_refused(store, options, message):
    with pytest.raises(ShiftlensError, match=message):
        language_pairs(store, **options)


def test_what_cannot_be_measured_is_named(tmp_path):
    states = translated()
    states["ko"][:, 2, 0] = 1.0
    with pytest.raises(ShiftlensError, match=rf"language ko, layer 2 \(n = {N // 2}, d = {D}"):
        language_pairs(make_store(tmp_path / "a", states), shrinkage="0")
    with pytest.raises(ShiftlensError, match="'en' and at least one more"):
        language_pairs(make_store(tmp_path / "b", gaussians(("en",))))
