"""The delete-group jackknife against closed forms, explicit loops, scipy and its theorems."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, sem, t, ttest_1samp

from shiftlens.errors import ShiftlensError
from shiftlens.geometry import (
    Interval,
    delete_group_jackknife,
    effective_rank,
    jackknife_interval,
    linear_cka,
    rows_without_groups,
)

SEEDS = st.integers(0, 2**32 - 1)
theorem = settings(max_examples=30, deadline=None, derandomize=True)


def mean(x):
    return float(x.mean())


def ratio(x, y):
    return float(x.mean() / y.mean())


def correlation(x, y):
    return float(np.corrcoef(x[:, 0], y[:, 0])[0, 1])


def column(seed, n):
    return np.random.default_rng(seed).gamma(2.0, size=(n, 1))


def ends(interval):
    return [interval.value, interval.error, interval.low, interval.high]


@theorem
@given(seed=SEEDS, n=st.integers(2, 40), level=st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_without_one_row_at_a_time_the_interval_of_a_mean_is_students(seed, n, level):
    x = column(seed, n)
    found = jackknife_interval(mean(x), [mean(np.delete(x, i)) for i in range(n)], level)
    expected = ttest_1samp(x[:, 0], 0).confidence_interval(level)
    assert found.error == pytest.approx(sem(x[:, 0]), rel=1e-8)
    assert [found.low, found.high] == pytest.approx([expected.low, expected.high], rel=1e-8)


@theorem
@given(seed=SEEDS, groups=st.integers(2, 12), size=st.integers(2, 9))
def test_with_equal_groups_the_interval_of_a_mean_is_students_of_the_group_means(
    seed, groups, size
):
    x = column(seed, groups * size)
    means = x.reshape(groups, size).mean(axis=1)
    expected = ttest_1samp(means, 0).confidence_interval(0.9)
    found = delete_group_jackknife(mean, x, groups=groups, level=0.9)
    assert found.error == pytest.approx(sem(means), rel=1e-8)
    assert [found.low, found.high] == pytest.approx([expected.low, expected.high], rel=1e-8)


@theorem
@given(seed=SEEDS, n=st.integers(4, 60), data=st.data())
def test_the_error_of_a_mean_is_that_of_its_group_means_taken_to_n_rows(seed, n, data):
    """So that it is unbiased for every n: a group's mean has n / m times the variance."""
    groups = data.draw(st.integers(2, n // 2))
    x, m = column(seed, n), n // groups
    means = [x[block[:m]].mean() for block in np.array_split(np.arange(n), groups)]
    found = delete_group_jackknife(mean, x, groups=groups)
    assert found.error == pytest.approx(np.std(means, ddof=1) * np.sqrt(m / n), rel=1e-8)


@pytest.mark.parametrize("measure", [ratio, correlation, linear_cka])
@pytest.mark.parametrize("n", [30, 60])
def test_a_measure_of_two_arguments_is_that_of_an_explicit_loop(measure, n):
    x = column(0, n)
    y = x + column(1, n)
    without = [
        measure(np.delete(x, range(g, g + n // 6), axis=0), np.delete(y, range(g, g + n // 6), 0))
        for g in range(0, n, n // 6)
    ]
    variance = 5 / 6 * sum((value - sum(without) / 6) ** 2 for value in without)
    reach = t(5).isf(0.025) * variance**0.5
    value = measure(x, y)
    expected = [value, variance**0.5, value - reach, value + reach]
    assert ends(delete_group_jackknife(measure, x, y, groups=6)) == pytest.approx(expected)


def test_the_error_of_a_ratio_is_that_of_the_delta_method_at_large_n():
    x, y = column(0, 6000), 1 + column(1, 6000)
    quotient = ratio(x, y)
    residuals = (x - quotient * y) / y.mean()
    found = delete_group_jackknife(ratio, x, y, groups=600)
    assert found.value == quotient
    assert found.error == pytest.approx(sem(residuals[:, 0]), rel=0.1)


@theorem
@given(seed=SEEDS, n=st.integers(4, 30), a=st.floats(-1e3, 1e3), b=st.floats(-1e3, 1e3))
def test_the_interval_follows_scale_and_translation(seed, n, a, b):
    x = column(seed, n)
    plain = delete_group_jackknife(mean, x, groups=2)
    moved = delete_group_jackknife(lambda rows: a * mean(rows) + b, x, groups=2)
    ordered = sorted((a * plain.low + b, a * plain.high + b))
    near = {"rel": 1e-8, "abs": 1e-8}
    assert moved.error == pytest.approx(abs(a) * plain.error, **near)
    assert [moved.low, moved.high] == pytest.approx(ordered, **near)
    assert plain.low < plain.value < plain.high


@theorem
@given(seed=SEEDS, n=st.integers(8, 40))
def test_arguments_may_change_places_where_the_measure_is_symmetric(seed, n):
    x, y = column(seed, n), column(seed + 1, n)
    one = delete_group_jackknife(correlation, x, y, groups=4)
    other = delete_group_jackknife(correlation, y, x, groups=4)
    assert ends(one) == pytest.approx(ends(other), rel=1e-8)
    assert one.error > 0
    turned = delete_group_jackknife(lambda a, b: ratio(b, a), y, x, groups=4)
    assert ends(turned) == pytest.approx(ends(delete_group_jackknife(ratio, x, y, groups=4)))


@theorem
@given(seed=SEEDS, groups=st.integers(2, 6), size=st.integers(2, 6))
def test_rows_may_change_places_within_a_group_and_groups_with_each_other(seed, groups, size):
    rng, x = np.random.default_rng(seed), column(seed, groups * size)
    blocks = rng.permuted(x.reshape(groups, size), axis=1)[rng.permutation(groups)]
    plain = delete_group_jackknife(mean, x, groups=groups)
    moved = delete_group_jackknife(mean, blocks.reshape(-1, 1), groups=groups)
    assert ends(moved) == pytest.approx(ends(plain), rel=1e-8)


@theorem
@given(n=st.integers(4, 90), data=st.data())
def test_groups_are_disjoint_runs_of_one_size_and_few_rows_are_left_over(n, data):
    groups = data.draw(st.integers(2, n // 2))
    gone = [np.setdiff1d(np.arange(n), kept) for kept in rows_without_groups(n, groups)]
    assert len(gone) == groups
    assert all(len(group) == n // groups and np.ptp(group) == n // groups - 1 for group in gone)
    everyone = np.concatenate(gone)
    assert (np.diff(everyone) > 0).all()
    assert n - len(everyone) == n % groups


@pytest.mark.parametrize("n", [100, 104, 109])
def test_a_measure_of_n_alone_has_no_error(n):
    found = delete_group_jackknife(len, column(0, n), groups=10)
    assert ends(found) == [n, 0, n, n]


def test_rows_left_over_do_not_widen_the_interval_of_a_measure_that_depends_on_n():
    x = np.random.default_rng(0).normal(size=(54, 80))
    even = delete_group_jackknife(effective_rank, x[:50]).error
    assert delete_group_jackknife(effective_rank, x).error < 2 * even


@pytest.mark.parametrize("n", [40, 47])
def test_the_interval_of_a_normal_mean_holds_it_as_often_as_it_says(n):
    rng, trials, level = np.random.default_rng(n), 1500, 0.9
    intervals = (
        delete_group_jackknife(mean, rng.normal(size=(n, 1)), groups=8, level=level)
        for _ in range(trials)
    )
    held = sum(found.low <= 0 <= found.high for found in intervals)
    assert binomtest(held, trials, level).pvalue > 1e-3


def test_tensors_and_lists_are_taken_as_arrays():
    x = column(0, 12)
    expected = delete_group_jackknife(mean, x, groups=3)
    assert isinstance(expected, Interval)
    assert delete_group_jackknife(mean, torch.tensor(x), groups=3) == expected
    assert delete_group_jackknife(mean, x.tolist(), groups=3) == expected


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ((20, 21), {}, r"\[20, 21\] rows"),
        ((), {}, r"\[\] rows"),
        ((19,), {}, "10 groups of n = 19 rows; choose from 2 to 9"),
        ((20,), {"groups": 1}, "1 groups of n = 20"),
        ((20,), {"level": 0}, "level 0"),
        ((20,), {"level": 1.0}, "level 1.0"),
        ((20,), {"level": float("nan")}, "level nan"),
    ],
)
def test_what_gives_no_interval_is_refused(rows, options, message):
    with pytest.raises(ShiftlensError, match=message):
        delete_group_jackknife(lambda *x: mean(x[0]), *(column(0, n) for n in rows), **options)


def test_nan_is_refused_in_the_rows_and_in_the_estimates():
    x = column(0, 20)
    with pytest.raises(ShiftlensError, match="first is row 3"):
        delete_group_jackknife(mean, np.where(np.arange(20)[:, None] == 3, np.nan, x))
    with pytest.raises(ShiftlensError, match="not finite without 10 of 10 groups"):
        delete_group_jackknife(lambda rows: mean(rows) if len(rows) == 20 else np.nan, x)
    with pytest.raises(ShiftlensError, match="estimate is inf"):
        jackknife_interval(np.inf, [1.0, 2.0])
    with pytest.raises(ShiftlensError, match="1 groups"):
        jackknife_interval(1.0, [1.0])
    with pytest.raises(ShiftlensError, match="4 groups of n = 3"):
        jackknife_interval(1.0, [1.0, 2.0, 3.0, 4.0], n=3)
