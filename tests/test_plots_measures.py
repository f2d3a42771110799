"""The figure of measures: what it shows is what the tables say."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from shiftlens.errors import ShiftlensError
from shiftlens.geometry import METRICS
from shiftlens.plots import measure_agreement, save_figure

MEASURES = [name for name, metric in METRICS.items() if metric.kind != "single"]
BASELINE = "token_overlap"
REFERENCES = ("genealogical", "syntactic", "token overlap")
LAYERS = range(7)


def correlations(measures=MEASURES, layers=LAYERS):
    grid = [
        (reference, measure, layer)
        for reference in REFERENCES
        for measure in (*measures, BASELINE)
        for layer in layers
        if measure != BASELINE or reference != "token overlap"
    ]
    table = pd.DataFrame(grid, columns=["reference", "measure", "layer"])
    return table.assign(rho=np.random.default_rng(0).uniform(-1, 1, len(table)))


def agreement(seed, measures=MEASURES):
    values = np.random.default_rng(seed).uniform(-1, 1, (len(measures), len(measures)))
    return pd.DataFrame((values + values.T) / 2, measures, measures)


def two():
    return agreement(1), agreement(2)


def drawn(axes):
    return np.ma.filled(axes.images[0].get_array(), np.nan)


def test_a_panel_shows_the_correlations_of_its_reference_and_the_baseline_last():
    table = correlations()
    figure = measure_agreement(table, *two())
    for axes, reference in zip(figure.axes, REFERENCES, strict=False):
        rows = table[table["reference"] == reference]
        for place, measure in enumerate((*MEASURES, BASELINE)):
            expected = rows[rows["measure"] == measure].sort_values("layer")["rho"].to_numpy()
            if len(expected):
                np.testing.assert_array_equal(drawn(axes)[place], expected)
            else:
                assert np.isnan(drawn(axes)[place]).all()


def test_the_matrix_has_languages_above_the_diagonal_and_layers_below():
    over_languages, over_layers = two()
    matrix = drawn(measure_agreement(correlations(), over_languages, over_layers).axes[3])
    upper = np.triu_indices(len(MEASURES), 1)
    np.testing.assert_array_equal(matrix[upper], over_languages.to_numpy()[upper])
    np.testing.assert_array_equal(matrix.T[upper], over_layers.to_numpy()[upper])
    assert np.isnan(np.diag(matrix)).all()


def test_an_undefined_correlation_is_left_white():
    table = correlations()
    table.loc[0, "rho"] = np.nan
    axes = measure_agreement(table, *two()).axes[0]
    assert np.isnan(drawn(axes)[0, 0])
    assert axes.images[0].get_cmap().get_bad().tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("measures", [MEASURES[:4], MEASURES])
@pytest.mark.parametrize("layers", [LAYERS, range(41)])
def test_no_label_is_cut_or_covered(measures, layers):
    figure = measure_agreement(
        correlations(measures, layers), agreement(1, measures), agreement(2, measures)
    )
    figure.draw_without_rendering()
    boxes = [
        (text.get_text(), text.get_window_extent())
        for text in figure.findobj(Text)
        if text.get_text() and text.get_visible()
    ]
    for name, box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0, name
        assert box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1, name
    for (name, box), (other, second) in combinations(boxes, 2):
        assert not box.overlaps(second), (name, other)


def test_the_same_tables_give_the_same_bytes(tmp_path):
    files = [save_figure(measure_agreement(correlations(), *two()), tmp_path / n) for n in "ab"]
    for first, second in zip(*files, strict=True):
        assert first.read_bytes() == second.read_bytes()


def test_tables_that_do_not_fit_are_refused():
    table = correlations()
    with pytest.raises(ShiftlensError, match=r"column\(s\) rho"):
        measure_agreement(table.drop(columns="rho"), *two())
    with pytest.raises(ShiftlensError, match="no rows"):
        measure_agreement(table[:0], *two())
    with pytest.raises(ShiftlensError, match="over_layers is not a square table"):
        measure_agreement(table, agreement(1), agreement(2, MEASURES[::-1]))
