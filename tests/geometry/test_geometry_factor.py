"""The factor of centred states, by blocks of rows, is numpy's of all of them at once."""

import tracemalloc

import numpy as np
import pytest

from shiftlens.geometry.factor import FEWEST_ROWS, centred_factor


def drawn(n, d, dtype=np.float32, seed=0):
    """States of falling variance around a mean far from 0."""
    rng = np.random.default_rng(seed)
    scales = 10.0 ** -np.linspace(0, 2, d)
    return (rng.standard_normal((n, d)) * scales + 5).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("n", "d"), [(20, 50), (51, 50), (900, 50), (FEWEST_ROWS + 1, 50), (7 * FEWEST_ROWS, 50)]
)
def test_factor_is_that_of_all_rows_at_once(n, d, dtype):
    states = drawn(n, d, dtype)
    whole = states.astype(np.float64)
    centred = whole - whole.mean(axis=0)
    _, values, right = np.linalg.svd(centred, full_matrices=False)
    rank = min(n - 1, d)
    factor = centred_factor(states)
    assert factor.n == n
    np.testing.assert_allclose(factor.mean, whole.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(factor.singular_values, values[:rank], rtol=1e-10)
    overlap = np.abs(np.einsum("dr,rd->r", factor.basis, right[:rank]))
    np.testing.assert_allclose(overlap, 1, atol=1e-8)
    norms = np.linalg.norm(centred, axis=1)
    assert factor.fourth_moment == pytest.approx((norms**4).sum(), rel=1e-10)
    assert factor.rms_norm == pytest.approx(np.sqrt((whole**2).sum() / n), rel=1e-10)


def test_a_constant_column_has_no_part_in_the_factor():
    states = drawn(3 * FEWEST_ROWS, 8)
    states[:, 3] = 0.1
    factor = centred_factor(states)
    assert factor.basis.shape == (8, 7)
    assert np.abs(factor.basis[3]).max() < 1e-12


def test_memory_beside_the_states_does_not_grow_with_them():
    def peak(n):
        states = drawn(n, 64)
        tracemalloc.start()
        centred_factor(states)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(64_000) < 1.1 * peak(8_000)
    assert peak(64_000) < 64_000 * 64 * 4 / 8
