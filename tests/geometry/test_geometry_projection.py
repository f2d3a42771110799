"""Projections against the published algorithm, the best low-rank approximation and theorems."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import subspace_angles
from scipy.stats import ortho_group
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from shiftlens.errors import ShiftlensError
from shiftlens.geometry import PROJECTIONS, cosine_retrieval, fit_projection, lsar, mean_centring

SEEDS = st.integers(0, 2**32 - 1)
CODES = ["en", "es", "fi", "ko", "ru"]
theorem = settings(max_examples=30, deadline=None, derandomize=True)


def language_means(rng, n_languages=5, d=12):
    matrix = rng.normal(size=(n_languages, d)) + 3.0 * rng.normal(size=d)
    return dict(zip(CODES, matrix, strict=False))


def columns(means):
    return np.stack(list(means.values()), axis=1)


def published_lsar(matrix, rank):
    """The five steps of the paper's algorithm on M (d, L): mu (d,), M_s (d, r), M' (d, L)."""
    ones = np.ones(matrix.shape[1])
    mean = matrix @ ones / len(ones)
    u, s, vt = np.linalg.svd(matrix - np.outer(mean, ones))
    approximation = np.outer(mean, ones) + (u[:, :rank] * s[:rank]) @ vt[:rank]
    weights = np.linalg.pinv(approximation, rcond=1e-12).T @ ones
    common = weights / np.linalg.norm(weights) ** 2
    specific = np.linalg.svd(approximation - np.outer(common, ones))[0][:, :rank]
    return common, specific, approximation


@theorem
@given(seed=SEEDS, rank=st.integers(1, 4))
def test_lsar_takes_out_the_subspace_of_the_published_algorithm(seed, rank):
    means = language_means(np.random.default_rng(seed))
    common, specific, _ = published_lsar(columns(means), rank)
    found = lsar(means, rank).directions
    np.testing.assert_allclose(found.T @ found, np.eye(rank), atol=1e-12)
    np.testing.assert_allclose(found @ found.T, specific @ specific.T, atol=1e-8)
    np.testing.assert_allclose(common @ found, 0.0, atol=1e-9 * np.linalg.norm(common))


@theorem
@given(seed=SEEDS, rank=st.integers(1, 4))
def test_lsar_splits_the_means_exactly_into_a_common_and_an_orthogonal_specific_part(seed, rank):
    means = language_means(np.random.default_rng(seed))
    matrix, projection = columns(means), lsar(means, rank)
    directions = projection.directions
    common, _, approximation = published_lsar(matrix, rank)
    gamma = (approximation - common[:, None]).T @ directions
    rebuilt = common[:, None] + directions @ gamma.T
    np.testing.assert_allclose(rebuilt, approximation, atol=1e-9 * np.abs(matrix).max())
    mean = projection.apply(matrix.mean(axis=1)[None], "en")[0]
    np.testing.assert_allclose(mean, common, atol=1e-9 * np.abs(matrix).max())


@theorem
@given(seed=SEEDS, rank=st.integers(1, 4))
def test_lsar_reaches_the_eckart_young_minimum_and_no_other_subspace_does(seed, rank):
    rng = np.random.default_rng(seed)
    means = language_means(rng)
    matrix = columns(means)
    centred = matrix - matrix.mean(axis=1, keepdims=True)

    def objective(basis):
        return np.sum((centred - basis @ (basis.T @ centred)) ** 2)

    best = np.sum(np.linalg.svd(centred, compute_uv=False)[rank:] ** 2)
    assert objective(lsar(means, rank).directions) == pytest.approx(best, rel=1e-8, abs=1e-20)
    if rank < 4:
        assert objective(np.linalg.qr(rng.normal(size=(12, rank)))[0]) > best


@theorem
@given(seed=SEEDS, rank=st.integers(1, 4))
def test_lsar_directions_are_the_principal_components_of_the_means(seed, rank):
    means = language_means(np.random.default_rng(seed))
    oracle = PCA(rank, svd_solver="full").fit(columns(means).T).components_
    assert np.max(subspace_angles(lsar(means, rank).directions, oracle.T)) < 1e-8


@theorem
@given(seed=SEEDS, name=st.sampled_from(PROJECTIONS))
def test_the_means_of_all_languages_coincide_afterwards(seed, name):
    means = language_means(np.random.default_rng(seed))
    projection = fit_projection(name, means)
    after = [projection.apply(mean[None], code)[0] for code, mean in means.items()]
    np.testing.assert_allclose(after, np.broadcast_to(after[0], (5, 12)), atol=1e-12)
    assert (np.linalg.norm(after[0]) > 1e-3) == (name == "lsar")


@theorem
@given(seed=SEEDS, rank=st.integers(1, 4))
def test_lsar_is_idempotent_and_an_orthogonal_projection(seed, rank):
    rng = np.random.default_rng(seed)
    projection, x = lsar(language_means(rng), rank), rng.normal(size=(7, 12))
    once = projection.apply(x, "fi")
    np.testing.assert_allclose(projection.apply(once, "fi"), once, atol=1e-12)
    np.testing.assert_allclose(np.sum(once * (x - once), axis=1), 0.0, atol=1e-12)
    assert np.linalg.matrix_rank(projection.apply(np.eye(12), "fi")) == 12 - rank


@theorem
@given(seed=SEEDS, name=st.sampled_from(PROJECTIONS))
def test_projecting_commutes_with_a_rotation_and_a_scaling_of_everything(seed, name):
    rng = np.random.default_rng(seed)
    means, x = language_means(rng), rng.normal(size=(7, 12))
    turn = 2.5 * ortho_group.rvs(12, random_state=rng)
    turned = fit_projection(name, {code: mean @ turn for code, mean in means.items()})
    expected = fit_projection(name, means).apply(x, "ko") @ turn
    np.testing.assert_allclose(turned.apply(x @ turn, "ko"), expected, atol=1e-10)


@theorem
@given(seed=SEEDS)
def test_lsar_directions_are_unchanged_by_moving_all_means_alike(seed):
    rng = np.random.default_rng(seed)
    means, step = language_means(rng), 10.0 * rng.normal(size=12)
    moved = {code: mean + step for code, mean in means.items()}
    assert np.max(subspace_angles(lsar(means, 2).directions, lsar(moved, 2).directions)) < 1e-8


def test_mean_centring_is_subtraction_of_the_languages_own_mean():
    rng = np.random.default_rng(0)
    means, x = language_means(rng), rng.normal(size=(7, 12))
    projection = mean_centring(means)
    for code, mean in means.items():
        np.testing.assert_array_equal(projection.apply(x, code), x - mean)
    assert projection.directions.shape == (12, 0)


@pytest.mark.parametrize("name", PROJECTIONS)
def test_a_linear_probe_falls_to_chance(name):
    rng = np.random.default_rng(1)
    codes = CODES[:4]
    x = {code: rng.normal(size=(300, 8)) + 3.0 * rng.normal(size=8) for code in codes}
    projection = fit_projection(name, {code: rows.mean(axis=0) for code, rows in x.items()})
    labels = np.repeat(codes, 300)
    half = np.tile(np.arange(300) < 150, 4)

    def accuracy(rows):
        probe = LogisticRegression().fit(rows[half], labels[half])
        return probe.score(rows[~half], labels[~half])

    assert accuracy(np.concatenate([x[code] for code in codes])) > 0.95
    projected = np.concatenate([projection.apply(x[code], code) for code in codes])
    assert accuracy(projected) == pytest.approx(0.25, abs=0.06)


@pytest.mark.parametrize("name", PROJECTIONS)
def test_translations_that_a_shift_hid_are_found_again(name):
    rng = np.random.default_rng(2)
    meaning = rng.normal(size=(100, 30))
    shifts = {code: 20.0 * rng.normal(size=30) for code in ("en", "fi")}
    x = {code: meaning + shift for code, shift in shifts.items()}
    projection = fit_projection(name, {code: rows.mean(axis=0) for code, rows in x.items()})
    hidden = cosine_retrieval(x["en"], x["fi"])
    found = cosine_retrieval(*(projection.apply(x[code], code) for code in ("en", "fi")))
    assert (found.there, found.back) == (1.0, 1.0)
    assert max(hidden.there, hidden.back) < 0.5


def test_lsar_of_collinear_means_takes_out_one_direction():
    rng = np.random.default_rng(3)
    start, along = 1e6 * rng.normal(size=9), rng.normal(size=9)
    means = {code: start + i * along for i, code in enumerate(CODES)}
    directions = lsar(means).directions
    assert directions.shape == (9, 1)
    np.testing.assert_allclose(np.abs(along @ directions), np.linalg.norm(along), rtol=1e-8)
    with pytest.raises(ShiftlensError, match="5 languages differ in 1 directions"):
        lsar(means, 2)


def test_lsar_of_means_whose_affine_hull_holds_zero_has_no_common_part():
    means = dict(zip(CODES, np.vstack([np.eye(4)[:3], -np.eye(4)[:3].sum(axis=0)]), strict=False))
    projection = lsar(means)
    for code, mean in means.items():
        np.testing.assert_allclose(projection.apply(mean[None], code), 0.0, atol=1e-12)
    np.testing.assert_allclose(projection.apply(np.eye(4), "en"), np.diag([0, 0, 0, 1]), atol=1e-12)


def test_lsar_of_equal_means_changes_nothing():
    x = np.random.default_rng(4).normal(size=(3, 6))
    means = dict.fromkeys(CODES, np.full(6, 0.1))
    np.testing.assert_array_equal(lsar(means).apply(x, "en"), x)
    with pytest.raises(ShiftlensError, match="differ in 0 directions"):
        lsar(means, 1)


@pytest.mark.parametrize("rank", [0, 5, -1])
def test_lsar_refuses_a_rank_outside_1_to_l_minus_1(rank):
    with pytest.raises(ShiftlensError, match="from 1 to 4"):
        lsar(language_means(np.random.default_rng(5)), rank)


def test_lsar_refuses_one_language_and_a_space_that_its_directions_fill():
    means = language_means(np.random.default_rng(6), d=3)
    with pytest.raises(ShiftlensError, match=r"one language given \(en\)"):
        lsar({"en": means["en"]})
    with pytest.raises(ShiftlensError, match="leaves nothing"):
        lsar(means)
    assert lsar(means, 2).directions.shape == (3, 2)


@pytest.mark.parametrize("name", PROJECTIONS)
def test_tensors_are_taken_and_mistakes_refused(name):
    rng = np.random.default_rng(7)
    means, x = language_means(rng), rng.normal(size=(4, 12))
    projection = fit_projection(name, means)
    tensors = {code: torch.tensor(mean, requires_grad=True) for code, mean in means.items()}
    expected = projection.apply(x, "es")
    np.testing.assert_array_equal(
        fit_projection(name, tensors).apply(torch.tensor(x), "es"), expected
    )
    np.testing.assert_allclose(projection.apply(x[:1], "es"), expected[:1], atol=1e-12)
    assert projection.apply(x[:0], "es").shape == (0, 12)
    with pytest.raises(ShiftlensError, match=r"'sw' is not among .* en, es, fi, ko, ru"):
        projection.apply(x, "sw")
    with pytest.raises(ShiftlensError, match=r"width 11 .* width 12"):
        projection.apply(x[:, :11], "es")
    with pytest.raises(ShiftlensError, match="first is row 2"):
        projection.apply(np.where(np.arange(4)[:, None] == 2, np.nan, x), "es")
    with pytest.raises(ShiftlensError, match=r"mean of fi.* NaN"):
        fit_projection(name, means | {"fi": np.full(12, np.inf)})
    with pytest.raises(ShiftlensError, match=r"width 12 .* width 11"):
        fit_projection(name, means | {"fi": means["fi"][:11]})
    with pytest.raises(ShiftlensError, match=r"mean of fi.* shape \(1, 4, 12\)"):
        fit_projection(name, means | {"fi": x})
    with pytest.raises(ShiftlensError, match="no language given"):
        fit_projection(name, {})


def test_an_unknown_projection_is_refused():
    with pytest.raises(ShiftlensError, match=r"'pca'; choose from centre, lsar"):
        fit_projection("pca", language_means(np.random.default_rng(8)))
