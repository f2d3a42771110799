"""Texts in any script: fonts that have the characters, or one warning that says what to install."""

import warnings

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from test_plots_pairs import check_same_bytes

from shiftlens.plots import fonts
from shiftlens.plots.fonts import BASE, drawable
from shiftlens.plots.style import shared_style

UNASSIGNED = "\U000e0fff"


def drawn(text, families):
    """The pixels of a text."""
    with shared_style(), rc_context({"font.family": families}):
        figure = Figure(figsize=(1, 1))
        figure.text(0.1, 0.4, text, fontsize=20, parse_math=False)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    return np.asarray(canvas.buffer_rgba()).copy()


def test_what_dejavu_has_needs_nothing_else():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert drawable(["Größe, číslo", "Ελλάδα\n→"]) == (["Größe, číslo", "Ελλάδα\n→"], [BASE])


def test_a_character_that_no_font_has_is_a_square_and_one_warning_says_what_to_do():
    with pytest.warns(UserWarning, match=r"no installed font has 1 of.*U\+E0FFF.*fonts-noto") as w:
        texts, families = drawable([f"a{UNASSIGNED}b", "c", UNASSIGNED * 2])
    assert len(w) == 1
    assert texts == ["a□b", "c", "□□"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn(texts[0], families)


def test_the_families_are_those_that_have_the_characters_and_as_few_as_can_be(monkeypatch):
    has = {BASE: "ab", "Noto Sans Thai": "ก", "Noto Serif Thai": "ก", "Noto Sans CJK JP": "中あ"}

    class Font:
        style, weight = "normal", 400

        def __init__(self, name):
            self.name = name

    class Bold(Font):
        weight = 700

    listed = [Bold("Noto Sans Bold"), *map(Font, [*reversed(has), "Last Resort", "Noto Sans"])]
    has |= {"Last Resort": "กあ中", "Noto Sans": "c", "Noto Sans Bold": "กあ"}
    monkeypatch.setattr(fonts.fontManager, "ttflist", listed)
    monkeypatch.setattr(fonts, "_characters", lambda family: frozenset(has[family]))
    assert drawable(["ab", "กa"])[1] == [BASE, "Noto Sans Thai"]
    assert drawable(["中 あ", "ก"])[1] == [BASE, "Noto Sans CJK JP", "Noto Sans Thai"]
    assert drawable(["ab"])[1] == [BASE]


@pytest.mark.parametrize("text", ["ภาษาไทย", "తెలుగు", "हिन्दी", "বাংলা", "中文日本語", "한국어"])
def test_an_installed_font_draws_the_text_without_a_warning_the_same_each_time(text, tmp_path):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        (found,), families = drawable([text])
    if said:
        pytest.skip("no font of this script on this machine")
    assert found == text and len(families) > 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (drawn(text, families) != drawn("□" * len(text), [BASE])).any()

    def figure():
        with shared_style(), rc_context({"font.family": families}):
            made = Figure(figsize=(1, 1))
            made.text(0, 0.5, text, parse_math=False)
        return made

    check_same_bytes(figure, tmp_path)
