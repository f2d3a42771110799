"""The sweep's ways to estimate: paired metrics, single languages, intervals, projections."""

import numpy as np
import pytest
from scipy.linalg import subspace_angles
from scipy.stats import t as student
from test_sweep import LANGUAGES, LAYERS, D, crossed, gaussians, halves, make_store, value

from shiftlens.errors import ShiftlensError
from shiftlens.geometry import METRICS, mean_distance, summarise
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
    assert result.area is None
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


def test_intervals_are_those_of_the_jackknife_over_runs_of_sentences(translations):
    states, store = translations
    groups = 6
    result = sweep_layers(store, metrics="mean_distance", groups=groups)
    own, dominant = (states[code][:, 1].astype(float) for code in ("fi", "en"))
    a, b = halves_rising()
    without = []
    for group in np.array_split(np.arange(30), groups):
        keep_a, keep_b = np.delete(a, group), np.delete(b, group)
        without.append(
            np.mean(
                [
                    np.linalg.norm(own[keep_a].mean(0) - dominant[keep_b].mean(0)),
                    np.linalg.norm(own[keep_b].mean(0) - dominant[keep_a].mean(0)),
                ]
            )
        )
    error = np.sqrt((groups - 1) / groups * ((without - np.mean(without)) ** 2).sum())
    row = result.table.query("layer == 1 and language == 'fi'").iloc[0]
    reach = student.ppf(0.975, groups - 1) * error
    assert row["low"] == pytest.approx(row["value"] - reach, rel=1e-9)
    assert row["high"] == pytest.approx(row["value"] + reach, rel=1e-9)
    plain = sweep_layers(store, metrics="mean_distance").table
    assert (plain["value"] == result.table["value"]).all()


def test_every_metric_can_have_intervals(translations):
    table = sweep_layers(translations[1], metrics="all", rank=3, groups=2).table
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()


@pytest.mark.parametrize("projection", ["centre", "lsar"])
def test_a_projection_takes_the_means_together_but_for_noise(translations, projection):
    _, store = translations
    before = sweep_layers(store, metrics="mean_distance,probe_accuracy,retrieval")
    after = sweep_layers(
        store, metrics="mean_distance,probe_accuracy,retrieval", projection=projection
    )
    for layer in range(LAYERS):
        assert value(before, layer, "fi", "mean_distance") > 7
        assert value(after, layer, "fi", "mean_distance") < 3.5
        assert value(before, layer, "fi", "probe_accuracy") > 0.95
        assert value(after, layer, "fi", "probe_accuracy") < 0.85
        assert value(after, layer, "es", "retrieval") > value(before, layer, "es", "retrieval")


def test_a_projection_is_fitted_to_the_other_half(translations):
    states, store = translations
    after = sweep_layers(store, metrics="mean_distance", projection="centre")
    a, b = halves_rising()
    own, dominant = (states[code][:, 0].astype(float) for code in ("es", "en"))

    def centred(rows, half, other):
        return rows[half].mean(axis=0) - rows[other].mean(axis=0)

    expected = np.mean(
        [
            np.linalg.norm(centred(own, a, b) - centred(dominant, b, a)),
            np.linalg.norm(centred(own, b, a) - centred(dominant, a, b)),
        ]
    )
    assert value(after, 0, "es", "mean_distance") == pytest.approx(expected, rel=1e-6)
    assert expected > 0


def test_singular_covariances_are_refused_only_where_a_metric_needs_them_inverted(tmp_path):
    store = make_store(tmp_path, gaussians(n=12))
    able = "mean_distance,bures_wasserstein,grassmann,procrustes,effective_rank,silhouette"
    table = sweep_layers(store, metrics=able, shrinkage=0, rank=2).table
    assert np.isfinite(table["value"]).all()
    for metric in ("affine_invariant", "log_euclidean", "symmetrised_kl", "shifcon"):
        with pytest.raises(
            ShiftlensError, match=r"language en, layer 0.*n = 6 .*d = 8 .*rank 5.*alpha = 0"
        ):
            sweep_layers(store, metrics=[metric], shrinkage=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": 1}, "1 groups of n = 30 rows; choose from 2 to 15"),
        ({"groups": 16}, "16 groups"),
        ({"projection": "pca"}, "unknown projection 'pca'; choose from none, centre, lsar"),
        ({"rank": "many"}, "rank 'many' is neither"),
        ({"rank": 0}, "rank '0' is neither"),
        ({"rank": 1.5}, "rank '1.5' is neither"),
        ({"metrics": "mexa,euclid"}, "unknown metric 'euclid'"),
        ({"metrics": " , "}, "no metric given"),
        ({"rank": 9, "metrics": "chordal"}, "language en, layer 0: rank 9 is out of reach"),
        ({"metrics": "csls", "sentences": 12}, "language en, layer 0: CSLS: k = 10.*n = 6"),
        ({"metrics": "probe_accuracy", "sentences": 6}, "language en, layer 0: .*3"),
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
    with pytest.raises(ShiftlensError, match=r"language fi, layer 2: .*n = 30 .*d = 8"):
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
