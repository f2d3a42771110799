"""Matrices of all languages against direct calls, pyRiemann, and the axioms of the metrics."""

from importlib import import_module

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pyriemann.geometry.distance import pairwise_distance
from sklearn.covariance import ledoit_wolf

from shiftlens.errors import ShiftlensError
from shiftlens.geometry import METRICS, summarise
from shiftlens.geometry.pairwise import pairwise

RANK = 3
COMPARING = [metric for metric in METRICS.values() if metric.kind != "single"]
PYRIEMANN = {
    "affine_invariant": "riemann",
    "log_euclidean": "logeuclid",
    "bures_wasserstein": "wasserstein",
    "symmetrised_kl": "kullback_sym",
}
theorem = settings(max_examples=10, deadline=None, derandomize=True)


def cloud(*shape, seed=0):
    """States (..., languages, n, d) of their own mean and covariance."""
    rng = np.random.default_rng(seed)
    *batch, n, d = shape
    mixing = rng.normal(size=(*batch, d, d)) * np.geomspace(3.0, 0.2, d)
    shared = rng.normal(size=(n, d))
    return (shared + rng.normal(size=shape)) @ mixing + rng.normal(size=(*batch, 1, d))


@pytest.mark.parametrize("metric", COMPARING, ids=lambda metric: metric.name)
def test_every_entry_is_the_metric_of_its_row_and_column(metric):
    states = cloud(3, 24, 9)
    matrix = pairwise(states, metric.name, shrinkage=0.2, rank=RANK)
    seen = states if metric.takes == "states" else [summarise(x, 0.2, RANK) for x in states]
    direct = np.array([[metric.function(own, other) for other in seen] for own in seen])
    np.testing.assert_allclose(matrix, direct, rtol=1e-8, atol=1e-7)
    assert np.ptp(matrix) > 0


@pytest.mark.parametrize(("name", "theirs"), PYRIEMANN.items())
@pytest.mark.parametrize(("n", "d"), [(6, 20), (15, 20), (60, 12)])
def test_equals_pyriemann(name, theirs, n, d):
    states = cloud(4, n, d)
    covariances = np.array([ledoit_wolf(x)[0] for x in states])
    expected = pairwise_distance(covariances, metric=theirs)
    np.testing.assert_allclose(pairwise(states, name), expected, rtol=1e-8, atol=1e-6)


@theorem
@given(seed=st.integers(0, 2**32 - 1), metric=st.sampled_from(COMPARING))
def test_axioms(seed, metric):
    matrix = pairwise(cloud(4, 24, 9, seed=seed), metric.name, rank=RANK)
    if metric.symmetric:
        assert (matrix == matrix.T).all()
    if metric.kind == "distance":
        assert (np.diag(matrix) == 0).all()
        assert (matrix + np.eye(4) > 0).all()
        assert (matrix[:, None] <= matrix[:, :, None] + matrix[None] + 1e-8).all()


def test_a_symmetric_metric_is_taken_once_a_pair_and_a_language_fitted_once(monkeypatch):
    fits, calls = [], []
    module = import_module("shiftlens.geometry.pairwise")
    monkeypatch.setattr(module, "summarise", lambda *given: fits.append(1) or summarise(*given))
    metric = METRICS["symmetrised_kl"]

    def counted(own, other):
        calls.append(1)
        return metric.function(own, other)

    fields = {**vars(metric), "function": counted}
    monkeypatch.setitem(METRICS, "symmetrised_kl", type(metric)(**fields))
    pairwise(cloud(2, 4, 12, 5), "symmetrised_kl")
    assert (len(fits), len(calls)) == (2 * 4, 2 * (6 + 4))


@pytest.mark.parametrize("metric", ["affine_invariant", "retrieval"])
@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_leading_dimensions_are_gone_through_one_by_one(batch, metric):
    states = cloud(*batch, 3, 8, 6)
    matrices = pairwise(states, metric)
    assert matrices.shape == (*batch, 3, 3)
    for index in np.ndindex(*batch):
        np.testing.assert_array_equal(matrices[index], pairwise(states[index], metric))
    assert len(np.unique(matrices)) > 2


@pytest.mark.parametrize("metric", ["affine_invariant", "cosine"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_tensors_are_taken(metric, dtype):
    states = torch.tensor(cloud(2, 3, 8, 6), dtype=dtype, requires_grad=True)
    expected = pairwise(states.detach().double().numpy(), metric)
    np.testing.assert_array_equal(pairwise(states, metric), expected)


def test_a_reference_language_is_the_column():
    states = cloud(3, 12, 5) * np.array([1.0, 10.0, 100.0])[:, None, None]
    matrix = pairwise(states, "mean_distance_rms")
    means, rms = states.mean(axis=1), np.sqrt(np.mean(np.sum(states**2, axis=2), axis=1))
    expected = np.linalg.norm(means[:, None] - means[None], axis=2) / rms
    np.testing.assert_allclose(matrix, expected, rtol=1e-10, atol=1e-12)
    assert not np.allclose(matrix, matrix.T)


@pytest.mark.parametrize("metric", ["affine_invariant", "procrustes"])
def test_nan_is_named_by_batch_index_language_and_row(metric):
    states = cloud(2, 2, 3, 8, 6)
    states[1, 0, 2, 5, 1] = np.nan
    with pytest.raises(ShiftlensError, match=r"batch index \(1, 0\), language 2: .*row 5"):
        pairwise(states, metric)
    with pytest.raises(ShiftlensError, match=r"^language 2: .*row 5"):
        pairwise(states[1, 0], metric)


def test_what_a_pair_refuses_is_named_by_both_languages():
    with pytest.raises(ShiftlensError, match=r"batch index \(0,\), languages 0 and 1: .*rank"):
        pairwise(cloud(1, 3, 8, 6), "grassmann")


def test_a_singular_covariance_is_refused_where_the_metric_needs_its_inverse():
    states = cloud(2, 4, 9)
    assert pairwise(states, "bures_wasserstein", shrinkage=0.0)[0, 1] > 0
    with pytest.raises(ShiftlensError, match=r"language 0: .*n = 4 .* d = 9"):
        pairwise(states, shrinkage=0.0)


@pytest.mark.parametrize("metric", ["effective_rank", "anisotropy", "nonsense"])
def test_a_metric_that_compares_nothing_is_refused(metric):
    with pytest.raises(ShiftlensError, match=rf"'{metric}'.*choose from affine_invariant"):
        pairwise(cloud(2, 8, 6), metric)


@pytest.mark.parametrize("states", [np.zeros((8, 6)), [[1.0]], None])
def test_a_wrong_shape_is_refused(states):
    with pytest.raises(ShiftlensError, match=r"\(\.\.\., languages, n, d\)"):
        pairwise(states)
