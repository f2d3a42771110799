"""The figures of steering show the table that they are given."""

import numpy as np
import pandas as pd
import pytest

from shiftlens.errors import ShiftlensError
from shiftlens.plots import arms_by_language, steering_figure, steering_tradeoff

RNG = np.random.default_rng(0)


def curve(kind, strengths):
    rows = []
    for strength in strengths:
        for measure in ("language", "exact_match", "perplexity"):
            for language in ("fi", "en"):
                value = RNG.uniform(0.2, 1)
                own = {"value": value, "low": value - 0.1, "high": value + 0.1, "n": 10}
                rows.append(
                    {"kind": kind, "strength": strength, "measure": measure, "language": language}
                    | own
                )
    return pd.DataFrame(rows)


TABLE = pd.concat([curve("difference", (2.0, 0.0, 1.0)), curve("lsar", (0.0, 1.0))])
ONE = TABLE[TABLE["kind"] == "difference"]


def values(measure, language, kind="difference"):
    own = TABLE.query("measure == @measure and language == @language and kind == @kind")
    return own.sort_values("strength")["value"].tolist()


def test_every_panel_has_its_measure_over_the_strength():
    figure = steering_figure(ONE, "a title")
    for axes, measure in zip(figure.axes, ("language", "exact_match", "perplexity"), strict=True):
        lines = {line.get_label(): line for line in axes.lines}
        for code, name in (("en", "English"), ("fi", "Finnish")):
            np.testing.assert_array_equal(lines[name].get_xdata(), [0, 1, 2])
            np.testing.assert_array_equal(lines[name].get_ydata(), values(measure, code))
    assert figure.axes[2].get_yscale() == "log"


def test_a_language_that_hardly_any_answer_is_in_is_not_drawn():
    table = ONE.copy()
    rare = (table["measure"] == "language") & (table["language"] == "en")
    table.loc[rare, "value"] = 0.04
    first, second, _ = steering_figure(table).axes
    assert [line.get_label() for line in first.lines] == ["Finnish"]
    assert len(second.lines) == 2


def test_a_path_goes_from_the_model_as_it_is_through_rising_strengths():
    [axes] = steering_tradeoff(TABLE, "en").axes
    lines = {line.get_label(): line for line in axes.lines}
    for kind in ("difference", "lsar"):
        np.testing.assert_array_equal(lines[kind].get_xdata(), values("language", "en", kind))
        np.testing.assert_array_equal(lines[kind].get_ydata(), values("exact_match", "en", kind))
    places = {(text.get_text(), *text.xy) for text in axes.texts}
    assert ("2", values("language", "en")[2], values("exact_match", "en")[2]) in places
    assert len(places) == 3


def test_arms_are_means_over_seeds_with_their_range():
    table = pd.DataFrame(
        {
            "arm": ["a", "a", "b", "b"],
            "language": "fi",
            "seed": [0, 1, 0, 1],
            "exact_match": [0.2, 0.6, 0.5, 0.7],
        }
    )
    [axes] = arms_by_language(table).axes
    heights = [container.lines[0].get_ydata()[0] for container in axes.containers]
    assert heights == pytest.approx([0.4, 0.6])


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: steering_figure(ONE.drop(columns="low")), "lacks the column\\(s\\) low"),
        (
            lambda: steering_figure(ONE.query("measure != 'perplexity'")),
            "measure\\(s\\) perplexity",
        ),
        (lambda: steering_tradeoff(ONE.drop(columns="kind"), "en"), "column\\(s\\) kind"),
        (lambda: steering_tradeoff(TABLE, "sw"), "no answers of language 'sw'"),
        (lambda: arms_by_language(pd.DataFrame({"arm": []})), "column\\(s\\) language"),
    ],
)
def test_a_table_that_lacks_something_is_refused(draw, message):
    with pytest.raises(ShiftlensError, match=message):
        draw()
