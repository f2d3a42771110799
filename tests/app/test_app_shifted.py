"""The shift side by side, against the model run by hand."""

import numpy as np
import pytest
import torch

import shiftlens as sl
from shiftlens.answers import generate_answers
from shiftlens.app import compare_shift, shift_figure
from shiftlens.app.ready import ready_prompts
from shiftlens.app.shifted import scaled
from shiftlens.errors import ShiftlensError
from shiftlens.languages import language_name

AREA = (2, 5)
RECORDS = next(iter(ready_prompts().values()))
PROMPTS = {code: record.prompt for code, record in RECORDS.items()}
EXPECTED = {code: record.completion for code, record in RECORDS.items()}


@pytest.fixture(scope="module")
def demo():
    return sl.load_model("demo")


@pytest.fixture(scope="module")
def shift(demo):
    vectors = sl.LanguageVectors.from_model(demo, sl.load_corpus("demo").head(80))
    return sl.Shift(vectors, AREA)


def next_token(model, shift, language, prompt, strength):
    """Probabilities of the next token of one unpadded text, its states moved by hand."""
    v = shift.vectors.vectors
    delta = {
        layer: strength * sign * (v["en"][layer] - v[language][layer])
        for layer, sign in zip(AREA, (1, -1), strict=True)
    }
    ids = torch.tensor([model.tokenizer(prompt)["input_ids"]])
    with (
        torch.no_grad(),
        sl.residual_hooks(model, lambda layer, stream: stream + delta[layer], AREA),
    ):
        return model.hf(input_ids=ids).logits[0, -1].double().softmax(-1)


@pytest.mark.parametrize("strength", [0.4, 1.0, 1.5])
def test_probabilities_are_those_of_states_moved_by_hand(demo, shift, strength):
    comparison = compare_shift(demo, shift, PROMPTS, EXPECTED, strength)
    table = comparison.table.set_index("language")
    assert list(table.index) == list(PROMPTS)
    for code, prompt in PROMPTS.items():
        first = demo.tokenizer(EXPECTED[code], add_special_tokens=False)["input_ids"][0]
        for s, column in ((0, "probability"), (strength, "shifted_probability")):
            expected = next_token(demo, shift, code, prompt, s)
            assert table.loc[code, column] == pytest.approx(float(expected[first]), abs=1e-5)
            top = comparison.tokens[comparison.tokens["language"] == code][column]
            assert top.max() == pytest.approx(float(expected.max()), abs=1e-5)


def test_answers_are_the_greedy_ones_with_and_without(demo, shift):
    records = list(RECORDS.values())
    table = compare_shift(demo, shift, PROMPTS, EXPECTED).table
    assert table["answer"].tolist() == generate_answers(demo, records)
    assert table["shifted_answer"].tolist() == generate_answers(demo, records, shift)
    assert table["expected"].tolist() == [text.strip() for text in EXPECTED.values()]


def test_no_strength_moves_nothing_and_the_dominant_language_never_moves(demo, shift):
    still = compare_shift(demo, shift, PROMPTS, strength=0).table
    assert (still["answer"] == still["shifted_answer"]).all()
    assert (still["probability"] == still["shifted_probability"]).all()
    strong = compare_shift(demo, shift, PROMPTS, strength=1.5).table.set_index("language")
    moved = strong["probability"] != strong["shifted_probability"]
    assert not moved["en"] and moved.drop("en").all()


def test_scaling_is_of_the_vectors_alone(shift):
    half = scaled(shift, 0.5)
    torch.testing.assert_close(half.delta("fi", 2), 0.5 * shift.delta("fi", 2))
    torch.testing.assert_close(half.delta("fi", 5), -0.5 * (shift.delta("fi", 5) * -1))
    assert half.area == shift.area and half.dominant == shift.dominant


def test_without_an_expected_answer_the_likeliest_token_is_watched(demo, shift):
    table = compare_shift(demo, shift, {"fi": PROMPTS["fi"]}).table
    expected = next_token(demo, shift, "fi", PROMPTS["fi"], 0)
    assert table["expected"].tolist() == [""]
    assert table.loc[0, "probability"] == pytest.approx(float(expected.max()), abs=1e-5)
    token = demo.tokenizer.decode([int(expected.argmax())]).strip()
    assert table.loc[0, "token"] == token


def test_the_figure_shows_the_tables_numbers(demo, shift):
    comparison = compare_shift(demo, shift, PROMPTS, EXPECTED)
    figure = shift_figure(comparison, "fa")
    by_name = [trace for trace in figure.data if trace.mode == "markers"]
    table = comparison.table
    np.testing.assert_array_equal(by_name[0].x, table["probability"])
    np.testing.assert_array_equal(by_name[1].x, table["shifted_probability"])
    tokens = comparison.tokens[comparison.tokens["language"] == "fa"]
    np.testing.assert_array_equal(by_name[3].x, tokens["shifted_probability"])
    assert list(figure.layout.yaxis.ticktext) == [language_name(code) for code in PROMPTS]
    assert list(figure.layout.yaxis2.ticktext) == tokens["token"].tolist()
    moves = (table["shifted_probability"] - table["probability"]).abs()
    furthest = language_name(table.loc[moves.argmax(), "language"])
    assert furthest in shift_figure(comparison).layout.annotations[1].text
    alone = shift_figure(compare_shift(demo, shift, {"fi": PROMPTS["fi"]}))
    assert len(alone.data) == 3 and "yaxis2" not in alone.layout.to_plotly_json()


def test_what_cannot_be_compared_is_refused(demo, shift):
    with pytest.raises(ShiftlensError, match="no records"):
        compare_shift(demo, shift, {})
    with pytest.raises(ShiftlensError, match="'sv'"):
        compare_shift(demo, shift, {"sv": "Vilket tal?"})
    with pytest.raises(ShiftlensError, match="positions"):
        compare_shift(demo, shift, {"en": "one " * 200})
    with pytest.raises(ShiftlensError, match="no language 'sv' was compared"):
        shift_figure(compare_shift(demo, shift, {"en": "one"}), "sv")
