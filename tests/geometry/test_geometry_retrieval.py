"""Retrieval against naive loops, scikit-learn's neighbours and its theorems."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import NearestNeighbors

from shiftlens.errors import ShiftlensError
from shiftlens.geometry import cosine_retrieval, csls_retrieval, mexa, retrieval

SEEDS = st.integers(0, 2**32 - 1)
theorem = settings(max_examples=30, deadline=None, derandomize=True)


def csls3(x, y):
    return csls_retrieval(x, y, k=3)


def translations(rng, n=14, d=6, noise=0.8):
    x = rng.normal(size=(n, d)) + rng.normal(size=d)
    return x, x + noise * rng.normal(size=(n, d))


def share_best(scores):
    n = len(scores)
    wins = [all(scores[i, i] > scores[i, j] for j in range(n) if j != i) for i in range(n)]
    return sum(wins) / n


@theorem
@given(seed=SEEDS, n=st.integers(2, 15))
def test_cosine_retrieval_and_mexa_are_those_of_naive_loops(seed, n):
    x, y = translations(np.random.default_rng(seed), n)
    cosines = cosine_similarity(x, y)
    found = cosine_retrieval(x, y)
    assert (found.there, found.back) == (share_best(cosines), share_best(cosines.T))
    assert found.chance == 1 / n
    best = [
        all(cosines[i, i] > max(cosines[i, j], cosines[j, i]) for j in range(n) if j != i)
        for i in range(n)
    ]
    assert mexa(x, y).score == sum(best) / n
    assert mexa(x, y).chance == 1 / (2 * n - 1)


def test_cosine_retrieval_is_that_of_scikit_learns_neighbours():
    x, y = translations(np.random.default_rng(0), n=60)
    found = cosine_retrieval(x, y)
    for share, queries, answers in [(found.there, x, y), (found.back, y, x)]:
        nearest = NearestNeighbors(n_neighbors=1, metric="cosine").fit(answers)
        hits = nearest.kneighbors(queries, return_distance=False)[:, 0] == np.arange(60)
        assert share == hits.mean()
    assert 0.1 < found.there < 0.9


@theorem
@given(seed=SEEDS, n=st.integers(2, 15), data=st.data())
def test_csls_retrieval_is_that_of_naive_loops(seed, n, data):
    k = data.draw(st.integers(1, n))
    x, y = translations(np.random.default_rng(seed), n)
    cosines = cosine_similarity(x, y)
    scores = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            around_x = np.mean(sorted(cosines[i])[-k:])
            around_y = np.mean(sorted(cosines[:, j])[-k:])
            scores[i, j] = 2 * cosines[i, j] - around_x - around_y
    found = csls_retrieval(x, y, k)
    assert (found.there, found.back) == (share_best(scores), share_best(scores.T))
    assert found.chance == 1 / n


@pytest.mark.parametrize("measure", [cosine_retrieval, csls_retrieval, mexa])
@pytest.mark.parametrize("block", [1, 50, 100, 2**24])
def test_blocks_change_nothing(monkeypatch, measure, block):
    x, y = translations(np.random.default_rng(1), n=40)
    expected = measure(x, y)
    monkeypatch.setattr(retrieval, "BLOCK", block)
    assert measure(x, y) == expected


def test_csls_unseats_a_hub():
    angles = np.deg2rad([0.0, 40.0, 80.0])
    x = np.stack([np.cos(angles), np.sin(angles), np.zeros(3)], axis=1)
    y = x + np.array([0.0, 0.0, 1.3])  # far from every x, save the second, which is near them all
    y[1] = x.mean(axis=0)
    assert cosine_retrieval(x, y).there == pytest.approx(1 / 3)
    assert csls_retrieval(x, y, k=3).there == 1.0


@theorem
@given(seed=SEEDS, measure=st.sampled_from([cosine_retrieval, csls3, mexa]))
def test_invariance_to_rotating_both_scaling_rows_and_reordering_both(seed, measure):
    rng = np.random.default_rng(seed)
    x, y = translations(rng)
    expected = measure(x, y)
    turn, order = ortho_group.rvs(6, random_state=rng), rng.permutation(14)
    assert measure(x @ turn, y @ turn) == expected
    assert measure(rng.uniform(0.01, 100, (14, 1)) * x, y) == expected
    assert measure(x[order], y[order]) == expected


@theorem
@given(seed=SEEDS)
def test_symmetry_swaps_the_directions(seed):
    x, y = translations(np.random.default_rng(seed))
    for measure in (cosine_retrieval, csls3):
        one, other = measure(x, y), measure(y, x)
        assert (one.there, one.back) == (other.back, other.there)
    assert mexa(x, y) == mexa(y, x)


@theorem
@given(seed=SEEDS)
def test_mexa_is_bounded_by_both_directions_of_retrieval(seed):
    x, y = translations(np.random.default_rng(seed))
    both = cosine_retrieval(x, y)
    score = mexa(x, y).score
    assert both.there + both.back - 1 - 1e-12 <= score <= min(both.there, both.back)


def test_identity_is_found_and_a_permutation_of_the_pairs_is_not():
    x, y = translations(np.random.default_rng(2), noise=0.01)
    for measure in (cosine_retrieval, csls3):
        assert (measure(x, y).there, measure(x, y).back) == (1.0, 1.0)
        assert measure(x, np.roll(y, 1, axis=0)).there == 0.0
    assert mexa(x, y).score == 1.0
    assert mexa(x, np.roll(y, 1, axis=0)).score == 0.0


@theorem
@given(seed=SEEDS, n=st.integers(2, 12))
def test_ties_to_rounding_count_against(seed, n):
    rng = np.random.default_rng(seed)
    constant = rng.normal(size=33)
    x, y = rng.uniform(0.1, 10.0, size=(2, n, 1)) * constant  # cosines differ in their last bits
    for found in (cosine_retrieval(x, y), csls_retrieval(x, y, k=2)):
        assert (found.there, found.back) == (0.0, 0.0)
    assert mexa(x, y).score == 0.0
    assert cosine_retrieval(np.tile(constant, (n, 1)), y).there == 0.0


def test_a_repeated_sentence_fails_and_the_rest_is_found():
    x = np.eye(5)[[0, 1, 2, 3, 3]]
    assert cosine_retrieval(x, x).there == 0.6
    assert mexa(x, x).score == 0.6


@theorem
@given(seed=SEEDS)
def test_chance_is_the_mean_over_all_pairings(seed):
    x, y = translations(np.random.default_rng(seed), n=4)
    orders = [list(order) for order in permutations(range(4))]
    for measure in (cosine_retrieval, csls3):
        found = [measure(x, y[order]) for order in orders]
        assert np.mean([f.there for f in found]) == pytest.approx(found[0].chance)
        assert np.mean([f.back for f in found]) == pytest.approx(found[0].chance)
    assert np.mean([mexa(x, y[order]).score for order in orders]) <= 1 / 4 + 1e-12


def test_chance_of_mexa_is_that_of_independent_cosines():
    rng = np.random.default_rng(3)
    scores = [mexa(*rng.normal(size=(2, 5, 400))).score for _ in range(1500)]
    error = 4 * np.std(scores) / np.sqrt(len(scores))
    assert np.mean(scores) == pytest.approx(1 / 9, abs=error)
    assert error < 1 / 5 - 1 / 9


@pytest.mark.parametrize("measure", [cosine_retrieval, csls3, mexa])
def test_tensors_are_taken_and_mistakes_refused(measure):
    x, y = translations(np.random.default_rng(4))
    assert measure(torch.tensor(x), torch.tensor(y)) == measure(x, y)
    with pytest.raises(ShiftlensError, match="n = 14 and n = 13"):
        measure(x, y[:-1])
    with pytest.raises(ShiftlensError, match=r"width 6 .* width 5"):
        measure(x, y[:, :5])
    with pytest.raises(ShiftlensError, match="at least 2"):
        measure(x[:1], y[:1])
    with pytest.raises(ShiftlensError, match="first is row 3"):
        measure(np.where(np.arange(14)[:, None] == 3, 0.0, x), y)


@pytest.mark.parametrize("k", [0, 15])
def test_csls_refuses_impossible_neighbourhoods(k):
    x, y = translations(np.random.default_rng(5))
    with pytest.raises(ShiftlensError, match=f"k = {k} .* 1 to n = 14"):
        csls_retrieval(x, y, k=k)
