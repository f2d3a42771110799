"""Distances of subspaces against scipy, closed forms, sampling and their theorems."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import subspace_angles
from scipy.stats import ortho_group

from shiftlens.errors import ShiftlensError
from shiftlens.geometry import (
    chordal_distance,
    grassmann_geodesic,
    project_affine,
    projection_distance,
    random_subspaces,
    svd_basis,
)

SEEDS = st.integers(0, 2**32 - 1)
DISTANCES = [grassmann_geodesic, chordal_distance, projection_distance]
DISTANCE = st.sampled_from(DISTANCES)
theorem = settings(max_examples=30, deadline=None, derandomize=True)


def frame(rng, d, p):
    return np.linalg.qr(rng.normal(size=(d, p)))[0]


@theorem
@given(seed=SEEDS, d=st.integers(1, 12), data=st.data())
def test_distances_are_those_of_scipys_angles(seed, d, data):
    rng = np.random.default_rng(seed)
    p = data.draw(st.integers(1, d))
    u, v = frame(rng, d, p), frame(rng, d, p)
    angles = subspace_angles(u, v)
    near = {"rel": 1e-8, "abs": 1e-12}
    assert grassmann_geodesic(u, v) == pytest.approx(np.linalg.norm(angles), **near)
    assert chordal_distance(u, v) == pytest.approx(np.linalg.norm(np.sin(angles)), **near)


@theorem
@given(seed=SEEDS, d=st.integers(1, 12), data=st.data())
def test_projection_distance_is_the_frobenius_distance_of_the_projectors(seed, d, data):
    rng = np.random.default_rng(seed)
    u, v = (frame(rng, d, data.draw(st.integers(1, d))) for _ in range(2))
    expected = np.linalg.norm(u @ u.T - v @ v.T)
    assert projection_distance(u, v) == pytest.approx(expected, rel=1e-8, abs=1e-12)
    if u.shape == v.shape:
        assert chordal_distance(u, v) == pytest.approx(expected / 2**0.5, rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("angle", [1e-9, 0.3, np.pi / 2])
def test_two_lines_at_a_known_angle(angle):
    u, v = np.array([[1.0], [0.0]]), np.array([[np.cos(angle)], [np.sin(angle)]])
    assert grassmann_geodesic(u, v) == pytest.approx(angle, rel=1e-12)
    assert chordal_distance(u, v) == pytest.approx(np.sin(angle), rel=1e-12)
    assert projection_distance(u, v) == pytest.approx(2**0.5 * np.sin(angle), rel=1e-12)


def test_orthogonal_subspaces_are_as_far_apart_as_can_be():
    u, v = np.eye(7)[:, :3], np.eye(7)[:, 3:6]
    assert grassmann_geodesic(u, v) == pytest.approx(3**0.5 * np.pi / 2, rel=1e-12)
    assert chordal_distance(u, v) == pytest.approx(3**0.5, rel=1e-12)
    assert projection_distance(u, np.eye(7)[:, 3:]) == pytest.approx(7**0.5, rel=1e-12)


@theorem
@given(seed=SEEDS, distance=DISTANCE)
def test_symmetry_and_identity(seed, distance):
    rng = np.random.default_rng(seed)
    u, v = frame(rng, 8, 3), frame(rng, 8, 3)
    assert distance(u, v) == pytest.approx(distance(v, u), rel=1e-12)
    assert distance(u, v) > 1e-3
    assert distance(u, u @ ortho_group.rvs(3, random_state=rng)) < 1e-13


@theorem
@given(seed=SEEDS, distance=DISTANCE)
def test_triangle_inequality(seed, distance):
    rng = np.random.default_rng(seed)
    u, v, w = (frame(rng, 6, 2) for _ in range(3))
    assert distance(u, w) <= distance(u, v) + distance(v, w) + 1e-12


@theorem
@given(seed=SEEDS)
def test_triangle_inequality_of_projection_distance_across_ranks(seed):
    rng = np.random.default_rng(seed)
    u, v, w = (frame(rng, 6, p) for p in rng.integers(1, 7, size=3))
    direct = projection_distance(u, w)
    assert direct <= projection_distance(u, v) + projection_distance(v, w) + 1e-12


@theorem
@given(seed=SEEDS, distance=DISTANCE)
def test_invariance_to_a_rotation_of_both_and_to_the_choice_of_basis(seed, distance):
    rng = np.random.default_rng(seed)
    u, v, turn = frame(rng, 7, 3), frame(rng, 7, 3), ortho_group.rvs(7, random_state=rng)
    expected = pytest.approx(distance(u, v), rel=1e-10)
    assert distance(turn @ u, turn @ v) == expected
    assert distance(u @ ortho_group.rvs(3, random_state=rng), v) == expected


@pytest.mark.parametrize("distance", [grassmann_geodesic, chordal_distance])
def test_unequal_ranks_are_refused_where_the_triangle_inequality_would_fail(distance):
    with pytest.raises(ShiftlensError, match="ranks 2 and 3"):
        distance(np.eye(5)[:, :2], np.eye(5)[:, :3])


@pytest.mark.parametrize("distance", DISTANCES)
def test_a_skew_basis_and_unequal_widths_are_refused(distance):
    with pytest.raises(ShiftlensError, match="not orthonormal"):
        distance(np.eye(5)[:, :2], 2 * np.eye(5)[:, :2])
    with pytest.raises(ShiftlensError, match=r"width 5 .* width 4"):
        distance(np.eye(5)[:, :2], np.eye(4)[:, :2])


@pytest.mark.parametrize(("p", "q", "d"), [(2, 3, 10), (4, 4, 6), (1, 1, 2), (5, 2, 5)])
def test_the_baseline_is_the_mean_over_random_subspaces(p, q, d):
    rng = np.random.default_rng(p + q + d)
    pairs = [(frame(rng, d, p), frame(rng, d, q)) for _ in range(2000)]
    overlaps = np.array([np.sum((u.T @ v) ** 2) for u, v in pairs])
    error = 4 * overlaps.std() / np.sqrt(len(pairs)) + 1e-12
    expected = random_subspaces(p, q, d)
    assert overlaps.mean() == pytest.approx(expected.overlap, abs=error)
    squared = np.mean([projection_distance(u, v) ** 2 for u, v in pairs[:300]])
    assert squared == pytest.approx(expected.squared_projection, abs=6 * error)
    assert expected.squared_chordal == pytest.approx(min(p, q) - expected.overlap)


def test_the_baseline_of_the_whole_space_is_exact():
    assert random_subspaces(5, 2, 5).overlap == 2.0
    assert random_subspaces(5, 2, 5).squared_chordal == 0.0
    assert random_subspaces(5, 2, 5).squared_projection == 3.0


@pytest.mark.parametrize(("p", "q"), [(0, 2), (2, 6)])
def test_the_baseline_refuses_impossible_ranks(p, q):
    with pytest.raises(ShiftlensError, match="from 1 to the width d = 5"):
        random_subspaces(p, q, 5)


@theorem
@given(seed=SEEDS, r=st.integers(1, 6))
def test_affine_projection_is_the_least_squares_point_of_the_subspace(seed, r):
    rng = np.random.default_rng(seed)
    x, mean, basis = rng.normal(size=(4, 6)), rng.normal(size=6), frame(rng, 6, r)
    projected = project_affine(x, mean, basis)
    weights = np.linalg.lstsq(basis, (x - mean).T, rcond=None)[0]
    np.testing.assert_allclose(projected, mean + (basis @ weights).T, atol=1e-12)
    np.testing.assert_allclose(project_affine(projected, mean, basis), projected, atol=1e-12)


def test_states_lie_in_their_own_affine_subspace():
    x = np.random.default_rng(0).normal(size=(5, 9)) + 2.0
    own = project_affine(x, x.mean(axis=0), svd_basis(x)[0])
    np.testing.assert_allclose(own, x, atol=1e-12)


def test_affine_projection_takes_tensors_and_refuses_other_widths():
    x, mean, basis = torch.ones(2, 4), torch.zeros(4), torch.eye(4)[:, :1]
    np.testing.assert_array_equal(project_affine(x, mean, basis), [[1, 0, 0, 0]] * 2)
    with pytest.raises(ShiftlensError, match=r"width 4 .* width 3"):
        project_affine(x, mean, np.eye(3))
    with pytest.raises(ShiftlensError, match=r"width 4 .* width 3"):
        project_affine(x, np.zeros(3), basis)
