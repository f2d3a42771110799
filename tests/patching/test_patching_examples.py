"""The ready-made examples show what they say, and so do others of their kind."""

import pytest

from shiftlens.demo.items import Item, items
from shiftlens.demo.numbers import NUMBERS
from shiftlens.demo.world import question
from shiftlens.loading import load_model
from shiftlens.patching import EXAMPLES, patch

NUMBER, SUM, LANGUAGE = EXAMPLES


@pytest.fixture(scope="module")
def demo():
    return load_model("demo")


@pytest.fixture(scope="module")
def results(demo):
    return {
        title: patch(demo, e.clean, e.corrupt, e.answers, metric=e.metric, align=e.align)
        for title, e in EXAMPLES.items()
    }


def tops(result, label):
    """The most probable token after a patch of one site, by layer."""
    rows = result.table[result.table["label"] == label]
    return list(rows.sort_values("layer")["top"])


def test_the_texts_are_of_the_demos_world():
    asked = [
        (NUMBER, Item("next", 5), Item("next", 2), "fi"),
        (SUM, Item("plus", 7, 3), Item("plus", 2, 3), "de"),
        (LANGUAGE, Item("next", 5), Item("next", 5), "es"),
    ]
    for title, clean, corrupt, language in asked:
        assert EXAMPLES[title].clean == question(clean, "en")
        assert EXAMPLES[title].corrupt == question(corrupt, language)
        assert EXAMPLES[title].shows


def test_a_number_moves_at_layer_0_and_the_answer_turns_english_at_layer_3(results):
    result = results[NUMBER]
    assert (result.clean_top, result.corrupt_top) == ("six", "kolme")
    assert tops(result, "kaksi") == ["kuusi", *["kolme"] * 6]
    assert tops(result, "?") == ["kolme", "kuusi", "kuusi", "six", "six", "six", "six"]
    grid = result.grid()
    assert grid.loc[0, 3] > 1
    assert grid.loc[1:, 3].abs().max() < 0.1
    assert grid[5].loc[1:].between(0.9, 1.2).all()
    assert grid.drop(columns=[3, 5]).abs().to_numpy().max() < 0.2


def test_a_sum_never_read_is_made_in_german(results):
    unread = {Item("plus", 7, 3)} & {*items("validation"), *items("test")}
    assert unread and Item("plus", 3, 7) in items("train")
    result = results[SUM]
    assert (result.clean_top, result.corrupt_top) == ("ten", "fünf")
    assert tops(result, "zwei") == ["zehn", *["fünf"] * 6]
    assert set(tops(result, "drei")) == {"fünf"}
    assert tops(result, "?") == ["fünf", "zehn", "zehn", "zehn", "ten", "ten", "ten"]
    assert result.grid().loc[0, 4] > 1


def test_the_language_turns_at_the_last_token_from_layer_4_on(results):
    result = results[LANGUAGE]
    assert (result.clean_top, result.corrupt_top) == ("six", "seis")
    english = result.table[result.table["answer"] == "en"]
    assert set(english["label"]) == {"?"}
    assert sorted(english["layer"]) == [4, 5, 6]
    assert (result.grid("value")[5].loc[1:2] > 0.95).all()
    assert (result.grid("value")[5].loc[4:] < 0.1).all()


@pytest.mark.parametrize("language", ["fi", "de", "es", "ru"])
def test_other_numbers_do_the_same(demo, language):
    words = NUMBERS[language]
    for clean, corrupt in ((5, 2), (9, 14), (17, 7), (3, 11)):
        pair = question(Item("next", clean), "en"), question(Item("next", corrupt), language)
        align = [(NUMBERS["en"][clean], words[corrupt]), ("?", "?")]
        result = patch(demo, *pair, [words[clean + 1], words[corrupt + 1]], align=align)
        own, other, english = words[corrupt + 1], words[clean + 1], NUMBERS["en"][clean + 1]
        assert tops(result, words[corrupt]) == [other, *[own] * 6]
        last = tops(result, "?")
        assert last[:3] == [own, other, other]
        assert last[4:] == [english] * 3 or last[5:] == [english] * 2
