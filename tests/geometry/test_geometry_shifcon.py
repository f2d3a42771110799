"""ShifCon's distance, the summaries behind it and the table of metrics."""

import numpy as np
import pytest
import sklearn.covariance as sk
from hypothesis import given, settings
from hypothesis import strategies as st
from pyriemann.geometry.distance import distance_riemann

from shiftlens.errors import ShiftlensError
from shiftlens.geometry import (
    METRICS,
    affine_invariant,
    fixed_rank_distance,
    shifcon_distance,
    summarise,
    svd_basis,
    variance_rank,
)


def pair(n=30, d=50, seed=0):
    rng = np.random.default_rng(seed)
    k = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)
    return k, rng.normal(size=(n, d)) * np.geomspace(6.0, 0.3, d) + 4.0


@pytest.mark.parametrize(("n", "d"), [(30, 80), (80, 30)])
@pytest.mark.parametrize("name", ["ledoit-wolf", "oas"])
def test_the_terms_are_those_of_pyriemann_and_scikit_learn(n, d, name):
    x, y = pair(n, d)
    estimate = {"ledoit-wolf": sk.ledoit_wolf, "oas": sk.oas}[name]
    found = shifcon_distance(summarise(x, name), summarise(y, name))
    log_term = distance_riemann(estimate(x)[0], estimate(y)[0])
    mean_term = np.linalg.norm(x.mean(axis=0) - y.mean(axis=0))
    assert found.log_term == pytest.approx(log_term, rel=1e-8)
    assert found.mean_term == pytest.approx(mean_term, rel=1e-12)
    rms = np.sqrt(np.mean(np.sum(y**2, axis=1)))
    assert found.mean_term_rms == pytest.approx(mean_term / rms, rel=1e-12)
    assert found.total == pytest.approx(log_term + mean_term, rel=1e-8)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), shape=st.sampled_from([(12, 30), (25, 30), (90, 30)]))
def test_a_shift_takes_the_mean_term_to_zero_and_leaves_the_log_term(seed, shape):
    x, y = pair(*shape, seed=seed)
    dominant = summarise(y)
    before = shifcon_distance(summarise(x), dominant)
    after = shifcon_distance(summarise(x - x.mean(axis=0) + y.mean(axis=0)), dominant)
    assert before.mean_term > 1.0
    assert after.mean_term < 1e-10
    assert after.log_term == pytest.approx(before.log_term, rel=1e-10)


def test_the_rms_mean_term_does_not_grow_with_the_norm_of_the_stream():
    x, y = pair()
    plain = shifcon_distance(summarise(x), summarise(y))
    grown = shifcon_distance(summarise(100 * x), summarise(100 * y))
    assert grown.mean_term == pytest.approx(100 * plain.mean_term, rel=1e-12)
    assert grown.mean_term_rms == pytest.approx(plain.mean_term_rms, rel=1e-12)
    assert grown.log_term == pytest.approx(plain.log_term, rel=1e-9)


def test_the_entries_of_the_table_are_the_functions():
    x, y = pair()
    rank = variance_rank(y)
    k, dominant = summarise(x, "oas", rank), summarise(y, "oas", rank)
    terms = shifcon_distance(k, dominant)
    (u, s), (v, t) = svd_basis(x, rank), svd_basis(y, rank)
    expected = {
        "affine_invariant": affine_invariant(k, dominant),
        "mean_distance": terms.mean_term,
        "mean_distance_rms": terms.mean_term_rms,
        "shifcon": terms.total,
        "fixed_rank": pytest.approx(fixed_rank_distance(u, s**2 / 30, v, t**2 / 30), rel=1e-10),
    }
    assert {name: METRICS[name].function(k, dominant) for name in expected} == expected


OF_SUMMARIES = [name for name, metric in METRICS.items() if metric.takes == "summary"]


@pytest.mark.parametrize("name", OF_SUMMARIES)
def test_what_a_metric_requires_is_what_decides_its_value(name):
    x, y = pair()
    metric = METRICS[name]
    languages = (x,) if metric.kind == "single" else (x, y)

    def value(shrinkage, rank):
        return metric.function(*(summarise(states, shrinkage, rank) for states in languages))

    plain = value(0.1, 5)
    assert (value(0.3, 5) != plain) == (metric.requires in ("shrinkage", "covariance"))
    assert (value(0.1, 7) != plain) == (metric.requires == "rank")


def test_fixed_rank_without_a_rank_says_so():
    x, y = pair()
    with pytest.raises(ShiftlensError, match="without a rank"):
        METRICS["fixed_rank"].function(summarise(x), summarise(y, rank=3))
    with pytest.raises(ShiftlensError, match="same rank"):
        METRICS["fixed_rank"].function(summarise(x, rank=2), summarise(y, rank=3))


def test_a_rank_that_the_states_do_not_span_is_refused():
    with pytest.raises(ShiftlensError, match=r"rank 30 .* n = 30 .*rank 29"):
        summarise(pair()[0], rank=30)


@pytest.mark.parametrize("name", ["affine_invariant", "mean_distance", "shifcon"])
def test_widths_must_agree(name):
    with pytest.raises(ShiftlensError, match=r"width 6 .* width 7"):
        METRICS[name].function(summarise(pair(9, 6)[0]), summarise(pair(9, 7)[0]))
