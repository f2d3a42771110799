"""Streaming moments against numpy on the concatenated rows."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shiftlens.errors import ShiftlensError
from shiftlens.geometry import Moments


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    d=st.integers(1, 6),
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    offset=st.sampled_from([0.0, 1e6]),
)
def test_moments_of_batches_are_the_moments_of_the_concatenation(seed, d, sizes, offset):
    rng = np.random.default_rng(seed)
    batches = [rng.normal(size=(size, d)) + offset for size in [2, *sizes]]
    rows = np.concatenate(batches)
    moments = Moments.empty(d)
    for batch in batches:
        moments.update(batch)
    assert moments.count == len(rows)
    np.testing.assert_allclose(moments.mean, rows.mean(axis=0), rtol=1e-12)
    expected = np.atleast_2d(np.cov(rows, rowvar=False, bias=True))
    np.testing.assert_allclose(moments.covariance, expected, rtol=1e-9, atol=1e-9)


def test_merge_equals_the_concatenation_and_leaves_the_other_alone():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 3)), 5 + 2 * rng.normal(size=(11, 3))
    left, right = Moments.empty(3), Moments.empty(3)
    left.update(x)
    right.update(y)
    kept = right.scatter.copy()
    left.merge(right)
    expected = np.cov(np.concatenate([x, y]), rowvar=False, bias=True)
    np.testing.assert_allclose(left.covariance, expected, rtol=1e-13)
    np.testing.assert_array_equal(right.scatter, kept)
    assert right.count == 11


def test_the_same_order_gives_the_same_bits():
    rng = np.random.default_rng(1)
    batches = [rng.normal(size=(5, 4)) for _ in range(4)]
    first, second = Moments.empty(4), Moments.empty(4)
    for moments in (first, second):
        for batch in batches:
            moments.update(batch)
    assert first.scatter.tobytes() == second.scatter.tobytes()


def test_fields_are_the_whole_state():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(4, 3)), rng.normal(size=(6, 3))
    moments = Moments.empty(3)
    moments.update(x)
    restored = Moments(moments.count, moments.mean, moments.scatter)
    restored.update(y)
    expected = np.cov(np.concatenate([x, y]), rowvar=False, bias=True)
    np.testing.assert_allclose(restored.covariance, expected, rtol=1e-13)


def test_many_bfloat16_batches_do_not_stop_growing():
    moments = Moments.empty(1)
    ones = torch.ones(8, 1, dtype=torch.bfloat16)
    for _ in range(500):
        moments.update(ones)
        moments.update(3 * ones)
    assert moments.count == 8000
    assert moments.mean[0] == pytest.approx(2.0, abs=1e-12)
    assert moments.covariance[0, 0] == pytest.approx(1.0, abs=1e-12)


def test_one_row_has_a_mean_but_no_covariance():
    moments = Moments.empty(2)
    moments.update([[1.0, 2.0]])
    np.testing.assert_array_equal(moments.mean, [1.0, 2.0])
    with pytest.raises(ShiftlensError, match="at least 2"):
        _ = moments.covariance


def test_rows_with_nan_are_refused_by_number_and_change_nothing():
    moments = Moments.empty(2)
    moments.update([[1.0, 2.0], [3.0, 5.0]])
    with pytest.raises(ShiftlensError, match="first is row 1"):
        moments.update([[0.0, 0.0], [np.nan, 0.0]])
    assert moments.count == 2


def test_widths_must_agree():
    with pytest.raises(ShiftlensError, match=r"width 2 .* width 3"):
        Moments.empty(2).merge(Moments.empty(3))
