"""LDA, probe and silhouette against scikit-learn, naive loops, Bayes' error and theorems."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, ortho_group
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict

from shiftlens.errors import ShiftlensError
from shiftlens.geometry.separability import lda_accuracy, probe_accuracy, silhouette

SEEDS = st.integers(0, 2**32 - 1)
SHAPES = st.sampled_from([(20, 20, 6), (25, 14, 3), (12, 15, 40), (30, 30, 1), (10, 11, 21)])
ACCURACIES = [lda_accuracy, probe_accuracy]
MEASURES = [*ACCURACIES, silhouette]
theorem = settings(max_examples=30, deadline=None, derandomize=True)


def languages(rng, n, m, d, apart=0.7):
    spread = np.geomspace(3.0, 0.3, d)
    x, y = rng.normal(size=(n, d)) * spread, rng.normal(size=(m, d)) * spread
    return x + 5.0, y + 5.0 + apart * rng.normal(size=d)


def stacked(x, y, folds):
    n, m = len(x), len(y)
    fold = np.array([i % folds for i in range(n)] + [i % folds for i in range(m)])
    return np.vstack([x, y]), np.array([1] * n + [0] * m), PredefinedSplit(fold)


def lda_of_scikit_learn(x, y, folds):
    """LDA whose shrinkage is that of the pooled residuals, and whose priors are made equal."""
    states, labels, split = stacked(x, y, folds)
    found = np.empty(len(labels))
    for train, held in split.split():
        z, t = states[train], labels[train]
        residuals = np.vstack([z[t == k] - z[t == k].mean(axis=0) for k in (0, 1)])
        alpha = min(ledoit_wolf_shrinkage(residuals, assume_centered=True), 1.0)
        model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=float(alpha)).fit(z, t)
        prior = np.log(model.priors_[1] / model.priors_[0])
        found[held] = model.decision_function(states[held]) > prior
    return balanced_accuracy_score(labels, found)


def probe_of_scikit_learn(x, y, folds):
    """By Newton's method, on states of mean squared norm 1."""
    states, labels, split = stacked(x, y, folds)
    states = states / np.sqrt(states.var(axis=0).sum())
    model = LogisticRegression(class_weight="balanced", solver="newton-cholesky", tol=1e-10)
    return balanced_accuracy_score(labels, cross_val_predict(model, states, labels, cv=split))


def silhouette_of_naive_loops(x, y):
    values = []
    for own, other in ((x, y), (y, x)):
        for i, state in enumerate(own):
            a = np.mean([np.linalg.norm(state - s) for j, s in enumerate(own) if j != i])
            b = np.mean([np.linalg.norm(state - s) for s in other])
            values.append((b - a) / max(a, b))
    return np.mean(values)


@theorem
@given(seed=SEEDS, shape=SHAPES, folds=st.integers(2, 7))
def test_lda_is_that_of_scikit_learn(seed, shape, folds):
    x, y = languages(np.random.default_rng(seed), *shape)
    assert lda_accuracy(x, y, folds) == pytest.approx(lda_of_scikit_learn(x, y, folds), rel=1e-12)


@theorem
@given(seed=SEEDS, shape=SHAPES, folds=st.integers(2, 7))
def test_probe_is_that_of_scikit_learn(seed, shape, folds):
    x, y = languages(np.random.default_rng(seed), *shape)
    expected = probe_of_scikit_learn(x, y, folds)
    assert probe_accuracy(x, y, folds) == pytest.approx(expected, rel=1e-12)


@theorem
@given(seed=SEEDS, shape=SHAPES)
def test_silhouette_is_that_of_naive_loops(seed, shape):
    x, y = languages(np.random.default_rng(seed), *shape)
    assert silhouette(x, y) == pytest.approx(silhouette_of_naive_loops(x, y), rel=1e-8, abs=1e-10)


@theorem
@given(seed=SEEDS, shape=SHAPES, measure=st.sampled_from(MEASURES))
def test_symmetry(seed, shape, measure):
    x, y = languages(np.random.default_rng(seed), *shape)
    assert measure(x, y) == pytest.approx(measure(y, x), rel=1e-12, abs=1e-12)


@theorem
@given(
    seed=SEEDS,
    shape=st.sampled_from([(20, 20, 6), (25, 14, 3), (12, 15, 40), (10, 11, 21)]),
    measure=st.sampled_from(MEASURES),
    scale=st.floats(1e-6, 1e6),
)
def test_invariance_to_rotation_translation_and_scale_of_both(seed, shape, measure, scale):
    rng = np.random.default_rng(seed)
    x, y = languages(rng, *shape)
    turn, origin = ortho_group.rvs(shape[2], random_state=rng), rng.normal(size=shape[2])
    moved = [scale * (side @ turn + origin) for side in (x, y)]
    assert measure(*moved) == pytest.approx(measure(x, y), rel=1e-8, abs=1e-10)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("shape", [(20, 20, 6), (12, 15, 40)])
def test_the_further_apart_the_easier_to_tell_apart(measure, shape):
    rng = np.random.default_rng(0)
    x, y = languages(rng, *shape, apart=0.0)
    step = rng.normal(size=shape[2])
    values = [measure(x, y + apart * step) for apart in (0.0, 1.0, 10.0, 1000.0)]
    assert values == sorted(values)
    assert values[0] < 0.75 < values[2]
    assert values[3] == pytest.approx(1.0, abs=0.01 if measure is silhouette else 0.0)


@pytest.mark.parametrize("measure", ACCURACIES)
@pytest.mark.parametrize("shape", [(60, 60, 20), (90, 30, 20), (40, 40, 200)])
def test_chance_is_a_half_at_any_sizes(measure, shape):
    n, m, d = shape
    rng = np.random.default_rng(1)
    found = [measure(rng.normal(size=(n, d)), rng.normal(size=(m, d))) for _ in range(40)]
    assert np.mean(found) == pytest.approx(0.5, abs=4 * np.std(found) / np.sqrt(40))
    assert np.std(found) < 0.1


@pytest.mark.parametrize("measure", ACCURACIES)
@pytest.mark.parametrize("distance", [0.5, 1.0, 3.0])
def test_gaussians_of_one_covariance_are_told_apart_as_well_as_bayes(measure, distance):
    rng = np.random.default_rng(2)
    turn = ortho_group.rvs(5, random_state=rng) @ np.diag([2.0, 1.0, 1.0, 0.5, 0.5])
    x, y = rng.normal(size=(3000, 5)), rng.normal(size=(2000, 5))
    y[:, 4] += distance / np.sqrt(2)
    y[:, 0] += distance / np.sqrt(2)
    expected = norm.cdf(distance / 2)
    error = np.sqrt(expected * (1 - expected) / 4 * (1 / 3000 + 1 / 2000))
    assert measure(x @ turn, y @ turn) == pytest.approx(expected, abs=4 * error)


@pytest.mark.parametrize("measure", ACCURACIES)
@pytest.mark.parametrize("shape", [(30, 4), (20, 100)])
def test_the_same_states_tie_and_in_another_order_fall_below_chance(measure, shape):
    x = np.random.default_rng(3).normal(size=shape) + 2.0
    assert measure(x, x) == 0.5
    assert measure(x, np.roll(x, 1, axis=0)) < (0.5 if shape == (30, 4) else 0.01)


def test_a_tie_counts_half():
    x, y = np.array([[1.0], [2.0], [0.0]]), np.array([[-1.0], [-2.0], [-1.5]])
    assert lda_accuracy(x, y, folds=3) == pytest.approx((2.5 / 3 + 1) / 2, rel=1e-12)
    assert lda_accuracy(y, x, folds=3) == pytest.approx((2.5 / 3 + 1) / 2, rel=1e-12)


@theorem
@given(seed=SEEDS, n=st.integers(2, 20), d=st.integers(1, 30))
def test_silhouette_of_the_same_distinct_states_is_minus_one_over_n(seed, n, d):
    x = np.random.default_rng(seed).normal(size=(n, d))
    assert silhouette(x, x) == pytest.approx(-1 / n, rel=1e-7)


@pytest.mark.parametrize("measure", [probe_accuracy, silhouette])
def test_a_constant_dimension_changes_nothing(measure):
    x, y = languages(np.random.default_rng(4), 20, 15, 6)
    wider = [np.insert(side, 2, 0.1, axis=1) for side in (x, y)]
    assert measure(*wider) == pytest.approx(measure(x, y), rel=1e-12)


def test_lda_with_a_constant_dimension_is_that_of_scikit_learn():
    x, y = languages(np.random.default_rng(5), 20, 15, 6)
    x[:, 2] = y[:, 2] = 0.1
    assert lda_accuracy(x, y) == pytest.approx(lda_of_scikit_learn(x, y, 5), rel=1e-12)


def test_lda_sees_what_every_dimension_alone_hides():
    rng = np.random.default_rng(6)
    shared = 10 * rng.normal(size=(400, 1))
    noise = 0.1 * rng.normal(size=(400, 2))
    x, y = np.split(shared + noise, 2)
    x += [0.5, -0.5]
    y -= [0.5, -0.5]
    assert lda_accuracy(x, y) == 1.0
    assert max(lda_accuracy(x[:, [k]], y[:, [k]]) for k in (0, 1)) < 0.65


@pytest.mark.parametrize("d", [1, 2, 300])
def test_two_points_are_told_apart_by_all_but_lda(d):
    rng = np.random.default_rng(7)
    x, y = (np.tile(rng.normal(size=d), (10, 1)) for _ in range(2))
    assert probe_accuracy(x, y) == 1.0
    assert silhouette(x, y) == pytest.approx(1.0, abs=1e-7)
    with pytest.raises(ShiftlensError, match=rf"n = 16 training states .* d = {d} .* do not vary"):
        lda_accuracy(x, y)


def test_lda_refuses_states_that_only_flip_along_one_line():
    step = np.outer([1, 1, -1, -1], [0.3, 0.1, 0.7])
    with pytest.raises(ShiftlensError, match="to and fro along one line"):
        lda_accuracy(step, step + np.arange(3.0), folds=2)
    assert lda_accuracy(step[:, :1], step[:, :1] + 1.0, folds=2) == 1.0


@pytest.mark.parametrize("measure", MEASURES)
def test_one_state_in_both_languages_is_refused(measure):
    with pytest.raises(ShiftlensError, match=r"n = 6 and m = 5 .* d = 3 .* the same one"):
        measure(np.full((6, 3), 0.1), np.full((5, 3), 0.1))


@pytest.mark.parametrize("measure", ACCURACIES)
@pytest.mark.parametrize("folds", [1, 6])
def test_impossible_folds_are_refused(measure, folds):
    x, y = languages(np.random.default_rng(8), 9, 5, 3)
    with pytest.raises(ShiftlensError, match=f"{folds} folds of n = 9 and m = 5 .* from 2 to 5"):
        measure(x, y, folds=folds)
    assert 0.0 <= measure(x, y, folds=5) <= 1.0


@pytest.mark.parametrize("measure", MEASURES)
def test_tensors_are_taken_and_mistakes_refused(measure):
    x, y = languages(np.random.default_rng(9), 20, 15, 6)
    assert measure(torch.tensor(x), torch.tensor(y)) == measure(x, y)
    with pytest.raises(ShiftlensError, match=r"width 6 .* width 5"):
        measure(x, y[:, :5])
    with pytest.raises(ShiftlensError, match="at least 2"):
        measure(x, y[:1])
    for value in (np.nan, np.inf):
        with pytest.raises(ShiftlensError, match="NaN or infinity"):
            measure(x, np.where(y == y.max(), value, y))
