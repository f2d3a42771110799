"""Log-Euclidean, Bures-Wasserstein and symmetrised KL against pyRiemann and their theorems."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pyriemann.geometry.distance import (
    distance_kullback_sym,
    distance_logeuclid,
    distance_wasserstein,
)
from scipy.stats import ortho_group

from shiftlens.errors import ShiftlensError
from shiftlens.geometry import ShrunkCovariance, bures_wasserstein, log_euclidean, symmetrised_kl
from shiftlens.geometry import shrunk_covariance as fit

SEEDS = st.integers(0, 2**32 - 1)
# (d, n_a, n_b): low rank joint span; the ranks fill d exactly; exceed d; one full; both full.
SHAPES = [(30, 6, 9), (30, 16, 16), (30, 22, 20), (30, 70, 8), (30, 8, 70), (12, 60, 50)]
REFERENCE = {
    log_euclidean: distance_logeuclid,
    bures_wasserstein: distance_wasserstein,
    symmetrised_kl: distance_kullback_sym,
}
ALL = st.sampled_from(list(REFERENCE))
METRIC = st.sampled_from([log_euclidean, bures_wasserstein])
theorem = settings(max_examples=30, deadline=None, derandomize=True)


def cloud(rng, n, d):
    mixing = rng.normal(size=(d, d)) * np.geomspace(4.0, 0.2, d)
    return rng.normal(size=(n, d)) @ mixing + rng.normal(size=d)


def spd(rng, d):
    root = rng.normal(size=(d, d))
    return root @ root.T + 0.1 * np.eye(d)


def singular(rng, d, r):
    root = rng.normal(size=(d, r))
    return root @ root.T


@pytest.mark.parametrize(("d", "n_a", "n_b"), SHAPES)
@pytest.mark.parametrize("shrinkage", ["ledoit-wolf", "oas", 0.1, 1e-3])
@pytest.mark.parametrize("measure", REFERENCE)
def test_equals_pyriemann_in_every_regime(measure, d, n_a, n_b, shrinkage):
    rng = np.random.default_rng(d + n_a)
    a, b = fit(cloud(rng, n_a, d), shrinkage), fit(cloud(rng, n_b, d), shrinkage)
    expected = REFERENCE[measure](a.dense(), b.dense())
    assert measure(a, b) == pytest.approx(expected, rel=1e-8)
    assert measure(a.dense(), b.dense()) == pytest.approx(expected, rel=1e-8)
    assert measure(a, b.dense()) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("measure", REFERENCE)
def test_equals_pyriemann_without_shrinkage(measure):
    rng = np.random.default_rng(0)
    x, y = cloud(rng, 90, 15), cloud(rng, 70, 15)
    expected = REFERENCE[measure](np.cov(x.T, bias=True), np.cov(y.T, bias=True))
    assert measure(fit(x, 0.0), fit(y, 0.0)) == pytest.approx(expected, rel=1e-8)


def test_equals_the_closed_forms_of_commuting_matrices():
    rng = np.random.default_rng(1)
    turn = ortho_group.rvs(4, random_state=rng)
    a, b = np.array([1.0, 2.0, 5.0, 0.3]), np.array([3.0, 0.5, 5.0, 0.4])
    pair = (turn * a) @ turn.T, (turn * b) @ turn.T
    expected = np.linalg.norm(np.log(a / b))
    assert log_euclidean(*pair) == pytest.approx(expected, rel=1e-12)
    expected = np.linalg.norm(np.sqrt(a) - np.sqrt(b))
    assert bures_wasserstein(*pair) == pytest.approx(expected, rel=1e-12)
    expected = np.sum((a / b + b / a) / 2 - 1)
    assert symmetrised_kl(*pair) == pytest.approx(expected, rel=1e-12)


def test_equals_the_closed_forms_of_isotropic_covariances():
    rng = np.random.default_rng(2)
    a, b = fit(cloud(rng, 10, 50), 1.0), fit(cloud(rng, 15, 50), 1.0)
    ratio = a.floor / b.floor
    assert log_euclidean(a, b) == pytest.approx(np.sqrt(50) * abs(np.log(ratio)), rel=1e-12)
    roots = np.sqrt([a.floor, b.floor])
    assert bures_wasserstein(a, b) == pytest.approx(np.sqrt(50) * abs(np.diff(roots)[0]), rel=1e-12)
    assert symmetrised_kl(a, b) == pytest.approx(25 * (ratio + 1 / ratio - 2), rel=1e-12)


@theorem
@given(seed=SEEDS, d=st.integers(2, 12), data=st.data())
def test_bures_wasserstein_of_singular_matrices_is_the_nuclear_norm_of_the_product_of_roots(
    seed, d, data
):
    rng = np.random.default_rng(seed)
    roots = [rng.normal(size=(d, data.draw(st.integers(1, d)))) for _ in range(2)]
    a, b = (root @ root.T for root in roots)
    squared = np.trace(a) + np.trace(b) - 2 * np.linalg.norm(roots[0].T @ roots[1], "nuc")
    assert bures_wasserstein(a, b) ** 2 == pytest.approx(squared, rel=1e-8, abs=1e-10)


def test_bures_wasserstein_where_a_covariance_is_singular_or_zero():
    assert bures_wasserstein(np.diag([4.0, 0.0]), np.diag([0.0, 9.0])) == pytest.approx(13**0.5)
    assert bures_wasserstein(np.diag([4.0, 0.0]), np.diag([1.0, 0.0])) == pytest.approx(1.0)
    assert bures_wasserstein(np.zeros((2, 2)), np.diag([4.0, 5.0])) == pytest.approx(3.0)
    assert bures_wasserstein(np.zeros((2, 2)), np.zeros((2, 2))) == 0.0
    direction = np.ones((9, 1)) / 3.0
    a = ShrunkCovariance(5, np.zeros(9), direction, np.array([4.0]), alpha=0.0)
    b = ShrunkCovariance(5, np.zeros(9), direction, np.array([9.0]), alpha=0.0)
    assert bures_wasserstein(a, b) == pytest.approx(1.0, rel=1e-12)
    assert bures_wasserstein(a.dense(), b) == pytest.approx(1.0, rel=1e-12)


@theorem
@given(seed=SEEDS, shape=st.sampled_from(SHAPES), measure=ALL)
def test_symmetry(seed, shape, measure):
    d, n_a, n_b = shape
    rng = np.random.default_rng(seed)
    a, b = fit(cloud(rng, n_a, d), 0.1), fit(cloud(rng, n_b, d), 0.05)
    assert measure(a, b) == pytest.approx(measure(b, a), rel=1e-9)


@theorem
@given(seed=SEEDS, d=st.integers(1, 10), measure=ALL)
def test_identity_of_indiscernibles(seed, d, measure):
    rng = np.random.default_rng(seed)
    a, b = spd(rng, d), spd(rng, d)
    assert measure(a, a) < 1e-10
    assert measure(a, b) > 1e-6


@theorem
@given(seed=SEEDS, r=st.integers(1, 9))
def test_identity_of_singular_matrices_under_bures_wasserstein(seed, r):
    a = singular(np.random.default_rng(seed), 9, r)
    assert bures_wasserstein(a, a) < 1e-10 * np.sqrt(np.trace(a))


def test_a_small_distance_keeps_its_digits():
    a = np.diag([1.0, 2.0, 3.0])
    near = a * (1 + 1e-9) ** 2
    assert bures_wasserstein(a, near) == pytest.approx(np.sqrt(6.0) * 1e-9, rel=1e-5)
    assert symmetrised_kl(a, near) == pytest.approx(3 * (2e-9) ** 2, rel=1e-5)


@theorem
@given(seed=SEEDS, d=st.integers(1, 8), metric=METRIC)
def test_triangle_inequality(seed, d, metric):
    rng = np.random.default_rng(seed)
    a, b, c = (spd(rng, d) for _ in range(3))
    assert metric(a, c) <= metric(a, b) + metric(b, c) + 1e-10


@theorem
@given(seed=SEEDS)
def test_triangle_inequality_of_singular_matrices_under_bures_wasserstein(seed):
    rng = np.random.default_rng(seed)
    a, b, c = (singular(rng, 6, r) for r in rng.integers(1, 6, size=3))
    assert bures_wasserstein(a, c) <= bures_wasserstein(a, b) + bures_wasserstein(b, c) + 1e-10


def test_the_triangle_inequality_fails_for_symmetrised_kl_and_its_root():
    a, b, c = (np.array([[v]]) for v in (1.0, 10.0, 100.0))
    for power in (1.0, 0.5):
        direct = symmetrised_kl(a, c) ** power
        assert direct > symmetrised_kl(a, b) ** power + symmetrised_kl(b, c) ** power


@theorem
@given(seed=SEEDS, d=st.integers(2, 10), measure=ALL)
def test_rotation_invariance(seed, d, measure):
    rng = np.random.default_rng(seed)
    a, b, turn = spd(rng, d), spd(rng, d), ortho_group.rvs(d, random_state=rng)
    turned = measure(turn @ a @ turn.T, turn @ b @ turn.T)
    assert turned == pytest.approx(measure(a, b), rel=1e-8)


@theorem
@given(seed=SEEDS, scale=st.floats(1e-3, 1e3), measure=ALL)
def test_scale_invariance_or_covariance(seed, scale, measure):
    rng = np.random.default_rng(seed)
    a, b = spd(rng, 6), spd(rng, 6)
    factor = np.sqrt(scale) if measure is bures_wasserstein else 1.0
    assert measure(scale * a, scale * b) == pytest.approx(factor * measure(a, b), rel=1e-8)


@theorem
@given(seed=SEEDS, d=st.integers(1, 6))
def test_log_euclidean_inversion_invariance(seed, d):
    rng = np.random.default_rng(seed)
    a, b = spd(rng, d), spd(rng, d)
    inverted = log_euclidean(np.linalg.inv(a), np.linalg.inv(b))
    assert inverted == pytest.approx(log_euclidean(a, b), rel=1e-8)


@theorem
@given(seed=SEEDS, d=st.integers(1, 6))
def test_symmetrised_kl_congruence_invariance(seed, d):
    rng = np.random.default_rng(seed)
    a, b, w = spd(rng, d), spd(rng, d), rng.normal(size=(d, d)) + 3 * np.eye(d)
    carried = symmetrised_kl(w @ a @ w.T, w @ b @ w.T)
    assert carried == pytest.approx(symmetrised_kl(a, b), rel=1e-6)


@pytest.mark.parametrize("measure", REFERENCE)
def test_tensors_are_taken(measure):
    rng = np.random.default_rng(3)
    a, b = spd(rng, 4), spd(rng, 4)
    assert measure(torch.tensor(a), torch.tensor(b)) == pytest.approx(measure(a, b), rel=1e-12)


@pytest.mark.parametrize("measure", [log_euclidean, symmetrised_kl])
def test_a_singular_matrix_is_refused_where_the_measure_does_not_exist(measure):
    a = singular(np.random.default_rng(4), 9, 3)
    with pytest.raises(ShiftlensError, match=r"second matrix is singular, d = 9, rank 3"):
        measure(np.eye(9), a)
    flat = ShrunkCovariance(5, np.zeros(9), np.eye(9)[:, :2], np.array([4.0, 1.0]), alpha=0.0)
    with pytest.raises(ShiftlensError, match=r"first matrix is singular, d = 9, rank 2"):
        measure(flat, np.eye(9))


@pytest.mark.parametrize("measure", REFERENCE)
def test_what_is_no_covariance_is_refused(measure):
    with pytest.raises(ShiftlensError, match=r"first matrix: not a covariance, d = 2"):
        measure(np.diag([1.0, -1.0]), np.eye(2))
    with pytest.raises(ShiftlensError, match="square and symmetric"):
        measure(np.eye(2), np.array([[1.0, 2.0], [0.0, 1.0]]))
    with pytest.raises(ShiftlensError, match="square and symmetric"):
        measure(np.ones((2, 3)), np.eye(2))
    with pytest.raises(ShiftlensError, match="NaN or infinity"):
        measure(np.eye(2), np.full((2, 2), np.nan))
    with pytest.raises(ShiftlensError, match=r"width 2 .* width 3"):
        measure(np.eye(2), np.eye(3))
