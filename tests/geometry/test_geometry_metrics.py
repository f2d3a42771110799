"""The table of metrics: every claim in it is a theorem, tested by name."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group

from shiftlens.errors import ShiftlensError
from shiftlens.geometry import METRICS, REQUIREMENTS, metrics_named, summarise

N, D, RANK = 16, 6, 3
SEEDS = st.integers(0, 2**32 - 1)
theorem = settings(max_examples=15, deadline=None, derandomize=True)

ROTATION, TRANSLATION, SCALE, CONGRUENCE = "rotation", "translation", "scale", "congruence"
# What each metric does not feel when it is done to both languages alike. Congruence (any
# invertible map) is claimed of unshrunk covariances.
INVARIANT = {
    "affine_invariant": {ROTATION, TRANSLATION, SCALE, CONGRUENCE},
    "mean_distance": {ROTATION, TRANSLATION},
    "mean_distance_rms": {ROTATION, SCALE},
    "shifcon": {ROTATION, TRANSLATION},
    "log_euclidean": {ROTATION, TRANSLATION, SCALE},
    "bures_wasserstein": {ROTATION, TRANSLATION},
    "symmetrised_kl": {ROTATION, TRANSLATION, SCALE, CONGRUENCE},
    "fixed_rank": {ROTATION, TRANSLATION, SCALE},
    "principal_angle": {ROTATION, TRANSLATION, SCALE},
    "grassmann": {ROTATION, TRANSLATION, SCALE},
    "chordal": {ROTATION, TRANSLATION, SCALE},
    "projection": {ROTATION, TRANSLATION, SCALE},
    "procrustes": {ROTATION, TRANSLATION, SCALE},
    "linear_cka": {ROTATION, TRANSLATION, SCALE},
    "debiased_cka": {ROTATION, TRANSLATION, SCALE},
    "cosine": {ROTATION, SCALE},
    "centred_cosine": {ROTATION, TRANSLATION, SCALE},
    "retrieval": {ROTATION, SCALE},
    "retrieval_back": {ROTATION, SCALE},
    "csls": {ROTATION, SCALE},
    "csls_back": {ROTATION, SCALE},
    "mexa": {ROTATION, SCALE},
    "lda_accuracy": {ROTATION, TRANSLATION, SCALE},
    "probe_accuracy": {ROTATION, TRANSLATION, SCALE},
    "silhouette": {ROTATION, TRANSLATION, SCALE},
    "effective_rank": {ROTATION, TRANSLATION, SCALE},
    "anisotropy": {ROTATION, SCALE},
}
# Counts move in steps: a change that ought to show may leave them where they are.
COUNTS = {"retrieval", "retrieval_back", "csls", "csls_back", "mexa", "lda_accuracy"}
COUNTS |= {"probe_accuracy"}
KINDS = {
    kind: [m for m in METRICS if METRICS[m].kind == kind] for kind in ("distance", "similarity")
}
EVERY = pytest.mark.parametrize("name", METRICS)


def languages(seed, count, n=N):
    """Languages that say the same in their own way."""
    rng = np.random.default_rng(seed)
    said = rng.normal(size=(n, D)) * np.geomspace(3, 0.5, D)
    return [
        said @ (np.eye(D) + 0.4 * rng.normal(size=(D, D)))
        + 0.5 * rng.normal(size=(n, D))
        + rng.normal(size=D)
        for _ in range(count)
    ]


def measure(name, *states, shrinkage=0.1):
    metric = METRICS[name]
    if metric.kind == "single":
        states = states[:1]
    if metric.takes == "summary":
        states = [summarise(rows, shrinkage, RANK) for rows in states]
    return metric.function(*states)


def close(a, b, tolerance=1e-8):
    assert a == pytest.approx(b, rel=tolerance, abs=tolerance)


@EVERY
@given(seed=SEEDS)
@theorem
def test_symmetry_where_it_is_claimed(name, seed):
    if METRICS[name].kind != "single" and METRICS[name].symmetric:
        x, y = languages(seed, 2)
        close(measure(name, x, y), measure(name, y, x))


@pytest.mark.parametrize("name", [m for m in METRICS if not METRICS[m].symmetric])
def test_asymmetry_where_symmetry_is_not_claimed(name):
    pairs = [languages(seed, 2) for seed in range(8)]
    assert any(measure(name, x, y) != measure(name, y, 2 * x + y) for x, y in pairs)


@pytest.mark.parametrize("name", KINDS["distance"])
@given(seed=SEEDS)
@theorem
def test_identity_of_a_distance(name, seed):
    x, y = languages(seed, 2)
    assert abs(measure(name, x, x)) < 1e-6
    assert measure(name, x, y) > 1e-3


@pytest.mark.parametrize("name", KINDS["distance"])
@given(seed=SEEDS)
@theorem
def test_the_triangle_inequality_of_a_distance(name, seed):
    x, y, z = languages(seed, 3)
    assert measure(name, x, z) <= measure(name, x, y) + measure(name, y, z) + 1e-9


@pytest.mark.parametrize("name", KINDS["similarity"])
@given(seed=SEEDS)
@theorem
def test_nothing_is_more_similar_to_a_language_than_itself(name, seed):
    x, y = languages(seed, 2)
    if not name.startswith(
        "csls"
    ):  # which prefers a less central neighbour even to the state itself
        close(measure(name, x, x), 1.0)
    assert measure(name, x, y) <= 1.0


@pytest.mark.parametrize("name", [m for m in METRICS if METRICS[m].paired])
def test_a_paired_metric_feels_a_permutation_of_the_pairs(name):
    x, y = languages(3, 2)
    order = np.random.default_rng(0).permutation(N)
    direction = -1 if METRICS[name].kind == "similarity" else 1
    assert direction * (measure(name, x, y[order]) - measure(name, x, y)) > 0.01
    close(measure(name, x[order], y[order]), measure(name, x, y))


@pytest.mark.parametrize("name", [m for m in METRICS if METRICS[m].takes == "summary"])
def test_a_metric_of_summaries_does_not_feel_the_order_of_the_sentences(name):
    x, y = languages(3, 2)
    close(measure(name, x, y[::-1]), measure(name, x, y))


MAPS = {
    ROTATION: lambda rng: (ortho_group.rvs(D, random_state=rng), np.zeros(D)),
    TRANSLATION: lambda rng: (np.eye(D), 5 * rng.normal(size=D)),
    SCALE: lambda rng: (7.5 * np.eye(D), np.zeros(D)),
    CONGRUENCE: lambda rng: (rng.normal(size=(D, D)) + 2 * np.eye(D), np.zeros(D)),
}


def moved(name, change, seed):
    """The metric before and after one map of both languages."""
    rng = np.random.default_rng(seed)
    turn, offset = MAPS[change](rng)
    x, y = languages(seed, 2, n=4 * N)
    shrinkage = 0.0 if change == CONGRUENCE else 0.1
    after = measure(name, x @ turn + offset, y @ turn + offset, shrinkage=shrinkage)
    return measure(name, x, y, shrinkage=shrinkage), after


@EVERY
@pytest.mark.parametrize("change", MAPS)
@given(seed=SEEDS)
@theorem
def test_invariance_as_claimed(name, change, seed):
    if change in INVARIANT[name]:
        close(*moved(name, change, seed), tolerance=1e-6)


@EVERY
@pytest.mark.parametrize("change", MAPS)
def test_no_more_invariance_than_claimed(name, change):
    if change not in INVARIANT[name] and name not in COUNTS:
        pairs = [moved(name, change, seed) for seed in range(4)]
        assert any(abs(before - after) > 1e-4 * abs(before) for before, after in pairs)


@EVERY
def test_a_value_of_unequal_n_or_a_refusal_that_names_both(name):
    x, y = languages(1, 2, n=24)
    if METRICS[name].paired:
        with pytest.raises(ShiftlensError, match="n = 24 and n = 20"):
            measure(name, x, y[:20])
    else:
        assert np.isfinite(measure(name, x, y[:20]))


@EVERY
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused_by_its_row(name, bad):
    x, y = languages(1, 2)
    x[4, 2] = bad
    with pytest.raises(ShiftlensError, match="row 4"):
        measure(name, x, y)


@EVERY
def test_one_sentence_is_refused(name):
    x, y = languages(1, 2)
    with pytest.raises(ShiftlensError, match=r"1 sentence|n = 1|1 row"):
        measure(name, x[:1], y[:1])


@EVERY
def test_fewer_sentences_than_dimensions_and_a_constant_dimension(name):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 12, 30)) + 1
    x[:, 7] = y[:, 7] = 3.0
    assert np.isfinite(measure(name, x, y, shrinkage="ledoit-wolf"))


@EVERY
def test_the_entry_is_whole(name):
    metric = METRICS[name]
    assert metric.name == name and name in INVARIANT
    assert metric.requires in REQUIREMENTS
    assert "\n" not in metric.description
    if metric.reference:
        assert np.isfinite(metric.reference(N, D, RANK))


@pytest.mark.parametrize("name", ["principal_angle", "grassmann", "chordal", "projection"])
def test_the_reference_of_a_subspace_metric_is_what_random_subspaces_show(name):
    rng = np.random.default_rng(1)
    clouds = rng.normal(size=(24, 12, 40))
    summaries = [summarise(cloud, 0.1, 8) for cloud in clouds]
    seen = [METRICS[name].function(a, b) for a, b in zip(summaries, summaries[12:], strict=False)]
    assert METRICS[name].reference(12, 40, 8) == pytest.approx(np.mean(seen), rel=0.02)


def test_names_are_read_in_order_once_and_all_means_all():
    assert [m.name for m in metrics_named(" mexa, shifcon,mexa ")] == ["mexa", "shifcon"]
    assert metrics_named("all") == list(METRICS.values())
    with pytest.raises(ShiftlensError, match="unknown metric 'cka'"):
        metrics_named("cka")
