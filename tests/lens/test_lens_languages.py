"""The lens over a corpus: masses and entropies against a naive reading, intervals against scipy."""

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from by_hand import load, next_token
from scipy import stats

from shiftlens.corpora import Corpus
from shiftlens.errors import ShiftlensError
from shiftlens.language_vectors import LanguageVectors
from shiftlens.lens import TokenLanguages, language_lens, leader
from shiftlens.pooling import Pooling
from shiftlens.shift import Shift

TEXTS = {
    "en": ["cab", "a cab and a dad bead", "bad", "fabbed"],
    "es": ["ñoño", "zorro ñ", "ll", "ñññ o"],
    "fi": ["yö", "ääää y", "äyy", "kyky ä"],
}
CORPUS = Corpus.from_texts(TEXTS)


@pytest.fixture(scope="module")
def model():
    return load()


@pytest.fixture(scope="module")
def tokens(model):
    return TokenLanguages.of_corpus(model, CORPUS)


@pytest.fixture(scope="module")
def lens(model, tokens):
    return language_lens(model, CORPUS, tokens, progress=False)


def naive(model, tokens, name="llama"):
    """Masses and entropy, sentence by sentence and position by position."""
    rows = []
    for language, texts in TEXTS.items():
        for sentence, text in zip(CORPUS.ids, texts, strict=True):
            own = next_token(model, text, name)[:, 1:]
            for layer, at in enumerate(own):
                masses = {
                    group: np.mean([p[tokens.group.numpy() == n].sum() for p in at])
                    for n, group in enumerate(tokens.groups)
                }
                row = {"language": language, "layer": layer, "sentence": sentence}
                rows.append({**row, **masses, "entropy": stats.entropy(at, axis=-1).mean()})
    return pd.DataFrame(rows)


@pytest.mark.parametrize("name", tiny.DECODERS)
def test_masses_and_entropies_are_those_of_a_naive_reading(name):
    model = load(name)
    tokens = TokenLanguages.of_corpus(model, CORPUS)
    found = language_lens(model, CORPUS, tokens, batch_tokens=40, progress=False).table
    pd.testing.assert_frame_equal(found, naive(model, tokens, name), atol=2e-5, rtol=0)


def test_every_layers_masses_sum_to_one_and_differ(lens, tokens):
    masses = lens.table[list(tokens.groups)]
    np.testing.assert_allclose(masses.sum(axis=1), 1, atol=1e-6)
    assert (lens.table["entropy"] < np.log(120)).all()
    means = lens.table.groupby("layer")[list(tokens.groups)].mean()
    assert means.std().min() > 1e-4


def test_padding_and_batching_change_nothing(model, tokens, lens):
    for batch_tokens in (1, 13, 4096):
        other = language_lens(model, CORPUS, tokens, batch_tokens=batch_tokens, progress=False)
        pd.testing.assert_frame_equal(other.table, lens.table, atol=1e-5, rtol=0)
    alone = language_lens(model, CORPUS.head(1), tokens, progress=False).table
    first = lens.table[lens.table["sentence"] == "1"].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, first, atol=1e-5, rtol=0)


def test_how_many_positions_are_read_at_once_changes_nothing(model, tokens, lens, monkeypatch):
    monkeypatch.setattr("shiftlens.lens.reading.CHUNK_BYTES", 4 * 4 * 120 * 2)
    other = language_lens(model, CORPUS, tokens, progress=False)
    pd.testing.assert_frame_equal(other.table, lens.table, atol=1e-5, rtol=0)


def test_the_last_position_is_the_last_token_of_each_text(model, tokens):
    found = language_lens(model, CORPUS, tokens, positions="last", progress=False).table
    for language, texts in TEXTS.items():
        for sentence, text in zip(CORPUS.ids, texts, strict=True):
            last = next_token(model, text)[:, -1]
            rows = found[(found["language"] == language) & (found["sentence"] == sentence)]
            np.testing.assert_allclose(rows["entropy"], stats.entropy(last, axis=-1), atol=2e-5)


def test_intervals_are_scipys_over_sentences(lens, tokens):
    summary = lens.summary(0.9)
    assert len(summary) == 3 * 4 * (len(tokens.groups) + 1) and set(summary["n"]) == {4}
    for row in summary.to_dict("records"):
        own = lens.table.query(f"language == '{row['language']}' and layer == {row['layer']}")
        values = own[row["group"]]
        bounds = stats.t.interval(0.9, 3, values.mean(), stats.sem(values))
        np.testing.assert_allclose([row["mean"], row["low"], row["high"]], [values.mean(), *bounds])


def test_the_pivot_has_most_mass_and_its_lead_is_scipys_paired_interval(lens, tokens):
    pivots = lens.pivots()
    assert len(pivots) == 12 and pivots["pivot"].nunique() > 1
    for row in pivots.to_dict("records"):
        own = lens.table.query(f"language == '{row['language']}' and layer == {row['layer']}")
        means = own[list(tokens.languages)].mean()
        assert row["pivot"] == means.idxmax()
        assert row["runner_up"] == means.drop(row["pivot"]).idxmax()
        test = stats.ttest_rel(own[row["pivot"]], own[row["runner_up"]])
        bounds = test.confidence_interval(0.95)
        np.testing.assert_allclose([row["lead_low"], row["lead_high"]], [bounds.low, bounds.high])
        np.testing.assert_allclose(row["lead"], means.max() - means[row["runner_up"]])


def test_of_one_text_there_are_no_intervals():
    found = leader(pd.DataFrame({"en": [0.2], "fi": [0.7], "es": [0.1]}))
    assert (found["pivot"], found["runner_up"], found["n"]) == ("fi", "en", 1)
    assert found["lead"] == pytest.approx(0.5) and np.isnan(found["lead_low"])


def test_with_the_shift_on_the_shifted_model_is_read(model, tokens, lens):
    generator = torch.Generator().manual_seed(0)
    drawn = {code: torch.randn(4, 32, generator=generator) for code in TEXTS}
    shift = Shift(LanguageVectors(drawn, 4, Pooling()), (1, 2))
    found = language_lens(model, CORPUS, tokens, shift=shift, progress=False)
    assert found.table[found.table["language"] == "en"].equals(
        lens.table[lens.table["language"] == "en"]
    )
    for number, text in enumerate(TEXTS["fi"], 1):
        rows = found.table.query(f"language == 'fi' and sentence == '{number}'")
        plain = lens.table.query(f"language == 'fi' and sentence == '{number}'")
        with shift.applied(model, "fi"), torch.no_grad():
            ids = torch.tensor([model.tokenizer(text)["input_ids"]])
            own = model.hf(ids).logits[0, 1:].double().softmax(-1).numpy()
        masses = [own[:, tokens.group.numpy() == n].sum(1).mean() for n in range(5)]
        np.testing.assert_allclose(rows[list(tokens.groups)].iloc[-1], masses, atol=2e-5)
        np.testing.assert_allclose(rows["entropy"].iloc[-1], stats.entropy(own, axis=-1).mean(),
                                   atol=2e-5)  # fmt: skip
        assert np.isclose(rows["entropy"], plain["entropy"], atol=1e-4).tolist() == [
            True,
            False,
            False,
            False,
        ]


def test_what_is_not_a_number_is_named_with_language_layer_and_sentence(tokens):
    broken = load()
    zed = broken.tokenizer.convert_tokens_to_ids("z")
    broken.hf.model.embed_tokens.weight.data[zed] = float("nan")
    with pytest.raises(ShiftlensError, match="language es, sentence 2, layer 0: what the lens"):
        language_lens(broken, CORPUS, tokens, progress=False)


def test_unknown_positions_are_refused(model, tokens):
    with pytest.raises(ShiftlensError, match="positions are 'first'; choose all or last"):
        language_lens(model, CORPUS, tokens, positions="first")


def test_a_language_without_vectors_is_refused(model, tokens):
    shift = Shift(LanguageVectors({"en": torch.zeros(4, 32)}, 4, Pooling()), (1, 2))
    with pytest.raises(ShiftlensError, match="'es' has no vectors"):
        language_lens(model, CORPUS, tokens, shift=shift, progress=False)
