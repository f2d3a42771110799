"""What scaling neurons does: against changed weights, Hugging Face's loss and scipy's intervals."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import ttest_1samp

import shiftlens as sl
from shiftlens.corpora import Corpus
from shiftlens.errors import ShiftlensError
from shiftlens.loading import load_model
from shiftlens.neurons import (
    NeuronEffects,
    NeuronsFound,
    activation_probabilities,
    choose_neurons,
    matched_neurons,
    measure_effects,
    random_neurons,
)
from shiftlens.neurons_run import held_out_texts
from shiftlens.patching.components import projections
from shiftlens.plots.neurons import effects_figure, neurons_figure
from shiftlens.text_loss import text_losses
from tests.tiny import DECODERS, ENCODERS, tiny_model, tiny_tokenizer

TEXTS = ["abc", "hello world", "a longer text, with letters", "xyz w"]
HELD_OUT = Corpus.from_texts({"en": TEXTS, "fi": [text[::-1] for text in TEXTS]})
RNG = np.random.default_rng(0)
CODES = ("en", "fi", "ko")


@pytest.fixture(scope="module")
def demo():
    """The demo model, and of its neurons those of three languages among the nine."""
    model, corpus = sl.load_model("demo", device="cpu"), sl.load_corpus("demo")
    probabilities = activation_probabilities(model, corpus, progress=False)
    found = choose_neurons(corpus.languages, probabilities, 0.05)
    places = [found.languages.index(code) for code in ("en", "ru", "tr")]
    own = found.own[..., places]
    return model, NeuronsFound(0.05, ("en", "ru", "tr"), probabilities[..., places], own)


@pytest.mark.parametrize("name", DECODERS)
def test_losses_are_hugging_faces_own(name):
    model = load_model(tiny_model(name), tiny_tokenizer())
    ids = [model.tokenizer(text)["input_ids"] for text in TEXTS]
    found = text_losses(model, ids, batch_tokens=30)
    with torch.no_grad():
        rows = [torch.tensor([row]) for row in ids]
        expected = [model.hf(row, labels=row).loss.item() for row in rows]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_loss_that_there_is_not_is_named(llama):
    with pytest.raises(ShiftlensError, match="text 2 has fewer than two tokens"):
        text_losses(llama, [[0, 5], [0]])
    with torch.no_grad():
        llama.hf.lm_head.weight[7] = float("nan")
    with pytest.raises(ShiftlensError, match="text 1: the loss is NaN"):
        text_losses(llama, [[0, 5]])
    encoder = load_model(tiny_model(ENCODERS[0]), tiny_tokenizer(eos=True))
    with pytest.raises(ShiftlensError, match="no perplexity"):
        text_losses(encoder, [[0, 5]])


@pytest.mark.parametrize("factor", [0.0, 2.5])
def test_losses_are_those_of_a_model_whose_weights_are_scaled(llama, factor):
    own = RNG.random((3, 48, 2)) < 0.2
    found = NeuronsFound(0.2, ("en", "fi"), own.astype(float), own)
    effects = measure_effects(llama, found, HELD_OUT, factor, draws=2, seed=5, progress=False)
    assert (effects.plain.shape, effects.scaled.shape) == ((2, 4), (2, 2, 4))
    cases = [(effects.scaled[1, 0], found.of("fi"), "en")]
    cases += [(effects.random[1, 1], random_neurons(found, 5, 1)["fi"], "fi")]
    cases += [(effects.matched[0], matched_neurons(found)["en"], "en")]
    for losses, neurons, code in cases:
        other = load_model(tiny_model("llama"), tiny_tokenizer())
        with torch.no_grad():
            for block, down in enumerate(projections(other, "mlp_out")):
                down.weight[:, neurons[block]] *= factor
        ids = [other.tokenizer(text)["input_ids"] for text in HELD_OUT.texts[code]]
        np.testing.assert_allclose(losses, text_losses(other, ids), rtol=1e-5)
        assert np.abs(losses - effects.plain[("en", "fi").index(code)]).max() > 1e-3


def test_random_neurons_are_as_many_in_each_block_and_none_of_the_languages_own():
    own = RNG.random((4, 40, 2)) < 0.3
    found = NeuronsFound(0.2, ("en", "fi"), own.astype(float), own)
    draws = [random_neurons(found, 1, draw)["fi"] for draw in range(200)]
    chosen = np.zeros((4, 40))
    for drawn in draws:
        for block, neurons in drawn.items():
            assert len(set(neurons.tolist())) == own[block, :, 1].sum()
            chosen[block, neurons] += 1
    assert (chosen[own[:, :, 1]] == 0).all() and (chosen[~own[:, :, 1]] > 0).all()
    again = random_neurons(found, 1, 7)["fi"]
    assert all(torch.equal(again[block], draws[7][block]) for block in again)
    crowded = NeuronsFound(1.0, ("en", "fi"), own.astype(float), np.ones_like(own))
    with pytest.raises(ShiftlensError, match="40 of the 40 neurons of block 1 are of en"):
        random_neurons(crowded, 0, 0)


def test_matched_neurons_are_the_pairing_nearest_in_activity():
    p = RNG.random((2, 7, 2))
    own = np.zeros((2, 7, 2), dtype=bool)
    own[0, [1, 4, 5], 1] = own[1, 2, 1] = True
    matched = matched_neurons(NeuronsFound(0.3, ("en", "fi"), p, own))["fi"]
    for block, mine in ((0, [1, 4, 5]), (1, [2])):
        others = [neuron for neuron in range(7) if neuron not in mine]
        least = min(
            permutations(others, len(mine)),
            key=lambda chosen: np.abs(p[block, mine, 1] - p[block, list(chosen), 1]).sum(),
        )
        assert sorted(matched[block].tolist()) == sorted(least)


def effects_of(draws=6, texts=25):
    plain = RNG.random((3, texts)) + 1
    scaled = plain + 0.1 * RNG.normal(size=(3, 3, texts)) + 0.2 * np.eye(3)[..., None]
    scaled[2] = plain
    control = plain + 0.05 * RNG.normal(size=(draws, 3, texts))
    alike = plain + 0.05 * RNG.normal(size=(3, texts))
    return NeuronEffects(CODES, 0.0, np.array([4, 5, 0]), plain, scaled, control, alike)


def test_the_table_has_scipys_intervals_and_ratios_of_perplexities():
    effects = effects_of()
    table = effects.table().set_index(["neurons", "language"])
    change = effects.scaled[0, 1] - effects.plain[1]
    row = table.loc[("en", "fi")]
    low, high = ttest_1samp(change, 0).confidence_interval()
    assert [row["change"], row["low"], row["high"]] == pytest.approx([change.mean(), low, high])
    ratio = row["perplexity"] / row["perplexity_plain"]
    assert ratio == pytest.approx(np.exp(change.mean()))
    assert row["perplexity_plain"] == pytest.approx(np.exp(effects.plain[1].mean()))
    draws = (effects.random[:, 2] - effects.plain[2]).mean(axis=1)
    row = table.loc[("random", "ko")]
    low, high = ttest_1samp(draws, 0).confidence_interval()
    assert [row["low"], row["high"], row["n"]] == pytest.approx([low, high, 6])


def test_claims_are_paired_tests_by_scipy_and_leave_out_who_has_no_neurons():
    effects = effects_of()
    claims = effects.claims().set_index(["language", "more_than"])
    assert set(claims.index.get_level_values("language")) == {"en", "fi"}
    own, en, ko = (effects.scaled[1, k] - effects.plain[k] for k in (1, 0, 2))
    control = effects.random[:, 1] - effects.plain[1]
    worst = max(en, ko, key=np.mean)
    expected = {
        "itself": own,
        "others": own - (en + ko) / 2,
        "most hurt": own - worst,
        "random": own - control.mean(axis=0),
        "random draws": own.mean() - control.mean(axis=1),
        "as active": own - (effects.matched[1] - effects.plain[1]),
    }
    for name, values in expected.items():
        row, test = claims.loc[("fi", name)], ttest_1samp(values, 0)
        interval = test.confidence_interval()
        assert [row["difference"], row["low"], row["high"]] == pytest.approx(
            [values.mean(), *interval]
        )
        assert row["holds"] == (test.statistic > 0 and test.pvalue < 0.05)
        assert row["n"] == len(values)


def test_on_the_demo_ablating_russians_neurons_hurts_russian_most(demo):
    model, found = demo
    held_out = held_out_texts("demo:test", found.languages).head(60)
    effects = measure_effects(model, found, held_out, draws=4, progress=False)
    claims = effects.claims()
    assert claims[claims["language"] == "ru"]["holds"].all()
    again = measure_effects(model, found, held_out, draws=4, batch_tokens=500, progress=False)
    pd.testing.assert_frame_equal(again.table(), effects.table(), rtol=1e-3, atol=1e-5)
    same = measure_effects(model, found, held_out, 1.0, draws=2, progress=False)
    assert (same.scaled == same.plain).all() and not same.claims()["holds"].any()


def test_held_out_texts_of_the_demo_are_prompts_with_answers_item_by_item():
    corpus = held_out_texts("demo:test", ["fi", "en"])
    assert corpus.languages == ("fi", "en") and len(corpus) == 180
    first = corpus.ids[0], corpus.texts["en"][0]
    assert first == ("larger-00-04", "Which number is larger, zero or four? four")
    with pytest.raises(ShiftlensError, match="not every item in sw"):
        held_out_texts("demo:test", ["en", "sw"])


def test_what_cannot_be_measured_is_refused(llama):
    own = np.zeros((3, 48, 2), dtype=bool)
    found = NeuronsFound(0.2, ("en", "sw"), own.astype(float), own)
    with pytest.raises(ShiftlensError, match="held-out text lacks sw"):
        measure_effects(llama, found, HELD_OUT)
    with pytest.raises(ShiftlensError, match="1 draws"):
        measure_effects(llama, found, HELD_OUT, draws=1)
    with pytest.raises(ShiftlensError, match="the factor is inf"):
        measure_effects(llama, found, HELD_OUT, float("inf"))


def test_the_matrix_shows_percent_and_what_is_sure_in_bold():
    table = effects_of().table()
    axes = effects_figure(table).axes[0]
    cells = {(t.get_position()[0], round(t.get_position()[1])): t for t in axes.texts}
    assert len(cells) == 3 * 5
    rows = {"en": 0, "fi": 1, "ko": 2, "random": round(3.35), "as active": round(4.35)}
    for row in table.itertuples():
        text = cells[CODES.index(row.language), rows[row.neurons]]
        percent = 100 * (np.exp(row.change) - 1)
        assert float(text.get_text()) == pytest.approx(percent, abs=0.051)
        assert (text.get_fontweight() == "bold") == (row.low > 0 or row.high < 0)
    with pytest.raises(ShiftlensError, match="lacks a cell"):
        effects_figure(table[1:])
    with pytest.raises(ShiftlensError, match="column\\(s\\) change"):
        effects_figure(table.drop(columns="change"))


def test_the_scale_of_shared_neurons_ends_at_what_two_languages_share(demo):
    _, found = demo
    own = found.own.copy()
    own[..., 1] |= own[..., 0]
    shared = replace(found, own=own)
    assert shared.overlap[0, 1] == shared.overlap[0, 0] > 0
    [image] = neurons_figure(shared).axes[1].images
    shown, itself = np.ma.filled(image.get_array(), np.nan), np.eye(3, dtype=bool)
    assert np.isnan(shown[itself]).all()
    np.testing.assert_array_equal(shown[~itself], shared.jaccard[~itself])
    assert image.get_clim() == (0, shared.jaccard[0, 1]) and shared.jaccard[0, 1] < 1


def test_the_other_figure_shows_counts_and_overlaps(demo):
    _, found = demo
    left, right, *_ = neurons_figure(found).axes
    np.testing.assert_array_equal(left.images[0].get_array(), found.counts)
    written = [int(text.get_text()) for text in right.texts]
    assert written == found.overlap.ravel().tolist()
    empty = NeuronsFound(0.1, CODES, np.zeros((2, 8, 3)), np.zeros((2, 8, 3), dtype=bool))
    assert neurons_figure(empty).axes[0].images[0].get_array().max() == 0
