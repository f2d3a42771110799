"""The affine-invariant distance against pyRiemann, scipy, closed forms and its own theorems."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from pyriemann.geometry.distance import distance_riemann
from scipy.stats import ortho_group

from shiftlens.errors import ShiftlensError
from shiftlens.geometry import ShrunkCovariance, affine_invariant, affine_invariant_dense
from shiftlens.geometry import shrunk_covariance as fit
from shiftlens.geometry.affine_invariant import squared_log_spectrum

SEEDS = st.integers(0, 2**32 - 1)
# (d, n_a, n_b): low rank joint span; the ranks fill d exactly; exceed d; one full; both full.
SHAPES = [(40, 8, 12), (40, 21, 21), (40, 30, 25), (40, 90, 10), (40, 10, 90), (12, 60, 50)]
REGIMES = st.sampled_from(SHAPES)
theorem = settings(max_examples=40, deadline=None, derandomize=True)


def cloud(rng, n, d):
    mixing = rng.normal(size=(d, d)) * np.geomspace(4.0, 0.2, d)
    return rng.normal(size=(n, d)) @ mixing + rng.normal(size=d)


def spd(rng, d):
    root = rng.normal(size=(d, d))
    return root @ root.T + 0.1 * np.eye(d)


@pytest.mark.parametrize(("d", "n_a", "n_b"), SHAPES)
@pytest.mark.parametrize("shrinkage", ["ledoit-wolf", "oas", 0.1, 1e-3])
def test_equals_pyriemann_in_every_regime(d, n_a, n_b, shrinkage):
    rng = np.random.default_rng(d + n_a)
    a, b = fit(cloud(rng, n_a, d), shrinkage), fit(cloud(rng, n_b, d), shrinkage)
    expected = distance_riemann(a.dense(), b.dense())
    assert affine_invariant(a, b) == pytest.approx(expected, rel=1e-8)
    assert affine_invariant_dense(a.dense(), b.dense()) == pytest.approx(expected, rel=1e-8)


def test_equals_scipy_without_shrinkage():
    rng = np.random.default_rng(0)
    x, y = cloud(rng, 90, 20), cloud(rng, 70, 20)
    generalised = scipy.linalg.eigh(np.cov(x.T, bias=True), np.cov(y.T, bias=True))[0]
    expected = np.sqrt(np.sum(np.log(generalised) ** 2))
    assert affine_invariant(fit(x, 0.0), fit(y, 0.0)) == pytest.approx(expected, rel=1e-8)


def test_equals_the_closed_form_of_diagonal_matrices():
    a, b = np.array([1.0, 2.0, 5.0]), np.array([3.0, 0.5, 5.0])
    expected = np.sqrt(np.log(3.0) ** 2 + np.log(4.0) ** 2)
    assert affine_invariant_dense(np.diag(a), np.diag(b)) == pytest.approx(expected, rel=1e-13)


def test_equals_the_closed_form_of_isotropic_covariances():
    rng = np.random.default_rng(1)
    a, b = fit(cloud(rng, 10, 50), 1.0), fit(cloud(rng, 15, 50), 1.0)
    expected = np.sqrt(50) * abs(np.log(a.floor / b.floor))
    assert affine_invariant(a, b) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("ranks", [(20, 30), (45, 50)])
@pytest.mark.parametrize("spread", [1e1, 1e4, 1e7])
def test_commuting_covariances_keep_their_digits_when_ill_conditioned(ranks, spread):
    rng = np.random.default_rng(2)
    d, frame = 80, ortho_group.rvs(80, random_state=3)
    logs, sides = [], []
    for rank, start in zip(ranks, (0, 12), strict=True):
        variances = np.sort(rng.uniform(1.0, spread, rank))[::-1]
        basis = frame[:, start : start + rank]
        side = ShrunkCovariance(100, np.zeros(d), basis, variances, alpha=1e-6)
        spectrum = np.full(d, side.floor)
        spectrum[start : start + rank] = side.eigenvalues
        logs.append(np.log(spectrum))
        sides.append(side)
    expected = np.linalg.norm(logs[0] - logs[1])
    assert affine_invariant(*sides) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("spread", [1e2, 1e5, 1e8, 1e11, 1e14])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_the_log_spectrum_keeps_its_digits_on_either_path(spread, share):
    values = np.geomspace(1e-3 * spread, 1e-3, 60)
    diagonal = share * values[-1]
    factor = ortho_group.rvs(60, random_state=1) * np.sqrt(values - diagonal)
    expected = np.sum(np.log(values) ** 2)
    assert squared_log_spectrum(factor, diagonal) == pytest.approx(expected, rel=1e-9)


def test_what_is_needed_of_the_second_alone_is_found_once(monkeypatch):
    rng, found, qr = np.random.default_rng(7), [], np.linalg.qr
    dominant, *others = [fit(cloud(rng, 30, 40), 0.1) for _ in range(4)]
    monkeypatch.setattr(np.linalg, "qr", lambda *a, **k: found.append(k["mode"]) or qr(*a, **k))
    distances = [affine_invariant(other, dominant) for other in others]
    assert found == ["complete"]
    expected = [distance_riemann(other.dense(), dominant.dense()) for other in others]
    assert distances == pytest.approx(expected, rel=1e-8)


@theorem
@given(seed=SEEDS, shape=REGIMES)
def test_symmetry(seed, shape):
    """Also for n < d, where scripts that invert a singular covariance differ by a factor 2."""
    rng, (d, n_a, n_b) = np.random.default_rng(seed), shape
    a, b = fit(cloud(rng, n_a, d), 0.05), fit(cloud(rng, n_b, d), 0.05)
    assert affine_invariant(a, b) > 0.5
    assert affine_invariant(a, b) == pytest.approx(affine_invariant(b, a), rel=1e-10)


@theorem
@given(seed=SEEDS, shape=REGIMES)
def test_identity_of_indiscernibles(seed, shape):
    rng, (d, n, _) = np.random.default_rng(seed), shape
    x = cloud(rng, n, d)
    assert affine_invariant(fit(x, 0.05), fit(x.copy(), 0.05)) < 1e-10
    nudged = x.copy()
    nudged[0] *= 1.5
    assert affine_invariant(fit(x, 0.05), fit(nudged, 0.05)) > 1e-4


@theorem
@given(seed=SEEDS, shape=REGIMES)
def test_triangle_inequality(seed, shape):
    rng, (d, n_a, n_b) = np.random.default_rng(seed), shape
    x = cloud(rng, n_a, d)
    a, b = fit(x, 0.05), fit(x * rng.uniform(0.5, 2.0, d), 0.05)
    c = fit(cloud(rng, n_b, d), 0.05)
    assert affine_invariant(a, c) <= affine_invariant(a, b) + affine_invariant(b, c) + 1e-9


def test_triangle_inequality_is_an_equality_along_a_geodesic():
    rng = np.random.default_rng(4)
    a, b = fit(cloud(rng, 60, 10), 0.0).dense(), fit(cloud(rng, 60, 10), 0.0).dense()
    root = scipy.linalg.sqrtm(a).real
    inner = scipy.linalg.solve(root, scipy.linalg.solve(root, b).T)
    values, vectors = np.linalg.eigh((inner + inner.T) / 2)
    middle = root @ (vectors * values**0.3) @ vectors.T @ root
    whole = affine_invariant_dense(a, b)
    assert affine_invariant_dense(a, middle) == pytest.approx(0.3 * whole, rel=1e-8)
    assert affine_invariant_dense(middle, b) == pytest.approx(0.7 * whole, rel=1e-8)


@theorem
@given(seed=SEEDS, d=st.integers(1, 12))
def test_invariance_under_congruence(seed, d):
    rng = np.random.default_rng(seed)
    a, b = spd(rng, d), spd(rng, d)
    w = rng.normal(size=(d, d)) + 3 * np.sqrt(d) * np.eye(d)
    moved = affine_invariant_dense(w @ a @ w.T, w @ b @ w.T)
    assert moved == pytest.approx(affine_invariant_dense(a, b), rel=1e-8)


@theorem
@given(seed=SEEDS, d=st.integers(1, 12))
def test_invariance_under_inversion(seed, d):
    rng = np.random.default_rng(seed)
    a, b = spd(rng, d), spd(rng, d)
    inverted = affine_invariant_dense(np.linalg.inv(a), np.linalg.inv(b))
    assert inverted == pytest.approx(affine_invariant_dense(a, b), rel=1e-7)


@theorem
@given(seed=SEEDS, shape=REGIMES, scale=st.floats(1e-3, 1e3))
def test_invariance_under_joint_rotation_translation_and_scale(seed, shape, scale):
    rng, (d, n_a, n_b) = np.random.default_rng(seed), shape
    x, y = cloud(rng, n_a, d), cloud(rng, n_b, d)
    rotation, offset = ortho_group.rvs(d, random_state=seed), rng.normal(size=d)
    moved = [fit(scale * (z @ rotation) + offset, "oas") for z in (x, y)]
    expected = affine_invariant(fit(x, "oas"), fit(y, "oas"))
    assert affine_invariant(*moved) == pytest.approx(expected, rel=1e-8)


@theorem
@given(seed=SEEDS, shape=REGIMES, scale=st.floats(1e-3, 1e3))
def test_scaling_one_side_of_a_pair_costs_root_d_log_scale_squared(seed, shape, scale):
    rng, (d, n, _) = np.random.default_rng(seed), shape
    x = cloud(rng, n, d)
    expected = np.sqrt(d) * abs(np.log(scale**2))
    found = affine_invariant(fit(x, 0.05), fit(scale * x, 0.05))
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-10)


def test_widths_must_agree():
    rng = np.random.default_rng(5)
    with pytest.raises(ShiftlensError, match=r"width 4 .* width 5"):
        affine_invariant(fit(cloud(rng, 9, 4), 0.1), fit(cloud(rng, 9, 5), 0.1))
    with pytest.raises(ShiftlensError, match=r"width 4 .* width 5"):
        affine_invariant_dense(np.eye(4), np.eye(5))


@pytest.mark.parametrize("singular", ["first", "second"])
@pytest.mark.parametrize("alpha", [0.0, 1e-18])
def test_a_singular_covariance_is_refused_with_its_rank(singular, alpha):
    rng = np.random.default_rng(8)
    basis = ortho_group.rvs(12, random_state=1)[:, :4]
    flat = ShrunkCovariance(5, np.zeros(12), basis, np.array([4.0, 3.0, 2.0, 1.0]), alpha)
    pair = (flat, fit(cloud(rng, 9, 12), 0.1))
    with pytest.raises(ShiftlensError, match=rf"{singular} matrix is singular, d = 12, rank 4"):
        affine_invariant(*(pair if singular == "first" else pair[::-1]))


@pytest.mark.parametrize("singular", ["first", "second"])
def test_a_singular_matrix_is_refused_with_its_rank(singular):
    x = np.random.default_rng(6).normal(size=(5, 12))
    pair = (np.cov(x.T, bias=True), np.eye(12))
    with pytest.raises(ShiftlensError, match=rf"{singular} matrix.* d = 12, rank 4"):
        affine_invariant_dense(*(pair if singular == "first" else pair[::-1]))


@pytest.mark.parametrize("bad", [np.diag([1.0, -1.0]), np.zeros((2, 2))])
def test_an_indefinite_matrix_is_refused(bad):
    with pytest.raises(ShiftlensError, match="not positive definite"):
        affine_invariant_dense(np.eye(2), bad)


@pytest.mark.parametrize("bad", [np.ones((2, 3)), np.array([[2.0, 1.0], [0.0, 2.0]])])
def test_a_matrix_that_is_not_symmetric_is_refused(bad):
    with pytest.raises(ShiftlensError, match="symmetric"):
        affine_invariant_dense(bad, np.eye(2))


def test_a_matrix_with_nan_is_refused():
    with pytest.raises(ShiftlensError, match="NaN"):
        affine_invariant_dense(np.eye(2), np.array([[1.0, np.nan], [np.nan, 1.0]]))
