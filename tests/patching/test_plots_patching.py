"""Heatmaps of a patching."""

import html

import numpy as np
import pytest

from shiftlens.errors import ShiftlensError
from shiftlens.loading import load_model
from shiftlens.patching import patch
from shiftlens.plots import (
    LAYER_AXIS,
    patch_heatmap,
    patch_heatmap_interactive,
    save_figure,
    save_html,
)

PAIR = "How much is seven plus three?", "Wie viel ist zwei plus drei?"
ANSWERS = ["zehn", "fünf"]


@pytest.fixture(scope="module")
def demo():
    return load_model("demo")


@pytest.fixture(scope="module")
def result(demo):
    return patch(demo, *PAIR, ANSWERS)


@pytest.fixture(scope="module")
def heads(demo):
    return patch(demo, *PAIR, ANSWERS, component="head", align="last")


def image(figure):
    return figure.axes[0].collections[0]


def test_the_printed_map_shows_every_effect_around_zero(result):
    figure = patch_heatmap(result)
    mesh = image(figure)
    np.testing.assert_allclose(mesh.get_array().reshape(7, 8), result.grid().to_numpy())
    low, high = mesh.get_clim()
    assert -low == high == result.table["effect"].abs().max()
    axes = figure.axes[0]
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels[4] == "zwei\nseven"
    assert axes.get_ylabel().replace("\n", " ") == LAYER_AXIS
    assert list(axes.get_yticks()) == [0, 1, 2, 3, 4, 5, 6]
    what, measured = axes.get_title().split("\n")
    assert what.endswith(": residual stream patched")
    assert measured == f"effect on the {result.metric_words}"


def test_values_are_drawn_around_the_corrupt_runs(result):
    low, high = image(patch_heatmap(result, "value", title="mine")).get_clim()
    assert (low + high) / 2 == pytest.approx(result.corrupt_value)
    figure = patch_heatmap_interactive(result, "value")
    assert figure.data[0].zmid is None
    assert (figure.data[0].zmin + figure.data[0].zmax) / 2 == pytest.approx(result.corrupt_value)


def test_the_page_shows_tokens_and_numbers_under_the_pointer(result):
    figure = patch_heatmap_interactive(result)
    [trace] = figure.data
    assert list(trace.y) == [0, 1, 2, 3, 4, 5, 6]
    assert list(trace.x) == list(range(8))
    row = result.table[(result.table["layer"] == 0) & (result.table["site"] == 4)].iloc[0]
    assert list(trace.customdata[0][4]) == [
        *(0, 4, "zwei", "seven", f"{row['value']:.3g}", f"{row['effect']:.3g}", "zehn", "")
    ]
    assert figure.layout.xaxis.ticktext[4] == "zwei<br>seven"
    assert figure.layout.yaxis.title.text == LAYER_AXIS
    assert trace.zmax == -trace.zmin


def test_toward_the_clean_run_is_red_in_both(result):
    red, _, blue, _ = image(patch_heatmap(result)).get_cmap()(1.0)
    assert red > blue
    [trace] = patch_heatmap_interactive(result).data
    (_, low), *_, (_, high) = trace.colorscale
    assert trace.reversescale
    red, _, blue = map(int, low.removeprefix("rgb(").removesuffix(")").split(","))
    assert red > blue and low != high


def test_what_users_type_is_escaped(demo):
    pair = "How much is <b> five?", "How much is <i> two?"
    figure = patch_heatmap_interactive(patch(demo, *pair, metric="kl"), title="<u>")
    written = [*figure.layout.xaxis.ticktext, figure.layout.title.text]
    written += [str(fact) for fact in figure.data[0].customdata.ravel()]
    assert any("&lt;" in text for text in written)
    assert not any("<" in text.replace("<br>", "") for text in written)


def test_heads_are_drawn_at_the_last_site_or_one_over_the_sites(heads):
    figure = patch_heatmap(heads)
    assert image(figure).get_array().reshape(6, 4).shape == heads.grid().shape
    assert figure.axes[0].get_xlabel() == "head, at '?'"
    assert figure.axes[0].get_ylabel() == "block"
    one = patch_heatmap(heads, head=2)
    np.testing.assert_allclose(
        image(one).get_array().reshape(6, 7), heads.grid(head=2).to_numpy(float)
    )
    assert "attention head 2 patched" in one.axes[0].get_title()
    page = patch_heatmap_interactive(heads).data[0]
    assert list(page.x) == [0, 1, 2, 3]
    assert list(page.customdata[2][3][:2]) == [3, 6]
    assert page.customdata[2][3][-1] == "<br>head 3"


def test_long_texts_are_labelled_upright(demo):
    texts = ("We count: one, two, three, four, five,", "Wir zählen: eins, zwei, drei, vier, fünf,")
    figure = patch_heatmap(patch(demo, *texts, metric="kl", layers=[1, 2]))
    labels = figure.axes[0].get_xticklabels()
    assert labels[2].get_text() == "zählen | count"
    assert labels[2].get_rotation() == 90


def test_dollar_signs_are_no_formula(demo):
    figure = patch_heatmap(patch(demo, "How much is $ $?", "How many is $ $?", metric="kl"))
    figure.draw_without_rendering()


def test_files_are_written(result, tmp_path):
    for path in save_figure(patch_heatmap(result), tmp_path / "map"):
        assert path.stat().st_size > 1000
    page = save_html(patch_heatmap_interactive(result), tmp_path / "map.html")
    assert "residual stream patched" in page.read_text(encoding="utf-8")


def test_what_cannot_be_drawn_is_refused(demo, result):
    with pytest.raises(ShiftlensError, match="cannot draw 'top'"):
        patch_heatmap(result, "top")
    same = patch(demo, PAIR[0], PAIR[0], ["ten", "five"])
    with pytest.raises(ShiftlensError, match="no effect is defined"):
        patch_heatmap_interactive(same)
    patch_heatmap(same, "value")


def test_of_many_sites_some_are_named_and_by_the_corrupt_text(demo):
    text = "Which number comes after five? " * 12
    result = patch(demo, text.strip(), text.strip().replace("five", "two"), metric="kl", layers=[2])
    figure = patch_heatmap_interactive(result)
    axis = figure.layout.xaxis
    assert len(result.sites) > 60 >= len(axis.ticktext) > 20
    labels = [result.sites[n].label for n in axis.tickvals]
    assert list(axis.ticktext) == [html.escape(label) for label in labels]
    printed = patch_heatmap(result).axes[0].get_xticklabels()
    assert [label.get_text() for label in printed] == labels
