"""The printed figures of the lens draw what their tables say."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from shiftlens.errors import ShiftlensError
from shiftlens.languages import language_name
from shiftlens.plots.lens_layers import answer_panels, entropy_lines, mass_panels
from shiftlens.plots.style import language_style

TEXTS = ("en", "es", "fi", "ko", "fa")
GROUPS = (*TEXTS, "ambiguous", "unseen")


def summary(column, names, **more):
    rng = np.random.default_rng(0)
    rows = [
        {"language": code, "layer": layer, column: name, **more}
        for code in TEXTS
        for layer in range(7)
        for name in names
    ]
    mean = rng.uniform(0.1, 0.9, len(rows))
    return pd.DataFrame(rows).assign(mean=mean, low=mean - 0.05, high=mean + 0.04)


LENS = pd.concat([summary("group", GROUPS), summary("group", ["entropy"])])
RANKS = summary("answer", TEXTS, quantity="rank")
RANKS[["mean", "low", "high"]] = 10 ** RANKS[["mean", "low", "high"]]
ANSWERS = pd.concat([RANKS, summary("answer", TEXTS, quantity="probability")])


def drawn(axes):
    """Label to the heights of the lines, and colour to the bands' corners."""
    lines = {line.get_label(): line for line in axes.lines if line.get_label()[0] != "_"}
    bands = {
        to_hex(band.get_facecolor()): band.get_paths()[0].vertices for band in axes.collections
    }
    return lines, bands


def agrees(axes, table, column):
    lines, bands = drawn(axes)
    assert len(lines) == table[column].nunique() == len(axes.collections)
    for name, own in table.groupby(column):
        label = f"{name} tokens" if name in ("ambiguous", "unseen") else language_name(name)
        np.testing.assert_allclose(lines[label].get_ydata(), own["mean"])
        np.testing.assert_allclose(lines[label].get_xdata(), own["layer"])
        if name in TEXTS:
            corners = bands[language_style(name).colour.lower()][:, 1]
            assert {*own["low"], *own["high"]} <= set(corners)


def test_a_panel_has_the_masses_of_its_language():
    figure = mass_panels(LENS)
    assert len(figure.axes) == 5
    for axes, code in zip(figure.axes, TEXTS, strict=True):
        assert axes.get_title() == f"{language_name(code)} texts"
        own = LENS[(LENS["language"] == code) & (LENS["group"] != "entropy")]
        agrees(axes, own, "group")
        heights = axes.transData.transform([(0, share) for share in (0, 0.25, 1)])[:, 1]
        assert heights[1] - heights[0] == pytest.approx((heights[2] - heights[0]) / 2)
    [legend] = figure.legends
    assert len(legend.get_texts()) == 7


def test_groups_that_never_matter_are_left_out():
    table = LENS.copy()
    table.loc[table["group"] == "ko", ["mean", "low", "high"]] = 0.049
    lines, _ = drawn(mass_panels(table).axes[0])
    assert "Korean" not in lines and len(lines) == 6


@pytest.mark.parametrize("quantity", ["rank", "probability"])
def test_a_panel_has_the_answers_to_its_prompts(quantity):
    figure = answer_panels(ANSWERS, quantity)
    for axes, code in zip(figure.axes, TEXTS, strict=True):
        assert axes.get_title() == f"{language_name(code)} prompts"
        own = ANSWERS[(ANSWERS["language"] == code) & (ANSWERS["quantity"] == quantity)]
        agrees(axes, own, "answer")
        low, high = axes.get_ylim()
        assert (low > high) == (quantity == "rank") == (axes.get_yscale() == "log")


def test_of_many_answers_those_nearest_to_the_top_are_drawn():
    codes = [*TEXTS, "de", "ru", "ja", "tr", "sw", "th", "bn"]
    many = summary("answer", codes, quantity="rank")
    many[["mean", "low", "high"]] *= 100
    many.loc[many["answer"] == "bn", "mean"] = 1.0
    many.loc[many["answer"] == "th", "mean"] = 1e5
    lines, _ = drawn(answer_panels(many).axes[0])
    assert len(lines) == 9 and "Bangla" in lines and "Thai" not in lines


def test_entropies_are_one_line_a_language():
    [axes] = entropy_lines(LENS).axes
    agrees(axes, LENS[LENS["group"] == "entropy"].assign(name=lambda t: t["language"]), "name")
    assert axes.get_ylim()[0] == 0 and "nats" in axes.get_ylabel()


@pytest.mark.parametrize("draw", [mass_panels, entropy_lines, answer_panels])
def test_a_table_that_cannot_be_drawn_is_refused(draw):
    with pytest.raises(ShiftlensError, match=r"lacks the column\(s\) layer"):
        draw(LENS.assign(answer="en", quantity="rank").drop(columns="layer"))
    with pytest.raises(ShiftlensError, match="no rows"):
        draw(LENS.assign(answer="en", quantity="rank")[:0])


def test_an_unknown_quantity_is_refused():
    with pytest.raises(ShiftlensError, match="no quantity 'loss'; choose from rank, probability"):
        answer_panels(ANSWERS, "loss")
