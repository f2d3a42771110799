"""CKA, Procrustes and cosines against kernel-space HSIC, scipy, scikit-learn and theorems."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import procrustes
from scipy.stats import ortho_group
from sklearn.metrics.pairwise import paired_cosine_distances

from shiftlens.errors import ShiftlensError
from shiftlens.geometry import debiased_linear_cka, linear_cka, mean_cosine, procrustes_distance

SEEDS = st.integers(0, 2**32 - 1)
SHAPES = st.sampled_from([(6, 15), (15, 6), (9, 9), (5, 1)])
MEASURES = [linear_cka, debiased_linear_cka, procrustes_distance, mean_cosine]
CKA = [linear_cka, debiased_linear_cka]
theorem = settings(max_examples=30, deadline=None, derandomize=True)


def centred_cosine(x, y):
    return mean_cosine(x, y, centred=True)


def translations(rng, n, d, noise=0.3):
    x = rng.normal(size=(n, d)) * np.geomspace(3.0, 0.3, d) + rng.normal(size=d)
    return x, x + noise * rng.normal(size=(n, d)) + rng.normal(size=d)


def biased_hsic(x, y):
    n = len(x)
    h = np.eye(n) - 1 / n
    return np.trace(x @ x.T @ h @ y @ y.T @ h)


def unbiased_hsic(x, y):
    """Equation 4 of Song et al. 2012, on kernels."""
    n, one = len(x), np.ones(len(x))
    k, el = x @ x.T, y @ y.T
    np.fill_diagonal(k, 0)
    np.fill_diagonal(el, 0)
    total = np.trace(k @ el) + one @ k @ one * (one @ el @ one) / ((n - 1) * (n - 2))
    return (total - 2 / (n - 2) * one @ k @ el @ one) / (n * (n - 3))


def u_statistic(x, y):
    """HSIC as a mean over all ordered quadruples of distinct sentences."""
    k, el = x @ x.T, y @ y.T
    terms = [
        k[i, j] * (el[i, j] + el[q, r] - 2 * el[i, q])
        for i, j, q, r in permutations(range(len(x)), 4)
    ]
    return np.mean(terms)


def normalised(hsic, x, y):
    return hsic(x, y) / np.sqrt(hsic(x, x) * hsic(y, y))


@theorem
@given(seed=SEEDS, shape=SHAPES, e=st.sampled_from([3, 12]))
def test_cka_is_that_of_hsic_on_kernels(seed, shape, e):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=shape) + 1.0, rng.normal(size=(shape[0], e)) - 1.0
    near = {"rel": 1e-8, "abs": 1e-10}
    assert linear_cka(x, y) == pytest.approx(normalised(biased_hsic, x, y), **near)
    assert debiased_linear_cka(x, y) == pytest.approx(normalised(unbiased_hsic, x, y), **near)


@settings(max_examples=5, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_debiased_cka_is_that_of_the_u_statistic_of_hsic(seed):
    x, y = translations(np.random.default_rng(seed), 6, 4)
    assert debiased_linear_cka(x, y) == pytest.approx(normalised(u_statistic, x, y), rel=1e-8)


def test_debiasing_takes_unrelated_states_to_zero_on_average():
    rng = np.random.default_rng(0)
    pairs = [rng.normal(size=(2, 20, 40)) for _ in range(300)]
    debiased = np.array([debiased_linear_cka(*pair) for pair in pairs])
    assert abs(debiased.mean()) < 4 * debiased.std() / np.sqrt(len(pairs))
    assert np.mean([linear_cka(*pair) for pair in pairs]) > 0.5


@theorem
@given(seed=SEEDS, shape=SHAPES)
def test_procrustes_is_that_of_scipy(seed, shape):
    x, y = translations(np.random.default_rng(seed), *shape)
    a, b = (side - side.mean(axis=0) for side in (x, y))
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    turn, nuclear_norm = orthogonal_procrustes(b, a)
    found = procrustes_distance(x, y)
    assert found == pytest.approx(np.linalg.norm(a - b @ turn), rel=1e-8)
    assert found**2 == pytest.approx(2 - 2 * nuclear_norm, rel=1e-8, abs=1e-12)
    assert 1 - (1 - found**2 / 2) ** 2 == pytest.approx(procrustes(x, y)[2], rel=1e-8)


@theorem
@given(seed=SEEDS, shape=SHAPES)
def test_mean_cosine_is_that_of_scikit_learn(seed, shape):
    x, y = translations(np.random.default_rng(seed), *shape)
    expected = 1 - paired_cosine_distances(x, y).mean()
    assert mean_cosine(x, y) == pytest.approx(expected, rel=1e-8, abs=1e-12)
    expected = 1 - paired_cosine_distances(x - x.mean(axis=0), y - y.mean(axis=0)).mean()
    assert centred_cosine(x, y) == pytest.approx(expected, rel=1e-8, abs=1e-12)


@theorem
@given(seed=SEEDS, shape=SHAPES, measure=st.sampled_from([*MEASURES, centred_cosine]))
def test_symmetry_and_identity(seed, shape, measure):
    x, y = translations(np.random.default_rng(seed), *shape)
    assert measure(x, y) == pytest.approx(measure(y, x), rel=1e-9, abs=1e-12)
    expected = 0.0 if measure is procrustes_distance else 1.0
    assert measure(x, x) == pytest.approx(expected, abs=1e-10)


@theorem
@given(seed=SEEDS, shape=SHAPES)
def test_triangle_inequality_and_bound_of_procrustes(seed, shape):
    x, y, z = np.random.default_rng(seed).normal(size=(3, *shape))
    direct = procrustes_distance(x, z)
    assert direct <= procrustes_distance(x, y) + procrustes_distance(y, z) + 1e-12
    assert direct <= 2**0.5 + 1e-12


@theorem
@given(seed=SEEDS, shape=SHAPES)
def test_bounds_of_cka_and_cosine(seed, shape):
    x, y = np.random.default_rng(seed).normal(size=(2, *shape))
    assert -1e-12 <= linear_cka(x, y) <= 1 + 1e-12
    for measure in (debiased_linear_cka, mean_cosine, centred_cosine):
        assert abs(measure(x, y)) <= 1 + 1e-12


@theorem
@given(
    seed=SEEDS,
    shape=st.sampled_from([(6, 15), (15, 6)]),
    measure=st.sampled_from([*CKA, procrustes_distance]),
    scale=st.floats(1e-3, 1e3),
)
def test_invariance_to_rotation_scale_and_translation_of_one_side(seed, shape, measure, scale):
    rng = np.random.default_rng(seed)
    x, y = translations(rng, *shape)
    moved = scale * y @ ortho_group.rvs(shape[1], random_state=rng) + rng.normal(size=shape[1])
    assert measure(x, moved) == pytest.approx(measure(x, y), rel=1e-8, abs=1e-10)


@theorem
@given(seed=SEEDS, scale=st.floats(1e-3, 1e3))
def test_invariances_of_the_mean_cosine(seed, scale):
    rng = np.random.default_rng(seed)
    x, y = translations(rng, 8, 5)
    turn, offset = ortho_group.rvs(5, random_state=rng), rng.normal(size=5)
    near = {"rel": 1e-9, "abs": 1e-12}
    assert mean_cosine(x @ turn, scale * y @ turn) == pytest.approx(mean_cosine(x, y), **near)
    moved = scale * (y + offset)
    assert centred_cosine(x, moved) == pytest.approx(centred_cosine(x, y), **near)
    assert mean_cosine(x, y + 100.0) != pytest.approx(mean_cosine(x, y), rel=1e-3)


@theorem
@given(seed=SEEDS, measure=st.sampled_from([*MEASURES, centred_cosine]))
def test_sensitivity_to_permuting_the_pairs(seed, measure):
    rng = np.random.default_rng(seed)
    x, y = translations(rng, 20, 10, noise=0.05)
    worse = measure(x, np.roll(y, 1, axis=0)) - measure(x, y)
    assert worse > 0.05 if measure is procrustes_distance else worse < -0.05
    order = rng.permutation(20)
    assert measure(x[order], y[order]) == pytest.approx(measure(x, y), rel=1e-9)


@pytest.mark.parametrize("measure", [*MEASURES, centred_cosine])
def test_tensors_are_taken_and_unpaired_states_refused(measure):
    x, y = translations(np.random.default_rng(1), 6, 4)
    expected = pytest.approx(measure(x, y), rel=1e-12)
    assert measure(torch.tensor(x), torch.tensor(y)) == expected
    with pytest.raises(ShiftlensError, match="n = 6 and n = 5"):
        measure(x, y[:5])
    with pytest.raises(ShiftlensError, match="NaN or infinity"):
        measure(x, np.where(y > y.max() - 1e-9, np.nan, y))


@pytest.mark.parametrize("measure", [procrustes_distance, mean_cosine])
def test_unequal_widths_are_refused(measure):
    with pytest.raises(ShiftlensError, match=r"width 3 .* width 2"):
        measure(np.eye(3), np.eye(3)[:, :2])


@pytest.mark.parametrize("measure", [*CKA, procrustes_distance])
def test_identical_states_are_refused(measure):
    with pytest.raises(ShiftlensError, match=r"n = 5 states of one side in d = 3 .* identical"):
        measure(np.full((5, 3), 0.1), np.eye(5)[:, :3])


def test_a_state_without_direction_is_refused():
    with pytest.raises(ShiftlensError, match="first is row 1"):
        mean_cosine(np.diag([1.0, 0.0, 2.0]), np.eye(3))
    with pytest.raises(ShiftlensError, match="5 of n = 5 states in d = 3"):
        centred_cosine(np.full((5, 3), 0.1), np.eye(5)[:, :3])


def test_debiased_cka_refuses_too_few_and_equidistant_states():
    x, y = translations(np.random.default_rng(2), 5, 4)
    with pytest.raises(ShiftlensError, match=r"n = 3 .* at least 4"):
        debiased_linear_cka(x[:3], y[:3])
    with pytest.raises(ShiftlensError, match="equally far apart"):
        debiased_linear_cka(np.eye(5), x)
