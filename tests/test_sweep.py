import numpy as np
import pandas as pd
import pytest
from pyriemann.geometry.distance import distance_riemann
from scipy.linalg import subspace_angles
from sklearn.covariance import OAS, LedoitWolf, ShrunkCovariance

from shiftlens.area import choose_area
from shiftlens.errors import ShiftlensError
from shiftlens.geometry import METRICS, fixed_rank_distance, svd_basis, variance_rank
from shiftlens.layer_sweep import COLUMNS
from shiftlens.store import ActivationStore
from shiftlens.sweep import sweep_layers
from shiftlens.sweep_options import DEFAULT_METRICS

N, D, LAYERS = 60, 8, 5
LANGUAGES = ("en", "es", "fi")


def gaussians(languages=LANGUAGES, n=N, d=D, layers=LAYERS, seed=0):
    """States of their own mean and covariance for every language and layer."""
    states = {}
    for language in languages:
        rng = np.random.default_rng([seed, *language.encode()])
        shape = rng.normal(size=(layers, d, d)) + 2 * np.eye(d)
        mean = 3 * rng.normal(size=(layers, 1, d))
        values = mean + rng.normal(size=(layers, n, d)) @ shape
        states[language] = values.transpose(1, 0, 2).astype(np.float32)
    return states


def make_store(path, states, skip=()):
    """A store of the states (n, layers, d) of each language, in two shards of shuffled rows."""
    n, layers, d = next(iter(states.values())).shape
    order = np.random.default_rng(1).permutation(n)
    parts = [order[: n // 3], order[n // 3 :]]
    files = {(code, i): f"{code}-{i:05d}.safetensors" for code in states for i in (0, 1)}
    manifest = {
        "model": {"sha256": "m", "d_model": d},
        "corpus": {"sha256": "c", "languages": list(states), "sentences": n},
        "layers": list(range(layers)),
        "shards": [
            {"file": file, "language": code, "rows": len(parts[i])}
            for (code, i), file in files.items()
        ],
    }
    store = ActivationStore.create(path, manifest)
    for (code, i), file in files.items():
        if file not in skip:
            store.write(file, parts[i], states[code][parts[i]])
    return store


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "store", gaussians())


def halves(n, seed=0):
    """The documented cut, said again: a seeded permutation, its first and second n // 2."""
    order = np.random.default_rng(seed).permutation(n)
    return order[: n // 2], order[n // 2 :][: n // 2]


def value(result, layer, language, metric):
    table = result.table
    row = table[(table.layer == layer) & (table.language == language) & (table.metric == metric)]
    assert len(row) == 1
    return row["value"].item()


def crossed(states, language, layer, distance, dominant="en", seed=0):
    """(d(k_A, D_B) + d(k_B, D_A)) / 2."""
    a, b = halves(len(states[dominant]), seed)
    own, other = (states[code][:, layer].astype(np.float64) for code in (language, dominant))
    return (distance(own[a], other[b]) + distance(own[b], other[a])) / 2


def shrunk_by(estimator):
    return lambda x: estimator.fit(x).covariance_


def fixed_alpha(alpha):
    """(1 - alpha) S + alpha tr(S)/d I, S normalised by n."""
    return lambda x: ShrunkCovariance(shrinkage=alpha).fit(x).covariance_


def mean_term(x, y):
    return np.sqrt(((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum())


@pytest.mark.parametrize("n", [60, 61, 10], ids=["even", "odd", "fewer than dimensions"])
@pytest.mark.parametrize(
    ("shrinkage", "covariance"),
    [
        ("ledoit-wolf", shrunk_by(LedoitWolf())),
        ("oas", shrunk_by(OAS())),
        ("0.2", fixed_alpha(0.2)),
        (0.05, fixed_alpha(0.05)),
    ],
)
def test_the_log_term_is_pyriemanns_on_scikit_learns_covariances(
    tmp_path, shrinkage, covariance, n
):
    states = gaussians(n=n)
    result = sweep_layers(
        make_store(tmp_path, states), metrics="affine_invariant", shrinkage=shrinkage, seed=3
    )

    def distance(x, y):
        return distance_riemann(covariance(x), covariance(y))

    for layer in range(LAYERS):
        for language in LANGUAGES:
            expected = crossed(states, language, layer, distance, seed=3)
            measured = value(result, layer, language, "affine_invariant")
            assert measured == pytest.approx(expected, rel=1e-8), (layer, language)


def test_the_terms_are_those_of_numpy_and_add_up(store):
    states = gaussians()
    result = sweep_layers(store)
    for layer in range(LAYERS):
        for language in LANGUAGES:
            mean = value(result, layer, language, "mean_distance")
            assert mean == pytest.approx(crossed(states, language, layer, mean_term), rel=1e-9)
            scaled = crossed(
                states,
                language,
                layer,
                lambda x, y: mean_term(x, y) / np.sqrt((y**2).sum(axis=1).mean()),
            )
            rms = value(result, layer, language, "mean_distance_rms")
            assert rms == pytest.approx(scaled, rel=1e-9)
            total = value(result, layer, language, "affine_invariant") + mean
            assert value(result, layer, language, "shifcon") == pytest.approx(total, rel=1e-12)


def test_the_floor_is_the_distance_between_the_dominant_halves(store):
    states = gaussians()["en"].astype(np.float64)
    a, b = halves(N)
    result = sweep_layers(store)
    for layer in range(LAYERS):
        first, second = states[a, layer], states[b, layer]
        floor = distance_riemann(*(LedoitWolf().fit(x).covariance_ for x in (first, second)))
        assert value(result, layer, "en", "affine_invariant") == pytest.approx(floor, rel=1e-8)
        mean = mean_term(first, second)
        assert value(result, layer, "en", "mean_distance") == pytest.approx(mean, rel=1e-9)


def test_a_language_that_is_the_dominant_one_lies_on_the_floor_exactly(tmp_path):
    states = gaussians()
    states["es"] = states["en"].copy()
    metrics = [*DEFAULT_METRICS, "fixed_rank"]
    table = sweep_layers(make_store(tmp_path, states), metrics=metrics).table
    floor = table[table.language == "en"].reset_index(drop=True)
    twin = table[table.language == "es"].reset_index(drop=True)
    pd.testing.assert_frame_equal(twin.drop(columns="language"), floor.drop(columns="language"))
    assert (floor["value"] > 0).all()


def test_a_translation_moves_the_mean_term_alone(tmp_path):
    states = gaussians()
    shift = np.linspace(10, 30, D).astype(np.float32)
    moved = {**states, "es": states["es"] + shift}
    before = sweep_layers(make_store(tmp_path / "a", states))
    after = sweep_layers(make_store(tmp_path / "b", moved))
    for layer in range(LAYERS):
        log_term = value(before, layer, "es", "affine_invariant")
        assert value(after, layer, "es", "affine_invariant") == pytest.approx(log_term, rel=1e-5)
        expected = crossed(
            states, "es", layer, lambda x, y: np.linalg.norm(x.mean(0) + shift - y.mean(0))
        )
        assert value(after, layer, "es", "mean_distance") == pytest.approx(expected, rel=1e-5)
        assert abs(expected - value(before, layer, "es", "mean_distance")) > 0.1
        for metric in DEFAULT_METRICS:
            assert value(after, layer, "fi", metric) == value(before, layer, "fi", metric)


def test_the_table_is_tidy_and_names_its_choices(tmp_path):
    states = gaussians(n=61)
    result = sweep_layers(make_store(tmp_path, states), shrinkage="oas")
    table = result.table
    assert list(table.columns) == COLUMNS
    assert ",".join(COLUMNS) == (
        "layer,language,metric,value,low,high,reference,n,d,rank,shrinkage,alpha"
    )
    assert len(table) == LAYERS * len(LANGUAGES) * len(DEFAULT_METRICS)
    assert not table.duplicated(["layer", "language", "metric"]).any()
    unasked = ["low", "high", "reference"]
    assert table[unasked].isna().all(axis=None)
    assert not table.drop(columns=unasked).isna().any(axis=None)
    assert set(table["n"]) == {30}
    assert set(table["d"]) == {D}
    assert set(table["rank"]) == {D}
    assert set(table["shrinkage"]) == {"oas"}
    row = table[(table.layer == 2) & (table.language == "fi")].iloc[0]
    a, b = halves(61)
    alphas = [OAS().fit(states["fi"][half, 2].astype(float)).shrinkage_ for half in (a, b)]
    assert row["alpha"] == pytest.approx(np.mean(alphas), rel=1e-8)


def test_the_rank_of_fewer_sentences_than_dimensions_is_n_minus_1(tmp_path):
    table = sweep_layers(make_store(tmp_path, gaussians(n=10)), metrics="affine_invariant").table
    assert set(table["n"]) == {5}
    assert set(table["rank"]) == {4}


def test_the_rows_run_by_metric_then_language_dominant_first_then_layer(tmp_path):
    states = gaussians(("fi", "es", "en"))
    table = sweep_layers(make_store(tmp_path, states), metrics="shifcon, affine_invariant").table
    expected = [
        (metric, language, layer)
        for metric in ("shifcon", "affine_invariant")
        for language in ("en", "fi", "es")
        for layer in range(LAYERS)
    ]
    rows = table[["metric", "language", "layer"]].itertuples(index=False, name=None)
    assert list(rows) == expected


def test_the_order_of_the_languages_in_the_store_does_not_matter(tmp_path):
    states = gaussians()
    turned = {code: states[code] for code in reversed(LANGUAGES)}
    metrics = list(METRICS)
    one = sweep_layers(make_store(tmp_path / "a", states), metrics=metrics)
    other = sweep_layers(make_store(tmp_path / "b", turned), metrics=metrics)
    key = ["metric", "language", "layer"]
    pd.testing.assert_frame_equal(
        one.table.sort_values(key, ignore_index=True),
        other.table.sort_values(key, ignore_index=True),
    )
    assert one.area == other.area


def test_any_language_can_be_the_dominant_one(store):
    states = gaussians()
    result = sweep_layers(store, "fi", "mean_distance")
    expected = crossed(states, "en", 1, mean_term, dominant="fi")
    assert value(result, 1, "en", "mean_distance") == pytest.approx(expected, rel=1e-9)
    assert list(result.curves("mean_distance").columns) == ["en", "es", "mean", "fi floor"]


def test_the_seed_of_the_halving_decides_the_values_and_nothing_else_does(store):
    once, again, other = (sweep_layers(store, seed=seed).table for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(once, again)
    assert (once["value"] != other["value"]).all()


def test_each_metric_chooses_its_area_from_the_mean_over_the_other_languages(store):
    result = sweep_layers(store, share=0.5)
    assert result.metric == "affine_invariant"
    assert list(result.areas) == list(DEFAULT_METRICS)
    assert result.area == result.areas["affine_invariant"]
    for metric, area in result.areas.items():
        mean = {
            layer: np.mean([value(result, layer, code, metric) for code in ("es", "fi")])
            for layer in range(LAYERS)
        }
        assert result.mean_curve(metric) == pytest.approx(mean, rel=1e-12)
        assert area == choose_area(mean, 0.5)
    curves = result.curves("shifcon")
    assert curves["mean"].to_dict() == pytest.approx(result.mean_curve("shifcon"))
    assert curves.loc[3, "en floor"] == value(result, 3, "en", "shifcon")
    assert curves.loc[3, "fi"] == value(result, 3, "fi", "shifcon")


def test_a_model_of_two_blocks_has_curves_and_no_area(tmp_path):
    result = sweep_layers(make_store(tmp_path, gaussians(layers=3)))
    assert result.areas is None
    assert result.area is None
    assert set(result.table["layer"]) == {0, 1, 2}


def test_the_fixed_rank_is_one_for_all_and_carries_the_dominant_variance(store):
    states = gaussians()
    result = sweep_layers(store, metrics="fixed_rank,affine_invariant")
    parts = [
        states["en"][half, layer].astype(float) for layer in range(LAYERS) for half in halves(N)
    ]
    rank = max(variance_rank(part, 0.9) for part in parts)
    for part in parts:
        spectrum = np.linalg.eigvalsh(np.cov(part.T))[::-1]
        assert spectrum[:rank].sum() >= 0.9 * spectrum.sum()
    by_metric = result.table.groupby("metric")["rank"].unique()
    assert by_metric["fixed_rank"].tolist() == [rank]
    assert by_metric["affine_invariant"].tolist() == [D]
    assert rank < D

    def distance(x, y):
        (u, s), (v, t) = svd_basis(x, rank=rank), svd_basis(y, rank=rank)
        measured = fixed_rank_distance(u, s**2, v, t**2)
        assert measured > np.linalg.norm(subspace_angles(u, v))
        return measured

    for layer in range(LAYERS):
        expected = crossed(states, "es", layer, distance)
        assert value(result, layer, "es", "fixed_rank") == pytest.approx(expected, rel=1e-8)


def test_a_singular_covariance_is_refused_with_language_layer_n_d_and_rank(tmp_path):
    states = gaussians()
    states["fi"][:, 2, 0] = 1.0
    store = make_store(tmp_path, states)
    pattern = rf"language fi, layer 2 \(n = {N // 2}, d = {D}, rank {D - 1}\): "
    with pytest.raises(ShiftlensError, match=pattern):
        sweep_layers(store, shrinkage="0")
    assert np.isfinite(sweep_layers(store).table["value"]).all()


def test_without_shrinkage_enough_sentences_are_measured_as_they_are(store):
    result = sweep_layers(store, metrics="affine_invariant", shrinkage="0")
    expected = crossed(
        gaussians(),
        "es",
        1,
        lambda x, y: distance_riemann(np.cov(x.T, bias=True), np.cov(y.T, bias=True)),
    )
    assert value(result, 1, "es", "affine_invariant") == pytest.approx(expected, rel=1e-8)


def test_identical_dominant_states_are_refused_by_name_where_a_rank_is_needed(tmp_path):
    states = gaussians()
    states["en"][:, 1] = 1.0
    with pytest.raises(ShiftlensError, match="language en, layer 1: the states are all identical"):
        sweep_layers(make_store(tmp_path, states), metrics="fixed_rank")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": "euclid"}, "unknown metric 'euclid'; choose from affine_invariant, "),
        ({"metrics": ["affine_invariant", "euclid"]}, "unknown metric 'euclid'"),
        ({"metrics": []}, "no metric given"),
        ({"dominant": "de"}, "dominant language 'de' is not among the languages en, es, fi"),
        ({"shrinkage": "lasso"}, "'lasso' is not"),
        ({"shrinkage": "1.5"}, "1.5 lies outside"),
        ({"share": 1.5}, "share of layers must lie between 0 and 1, not 1.5"),
        ({"seed": -1}, "seed must be 0 or more, not -1"),
    ],
)
def test_an_impossible_option_is_refused(store, options, message):
    with pytest.raises(ShiftlensError, match=message):
        sweep_layers(store, **options)


def test_a_metric_asked_for_twice_is_measured_once(store):
    table = sweep_layers(store, metrics="shifcon,shifcon").table
    assert len(table) == LAYERS * len(LANGUAGES)


def test_one_language_is_refused(tmp_path):
    with pytest.raises(ShiftlensError, match="'en' and at least one more"):
        sweep_layers(make_store(tmp_path, gaussians(("en",))))


def test_fewer_sentences_than_can_be_halved_are_refused(tmp_path):
    with pytest.raises(ShiftlensError, match="3 sentences cannot be cut in 2"):
        sweep_layers(make_store(tmp_path / "three", gaussians(n=3)))
    table = sweep_layers(make_store(tmp_path / "four", gaussians(n=4)), shrinkage="0.1").table
    assert set(table["n"]) == {2}


def test_an_incomplete_store_is_refused_with_the_shard(tmp_path):
    store = make_store(tmp_path, gaussians(), skip=["es-00001.safetensors"])
    with pytest.raises(ShiftlensError, match=r"es-00001\.safetensors is missing"):
        sweep_layers(store)


def test_without_a_language_the_sweep_is_that_of_the_others(tmp_path):
    languages = ("en", "es", "fi", "ko")
    metrics = ("mean_distance", "debiased_cka", "anisotropy", "grassmann")
    every = sweep_layers(make_store(tmp_path / "all", gaussians(languages)), metrics=metrics)
    curves = {tuple(every.mean_curve("mean_distance").values())}
    for left_out in languages[1:]:
        others = {code: own for code, own in gaussians(languages).items() if code != left_out}
        alone = sweep_layers(make_store(tmp_path / left_out, others), metrics=metrics)
        found = every.without(left_out)
        pd.testing.assert_frame_equal(found.table.reset_index(drop=True), alone.table)
        assert found.areas == alone.areas
        assert found.mean_curve("mean_distance") == alone.mean_curve("mean_distance")
        curves.add(tuple(found.mean_curve("mean_distance").values()))
    assert len(curves) == len(languages)


@pytest.mark.parametrize("language", ["en", "de"])
def test_only_a_language_that_is_compared_can_be_left_out(store, language):
    with pytest.raises(ShiftlensError, match=rf"'{language}' cannot be left out.* 'en' are es, fi"):
        sweep_layers(store).without(language)


def test_the_last_language_stays(tmp_path):
    sweep = sweep_layers(make_store(tmp_path, gaussians(("en", "es"))))
    with pytest.raises(ShiftlensError, match="one must stay"):
        sweep.without("es")
