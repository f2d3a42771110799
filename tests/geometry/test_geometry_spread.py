"""Effective rank and anisotropy against scipy, scikit-learn, closed forms and theorems."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy, ortho_group
from sklearn.metrics.pairwise import cosine_similarity

from shiftlens.errors import ShiftlensError
from shiftlens.geometry import summarise
from shiftlens.geometry.spread import anisotropy, effective_rank, effective_rank_of

SEEDS = st.integers(0, 2**32 - 1)
SHAPES = st.sampled_from([(6, 15), (15, 6), (9, 9), (2, 4), (40, 2)])
theorem = settings(max_examples=30, deadline=None, derandomize=True)


def states_of(seed, shape):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape) * np.geomspace(3.0, 0.3, shape[1]) + rng.normal(size=shape[1])


@theorem
@given(seed=SEEDS, shape=SHAPES)
def test_effective_rank_is_the_exponential_of_the_entropy_of_the_singular_values(seed, shape):
    x = states_of(seed, shape)
    singular_values = np.linalg.svd(x - x.mean(axis=0), compute_uv=False)
    assert effective_rank(x) == pytest.approx(np.exp(entropy(singular_values)), rel=1e-8)
    assert effective_rank_of(singular_values) == pytest.approx(effective_rank(x), rel=1e-8)


@theorem
@given(seed=SEEDS, shape=SHAPES)
def test_effective_rank_of_a_summary_is_that_of_its_states(seed, shape):
    x = states_of(seed, shape)
    spectrum = np.sqrt(summarise(x, 0.1).variances)
    assert effective_rank_of(spectrum) == pytest.approx(effective_rank(x), rel=1e-12)


@theorem
@given(seed=SEEDS, shape=SHAPES)
def test_effective_rank_lies_from_one_to_the_rank(seed, shape):
    n, d = shape
    found = effective_rank(states_of(seed, shape))
    assert 1 - 1e-12 <= found <= min(n - 1, d) + 1e-12
    assert found > 1.001 or min(n - 1, d) == 1


@theorem
@given(seed=SEEDS, shape=SHAPES, scale=st.floats(1e-6, 1e6))
def test_effective_rank_is_unchanged_by_rotation_translation_scale_and_repetition(
    seed, shape, scale
):
    x, rng = states_of(seed, shape), np.random.default_rng(seed)
    moved = scale * (x @ ortho_group.rvs(shape[1], random_state=rng) + rng.normal(size=shape[1]))
    expected = pytest.approx(effective_rank(x), rel=1e-8)
    assert effective_rank(moved) == expected
    assert effective_rank(np.vstack([x, x])) == expected
    assert effective_rank(np.hstack([x, np.full((len(x), 3), 0.1)])) == expected


@pytest.mark.parametrize("r", [1, 2, 7])
def test_an_equal_spectrum_has_its_rank(r):
    assert effective_rank_of(np.full(r, 0.3)) == pytest.approx(r, rel=1e-12)
    assert effective_rank(np.eye(r + 1)) == pytest.approx(r, rel=1e-12)  # a simplex


def test_effective_rank_in_closed_form():
    assert effective_rank_of([3.0, 1.0]) == pytest.approx(4 / 3**0.75, rel=1e-12)
    assert effective_rank_of(torch.tensor([3.0, 1.0, 0.0])) == pytest.approx(4 / 3**0.75)
    assert effective_rank(np.outer(np.arange(5.0), [1.0, 2.0])) == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize("values", [[], [0.0, 0.0], [1.0, -0.1], [1.0, np.nan], [np.inf], [[1.0]]])
def test_effective_rank_refuses_what_is_no_spectrum(values):
    with pytest.raises(ShiftlensError, match="at least one above 0"):
        effective_rank_of(values)


def test_effective_rank_refuses_identical_single_and_broken_states():
    with pytest.raises(ShiftlensError, match="identical"):
        effective_rank(np.full((5, 3), 0.1))
    with pytest.raises(ShiftlensError, match="at least 2"):
        effective_rank(np.ones((1, 3)))
    with pytest.raises(ShiftlensError, match="row 1"):
        effective_rank([[1.0, 2.0], [np.nan, 0.0]])


@theorem
@given(seed=SEEDS, shape=SHAPES)
def test_anisotropy_is_the_mean_cosine_over_all_pairs(seed, shape):
    x = states_of(seed, shape)
    cosines = cosine_similarity(x)[~np.eye(len(x), dtype=bool)]
    assert anisotropy(x) == pytest.approx(cosines.mean(), rel=1e-8, abs=1e-12)


@theorem
@given(seed=SEEDS, shape=SHAPES)
def test_anisotropy_is_unchanged_by_rotation_and_positive_scaling_of_any_row(seed, shape):
    x, rng = states_of(seed, shape), np.random.default_rng(seed)
    turned = x @ ortho_group.rvs(shape[1], random_state=rng)
    scaled = rng.uniform(0.01, 100.0, (len(x), 1)) * x
    expected = pytest.approx(anisotropy(x), rel=1e-8, abs=1e-12)
    assert anisotropy(turned) == expected
    assert anisotropy(scaled) == expected


def test_anisotropy_in_closed_form():
    assert anisotropy(np.eye(4)) == pytest.approx(0.0, abs=1e-12)
    assert anisotropy(np.eye(4) - 0.25) == pytest.approx(-1 / 3, rel=1e-12)  # a simplex
    assert anisotropy(np.outer([1.0, 2.0, 3.0], [0.1, 0.2])) == pytest.approx(1.0, rel=1e-12)
    assert anisotropy(torch.tensor([[1.0, 0.0], [1.0, 1.0]])) == pytest.approx(0.5**0.5)


def test_a_common_direction_raises_anisotropy_and_no_direction_leaves_it_at_zero():
    x = np.random.default_rng(0).normal(size=(400, 50))
    assert anisotropy(x) == pytest.approx(0.0, abs=0.002)
    assert anisotropy(x + 1.0) == pytest.approx(0.5, abs=0.01)


def test_anisotropy_refuses_a_zero_a_single_and_a_broken_state():
    with pytest.raises(ShiftlensError, match="first is row 1"):
        anisotropy(np.diag([1.0, 0.0, 2.0]))
    with pytest.raises(ShiftlensError, match="at least 2"):
        anisotropy(np.ones((1, 3)))
    with pytest.raises(ShiftlensError, match="row 0"):
        anisotropy([[np.inf, 2.0], [1.0, 0.0]])
