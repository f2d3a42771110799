"""Curves of a training: every panel is a column of its log."""

import numpy as np
import pandas as pd
import pytest
from test_plots_pairs import check_same_bytes, check_texts_are_inside

from shiftlens.errors import ShiftlensError
from shiftlens.plots import training_curves, training_curves_interactive
from shiftlens.plots.losses import STEP_AXIS

PANELS = {
    "generation loss": "loss_lm",
    "loss of the pairs": "loss_pairs",
    "objective": "loss",
    "learning rate": "learning_rate",
    "gradient norm": "grad_norm",
}


def log(points=6):
    """As the Trainer logs: a row every ten steps, and a last one of other columns."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.uniform(0.1, 3, (points, 5)), columns=list(PANELS.values()))
    table["step"] = 10 * np.arange(1, points + 1)
    end = pd.DataFrame({"step": [10 * points], "train_runtime": [8.7], "train_loss": [1.2]})
    return pd.concat([table, end], ignore_index=True)


@pytest.mark.parametrize("points", [1, 6, 200])
def test_every_panel_draws_its_column(points):
    table = log(points)
    figure = training_curves(table.sample(frac=1, random_state=1), "demo, shifcon")
    assert [axes.get_title() for axes in figure.axes] == list(PANELS)
    for axes in figure.axes:
        (line,) = axes.lines
        column = table[PANELS[axes.get_title()]].dropna()
        np.testing.assert_array_equal(line.get_ydata(), column)
        np.testing.assert_array_equal(line.get_xdata(), 10 * np.arange(1, points + 1))
        assert axes.get_ylim()[0] == 0 and axes.get_ylim()[1] > column.max()
        assert axes.get_ylabel() and axes.get_xlabel() == STEP_AXIS
    units = [axes.get_ylabel().replace("\n", " ") for axes in figure.axes]
    assert units[0].startswith("nats per token") and units[1].startswith("nats")
    check_texts_are_inside(figure)


def test_the_page_draws_the_same():
    table = log()
    page = training_curves_interactive(table)
    assert [note.text for note in page.layout.annotations] == list(PANELS)
    for trace in page.data:
        assert list(trace.y) == table[PANELS[trace.name]].dropna().tolist()
        assert list(trace.x) == [10, 20, 30, 40, 50, 60]
        assert f"step %{{x}}<br>{trace.name}" in trace.hovertemplate


def test_an_arm_without_pairs_has_no_panel_of_them():
    table = log().drop(columns="loss_pairs")
    titles = [axes.get_title() for axes in training_curves(table).axes]
    assert titles == [name for name in PANELS if name != "loss of the pairs"]
    table = log().assign(loss_pairs=np.nan)
    assert len(training_curves_interactive(table).data) == 4


@pytest.mark.parametrize("draw", [training_curves, training_curves_interactive])
def test_a_log_that_cannot_be_drawn_is_refused(draw):
    with pytest.raises(ShiftlensError, match="no column 'step'"):
        draw(log().drop(columns="step"))
    with pytest.raises(ShiftlensError, match="nothing to draw"):
        draw(log()[["step", "train_loss"]])
    with pytest.raises(ShiftlensError, match="nothing to draw"):
        draw(log()[:0])
    with pytest.raises(ShiftlensError, match="'loss_lm' of a step twice"):
        draw(pd.concat([log(), log()]))


def test_the_same_log_gives_the_same_bytes(tmp_path):
    check_same_bytes(lambda: training_curves(log()), tmp_path)
