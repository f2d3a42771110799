"""Intervals of test scores, against numbers that others published."""

import numpy as np
import pandas as pd
import pytest

from shiftlens.reports.score_tables import difference, mean_difference, score_table, wilson


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_as_in_newcombes_table(right, n, low, high):
    """Newcombe, "Two-sided confidence intervals for the single proportion", 1998, Table I."""
    assert wilson(right / n, n) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ((48, 80), (56, 70), 0.0524, 0.3339),
        ((3, 10), (9, 10), 0.1705, 0.8090),
        ((2, 7), (6, 7), 0.0582, 0.8062),
        ((0, 10), (10, 10), 0.6075, 1.0),
    ],
)
def test_a_difference_as_in_newcombes_table(first, second, low, high):
    """Newcombe, "Interval estimation for the difference", 1998, Table II, method 10."""
    (a, n), (b, m) = first, second
    apart, down, up = difference(a / n, b / m, n, m)
    assert apart == pytest.approx(b / m - a / n)
    assert (down, up) == pytest.approx((low, high), abs=5e-5)


def results(codes, right, n=10):
    shares = [number / n for number in right]
    return pd.DataFrame({"language": codes, "n": n, "exact_match": shares})


def test_a_table_has_the_languages_of_both_in_the_order_of_the_first():
    table = score_table(results(["en", "fi", "de"], [9, 3, 5]), results(["fi", "en"], [6, 9]))
    assert list(table.index) == ["en", "fi"]
    assert table.loc["fi", "difference"] == pytest.approx(0.3)
    assert table.loc["en", "difference"] == 0
    assert table.loc["fi", "first_low"] == pytest.approx(wilson(0.3, 10)[0])
    assert table.loc["fi", "second_high"] == pytest.approx(wilson(0.6, 10)[1])
    mirrored = score_table(results(["fi"], [6]), results(["fi"], [3]))
    low, high = mirrored.loc["fi", ["difference_low", "difference_high"]]
    assert (-high, -low) == pytest.approx(
        tuple(table.loc["fi", ["difference_low", "difference_high"]])
    )


def test_the_mean_difference_leaves_the_dominant_language_out():
    codes = ["en", "fi", "de", "es"]
    table = score_table(results(codes, [9, 1, 2, 3]), results(codes, [2, 2, 4, 6]))
    mean = mean_difference(table, "en")
    assert mean["mean"] == pytest.approx(0.2) and mean["seeds"] == 3
    half = 4.302653 * 0.1 / np.sqrt(3)  # t of two degrees of freedom, sd of 0.1, 0.2, 0.3
    assert (mean["low"], mean["high"]) == pytest.approx((0.2 - half, 0.2 + half), abs=1e-6)
