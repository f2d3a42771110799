"""LanguageSubspace against scikit-learn's PCA, its own checks of estimators, and theorems."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import subspace_angles
from scipy.stats import ortho_group
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from shiftlens.errors import ShiftlensError
from shiftlens.geometry import METRICS, mean_distance, summarise, summary
from shiftlens.geometry.language_subspace import LanguageSubspace

SEEDS = st.integers(0, 2**32 - 1)
SHAPES = st.tuples(st.integers(4, 30), st.integers(2, 15))
COMPARED = [m.name for m in METRICS.values() if m.takes == "summary" and m.kind != "single"]
SYMMETRIC = [name for name in COMPARED if METRICS[name].symmetric]
theorem = settings(max_examples=30, deadline=None, derandomize=True)


def states(rng, n=25, d=6):
    return rng.normal(size=(n, d)) @ np.diag(rng.uniform(0.5, 3.0, d)) + 5.0 * rng.normal(size=d)


@parametrize_with_checks([LanguageSubspace(), LanguageSubspace(n_components=1, shrinkage=0.1)])
def test_scikit_learns_checks_of_an_estimator(estimator, check):
    check(estimator)


@theorem
@given(seed=SEEDS, shape=SHAPES, data=st.data())
def test_components_and_coordinates_are_those_of_pca(seed, shape, data):
    rng = np.random.default_rng(seed)
    x, other = states(rng, *shape), states(rng, 5, shape[1])
    k = data.draw(st.integers(1, min(shape[0] - 1, shape[1])))
    found = LanguageSubspace(n_components=k).fit(x)
    oracle = PCA(k, svd_solver="full").fit(x)
    n = len(x)
    signs = np.sign(np.sum(found.components_ * oracle.components_, axis=1))
    near = {"rtol": 1e-8, "atol": 1e-8}
    np.testing.assert_allclose(found.mean_, oracle.mean_, rtol=1e-12)
    np.testing.assert_allclose(found.components_, signs[:, None] * oracle.components_, **near)
    np.testing.assert_allclose(
        found.explained_variance_, oracle.explained_variance_ * (n - 1) / n, rtol=1e-8
    )
    np.testing.assert_allclose(found.transform(other), signs * oracle.transform(other), **near)
    z = rng.normal(size=(4, k))
    np.testing.assert_allclose(
        found.inverse_transform(z), oracle.inverse_transform(z * signs), **near
    )


@theorem
@given(seed=SEEDS, shape=SHAPES, share=st.floats(0.05, 0.99))
def test_a_share_of_the_variance_gives_the_rank_that_pca_gives(seed, shape, share):
    x = states(np.random.default_rng(seed), *shape)
    found = LanguageSubspace(n_components=share).fit(x)
    assert found.n_components_ == PCA(share, svd_solver="full").fit(x).n_components_
    assert found.components_.shape == (found.n_components_, shape[1])
    assert found.summary_.principal_rank == found.n_components_


def test_an_int_is_a_rank_and_a_float_a_share():
    x = states(np.random.default_rng(0))
    kept = {repr(k): LanguageSubspace(k).fit(x).n_components_ for k in (1, 1.0, np.int64(2), None)}
    assert list(kept.values()) == [1, 6, 2, 6]


def test_the_summary_is_that_of_summarise():
    x = states(np.random.default_rng(1))
    found, expected = LanguageSubspace(2, shrinkage="oas").fit(x).summary_, summarise(x, "oas", 2)
    for name, value in vars(expected).items():
        np.testing.assert_array_equal(getattr(found, name), value, err_msg=name)


def test_one_fit_is_one_decomposition(monkeypatch):
    calls, factored = [], summary.centred_factor
    monkeypatch.setattr(summary, "centred_factor", lambda rows: calls.append(1) or factored(rows))
    LanguageSubspace().fit(states(np.random.default_rng(2)))
    assert len(calls) == 1


@theorem
@given(seed=SEEDS, shape=SHAPES, k=st.sampled_from([1, 0.7, 1.0, None]))
def test_project_is_idempotent_and_the_way_through_the_coordinates(seed, shape, k):
    rng = np.random.default_rng(seed)
    x, other = states(rng, *shape), states(rng, 5, shape[1])
    subspace = LanguageSubspace(k).fit(x)
    projected = subspace.project(other)
    through = subspace.inverse_transform(subspace.transform(other))
    np.testing.assert_allclose(projected, through, atol=1e-10)
    np.testing.assert_allclose(subspace.project(projected), projected, atol=1e-10)
    oracle = PCA(subspace.n_components_, svd_solver="full").fit(x)
    expected = oracle.inverse_transform(oracle.transform(other))
    np.testing.assert_allclose(projected, expected, atol=1e-8)


def test_states_lie_in_the_subspace_of_all_their_directions():
    x = states(np.random.default_rng(3), n=5, d=9)
    np.testing.assert_allclose(LanguageSubspace(None).fit(x).project(x), x, atol=1e-12)


@theorem
@given(seed=SEEDS)
def test_rotating_and_moving_the_states_carries_the_subspace_along(seed):
    rng = np.random.default_rng(seed)
    x, turn, step = states(rng), ortho_group.rvs(6, random_state=rng), rng.normal(size=6)
    there = LanguageSubspace(2).fit(x @ turn + step)
    here = LanguageSubspace(2).fit(x)
    np.testing.assert_allclose(there.mean_, here.mean_ @ turn + step, atol=1e-10)
    assert np.max(subspace_angles(there.components_.T, turn.T @ here.components_.T)) < 1e-7


@pytest.mark.parametrize("name", COMPARED)
def test_a_distance_is_that_of_the_table(name):
    rng = np.random.default_rng(4)
    x, y = states(rng), states(rng)
    summaries = summarise(x, "ledoit-wolf", 3), summarise(y, "ledoit-wolf", 3)
    found = LanguageSubspace(3).fit(x).distance(LanguageSubspace(3).fit(y), metric=name)
    assert found == METRICS[name].function(*summaries)
    assert found > 1e-3


@theorem
@given(seed=SEEDS, name=st.sampled_from(SYMMETRIC))
def test_distance_to_itself_is_zero_and_symmetric(seed, name):
    rng = np.random.default_rng(seed)
    a, b = (LanguageSubspace(3).fit(states(rng)) for _ in range(2))
    assert a.distance(a, name) == pytest.approx(0.0, abs=1e-6)
    assert a.distance(b, name) == pytest.approx(b.distance(a, name), rel=1e-8)
    assert a.distance(b, name) > 1e-3


def test_distance_takes_a_function_of_two_summaries():
    rng = np.random.default_rng(5)
    x, y = states(rng), states(rng)
    found = LanguageSubspace().fit(x).distance(LanguageSubspace().fit(y), mean_distance)
    assert found == pytest.approx(np.linalg.norm(x.mean(axis=0) - y.mean(axis=0)), rel=1e-12)


def test_distance_refuses_what_does_not_compare_two_summaries():
    rng = np.random.default_rng(6)
    a, b = (LanguageSubspace(k).fit(states(rng)) for k in (2, 3))
    for metric in METRICS.values():
        if metric.name not in COMPARED:
            with pytest.raises(ShiftlensError, match="call its function"):
                a.distance(b, metric.name)
        elif metric.requires == "rank":
            with pytest.raises(ShiftlensError, match="have 2 and 3 directions"):
                a.distance(b, metric.name)
    assert a.distance(b) > 0
    with pytest.raises(ShiftlensError, match="unknown metric 'cosmic'"):
        a.distance(b, "cosmic")
    with pytest.raises(ShiftlensError, match="cannot compare states of width"):
        a.distance(LanguageSubspace(2).fit(states(rng, d=5)))
    with pytest.raises(NotFittedError):
        a.distance(LanguageSubspace())


def test_it_works_in_a_pipeline_and_a_grid_search():
    rng = np.random.default_rng(7)
    x, y = states(rng, n=60), np.arange(60) % 2
    x[:, 0] += 20.0 * y
    search = GridSearchCV(
        make_pipeline(LanguageSubspace(), LogisticRegression()),
        {"languagesubspace__n_components": [1, 0.9]},
        error_score="raise",
    )
    assert search.fit(x, y).score(x, y) == 1.0


def test_clone_and_pickle_keep_it():
    x = states(np.random.default_rng(8))
    subspace = LanguageSubspace(2, shrinkage=0.3).fit(x)
    assert clone(subspace).get_params() == {"n_components": 2, "shrinkage": 0.3}
    again = pickle.loads(pickle.dumps(subspace))
    np.testing.assert_array_equal(again.transform(x), subspace.transform(x))


def test_tensors_of_any_dtype_are_taken():
    x = torch.tensor(states(np.random.default_rng(9)), dtype=torch.bfloat16, requires_grad=True)
    rows = x.detach().double().numpy()
    subspace, expected = LanguageSubspace(2).fit(x), LanguageSubspace(2).fit(rows)
    np.testing.assert_array_equal(subspace.transform(x), expected.transform(rows))
    np.testing.assert_array_equal(subspace.project(x), expected.project(rows))
    z = expected.transform(rows)
    np.testing.assert_array_equal(
        subspace.inverse_transform(torch.tensor(z)), expected.inverse_transform(z)
    )


def test_few_sentences_and_a_constant_dimension_are_taken():
    x = states(np.random.default_rng(10), n=4, d=9)
    x[:, 2] = 1.5
    subspace = LanguageSubspace(None).fit(x)
    assert subspace.n_components_ == 3
    np.testing.assert_allclose(subspace.components_[:, 2], 0.0, atol=1e-12)
    assert subspace.distance(LanguageSubspace().fit(states(np.random.default_rng(11), d=9))) > 1.0


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_broken_values_and_widths_are_refused(broken):
    x = states(np.random.default_rng(12))
    bad, subspace = np.where(np.arange(25)[:, None] == 3, broken, x), LanguageSubspace(2).fit(x)
    for rows in (bad, torch.tensor(bad)):
        for method in (LanguageSubspace().fit, subspace.transform, subspace.project):
            with pytest.raises(ShiftlensError, match=r"NaN|infinity"):
                method(rows)
    with pytest.raises(ShiftlensError, match="NaN or infinity"):
        subspace.inverse_transform(bad[:, :2])
    with pytest.raises(ShiftlensError, match=r"X has 5 features, but LanguageSubspace"):
        subspace.project(x[:, :5])
    with pytest.raises(ShiftlensError, match=r"\(25, 6\) do not fit a subspace of rank 2"):
        subspace.inverse_transform(x)


@pytest.mark.parametrize(
    ("options", "n", "message"),
    [
        ({"n_components": 7}, 25, "rank 7 is out of reach"),
        ({"n_components": 0}, 25, "rank 0 is out of reach"),
        ({"n_components": 4}, 4, "n = 4 .* rank 3"),
        ({"n_components": 1.5}, 25, r"1.5 lies outside \(0, 1\]"),
        ({"n_components": 0.0}, 25, r"0.0 lies outside \(0, 1\]"),
        ({"n_components": "mle"}, 25, "'mle' is not a rank"),
        ({"shrinkage": "none"}, 25, "'none' is not"),
        ({}, 1, "1 sample"),
    ],
)
def test_impossible_options_are_refused_by_fit(options, n, message):
    with pytest.raises(ShiftlensError, match=message):
        LanguageSubspace(**options).fit(states(np.random.default_rng(13), n=n))


def test_identical_states_are_refused():
    with pytest.raises(ShiftlensError, match="identical"):
        LanguageSubspace().fit(np.ones((5, 3)))


def test_an_unshrunk_subspace_of_few_states_serves_what_inverts_nothing():
    first, second = (
        LanguageSubspace(3, shrinkage=0.0).fit(states(np.random.default_rng(seed), n=5))
        for seed in (1, 2)
    )
    assert first.distance(second, "bures_wasserstein") > 0
    assert first.distance(second, "grassmann") > 0
    with pytest.raises(ShiftlensError, match="singular"):
        first.distance(second)
