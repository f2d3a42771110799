"""Alignment by layer: every panel is its metric's rows, between 0 and 1."""

import numpy as np
import pandas as pd
import pytest
from test_plots_pairs import check_same_bytes, check_texts_are_inside

from shiftlens.errors import ShiftlensError
from shiftlens.languages import language_name
from shiftlens.plots import (
    ALIGNMENT_METRICS,
    COMMON_LANGUAGES,
    LAYER_AXIS,
    alignment,
    alignment_interactive,
    language_style,
)

CODES = ("en", "fi", "ko")
AREA = (2, 4)


def sweep(metrics=ALIGNMENT_METRICS, codes=CODES, layers=7):
    grid = [(m, c, layer) for m in metrics for c in codes for layer in range(layers)]
    table = pd.DataFrame(grid, columns=["metric", "language", "layer"])
    values = np.random.default_rng(0).uniform(0.2, 0.9, len(table))
    facts = {"n": 250, "d": 64, "rank": 60, "shrinkage": "ledoit-wolf", "reference": 1 / 250}
    return table.assign(value=values, low=values - 0.1, high=values + 0.05, **facts)


def values_of(table, metric, code):
    rows = table[(table["metric"] == metric) & (table["language"] == code)]
    return rows.sort_values("layer")["value"].to_numpy()


TITLES = {
    "retrieval P@1, to English": "retrieval",
    "retrieval P@1, from English": "retrieval_back",
    "MEXA": "mexa",
    "retrieval P@1 by CSLS, to English": "csls",
    "retrieval P@1 by CSLS, from English": "csls_back",
}


def test_every_panel_draws_its_metrics_rows():
    table = sweep((*ALIGNMENT_METRICS, "cosine")).sample(frac=1, random_state=0)
    figure = alignment(table, AREA)
    assert [axes.get_title() for axes in figure.axes] == list(TITLES)
    for axes in figure.axes:
        metric = TITLES[axes.get_title()]
        lines = {line.get_label(): line for line in axes.lines}
        for code in ("fi", "ko"):
            line = lines[language_name(code)]
            np.testing.assert_array_equal(line.get_ydata(), values_of(table, metric, code))
            assert line.get_color() == language_style(code).colour
        mean = lines["mean of 2 languages"]
        expected = (values_of(table, metric, "fi") + values_of(table, metric, "ko")) / 2
        np.testing.assert_allclose(mean.get_ydata(), expected)
        assert mean.get_color() == "#000000"
        assert set(lines["chance"].get_ydata()) == {1 / 250}
        assert lines["chance"].get_linestyle() == ":"
        assert len(axes.collections) == 3, "a band a language"
        assert axes.get_ylim() == (0, 1)
        (span,) = axes.patches
        assert (span.get_x(), span.get_x() + span.get_width()) == AREA


def test_the_page_draws_the_same_and_takes_a_language_out_of_every_panel_at_once():
    table = sweep()
    page = alignment_interactive(table, AREA)
    assert [note.text for note in page.layout.annotations] == list(TITLES)
    for number, metric in enumerate(TITLES.values(), start=1):
        axis = "y" if number == 1 else f"y{number}"
        here = [trace for trace in page.data if trace.yaxis == axis]
        finnish = next(trace for trace in here if trace.name == "Finnish")
        assert list(finnish.y) == values_of(table, metric, "fi").tolist()
        assert finnish.legendgroup == "fi"
        assert "n = 250" in finnish.text[3] and "layer 3" in finnish.text[3]
        assert "[" in finnish.text[3]
        scale = page.layout[f"yaxis{number if number > 1 else ''}"]
        assert scale.range[0] == 0 and scale.range[1] == pytest.approx(1, abs=0.03)
    named = [trace.name for trace in page.data if trace.name and trace.showlegend is not False]
    assert len(named) == len(set(named)) == 5
    assert len(page.layout.shapes) == 5
    assert "layer area 2–4 shaded" in page.layout.title.text


@pytest.mark.parametrize("draw", [alignment, alignment_interactive])
def test_without_such_a_metric_it_says_what_to_sweep(draw):
    with pytest.raises(ShiftlensError, match="--metric retrieval,retrieval_back,mexa`"):
        draw(sweep(["cosine"]))
    with pytest.raises(ShiftlensError, match="within 0-6"):
        draw(sweep(), (3, 9))
    with pytest.raises(ShiftlensError, match="'de'"):
        draw(sweep(), dominant="de")
    assert draw(sweep(["mexa"]))


def test_without_intervals_reference_or_area_nothing_is_drawn_for_them():
    table = sweep(["mexa"])
    table[["low", "high", "reference"]] = np.nan
    (axes,) = alignment(table).axes
    assert not axes.collections and not axes.patches
    assert "chance" not in [line.get_label() for line in axes.lines]


@pytest.mark.parametrize("count", [1, 2, 4, 5])
@pytest.mark.parametrize(("codes", "layers"), [(CODES, 7), (("en", *COMMON_LANGUAGES[:39]), 33)])
def test_no_text_is_cut_or_laid_over_the_data(count, codes, layers):
    figure = alignment(sweep(ALIGNMENT_METRICS[:count], codes, layers), AREA, title="A model")
    check_texts_are_inside(figure)
    legend = figure.legends[0].get_window_extent()
    assert all(legend.y1 <= axes.get_tightbbox().y0 + 1 for axes in figure.axes)
    assert all(axes.bbox.height > 0.8 * figure.dpi for axes in figure.axes)
    drawn = [axes.get_xlabel().replace("\n", " ") for axes in figure.axes]
    assert LAYER_AXIS in drawn


def test_the_same_table_gives_the_same_bytes(tmp_path):
    check_same_bytes(lambda: alignment(sweep(["mexa", "csls"]), AREA), tmp_path)
