"""The first tokens of answers under several kinds of tokenizers."""

import pytest
from several_tokenizers import DEMO, HF, MODELS, byte_level
from tokenizers import normalizers

from shiftlens.errors import ShiftlensError
from shiftlens.models import LanguageModel
from shiftlens.patching.prompts import first_tokens, token_text


def shown(model, text, answers):
    found = first_tokens(model, text, answers)
    return {name: model.tokenizer.convert_ids_to_tokens(token) for name, token in found.items()}


@pytest.mark.parametrize(
    ("name", "text", "answer", "token"),
    [
        ("demo", "Paljonko on viisi plus kolme?", "kahdeksan", "▁kahdeksan"),
        ("demo", "Paljonko on viisi plus kolme?", " kahdeksan", "▁kahdeksan"),
        ("demo", "五足す三はいくつですか？", "八", "八"),
        ("demo", "덧셈 오 더하기 삼의 값은 얼마입니까?", "팔", "▁팔"),
        ("bytes", "seven plus", "seven", "Ġseven"),
        ("bytes", "seven plus ", "seven", "seven"),
        ("pieces", "much is", "eight", "▁eight"),
        ("letters", "ab", " c", " "),
        ("letters", "ab ", "c", "c"),
    ],
)
def test_the_first_token_is_that_of_the_answer_in_its_place(name, text, answer, token):
    model = MODELS[name]
    found = shown(model, text, [answer])
    if token == "seven":
        token = model.tokenizer.tokenize("seven")[0]
    if token == "Ġseven":
        token = model.tokenizer.tokenize(" seven")[0]
    assert found == {answer: token}


def test_answers_are_named_by_their_language():
    found = shown(DEMO, "Paljonko on viisi plus kolme?", {"en": "eight", "fi": "kahdeksan"})
    assert found == {"en": "▁eight", "fi": "▁kahdeksan"}


def test_answers_with_one_first_token_are_refused():
    with pytest.raises(ShiftlensError, match="'on dört' and 'on altı' begin with the same token"):
        first_tokens(DEMO, "Acaba on artı dört kaç eder?", ["on dört", "on altı"])


@pytest.mark.parametrize("answer", ["", "  "])
def test_an_empty_answer_is_refused(answer):
    with pytest.raises(ShiftlensError, match="is empty"):
        first_tokens(DEMO, "How much is five plus three?", [answer])


def test_an_answer_without_a_token_is_refused():
    tokenizer = byte_level()
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace("·", "")
    with pytest.raises(ShiftlensError, match="no token for answer '·'"):
        first_tokens(LanguageModel(HF, tokenizer, "dots"), "seven ", ["·"])
    with pytest.raises(ShiftlensError, match="no token for answer 'hundred'"):
        first_tokens(DEMO, "How much is five plus three?", ["hundred"])


def test_a_token_is_shown_without_its_space():
    kahdeksan = DEMO.tokenizer.convert_tokens_to_ids("▁kahdeksan")
    assert token_text(DEMO, kahdeksan) == "kahdeksan"
    space = MODELS["letters"].tokenizer.convert_tokens_to_ids(" ")
    assert token_text(MODELS["letters"], space) == " "


def test_one_answer_may_be_given_bare():
    assert shown(DEMO, "Paljonko on viisi plus kolme?", "kahdeksan") == {"kahdeksan": "▁kahdeksan"}
