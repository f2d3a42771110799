"""Sentence vectors in memory: a sweep of them is a sweep of a store that holds the same."""

import numpy as np
import pandas as pd
import pytest
from test_sweep import LANGUAGES, LAYERS, D, N, gaussians, make_store

import shiftlens as sl
from shiftlens.errors import ShiftlensError
from shiftlens.sweep import sweep_layers

ROWS = np.random.default_rng(5).permutation(N)[:40]


@pytest.fixture
def states(tmp_path):
    return sl.SentenceStates.read(make_store(tmp_path / "all", gaussians()))


def test_the_states_of_a_store_are_read_in_corpus_order(states):
    assert (states.languages, states.layers) == (LANGUAGES, tuple(range(LAYERS)))
    assert states.n_sentences == N
    for language, expected in gaussians().items():
        for layer in range(LAYERS):
            np.testing.assert_array_equal(states.states(language, layer), expected[:, layer])


@pytest.mark.parametrize("options", [{}, {"projection": "lsar", "groups": 2}, {"seed": 3}])
def test_a_sweep_of_some_sentences_is_that_of_a_store_with_these_alone(states, tmp_path, options):
    few = {code: own[ROWS] for code, own in gaussians().items()}
    store = make_store(tmp_path / "few", few)
    metrics = ("affine_invariant", "mexa", "mean_distance")
    expected = sweep_layers(store, "en", metrics, progress=False, **options)
    found = sweep_layers(states.of_sentences(ROWS), "en", metrics, progress=False, **options)
    pd.testing.assert_frame_equal(found.table, expected.table)
    assert found.areas == expected.areas
    whole = sweep_layers(states, "en", metrics, progress=False, **options).table
    assert not np.allclose(whole["value"], found.table["value"], rtol=0.01)


def test_sentences_that_are_not_there_are_refused(states):
    for rows in ([0, N], [-1, 3]):
        with pytest.raises(ShiftlensError, match=rf"are not all in 0\.\.{N - 1}"):
            states.of_sentences(rows)


@pytest.mark.parametrize(
    "vectors",
    [
        {},
        {"en": np.zeros((2, 3))},
        {"en": np.zeros((LAYERS, N, D)), "es": np.zeros((LAYERS, N - 1, D))},
    ],
)
def test_vectors_of_no_common_shape_are_refused(vectors):
    with pytest.raises(ShiftlensError, match=r"one shape \(layers, sentences, d_model\)"):
        sl.SentenceStates(vectors)
