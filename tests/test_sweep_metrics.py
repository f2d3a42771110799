"""The sweep's ways to estimate: paired metrics, single languages, intervals, projections."""

import re

import numpy as np
import pytest
from scipy.linalg import subspace_angles
from scipy.stats import t as student
from test_sweep import LANGUAGES, LAYERS, D, crossed, gaussians, halves, make_store, value

from shiftlens.errors import ShiftlensError
from shiftlens.geometry import METRICS, fit_projection, mean_distance, summarise
from shiftlens.sweep import sweep_layers

N = 60


@pytest.fixture
def translations(tmp_path):
    """States that share what the sentence says and differ by the language's mean and noise."""
    rng = np.random.default_rng(5)
    said = rng.normal(size=(N, LAYERS, D))
    states = {
        code: (said + 4 * i * np.eye(D)[i] + (0.3 + i / 2) * rng.normal(size=said.shape)).astype(
            np.float32
        )
        for i, code in enumerate(LANGUAGES)
    }
    return states, make_store(tmp_path / "store", states)


def best_of_row(x, y):
    x, y = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (x, y))
    return ((x @ y.T).argmax(axis=1) == np.arange(len(x))).mean()


def kernel_cka(x, y):
    centre = np.eye(len(x)) - 1 / len(x)
    k, m = centre @ x @ x.T @ centre, centre @ y @ y.T @ centre
    return (k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum())


@pytest.mark.parametrize(
    ("metric", "oracle"),
    [
        ("retrieval", best_of_row),
        ("retrieval_back", lambda x, y: best_of_row(y, x)),
        ("linear_cka", kernel_cka),
    ],
)
def test_a_paired_metric_compares_each_half_with_its_own_translations(translations, metric, oracle):
    states, store = translations
    result = sweep_layers(store, metrics=metric)
    for layer in range(LAYERS):
        for language in ("es", "fi"):
            own, dominant = (states[code][:, layer].astype(float) for code in (language, "en"))
            expected = np.mean([oracle(own[half], dominant[half]) for half in halves_rising()])
            assert value(result, layer, language, metric) == pytest.approx(expected, rel=1e-9)
    assert value(result, 2, "es", metric) > value(result, 2, "fi", metric)


def halves_rising():
    return [np.sort(half) for half in halves(N)]


def test_the_dominant_row_of_a_paired_metric_is_of_unrelated_sentences(translations):
    states, store = translations
    result = sweep_layers(store, metrics="linear_cka,debiased_cka,retrieval")
    dominant = states["en"][:, 2].astype(float)
    a, b = (dominant[half] for half in halves_rising())
    rolled = [kernel_cka(a, np.roll(b, 15, axis=0)), kernel_cka(b, np.roll(a, 15, axis=0))]
    assert value(result, 2, "en", "linear_cka") == pytest.approx(np.mean(rolled), rel=1e-9)
    assert abs(value(result, 2, "en", "debiased_cka")) < 0.1
    assert value(result, 2, "en", "retrieval") < 0.15


def test_a_metric_of_one_language_is_the_mean_of_its_halves_and_chooses_no_area(translations):
    states, store = translations
    result = sweep_layers(store, metrics="effective_rank,mean_distance")
    for language in LANGUAGES:
        rows = states[language][:, 3].astype(float)
        expected = []
        for half in halves(N):
            spectrum = np.linalg.svd(rows[half] - rows[half].mean(axis=0), compute_uv=False)
            share = spectrum / spectrum.sum()
            expected.append(np.exp(-(share * np.log(share)).sum()))
        measured = value(result, 3, language, "effective_rank")
        assert measured == pytest.approx(np.mean(expected), rel=1e-9)
    assert list(result.areas) == ["mean_distance"]
    assert result.area == result.areas["mean_distance"]
    assert sweep_layers(store, metrics="effective_rank").area is None
    with pytest.raises(ShiftlensError, match="'mexa' was not swept; there is effective_rank"):
        result.curves("mexa")
    assert list(result.curves("effective_rank").columns) == ["es", "fi", "mean", "en"]


def test_a_similarity_chooses_the_layers_where_it_is_highest(tmp_path):
    rng = np.random.default_rng(2)
    said, noise = rng.normal(size=(40, 7, D)), rng.normal(size=(40, 7, D))
    scale = np.array([1, 1, 1, 0.1, 0.1, 1, 1])[:, None]
    states = {"en": said.astype(np.float32), "es": (said + scale * noise).astype(np.float32)}
    result = sweep_layers(make_store(tmp_path, states), metrics="linear_cka,procrustes")
    for metric in ("linear_cka", "procrustes"):
        assert (result.areas[metric].start, result.areas[metric].stop) == (3, 4)


@pytest.mark.parametrize("rank", [3, "3", "0.5", 0.9])
def test_the_rank_is_a_number_or_the_share_of_variance_kept(translations, rank):
    states, store = translations
    result = sweep_layers(store, metrics="grassmann", rank=rank)
    common = result.table["rank"].unique()
    assert len(common) == 1

    def basis(rows):
        return np.linalg.svd(rows - rows.mean(axis=0))[2][: common[0]].T

    expected = crossed(
        states, "es", 1, lambda x, y: np.linalg.norm(subspace_angles(basis(x), basis(y)))
    )
    assert value(result, 1, "es", "grassmann") == pytest.approx(expected, rel=1e-8)
    if float(rank) >= 1:
        assert common[0] == int(rank)
    else:
        kept = []
        for layer in range(LAYERS):
            for half in halves(N):
                rows = states["en"][half, layer].astype(float)
                power = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False) ** 2
                kept.append(np.searchsorted(np.cumsum(power) / power.sum(), float(rank)) + 1)
        assert common[0] == max(kept)


def test_every_metric_has_a_value_everywhere_and_its_reference(translations):
    table = sweep_layers(translations[1], metrics="all", rank=3).table
    assert list(table["metric"].unique()) == list(METRICS)
    assert np.isfinite(table["value"]).all()
    stated = table.groupby("metric")["reference"].first()
    assert stated["retrieval"] == pytest.approx(1 / 30)
    assert stated["mexa"] == pytest.approx(1 / 59)
    assert stated["probe_accuracy"] == 0.5
    assert stated["chordal"] == pytest.approx(np.sqrt(3 - 9 / D))
    assert np.isnan(stated["affine_invariant"])


@pytest.mark.parametrize(("sentences", "groups"), [(60, 6), (59, 6), (58, 10)])
def test_intervals_are_those_of_the_jackknife_over_runs_of_sentences(tmp_path, sentences, groups):
    states = gaussians(n=sentences)
    store = make_store(tmp_path, states)
    result = sweep_layers(store, metrics="mean_distance", groups=groups)
    own, dominant = (states[code][:, 1].astype(float) for code in ("fi", "en"))
    a, b = (np.sort(half) for half in halves(sentences))
    n = sentences // 2
    m = n // groups
    without = []
    for block in np.array_split(np.arange(n), groups):
        gone = block[:m]
        keep_a, keep_b = np.delete(a, gone), np.delete(b, gone)
        without.append(
            np.mean(
                [
                    np.linalg.norm(own[keep_a].mean(0) - dominant[keep_b].mean(0)),
                    np.linalg.norm(own[keep_b].mean(0) - dominant[keep_a].mean(0)),
                ]
            )
        )
    spread = ((without - np.mean(without)) ** 2).sum()
    error = np.sqrt((n - m) ** 2 / (n * m * (groups - 1)) * spread)
    row = result.table.query("layer == 1 and language == 'fi'").iloc[0]
    reach = student.ppf(0.975, groups - 1) * error
    assert row["low"] == pytest.approx(row["value"] - reach, rel=1e-9)
    assert row["high"] == pytest.approx(row["value"] + reach, rel=1e-9)
    plain = sweep_layers(store, metrics="mean_distance").table
    assert (plain["value"] == result.table["value"]).all()


def test_every_metric_can_have_intervals_within_its_bounds(translations):
    table = sweep_layers(translations[1], metrics="all", rank=3, groups=2).table
    told = table.dropna(subset="low")
    assert (told["low"] <= told["value"]).all()
    assert (told["value"] <= told["high"]).all()
    assert set(told["metric"]) == set(METRICS)
    for name, rows in told.groupby("metric"):
        assert METRICS[name].bounds[0] <= rows["low"].min()
        assert rows["high"].max() <= METRICS[name].bounds[1]


def test_a_share_that_never_moves_has_no_interval(tmp_path):
    states = {"en": gaussians()["en"], "es": gaussians()["en"]}
    row = sweep_layers(make_store(tmp_path, states), metrics="mexa", groups=5).table.iloc[-1]
    assert row["value"] == 1 and np.isnan(row["low"]) and np.isnan(row["high"])


def test_a_choice_between_equals_is_told(tmp_path):
    states = gaussians(layers=7)
    for language, step in (("es", 100), ("fi", 200)):
        states[language] += step
    area = sweep_layers(make_store(tmp_path, states), metrics="lda_accuracy").area
    assert area.tied == (3, 4, 5) and "arbitrary" in str(area)


@pytest.mark.parametrize("projection", ["centre", "lsar"])
def test_after_a_projection_languages_that_differ_by_their_mean_lie_on_the_floor(
    tmp_path, projection
):
    rng = np.random.default_rng(7)
    shape = rng.normal(size=(12, 12))
    states = {
        code: (rng.normal(size=(900, 4, 12)) @ shape + 5 * rng.normal(size=12)).astype(np.float32)
        for code in ("en", "es", "fi", "tr")
    }
    store = make_store(tmp_path, states)
    metrics = "affine_invariant,mean_distance,lda_accuracy,silhouette,chordal"
    before = sweep_layers(store, metrics=metrics, held_out=True, rank=3)
    after = sweep_layers(store, metrics=metrics, projection=projection, rank=3)
    assert set(after.table["n"]) == set(before.table["n"]) == {300}
    assert set(after.table["d"]) == {12 if projection == "centre" else 9}
    for layer in range(4):
        assert value(before, layer, "fi", "lda_accuracy") > 0.95
        for language in ("en", "es", "fi", "tr"):
            assert abs(value(after, layer, language, "lda_accuracy") - 0.5) < 0.08
            assert abs(value(after, layer, language, "silhouette")) < 0.02
            spectral = value(after, layer, language, "affine_invariant")
            assert spectral < 1.1 * value(before, layer, language, "affine_invariant")
            if projection == "centre":
                chordal = value(before, layer, language, "chordal")
                assert value(after, layer, language, "chordal") == pytest.approx(chordal)
        assert value(after, layer, "en", "mean_distance") < 1.001 * value(
            before, layer, "en", "mean_distance"
        )
        for language in ("es", "fi", "tr"):
            gap = value(after, layer, language, "mean_distance")
            assert gap < 0.2 * value(before, layer, language, "mean_distance")


@pytest.mark.parametrize("projection", ["centre", "lsar"])
def test_a_projection_is_fitted_to_the_sentences_held_out(translations, projection):
    states, store = translations
    after = sweep_layers(store, metrics="mean_distance,retrieval", projection=projection)
    order = np.random.default_rng(0).permutation(N)
    a, b, held_out = (np.sort(part) for part in order.reshape(3, -1))
    means = {code: states[code][held_out, 0].astype(float).mean(axis=0) for code in LANGUAGES}
    fitted = fit_projection(projection, means)
    own, dominant = (
        [fitted.apply(states[code][half, 0], code) for half in (a, b)] for code in ("es", "en")
    )
    expected = np.mean([mean_gap(own[0], dominant[1]), mean_gap(own[1], dominant[0])])
    assert value(after, 0, "es", "mean_distance") == pytest.approx(expected, rel=1e-9)
    found = np.mean([best_of_row(own[0], dominant[0]), best_of_row(own[1], dominant[1])])
    assert value(after, 0, "es", "retrieval") == pytest.approx(found)
    assert found > value(sweep_layers(store, metrics="retrieval"), 0, "es", "retrieval")


def mean_gap(x, y):
    return np.linalg.norm(x.mean(axis=0) - y.mean(axis=0))


def test_singular_covariances_are_refused_only_where_a_metric_needs_them_inverted(tmp_path):
    store = make_store(tmp_path, gaussians(n=12))
    able = "mean_distance,bures_wasserstein,grassmann,procrustes,effective_rank,silhouette"
    table = sweep_layers(store, metrics=able, shrinkage=0, rank=2).table
    assert np.isfinite(table["value"]).all()
    for metric in ("affine_invariant", "log_euclidean", "symmetrised_kl", "shifcon"):
        with pytest.raises(
            ShiftlensError, match=r"language en, layer 0 \(n = 6, d = 8, rank 5\): .*alpha = 0"
        ):
            sweep_layers(store, metrics=[metric], shrinkage=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": 1}, "1 groups of n = 30 rows; choose from 2 to 15"),
        ({"groups": 16}, "16 groups"),
        ({"rank": "1.0"}, "rank '1.0' is neither"),
        ({"rank": 30, "metrics": "chordal"}, "60 sentences leave n = 30.*rank 30 is out of reach"),
        ({"groups": 4, "metrics": "csls", "sentences": 24}, "n = 9 .*of 4 groups.*takes 10"),
        ({"projection": "lsar", "sentences": 5}, "5 sentences cannot be cut in 3; .*takes 6"),
        ({"projection": "pca"}, "unknown projection 'pca'; choose from none, centre, lsar"),
        ({"rank": "many"}, "rank 'many' is neither"),
        ({"rank": 0}, "rank '0' is neither"),
        ({"rank": 1.5}, "rank '1.5' is neither"),
        ({"metrics": "mexa,euclid"}, "unknown metric 'euclid'"),
        ({"metrics": " , "}, "no metric given"),
        (
            {"rank": 9, "metrics": "chordal"},
            r"language en, layer 0 \(n = 30, d = 8, rank 8\): rank 9",
        ),
        ({"metrics": "csls", "sentences": 12}, "12 sentences leave n = 6 .*'csls' takes 10"),
        ({"metrics": "probe_accuracy", "sentences": 6}, "n = 3 .*'probe_accuracy' takes 5"),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(tmp_path, options, message):
    options = dict(options)
    store = make_store(tmp_path, gaussians(n=options.pop("sentences", N)))
    with pytest.raises(ShiftlensError, match=message):
        sweep_layers(store, **options)


def test_a_metric_that_fails_names_the_language_and_the_layer(tmp_path):
    states = gaussians()
    states["fi"][:, 2] = 1.0
    store = make_store(tmp_path, states)
    with pytest.raises(
        ShiftlensError, match=r"language fi, layer 2 \(n = 30, d = 8, rank 0\): .*identical"
    ):
        sweep_layers(store, metrics="linear_cka")


def test_an_exact_shift_zeroes_the_mean_term_and_leaves_the_log_term():
    rng = np.random.default_rng(0)
    own, dominant = 50 + rng.normal(size=(40, 64)) * 3, rng.normal(size=(50, 64)) - 20
    shifted = own - own.mean(axis=0) + dominant.mean(axis=0)
    k, moved, d = (summarise(states) for states in (own, shifted, dominant))
    log_term = METRICS["affine_invariant"].function
    assert mean_distance(k, d) > 100
    assert mean_distance(moved, d) < 1e-10
    assert log_term(moved, d) == pytest.approx(log_term(k, d), rel=1e-10)


@pytest.mark.parametrize("name", [m for m in METRICS if METRICS[m].kind != "single"])
def test_states_that_are_all_zero_have_a_value_or_a_refusal_that_says_where(tmp_path, name):
    states = gaussians()
    states["en"][:, 1] = 0.0
    store = make_store(tmp_path, states)
    try:
        table = sweep_layers(store, metrics=[name], rank=2).table
    except ShiftlensError as error:
        assert re.match(r"language \w+, layer 1 \(n = 30, d = 8, rank [08]\): ", str(error))
    else:
        assert np.isfinite(table["value"]).all()


def test_a_broken_state_is_named_by_its_sentence(tmp_path):
    states = gaussians()
    states["fi"][7, 2] = np.nan
    with pytest.raises(ShiftlensError, match=r"language fi, layer 2: 1 of 60 .*number 7 "):
        sweep_layers(make_store(tmp_path, states), metrics="mean_distance")


@pytest.mark.parametrize("scale", [1e-100, 1e100])
def test_a_scale_beyond_float64_is_refused(scale):
    with pytest.raises(ShiftlensError, match="rescale"):
        summarise(scale * np.random.default_rng(0).normal(size=(9, 4)))
