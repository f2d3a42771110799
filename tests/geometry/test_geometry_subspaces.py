"""Bases, principal angles and the fixed-rank distance against scipy, scikit-learn, pyRiemann."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from pyriemann.geometry.distance import distance_riemann
from scipy.stats import ortho_group
from sklearn.decomposition import PCA

from shiftlens.errors import ShiftlensError
from shiftlens.geometry import fixed_rank_distance, principal_angles, svd_basis, variance_rank

SEEDS = st.integers(0, 2**32 - 1)
theorem = settings(max_examples=40, deadline=None, derandomize=True)


def states(n, d, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) * np.geomspace(5.0, 0.1, d) + 3.0


def frame(rng, d, p):
    return np.linalg.qr(rng.normal(size=(d, p)))[0]


def side(rng, d, p):
    return frame(rng, d, p), rng.uniform(0.2, 5.0, p)


@pytest.mark.parametrize(("n", "d"), [(20, 50), (50, 20)])
def test_svd_basis_is_the_principal_components(n, d):
    x = states(n, d)
    basis, values = svd_basis(x, rank=6)
    reference = PCA(6, svd_solver="full").fit(x)
    np.testing.assert_allclose(values, reference.singular_values_, rtol=1e-12)
    np.testing.assert_allclose(abs(reference.components_ @ basis), np.eye(6), atol=1e-10)


def test_svd_basis_by_share_of_variance_and_in_full():
    x = states(20, 50)
    cumulative = np.cumsum(PCA(svd_solver="full").fit(x).explained_variance_ratio_)
    expected = int(np.argmax(cumulative >= 0.9)) + 1
    assert 1 < expected < 19
    assert svd_basis(x, variance=0.9)[0].shape == (50, expected)
    assert variance_rank(x) == variance_rank(x, 0.9) == expected
    assert svd_basis(x)[0].shape == (50, 19)
    assert variance_rank(x, 1.0) <= 19


def test_variance_rank_of_a_known_spectrum():
    axes = np.diag([4.0, 3.0, 2.0, 1.0])
    x = np.concatenate([axes, -axes])  # variances in proportion 16 : 9 : 4 : 1, mean zero
    shares = np.cumsum([16, 9, 4, 1]) / 30
    found = [variance_rank(x, share - 1e-9) for share in shares]
    assert found == [1, 2, 3, 4]
    assert variance_rank(x, shares[0] + 1e-9) == 2


@pytest.mark.parametrize("rank", [0, -1, 20])
def test_a_rank_out_of_reach_names_what_is_there(rank):
    with pytest.raises(ShiftlensError, match=rf"rank {rank} .* n = 20 .*rank 19"):
        svd_basis(states(20, 50), rank=rank)


@pytest.mark.parametrize("share", [0.0, 1.1, float("nan")])
def test_a_share_outside_its_range_is_refused(share):
    with pytest.raises(ShiftlensError, match="share"):
        variance_rank(states(20, 50), share)


def test_rank_and_share_together_are_refused():
    with pytest.raises(ShiftlensError, match="not both"):
        svd_basis(states(20, 50), rank=3, variance=0.9)


def test_identical_states_have_no_direction():
    with pytest.raises(ShiftlensError, match="identical"):
        variance_rank(np.ones((4, 3)))


@theorem
@given(seed=SEEDS, p=st.integers(1, 6), q=st.integers(1, 6))
def test_principal_angles_are_scipys(seed, p, q):
    rng = np.random.default_rng(seed)
    u, v = frame(rng, 13, p), frame(rng, 13, q)
    expected = scipy.linalg.subspace_angles(u, v)[::-1]
    np.testing.assert_allclose(principal_angles(u, v), expected, atol=1e-12)


def test_subspaces_that_must_intersect_have_an_angle_of_zero():
    rng = np.random.default_rng(0)
    found = principal_angles(frame(rng, 9, 4), frame(rng, 9, 6))
    assert found[0] < 1e-14
    assert found[1] > 1e-2


@pytest.mark.parametrize("small", [1e-3, 1e-8, 1e-12])
def test_small_and_nearly_right_angles_keep_their_digits(small):
    angles = np.array([small, 0.7, np.pi / 2 - small])
    u = np.eye(6)[:, :3]
    v = np.concatenate([np.diag(np.cos(angles)), np.diag(np.sin(angles))])
    turn = ortho_group.rvs(3, random_state=0)
    found = principal_angles(u, v @ turn)
    np.testing.assert_allclose(found[0], small, rtol=1e-3, atol=1e-15)
    np.testing.assert_allclose(found, angles, atol=1e-14)


def test_bases_must_be_orthonormal_and_of_one_width():
    u = np.eye(4)[:, :2]
    with pytest.raises(ShiftlensError, match=r"second basis.*orthonormal"):
        principal_angles(u, 2 * u)
    with pytest.raises(ShiftlensError, match=r"width 4 .* width 5"):
        principal_angles(u, np.eye(5)[:, :2])


def test_fixed_rank_one_has_a_closed_form():
    theta = 0.3
    u, v = np.array([[1.0], [0.0]]), np.array([[np.cos(theta)], [np.sin(theta)]])
    expected = np.sqrt(theta**2 + np.log(7.0) ** 2)
    found = fixed_rank_distance(u, np.array([2.0]), v, np.array([14.0]))
    assert found == pytest.approx(expected, rel=1e-13)


@theorem
@given(seed=SEEDS, p=st.integers(1, 5))
def test_fixed_rank_within_one_subspace_is_affine_invariant(seed, p):
    rng = np.random.default_rng(seed)
    shared, (turn_a, var_a), (turn_b, var_b) = frame(rng, 9, p), side(rng, p, p), side(rng, p, p)
    expected = distance_riemann((turn_a * var_a) @ turn_a.T, (turn_b * var_b) @ turn_b.T)
    found = fixed_rank_distance(shared @ turn_a, var_a, shared @ turn_b, var_b)
    assert found == pytest.approx(expected, rel=1e-8, abs=1e-7)


@theorem
@given(seed=SEEDS, p=st.integers(1, 5))
def test_fixed_rank_of_equal_isotropic_spectra_is_the_grassmann_distance(seed, p):
    rng = np.random.default_rng(seed)
    u, v, ones = frame(rng, 9, p), frame(rng, 9, p), np.ones(p)
    expected = np.linalg.norm(scipy.linalg.subspace_angles(u, v))
    assert fixed_rank_distance(u, ones, v, ones) == pytest.approx(expected, rel=1e-9)


@theorem
@given(seed=SEEDS, p=st.integers(1, 5))
def test_fixed_rank_is_the_papers_formula_in_principal_vectors(seed, p):
    rng = np.random.default_rng(seed)
    (u, var_u), (v, var_v) = side(rng, 9, p), side(rng, 9, p)
    left, _, right = scipy.linalg.svd(u.T @ v)
    own_u, own_v = u @ left, v @ right.T
    inner_u = own_u.T @ (u * var_u) @ u.T @ own_u
    inner_v = own_v.T @ (v * var_v) @ v.T @ own_v
    angles = scipy.linalg.subspace_angles(u, v)
    expected = np.sqrt(angles @ angles + distance_riemann(inner_u, inner_v) ** 2)
    assert fixed_rank_distance(u, var_u, v, var_v) == pytest.approx(expected, rel=1e-6)


@theorem
@given(seed=SEEDS, p=st.integers(1, 5), scale=st.floats(1e-3, 1e3))
def test_fixed_rank_symmetry_identity_and_invariance_under_rotation_and_scale(seed, p, scale):
    rng = np.random.default_rng(seed)
    (u, var_u), (v, var_v) = side(rng, 9, p), side(rng, 9, p)
    rotation = ortho_group.rvs(9, random_state=seed)
    found = fixed_rank_distance(u, var_u, v, var_v)
    assert found > 0.1
    assert fixed_rank_distance(v, var_v, u, var_u) == pytest.approx(found, rel=1e-6)
    moved = fixed_rank_distance(rotation @ u, scale * var_u, rotation @ v, scale * var_v)
    assert moved == pytest.approx(found, rel=1e-6)
    assert fixed_rank_distance(u, var_u, u, var_u) < 1e-10


def test_fixed_rank_refuses_two_ranks_and_empty_directions():
    u, ones = np.eye(5), np.ones
    with pytest.raises(ShiftlensError, match="same rank"):
        fixed_rank_distance(u[:, :2], ones(2), u[:, :3], ones(3))
    with pytest.raises(ShiftlensError, match="positive"):
        fixed_rank_distance(u[:, :2], ones(2), u[:, :2], np.array([1.0, 0.0]))
