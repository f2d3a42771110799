"""Answers, scores and shares against hand-written computations on unpadded, uncached rows."""

import contextlib
import logging
import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from shiftlens.answers import completion_log_probs, generate_answers
from shiftlens.errors import ShiftlensError
from shiftlens.evaluate import (
    choice_accuracy,
    evaluate,
    exact_match,
    language_fidelity,
    perplexity,
    retrieval,
)
from shiftlens.language_vectors import LanguageVectors
from shiftlens.loading import load_model
from shiftlens.pooling import Pooling
from shiftlens.sft import SftRecord, encode_record
from shiftlens.shift import Shift

LANGUAGES = ("en", "es", "fi")
PROMPTS = ("ab", "what is this", "x", "count: one, two", "hello", "how many are there now", "Zz")
CHOICES = ("a", " seven", "bc", "a longer one")
RECORDS = [
    SftRecord(
        str(n), LANGUAGES[n % 3], prompt, CHOICES[n % 4], CHOICES[: n % 4 + 1] if n % 4 else CHOICES
    )
    for n, prompt in enumerate(PROMPTS)
]


@pytest.fixture(params=tiny.DECODERS)
def decoder(request):
    return load_model(tiny.tiny_model(request.param), tiny.tiny_tokenizer())


@pytest.fixture(params=["plain", "shifted"])
def shift(request):
    if request.param == "plain":
        return None
    generator = torch.Generator().manual_seed(1)
    vectors = {code: 3 * torch.randn(4, 32, generator=generator) for code in LANGUAGES}
    return Shift(LanguageVectors(vectors, 10, Pooling()), (1, 2))


def logits(model, ids, language, shift):
    """Logits of one unpadded row, without cache."""
    context = shift.applied(model, language) if shift else contextlib.nullcontext()
    with torch.no_grad(), context:
        return model.hf(torch.tensor([ids]), use_cache=False).logits[0]


def by_hand(model, record, shift, steps=6):
    """Greedy decoding of one prompt that reads everything again for each token."""
    prompt = model.tokenizer(record.prompt)["input_ids"]
    ids = list(prompt)
    while len(ids) < len(prompt) + steps:
        token = int(logits(model, ids, record.language, shift)[-1].argmax())
        if token == model.tokenizer.eos_token_id:
            break
        ids.append(token)
    return model.tokenizer.decode(ids[len(prompt) :]).strip()


def with_answers(records, answers):
    return [
        replace(record, completion=answer) for record, answer in zip(records, answers, strict=True)
    ]


@pytest.mark.parametrize("batch_size", [1, 3, 128])
def test_answers_are_those_of_uncached_unpadded_decoding(decoder, shift, batch_size):
    expected = [by_hand(decoder, record, shift) for record in RECORDS]
    got = generate_answers(decoder, RECORDS, shift, batch_size, max_new_tokens=6)
    assert got == expected
    assert any(got)


def test_the_shift_changes_the_answers_of_other_languages_only(llama):
    vectors = {code: torch.randn(4, 32) * 3 for code in LANGUAGES}
    shift = Shift(LanguageVectors(vectors, 10, Pooling()), (1, 2))
    plain, moved = (generate_answers(llama, RECORDS, s, max_new_tokens=6) for s in (None, shift))
    for record, before, after in zip(RECORDS, plain, moved, strict=True):
        assert (before == after) == (record.language == "en")


def test_exact_match_knows_what_the_model_says(llama):
    answers = [by_hand(llama, record, None, 4) for record in RECORDS]
    right = with_answers(RECORDS, [f" {answer} " for answer in answers])
    assert exact_match(llama, right, max_new_tokens=4) == [True] * len(RECORDS)
    mixed = [right[0], *RECORDS[1:]]
    assert exact_match(llama, mixed, max_new_tokens=4) == [True] + [False] * (len(RECORDS) - 1)
    longer = with_answers(RECORDS, [answer + "x" for answer in answers])
    assert not any(exact_match(llama, longer, max_new_tokens=4))


def test_an_answer_ends_at_eos_and_not_before(llama):
    """A letter that the model says is made its EOS."""
    answers = generate_answers(llama, RECORDS, max_new_tokens=8)
    record, whole = max(zip(RECORDS, answers), key=lambda pair: len(set(pair[1])))
    end = next(letter for letter in whole[1:] if letter not in (whole[0], " "))
    cut = whole[: whole.index(end)]
    llama.tokenizer.eos_token = end
    assert generate_answers(llama, [record], max_new_tokens=8) == [cut.strip()]
    [row] = evaluate(llama, [replace(record, completion=cut, choices=())]).itertuples()
    assert (row.exact_match, row.fidelity) == (1, 1)
    longer = replace(record, completion=cut + "?" * 9, choices=())
    [row] = evaluate(llama, [longer]).itertuples()
    assert (row.exact_match, row.fidelity) == (0, 0)


def test_the_models_own_generation_settings_do_not_enter(llama, caplog):
    plain = generate_answers(llama, RECORDS, max_new_tokens=6)
    own = llama.hf.generation_config
    own.update(do_sample=True, temperature=5.0, repetition_penalty=9.0, min_new_tokens=5)
    own.max_length = 7
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        logging.getLogger("transformers").propagate = True
        assert generate_answers(llama, RECORDS, max_new_tokens=6) == plain
    assert not caplog.records
    assert llama.hf.generation_config is own


def test_evaluation_is_without_dropout_and_gives_the_mode_back():
    hf = tiny.tiny_model("gpt2", resid_pdrop=0.5)
    model = load_model(hf, tiny.tiny_tokenizer())
    still = perplexity(model, RECORDS)
    hf.train()
    assert perplexity(model, RECORDS) == still
    assert hf.training


@pytest.mark.parametrize("batch_size", [1, 7, 512])
def test_log_probs_are_those_of_the_full_logits(decoder, shift, batch_size):
    texts = [record.choices for record in RECORDS]
    scores = completion_log_probs(decoder, RECORDS, texts, shift, batch_size)
    for record, row in zip(RECORDS, scores, strict=True):
        for choice, score in zip(record.choices, row, strict=True):
            ids, labels = encode_record(decoder, replace(record, completion=choice))
            steps = logits(decoder, ids, record.language, shift).double().log_softmax(-1)
            expected = sum(
                float(steps[n - 1, label]) for n, label in enumerate(labels) if label != -100
            )
            assert score == pytest.approx(expected, rel=1e-4, abs=1e-3)


def test_choice_accuracy_is_right_where_the_completion_is_likeliest(llama, shift):
    texts = [record.choices for record in RECORDS]
    scores = completion_log_probs(llama, RECORDS, texts, shift)
    best = [record.choices[int(np.argmax(row))] for record, row in zip(RECORDS, scores)]
    assert all(choice_accuracy(llama, with_answers(RECORDS, best), shift))
    worst = [record.choices[int(np.argmin(row))] for record, row in zip(RECORDS, scores)]
    assert not any(choice_accuracy(llama, with_answers(RECORDS, worst), shift))


def test_a_tie_is_no_success(llama):
    for parameter in llama.hf.get_output_embeddings().parameters():
        parameter.data.zero_()
    records = [SftRecord("1", "en", "ab", "a", ("a", "b")), SftRecord("2", "en", "ab", "b", ("b",))]
    assert choice_accuracy(llama, records) == [False, True]


def test_perplexity_is_the_models_loss(decoder, shift):
    """Mean over tokens, so longer completions weigh more."""
    found = perplexity(decoder, RECORDS, shift)
    assert list(found) == list(LANGUAGES)
    for language, value in found.items():
        total = count = 0
        for record in RECORDS:
            if record.language == language:
                ids, labels = (torch.tensor([row]) for row in encode_record(decoder, record))
                n = int((labels != -100).sum())
                context = shift.applied(decoder, language) if shift else contextlib.nullcontext()
                with torch.no_grad(), context:
                    total += n * float(decoder.hf(ids, labels=labels, use_cache=False).loss)
                count += n
        assert value == pytest.approx(math.exp(total / count), rel=1e-4)


def test_fidelity_counts_the_languages_own_answers():
    records = [
        SftRecord("1", "en", "?", " one", (" one", " two")),
        SftRecord("2", "en", "?", " six"),
        SftRecord("3", "es", "?", " uno"),
        SftRecord("4", "es", "?", " seis"),
        SftRecord("5", "fr", "?", " six"),
    ]
    right = ["two", "one", "seis", "seis", "six"]
    assert language_fidelity(records, right) == [True] * 5
    other = ["uno", "six", "one", "six", "one"]
    assert language_fidelity(records, other) == [False, True, False, False, False]
    assert language_fidelity(records, [""] * 5) == [False] * 5


def test_retrieval_in_closed_cases():
    base = np.random.default_rng(0).normal(size=(20, 8))
    swapped = base.copy()
    swapped[[0, 1]] = base[[1, 0]]
    states = {"en": base, "es": base * 7, "fi": swapped, "de": np.roll(base, 1, 0), "ru": -base}
    found = retrieval(states)
    assert found["es"] == (1.0, 1.0)
    assert found["fi"] == (0.9, 0.9)
    assert found["de"] == (0.0, 0.0)
    assert "en" not in found
    assert retrieval({"en": base, "es": np.ones_like(base)})["es"][0] == 1 / 20  # chance
    one_way = retrieval({"en": np.eye(3), "es": np.array([[1.0, 0, 0], [1, 0.1, 0], [0, 0, 1]])})
    assert one_way["es"] == (2 / 3, 1.0)


def test_retrieval_refuses_what_is_not_parallel():
    with pytest.raises(ShiftlensError, match="no states of 'en'"):
        retrieval({"es": np.eye(3)})
    with pytest.raises(ShiftlensError, match=r"'es' are \(2, 3\) and those of 'en' \(3, 3\)"):
        retrieval({"en": np.eye(3), "es": np.eye(3)[:2]})


def test_the_table_holds_each_measure(llama, shift):
    table = evaluate(llama, RECORDS, shift, dominant="fi").set_index("language")
    assert list(table.index) == ["fi", "en", "es"]
    assert list(table.n) == [2, 3, 2]
    chosen = dict(zip(RECORDS, choice_accuracy(llama, RECORDS, shift), strict=True))
    for language, row in table.iterrows():
        flags = [flag for record, flag in chosen.items() if record.language == language]
        assert row.choice_accuracy == np.mean(flags)
        counts = [len(record.choices) for record in chosen if record.language == language]
        assert row.chance == pytest.approx(np.mean([1 / count for count in counts]))
        assert row.perplexity == perplexity(llama, RECORDS, shift)[language]


def test_choices_are_optional(llama):
    bare = [replace(record, choices=()) for record in RECORDS]
    columns = ["language", "n", "exact_match", "fidelity", "perplexity"]
    assert list(evaluate(llama, bare)) == columns
    assert list(evaluate(llama, RECORDS, choices=False)) == columns
    partly = [r if r.language == "en" else replace(r, choices=()) for r in RECORDS]
    shares = evaluate(llama, partly).set_index("language").choice_accuracy
    assert shares.isna().to_dict() == {"en": False, "es": True, "fi": True}
    with pytest.raises(ShiftlensError, match=r"record '0' \(en\): the choices lack"):
        choice_accuracy(llama, bare)


def test_what_cannot_be_evaluated_is_named(llama):
    vectors = {code: torch.zeros(4, 32) for code in ("en", "es")}
    shift = Shift(LanguageVectors(vectors, 10, Pooling()), (1, 2))
    with pytest.raises(ShiftlensError, match="language 'fi', which has no vectors in the shift"):
        evaluate(llama, RECORDS, shift)
    with pytest.raises(ShiftlensError, match="no records"):
        evaluate(llama, [])
    long = [SftRecord("far", "es", "a" * 70, "b", ("b", "c"))]
    for measure in (exact_match, perplexity, choice_accuracy):
        with pytest.raises(ShiftlensError, match=r"record 'far' \(es\) needs 7\d positions .* 64"):
            measure(llama, long)
    encoder = load_model(tiny.tiny_model("bert"), tiny.tiny_tokenizer())
    with pytest.raises(ShiftlensError, match=r"BertForMaskedLM.* cannot generate"):
        evaluate(encoder, RECORDS)


def test_a_record_that_just_fits_the_position_table_is_read():
    model = load_model(tiny.tiny_model("gpt2"), tiny.tiny_tokenizer())
    records = [
        SftRecord("1", "en", "a" * 60, "b" * 3, ("bbb", "c")),
        SftRecord("2", "en", "a", "b" * 20, ("b" * 20, "c")),
    ]
    assert len(choice_accuracy(model, records)) == 2
    assert len(exact_match(model, records, max_new_tokens=4)) == 2
    with pytest.raises(ShiftlensError, match="needs 65 positions"):
        exact_match(model, [replace(records[0], completion="b" * 4)])
