import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftlens.errors import ShiftlensError
from shiftlens.languages import DOMINANT, language_code, language_list, language_name


@pytest.mark.parametrize(
    ("text", "code", "name"),
    [
        (DOMINANT, "en", "English"),
        ("PT-br", "pt-BR", "Portuguese (Brazil)"),
        ("iw", "he", "Hebrew"),
        ("deu", "de", "German"),
        ("zh-hans", "zh-Hans", "Chinese (Simplified)"),
    ],
)
def test_codes_are_canonicalised_and_named(text, code, name):
    assert language_code(text) == code
    assert language_name(text) == name


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("english", "did you mean 'en'?"),
        ("Spanish", "did you mean 'es'?"),
        ("en_US", "did you mean 'en-US'?"),
        (" fr", "did you mean 'fr'?"),
        ("xx", "use a code such as"),
        ("xx-", "use a code such as"),
        ("", "use a code such as"),
        ("und", "use a code such as"),
        ("mul", "use a code such as"),
        ("en\0", "use a code such as"),
        ("en\n", "did you mean 'en'?"),
    ],
)
def test_nonsense_codes_are_refused_with_advice(text, advice):
    with pytest.raises(ShiftlensError) as caught:
        language_code(text)
    assert repr(text) in str(caught.value)
    assert advice in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=8) | st.text("abdenst-_ 1", max_size=8))
def test_any_text_is_either_refused_or_canonicalised_once(text):
    try:
        code = language_code(text)
    except ShiftlensError:
        return
    assert language_code(code) == code
    assert language_name(code)


def test_lists_keep_their_order():
    assert language_list("fr, en ,es") == ("fr", "en", "es")
    assert language_list(["es", "EN"]) == ("es", "en")


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("", "empty"),
        ([], "empty"),
        ("en,,es", "''"),
        ("en,es,EN", "'en' is listed twice (as 'en' and 'EN')"),
        (["he", "iw"], "'he' is listed twice"),
        ("en,english", "did you mean 'en'?"),
    ],
)
def test_bad_lists_are_refused(value, part):
    with pytest.raises(ShiftlensError) as caught:
        language_list(value)
    assert part in str(caught.value)
