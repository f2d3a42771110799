import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftlens.app.links import LONGEST_LINK, asked_view, link, number, one_of, read_link, text
from shiftlens.app.texts import LONGEST_ANSWER, MOST_ANSWERS, typed_lines, typed_text
from shiftlens.errors import ShiftlensError

VIEWS = {
    "patch": {"clean": text("the clean text", 400), "metric": one_of("metric", lambda: ["kl"])},
    "sweep": {"layer": number("layer", 0, 6, int), "strength": number("strength", 0, 1.5)},
}
LETTERS = st.characters(exclude_categories=("C", "Z"))


@given(st.text(LETTERS, min_size=1, max_size=200))
def test_a_link_brings_back_the_text_that_made_it(written):
    search = link("patch", {"clean": written, "metric": "kl", "head": None, "words": ""})
    assert read_link(search, VIEWS) == ("patch", {"clean": written, "metric": "kl"})


def test_a_link_brings_back_numbers():
    search = link("sweep", {"layer": 0, "strength": 0.35})
    assert read_link(search, VIEWS) == ("sweep", {"layer": 0, "strength": 0.35})
    assert read_link("", VIEWS) == read_link(None, VIEWS) == read_link("?", VIEWS) == (None, {})
    assert read_link("?view=sweep", VIEWS) == ("sweep", {})


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ("?view=patch&clean=" + "a" * LONGEST_LINK, "longer than 16,000"),
        ("?view=nowhere", "no view of this page; choose patch, sweep"),
        ("?clean=a", "no view"),
        ("?view=patch&model=gpt2", "setting 'model'"),
        ("?view=patch&metric=kl&metric=kl", "twice"),
        ("?view=patch&metric=<script>", "metric '<script>'"),
        ("?view=patch&clean=", "the clean text is empty"),
        ("?view=patch&clean=a%00b", r"U\+0000 at place 2"),
        ("?view=patch&clean=" + "a" * 401, "401 characters; at most 400"),
        ("?view=patch&clean=%ff%fe%E2%80%AE", r"U\+202E"),
        ("?view=sweep&layer=7", "layer as '7'; give 0 to 6"),
        ("?view=sweep&layer=-1", "layer"),
        ("?view=sweep&layer=1e3", "layer"),
        ("?view=sweep&layer=" + "9" * 5000, "layer"),
        ("?view=sweep&strength=nan", "strength"),
        ("?view=sweep&strength=inf", "strength"),
    ],
)
def test_a_link_that_cannot_be_trusted_is_refused(search, message):
    with pytest.raises(ShiftlensError, match=message) as error:
        read_link(search, VIEWS)
    assert len(str(error.value)) < 200


def test_the_view_of_a_link_is_known_whatever_else_is_wrong():
    assert asked_view("?view=sweep&layer=x&layer=y&what=1", VIEWS) == "sweep"
    assert asked_view("?view=patch&clean=" + "a" * LONGEST_LINK, VIEWS) == "patch"
    for search in (None, "", "?", "?view=nowhere", "?layer=2"):
        assert asked_view(search, VIEWS) is None


@pytest.mark.parametrize(
    "written",
    [
        "Which number?",
        "کدام عدد بزرگ‌تر است؟",
        "どちらが大きいですか？",
        "숫자 구하고",
        "a\nb",
        "👩‍👩‍👧 ß",
    ],
)
def test_text_in_any_script_is_taken_as_it_is(written):
    assert typed_text(f"  {written}\n", "the text") == written


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("", "the text is empty"),
        (" \n\t ", "is empty"),
        (None, "is empty"),
        ({"$ne": 1}, "is empty"),
        ("a" * 401, "401 characters; at most 400"),
        ("a" * 3_000_000, "3,000,000 characters"),
        ("a\tb", r"U\+0009 at place 2"),
        ("a\x1b[31mb", r"U\+001B"),
        ("ab\x7f", r"U\+007F at place 3"),
        ("a\x85b", r"U\+0085"),
        ("a\ud800", r"U\+D800"),
        ("a\u202egnp.exe", r"U\+202E"),
        ("\u2066a", r"U\+2066"),
    ],
)
def test_text_that_cannot_be_shown_is_refused(written, message):
    with pytest.raises(ShiftlensError, match=message):
        typed_text(written, "the text")


def test_lists_are_bounded_in_lines_and_length():
    assert typed_lines(" nine\r\n\n three ", "the list") == ["nine", "three"]
    assert len(typed_lines("\n".join(["x" * LONGEST_ANSWER] * MOST_ANSWERS), "the list")) == 12
    with pytest.raises(ShiftlensError, match="13 lines; at most 12"):
        typed_lines("a\n" * 13, "the list")
    with pytest.raises(ShiftlensError, match="61 characters; at most 60"):
        typed_lines("a\n" + "b" * 61, "the list")
    with pytest.raises(ShiftlensError, match="is empty"):
        typed_lines("\n", "the list")
