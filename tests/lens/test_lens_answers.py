"""Answers under the lens: ranks and probabilities against a naive reading."""

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from by_hand import early_logits, load, next_token
from scipy import stats

from shiftlens.errors import ShiftlensError
from shiftlens.language_vectors import LanguageVectors
from shiftlens.lens import answer_lens, answer_pivots, answer_summary, answer_tables
from shiftlens.pooling import Pooling
from shiftlens.sft import SftRecord
from shiftlens.shift import Shift

WORDS = {
    "1": {"en": ("one cat", "ab"), "es": ("un gato ñ", "cd"), "fi": ("yksi kissa nyt", "äd")},
    "2": {"en": ("two", "ba"), "es": ("dos perros", "bc"), "fi": ("kaksi", "ka")},
    "3": {"fi": ("kolme koiraa juoksee", "ei"), "en": ("3", "no")},
}
RECORDS = [
    SftRecord(f"{item}.{code}", code, *texts)
    for item, languages in WORDS.items()
    for code, texts in languages.items()
]


@pytest.fixture(scope="module")
def model():
    return load()


@pytest.fixture(scope="module")
def table(model):
    return answer_lens(model, RECORDS, progress=False)


def naive(model, name="llama"):
    """Item, language, layer and answer to probability and rank, by sorting."""
    found = {}
    for item, languages in WORDS.items():
        for code, (prompt, _) in languages.items():
            ids = model.tokenizer(prompt)["input_ids"]
            logits = early_logits(model.hf, ids, name)[:, -1].double().numpy()
            probabilities = next_token(model, prompt, name)[:, -1]
            for answer, (_, word) in languages.items():
                token = model.tokenizer.convert_tokens_to_ids(word[0])
                for layer in range(4):
                    order = np.argsort(-logits[layer], kind="stable")
                    rank = 1 + int(np.flatnonzero(order == token)[0])
                    found[item, code, layer, answer] = probabilities[layer, token], rank
    return found


@pytest.mark.parametrize("name", tiny.DECODERS)
def test_ranks_and_probabilities_are_those_of_a_naive_reading(name):
    model = load(name)
    table = answer_lens(model, RECORDS, batch_tokens=30, progress=False)
    expected = naive(model, name)
    assert len(table) == len(expected) == 4 * (3 * 3 + 3 * 3 + 2 * 2)
    for row in table.to_dict("records"):
        key = row["item"], row["language"], row["layer"], row["answer"]
        np.testing.assert_allclose(row["probability"], expected[key][0], atol=1e-5)
        assert row["rank"] == expected[key][1]
    assert table["rank"].nunique() > 20


def test_answers_that_begin_alike_are_told(table):
    shared = table[table["shared"]]
    assert set(zip(shared["item"], shared["answer"], strict=True)) == {("2", "en"), ("2", "es")}


def test_batches_change_nothing(model, table):
    for batch_tokens in (1, 4096):
        other = answer_lens(model, RECORDS, batch_tokens=batch_tokens, progress=False)
        pd.testing.assert_frame_equal(other, table, atol=1e-6, rtol=1e-4)


def test_prompts_of_some_languages_have_the_answers_of_all(model, table):
    found = dict(answer_tables(model, RECORDS, ["fi"], progress=False))
    own = table[table["language"] == "fi"].reset_index(drop=True)
    pd.testing.assert_frame_equal(found.pop("fi"), own, atol=1e-6, rtol=1e-4)
    assert not found and set(own["answer"]) == {"en", "es", "fi"}


def test_the_summary_is_of_the_answers_told_apart(table):
    summary = answer_summary(table)
    assert len(summary) == 4 * 2 * (3 * 3) and set(summary["n"]) == {1, 2, 3}
    for row in summary.to_dict("records"):
        own = table[~table["shared"]]
        for key in ("language", "layer", "answer"):
            own = own[own[key] == row[key]]
        values = own[row["quantity"]].astype(float)
        if row["quantity"] == "rank":
            np.testing.assert_allclose(row["mean"], stats.gmean(values))
            values = np.log(values)
        else:
            np.testing.assert_allclose(row["mean"], values.mean())
        if len(values) > 1:
            low, high = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
            bounds = np.exp([low, high]) if row["quantity"] == "rank" else [low, high]
            np.testing.assert_allclose([row["low"], row["high"]], bounds)


def test_the_pivot_is_over_items_with_every_answer_told_apart(table):
    pivots = answer_pivots(table)
    assert set(pivots["n"]) == {1} and len(pivots) == 12
    for row in pivots.to_dict("records"):
        own = table.query(
            f"item == '1' and language == '{row['language']}' and layer == {row['layer']}"
        )
        assert row["pivot"] == own.loc[own["probability"].idxmax(), "answer"]


def test_where_nothing_can_be_told_apart_both_are_empty(model):
    same = [SftRecord(f"1.{code}", code, "abc", " x") for code in ("en", "es")]
    found = answer_lens(model, same, progress=False)
    assert found["shared"].all()
    assert answer_summary(found).empty and answer_pivots(found).empty
    assert "quantity" in answer_summary(found)


def test_the_shift_moves_each_prompt_as_its_language_is(model, table):
    generator = torch.Generator().manual_seed(0)
    drawn = {code: torch.randn(4, 32, generator=generator) for code in ("en", "es", "fi")}
    shift = Shift(LanguageVectors(drawn, 4, Pooling()), (1, 2))
    found = answer_lens(model, RECORDS, shift=shift, progress=False)
    for code, same in (("en", True), ("fi", False)):
        own, plain = (each[each["language"] == code] for each in (found, table))
        assert np.allclose(own["probability"], plain["probability"], atol=1e-6) is same
    ids = torch.tensor([model.tokenizer(WORDS["1"]["fi"][0])["input_ids"]])
    with shift.applied(model, "fi"), torch.no_grad():
        own = model.hf(ids).logits[0, -1].softmax(-1)
    rows = found.query("item == '1' and language == 'fi' and layer == 3").set_index("answer")
    for code, (_, word) in WORDS["1"].items():
        token = model.tokenizer.convert_tokens_to_ids(word[0])
        assert rows.loc[code, "probability"] == pytest.approx(float(own[token]), abs=1e-6)


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([], "there are no records"),
        ([SftRecord("1.en", "en", "a", "b"), SftRecord("1", "en", "c", "d")], "twice in en"),
        ([SftRecord("1.en", "en", "a" * 70, "b")], r"'1.en' \(en\) has 71 tokens .* 64 positions"),
    ],
)
def test_records_that_cannot_be_read_are_refused(model, records, message):
    with pytest.raises(ShiftlensError, match=message):
        answer_lens(model, records, progress=False)


def test_a_prompt_that_is_not_a_number_is_named():
    broken = load()
    token = broken.tokenizer.convert_tokens_to_ids("3")
    broken.hf.model.embed_tokens.weight.data[token] = float("nan")
    with pytest.raises(ShiftlensError, match=r"record '3.en' \(en\), layer 0: what the lens"):
        answer_lens(broken, RECORDS, progress=False)
