"""Shrunk covariances against scikit-learn, and the mistakes they refuse."""

import numpy as np
import pytest
import sklearn.covariance as sk
import torch

from shiftlens.errors import ShiftlensError
from shiftlens.geometry import parse_shrinkage, shrunk_covariance

SIZES = [(30, 80), (80, 30), (40, 40), (3, 50), (500, 5), (60, 1)]


def states(n, d, seed=0, offset=3.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) * np.geomspace(5.0, 0.1, d) + offset


@pytest.mark.parametrize(("n", "d"), SIZES)
def test_ledoit_wolf_is_scikit_learns(n, d):
    x = states(n, d)
    fitted = shrunk_covariance(x, "ledoit-wolf")
    reference = sk.LedoitWolf().fit(x)
    assert fitted.alpha == pytest.approx(reference.shrinkage_, rel=1e-10, abs=1e-12)
    np.testing.assert_allclose(fitted.dense(), reference.covariance_, rtol=0, atol=1e-10)
    np.testing.assert_allclose(fitted.mean, reference.location_, rtol=1e-12)


@pytest.mark.parametrize(("n", "d"), SIZES)
def test_oas_is_scikit_learns(n, d):
    x = states(n, d)
    fitted = shrunk_covariance(x, "oas")
    covariance, alpha = sk.oas(x)
    assert fitted.alpha == pytest.approx(alpha, rel=1e-10, abs=1e-12)
    np.testing.assert_allclose(fitted.dense(), covariance, rtol=0, atol=1e-10)


def test_shrinkage_stops_at_the_isotropic_covariance_as_scikit_learns_does():
    signs = np.concatenate([np.eye(6), -np.eye(6)]) + 1e-3 * states(12, 6)
    assert sk.ledoit_wolf_shrinkage(signs) == sk.oas(signs)[1] == 1.0
    assert shrunk_covariance(signs, "ledoit-wolf").alpha == 1.0
    assert shrunk_covariance(signs, "oas").alpha == 1.0


@pytest.mark.parametrize(("n", "d"), [(30, 80), (80, 30)])
@pytest.mark.parametrize("alpha", [1e-4, 0.1, 1.0])
def test_fixed_shrinkage_is_scikit_learns(n, d, alpha):
    x = states(n, d)
    reference = sk.ShrunkCovariance(shrinkage=alpha).fit(x).covariance_
    np.testing.assert_allclose(shrunk_covariance(x, alpha).dense(), reference, rtol=0, atol=1e-10)


def test_no_shrinkage_is_the_covariance_normalised_by_n():
    x = states(80, 30)
    fitted = shrunk_covariance(x, 0.0)
    np.testing.assert_allclose(fitted.dense(), np.cov(x, rowvar=False, bias=True), atol=1e-10)
    assert (fitted.n, fitted.d, fitted.rank, fitted.alpha, fitted.floor) == (80, 30, 30, 0.0, 0.0)


def test_eigenvalues_and_floor_are_the_spectrum():
    fitted = shrunk_covariance(states(20, 50), 0.2)
    assert (fitted.rank, fitted.basis.shape) == (19, (50, 19))
    expected = np.sort(np.concatenate([fitted.eigenvalues, np.full(31, fitted.floor)]))
    np.testing.assert_allclose(np.linalg.eigvalsh(fitted.dense()), expected, rtol=1e-10)
    np.testing.assert_allclose(fitted.basis.T @ fitted.basis, np.eye(19), atol=1e-12)


def test_a_large_mean_adds_no_rank():
    fitted = shrunk_covariance(states(20, 50, offset=1e7), "oas")
    assert fitted.rank == 19


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tensors_give_what_their_arrays_give(dtype):
    tensor = torch.tensor(states(20, 8), dtype=dtype, requires_grad=True)
    array = tensor.detach().double().numpy()
    expected = np.cov(array, rowvar=False, bias=True)
    np.testing.assert_allclose(shrunk_covariance(tensor, 0.0).dense(), expected, atol=1e-10)


@pytest.mark.parametrize(("n", "d"), [(12, 30), (30, 30)])
def test_too_few_states_without_shrinkage_name_n_d_and_rank(n, d):
    with pytest.raises(ShiftlensError, match=rf"n = {n} .* d = {d} .*rank {n - 1}"):
        shrunk_covariance(states(n, d), 0.0)


@pytest.mark.parametrize("constant", [0.0, 0.1, 12345.678])
def test_a_constant_dimension_needs_shrinkage(constant):
    x = states(50, 4)
    x[:, 2] = constant
    with pytest.raises(ShiftlensError, match=r"n = 50 .* d = 4 .*rank 3"):
        shrunk_covariance(x, 0.0)
    np.testing.assert_allclose(
        shrunk_covariance(x, "ledoit-wolf").dense(), sk.ledoit_wolf(x)[0], atol=1e-10
    )


def test_two_states_to_which_ledoit_wolf_gives_no_shrinkage_are_refused():
    x = states(2, 5)
    assert sk.ledoit_wolf_shrinkage(x) == pytest.approx(0.0, abs=1e-12)
    with pytest.raises(ShiftlensError, match=r"n = 2 .* d = 5 .*rank 1"):
        shrunk_covariance(x, "ledoit-wolf")


@pytest.mark.parametrize("shrinkage", ["ledoit-wolf", "oas", 0.5])
def test_identical_states_are_refused(shrinkage):
    with pytest.raises(ShiftlensError, match="rank 0"):
        shrunk_covariance(np.full((6, 3), 0.1), shrinkage)


def test_one_sentence_is_refused():
    with pytest.raises(ShiftlensError, match=r"1 sentence.* at least 2"):
        shrunk_covariance(states(1, 4), "oas")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused_by_row(bad):
    x = states(5, 4)
    x[3, 1] = bad
    with pytest.raises(ShiftlensError, match=r"1 of 5 rows .*first is row 3"):
        shrunk_covariance(x, "oas")


@pytest.mark.parametrize("shape", [(5,), (5, 0), (2, 3, 4)])
def test_wrong_shapes_are_refused(shape):
    with pytest.raises(ShiftlensError, match="expected a matrix"):
        shrunk_covariance(np.zeros(shape), "oas")


def test_shrinkage_is_read_from_text():
    assert parse_shrinkage("ledoit-wolf") == "ledoit-wolf"
    assert parse_shrinkage(" OAS ") == "oas"
    assert parse_shrinkage("1e-4") == 1e-4
    assert isinstance(parse_shrinkage("1"), float)


@pytest.mark.parametrize("text", ["lw", "", "-0.1", "1.5", "nan", "0,1"])
def test_other_text_is_refused(text):
    with pytest.raises(ShiftlensError, match="ledoit-wolf"):
        parse_shrinkage(text)


@pytest.mark.parametrize("shrinkage", ["lw", -0.1, 1.1, float("nan")])
def test_other_shrinkage_is_refused(shrinkage):
    with pytest.raises(ShiftlensError, match="shrinkage"):
        shrunk_covariance(states(5, 4), shrinkage)
