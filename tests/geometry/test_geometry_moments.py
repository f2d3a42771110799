"""Streaming moments against numpy and scikit-learn on the concatenated rows."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import ledoit_wolf_shrinkage

from shiftlens.errors import ShiftlensError
from shiftlens.geometry import Moments
from shiftlens.geometry import moments as moments_module
from shiftlens.geometry.factor import centred_factor
from shiftlens.geometry.shrinkage import shrinkage_weight
from shiftlens.geometry.spd import from_factor, shrunk_covariance

FIELDS = ("count", "mean", "scatter", "cubic", "quartic")
drawn = settings(max_examples=40, deadline=None, derandomize=True)


def skewed(rng, n, d):
    """Rows of unequal variances and a third moment, about a common offset."""
    return rng.exponential(size=(n, d)) * np.linspace(0.3, 3, d) + rng.normal(size=d)


def streamed(batches):
    moments = Moments.empty(np.shape(batches[0])[1])
    for batch in batches:
        moments.update(batch)
    return moments


def merged(parts, order):
    """Merge two neighbours at a time, at the places that `order` draws, until one is left."""
    parts = [streamed([part]) for part in parts]
    while len(parts) > 1:
        place = order.integers(len(parts) - 1)
        parts[place].merge(parts.pop(place + 1))
    return parts[0]


def direct(rows):
    """The fields by their definitions."""
    centred = rows - rows.mean(axis=0)
    squares = (centred**2).sum(axis=1)
    cubic = (squares[:, None] * centred).sum(axis=0)
    return len(rows), rows.mean(axis=0), centred.T @ centred, cubic, (squares**2).sum()


def assert_same_moments(moments, expected, rtol):
    """Equal fields, each relative to its size; the cubic to that of a sum without cancellation."""
    scale = {"cubic": expected[4] ** 0.75 * expected[0] ** 0.25}
    for field, value in zip(FIELDS, expected, strict=True):
        atol = rtol * scale.get(field, np.abs(value).max())
        np.testing.assert_allclose(getattr(moments, field), value, rtol=0, atol=atol, err_msg=field)


@drawn
@given(
    seed=st.integers(0, 2**32 - 1),
    d=st.integers(1, 6),
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=6),
)
def test_moments_of_batches_are_the_moments_of_the_concatenation(seed, d, sizes):
    rng = np.random.default_rng(seed)
    batches = [skewed(rng, size, d) for size in [2, *sizes]]
    rows = np.concatenate(batches)
    moments = streamed(batches)
    assert_same_moments(moments, direct(rows), 1e-12)
    np.testing.assert_allclose(moments.mean, np.mean(rows, axis=0), rtol=1e-12)
    expected = np.atleast_2d(np.cov(rows, rowvar=False, bias=True))
    np.testing.assert_allclose(moments.covariance, expected, rtol=1e-9, atol=1e-12)
    assert moments.rms_norm == pytest.approx(np.sqrt((rows**2).sum(axis=1).mean()), rel=1e-12)


@drawn
@given(
    seed=st.integers(0, 2**32 - 1),
    d=st.integers(2, 8),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=8),
)
def test_ledoit_wolf_of_batches_is_scikit_learns_of_the_concatenation(seed, d, sizes):
    rng = np.random.default_rng(seed)
    batches = [skewed(rng, size, d) * (1 + number) for number, size in enumerate([3, *sizes])]
    alpha = shrinkage_weight(streamed(batches).factor(), "ledoit-wolf")
    expected = ledoit_wolf_shrinkage(np.concatenate(batches))
    assert alpha == pytest.approx(expected, rel=1e-8, abs=1e-12)


@drawn
@given(
    seed=st.integers(0, 2**32 - 1),
    d=st.integers(1, 6),
    cuts=st.lists(st.integers(0, 50), max_size=7),
)
def test_merging_is_associative_and_commutative(seed, d, cuts):
    rng = np.random.default_rng(seed)
    rows = skewed(rng, 50, d)
    parts = np.split(rows, sorted(cuts))
    one, two = merged(parts, rng), merged(parts, rng)
    shuffled = merged([parts[place] for place in rng.permutation(len(parts))], rng)
    whole = [getattr(streamed([rows]), field) for field in FIELDS]
    for moments in (one, two, shuffled):
        assert_same_moments(moments, whole, 1e-10)


def test_a_huge_common_offset_leaves_the_central_moments():
    rng = np.random.default_rng(3)
    rows = skewed(rng, 4000, 5)
    moved = rows + 1e6
    exact = direct(moved - 1e6)
    moments = streamed(np.array_split(moved, 13))
    assert_same_moments(moments, (4000, moved.mean(axis=0), *exact[2:]), 1e-8)
    np.testing.assert_allclose(
        moments.covariance, np.cov(moved, rowvar=False, bias=True), rtol=0, atol=1e-8
    )
    alpha = shrinkage_weight(moments.factor(), "ledoit-wolf")
    assert alpha == pytest.approx(ledoit_wolf_shrinkage(moved - 1e6), rel=1e-8)
    assert moments.rms_norm == pytest.approx(np.linalg.norm(moved) / np.sqrt(4000), rel=1e-13)


def test_merge_leaves_the_other_and_the_arrays_given_alone():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 3)), 5 + 2 * rng.normal(size=(11, 3))
    left, right = streamed([x]), streamed([y])
    alias = Moments(*(getattr(left, field) for field in FIELDS))
    left.merge(right)
    assert_same_moments(left, direct(np.concatenate([x, y])), 1e-13)
    assert_same_moments(right, direct(y), 1e-13)
    assert_same_moments(alias, direct(x), 1e-13)


def test_moments_merged_with_themselves_are_those_of_every_row_twice():
    rows = skewed(np.random.default_rng(1), 9, 4)
    moments = streamed([rows])
    moments.merge(moments)
    assert_same_moments(moments, direct(np.concatenate([rows, rows])), 1e-13)


def test_the_same_order_gives_the_same_bits():
    rng = np.random.default_rng(1)
    batches = [rng.normal(size=(5, 4)) for _ in range(4)]
    first, second = streamed(batches), streamed(batches)
    for field in FIELDS:
        one, two = (np.asarray(getattr(moments, field)) for moments in (first, second))
        assert one.tobytes() == two.tobytes()


def test_fields_are_the_whole_state():
    rng = np.random.default_rng(2)
    x, y = skewed(rng, 4, 3), skewed(rng, 6, 3)
    moments = streamed([x])
    restored = Moments(*(getattr(moments, field) for field in FIELDS))
    restored.update(y)
    assert_same_moments(restored, direct(np.concatenate([x, y])), 1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_tensors_are_summed_in_float64_whatever_their_dtype(dtype):
    rows = torch.tensor(skewed(np.random.default_rng(4), 300, 5)).to(dtype)
    moments = streamed(rows.split(37))
    assert_same_moments(moments, direct(rows.double().numpy()), 1e-12)


def test_the_product_on_a_tensor_gives_what_numpy_gives(monkeypatch):
    rows = torch.tensor(skewed(np.random.default_rng(5), 60, 7), dtype=torch.float32)
    expected = Moments.of(rows.numpy())
    monkeypatch.setattr(moments_module, "_on_gpu", lambda rows: True)
    moments = Moments.of(rows.requires_grad_())
    assert all(isinstance(getattr(moments, field), np.ndarray) for field in FIELDS[1:4])
    assert_same_moments(moments, [getattr(expected, field) for field in FIELDS], 1e-13)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_rows_on_a_gpu_give_what_numpy_gives():
    rows = torch.tensor(skewed(np.random.default_rng(6), 500, 64), dtype=torch.bfloat16).cuda()
    assert_same_moments(streamed(rows.split(100)), direct(rows.double().cpu().numpy()), 1e-12)
    rows[3, 0] = float("nan")
    with pytest.raises(ShiftlensError, match="first is row 3"):
        Moments.of(rows)


def test_many_bfloat16_batches_do_not_stop_growing():
    moments = Moments.empty(1)
    ones = torch.ones(8, 1, dtype=torch.bfloat16)
    for _ in range(500):
        moments.update(ones)
        moments.update(3 * ones)
    assert moments.count == 8000
    assert moments.mean[0] == pytest.approx(2.0, abs=1e-12)
    assert moments.covariance[0, 0] == pytest.approx(1.0, abs=1e-12)
    assert moments.quartic == pytest.approx(8000, rel=1e-12)
    assert moments.rms_norm == pytest.approx(np.sqrt(5), rel=1e-12)


@pytest.mark.parametrize(("n", "d"), [(400, 12), (12, 12), (9, 30), (3, 5), (50, 1)])
@pytest.mark.parametrize("shrinkage", ["ledoit-wolf", "oas", 0.3])
def test_the_factor_gives_the_shrunk_covariance_of_all_rows(n, d, shrinkage):
    rows = skewed(np.random.default_rng(n), n, d)
    fitted = from_factor(streamed(np.array_split(rows, 3)).factor(), shrinkage)
    expected = shrunk_covariance(rows, shrinkage)
    assert fitted.n == n
    assert fitted.rank == expected.rank == min(n - 1, d)
    assert fitted.alpha == pytest.approx(expected.alpha, rel=1e-8, abs=1e-12)
    scale = np.abs(expected.dense()).max()
    np.testing.assert_allclose(fitted.dense(), expected.dense(), rtol=0, atol=1e-8 * scale)


def test_the_factor_has_the_fields_of_the_centred_rows():
    rows = skewed(np.random.default_rng(8), 90, 6)
    factor, expected = streamed(np.array_split(rows, 4)).factor(), centred_factor(rows)
    np.testing.assert_allclose(factor.mean, expected.mean, rtol=1e-12)
    np.testing.assert_allclose(factor.singular_values, expected.singular_values, rtol=1e-10)
    np.testing.assert_allclose(factor.basis.T @ factor.basis, np.eye(6), atol=1e-13)
    np.testing.assert_allclose(np.abs(factor.basis.T @ expected.basis), np.eye(6), atol=1e-9)
    assert factor.fourth_moment == pytest.approx(expected.fourth_moment, rel=1e-12)
    assert factor.rms_norm == pytest.approx(expected.rms_norm, rel=1e-12)


def test_directions_that_the_rows_never_took_are_not_in_the_factor():
    rng = np.random.default_rng(9)
    rows = skewed(rng, 200, 4) @ rng.normal(size=(4, 10))
    rows[:, 7] = 0.1
    factor = streamed(np.array_split(rows, 6)).factor()
    assert factor.basis.shape == (10, 4)
    np.testing.assert_allclose(factor.basis[7], 0, atol=1e-12)


def test_rows_that_are_all_the_same_have_rank_zero():
    rows = np.array([[0.1, 1e3 / 3, -7.7]])
    moments = streamed([np.repeat(rows, size, axis=0) for size in (3, 7, 11, 6)])
    assert moments.factor().singular_values.size == 0
    with pytest.raises(ShiftlensError, match="rank 0"):
        from_factor(moments.factor(), "ledoit-wolf")


def test_one_row_has_a_mean_but_no_covariance():
    moments = Moments.empty(2)
    moments.update([[1.0, 2.0]])
    np.testing.assert_array_equal(moments.mean, [1.0, 2.0])
    assert moments.rms_norm == pytest.approx(np.sqrt(5))
    for ask in (lambda: moments.covariance, moments.factor, Moments.empty(2).factor):
        with pytest.raises(ShiftlensError, match="at least 2"):
            ask()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_rows_with_nan_are_refused_by_number_and_change_nothing(bad):
    moments = streamed([np.array([[1.0, 2.0], [3.0, 5.0]])])
    with pytest.raises(ShiftlensError, match="first is row 1"):
        moments.update([[0.0, 0.0], [bad, 0.0]])
    assert moments.count == 2


def test_widths_must_agree():
    with pytest.raises(ShiftlensError, match=r"width 2 .* width 3"):
        Moments.empty(2).merge(Moments.empty(3))
