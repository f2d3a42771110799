import numpy as np
import pandas as pd
import pytest

from shiftlens.errors import ShiftlensError
from shiftlens.plots import LAYER_AXIS, arms_by_layer, distance_scatter, language_style

SEEDS = (0, 1, 2)
LINES = (("base", "off"), ("msft", "off"), ("shifcon", "off"), ("shifcon", "on"))
METRICS = ("affine_invariant", "retrieval")


def arms():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "metric": metric,
            "arm": arm,
            "shift": shift,
            "seed": seed,
            "layer": layer,
            "value": rng.normal(),
            "reference": 0.1 if metric == "retrieval" else np.nan,
            "floor": 0.01 * layer + (arm == "msft"),
        }
        for metric in METRICS
        for arm, shift in LINES
        for seed in (SEEDS if arm != "base" else (0,))
        for layer in range(4)
    )


def lines(axes):
    return {line.get_label(): line for line in axes.lines}


def test_a_line_is_the_mean_over_seeds_and_its_band_their_range():
    table = arms()
    figure = arms_by_layer(table, (1, 2))
    assert len(figure.axes) == len(METRICS)
    for axes, metric in zip(figure.axes, METRICS, strict=True):
        bands = iter(axes.collections)
        for (arm, shift), name in zip(
            LINES, ("base", "MSFT", "ShifCon", "ShifCon, shift on"), strict=True
        ):
            own = table[
                (table["metric"] == metric) & (table["arm"] == arm) & (table["shift"] == shift)
            ].groupby("layer")["value"]
            np.testing.assert_allclose(lines(axes)[name].get_ydata(), own.mean())
            ends = next(bands).get_paths()[0].vertices
            assert ends[:, 1].min() == pytest.approx(own.min().min())
            assert ends[:, 1].max() == pytest.approx(own.max().max())


def test_a_shift_changes_the_dashes_and_not_the_colour_of_its_model():
    found = lines(arms_by_layer(arms()).axes[0])
    off, on = found["ShifCon"], found["ShifCon, shift on"]
    assert off.get_color() == on.get_color()
    assert (off.get_linestyle(), on.get_linestyle()) == ("-", "--")
    assert len({found[name].get_color() for name in ("base", "MSFT", "ShifCon")}) == 3


def test_chance_is_drawn_where_there_is_one_and_each_models_floor_elsewhere():
    distance, retrieval = arms_by_layer(arms()).axes
    dashed = [line for line in distance.lines if line.get_linestyle() == "-."]
    colours = {line.get_color() for line in dashed}
    assert len(dashed) == len(colours) == 3
    msft = lines(distance)["MSFT"].get_color()
    [floor] = [line for line in dashed if line.get_color() == msft]
    np.testing.assert_allclose(floor.get_ydata(), [1, 1.01, 1.02, 1.03])
    assert not [line for line in retrieval.lines if line.get_linestyle() == "-."]
    assert set(lines(retrieval)["chance"].get_ydata()) == {0.1}


def test_the_layer_axis_is_named_and_the_area_shaded():
    figure = arms_by_layer(arms(), (1, 2))
    assert LAYER_AXIS in [axes.get_xlabel() for axes in figure.axes]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "layer area 1–2" in names
    assert len(names) == len(set(names))
    assert "layer area 1–2" not in [
        text.get_text() for text in arms_by_layer(arms()).legends[0].get_texts()
    ]


@pytest.mark.parametrize(
    ("table", "area", "message"),
    [
        (arms().drop(columns="floor"), None, "lacks the column.* floor"),
        (arms().head(0), None, "no rows"),
        (pd.concat([arms(), arms().head(1)]), None, "twice; average over the languages"),
        (arms(), (1, 9), "1-9 must be two rising layers within 0-3"),
    ],
)
def test_a_table_that_cannot_be_drawn_is_refused(table, area, message):
    with pytest.raises(ShiftlensError, match=message):
        arms_by_layer(table, area)


CODES = ("de", "fi", "ja")


def scatter():
    points = pd.DataFrame(
        {"measure": measure, "reference": reference, "language": code, "x": x, "y": x * x + len(m)}
        for m, measure in (("a", "affine_invariant"), ("bb", "mexa"))
        for reference in ("genealogical", "syntactic")
        for x, code in enumerate(CODES)
    )
    found = points[["measure", "reference"]].drop_duplicates()
    return points, found.assign(rho=[0.5, -0.25, -0.001, 1], p=[0.04, 0.3, 0.5, 0.001], given=0.2)


def test_every_language_is_a_point_in_its_own_colour_and_marker():
    figure = distance_scatter(*scatter())
    for axes, shift in zip(figure.axes, (1, 1, 2, 2), strict=True):
        found = {line.get_label(): line for line in axes.lines}
        assert list(found) == ["German", "Finnish", "Japanese"]
        for x, (code, line) in enumerate(zip(CODES, found.values(), strict=True)):
            assert (line.get_xdata()[0], line.get_ydata()[0]) == (x, x * x + shift)
            style = language_style(code)
            assert (line.get_color(), line.get_marker()) == (style.colour, style.marker)


def test_panels_say_their_correlation_and_axes_what_is_measured():
    figure = distance_scatter(*scatter(), title="layer 3")
    titles = [axes.get_title().splitlines()[0] for axes in figure.axes]
    assert titles == [
        "ρ = 0.50 (p = 0.04)",
        "ρ = −0.25 (p = 0.3)",
        "ρ = 0.00 (p = 0.5)",
        "ρ = 1.00 (p = 0.001)",
    ]
    assert figure.axes[0].get_title().endswith("given token overlap 0.20")
    assert figure.axes[2].get_ylabel() == "1 − MEXA"
    assert figure.axes[0].get_ylabel().startswith("affine-invariant distance")
    assert [axes.get_xlabel() for axes in figure.axes[2:]] == [
        "genealogical distance",
        "syntactic distance",
    ]
    assert figure.get_suptitle() == "layer 3"


def test_without_a_partial_correlation_none_is_said():
    points, found = scatter()
    title = distance_scatter(points, found.assign(given=np.nan)).axes[0].get_title()
    assert title == "ρ = 0.50 (p = 0.04)"


def test_a_scatter_that_cannot_be_drawn_is_refused():
    points, found = scatter()
    with pytest.raises(ShiftlensError, match=r"points lacks the column.* x"):
        distance_scatter(points.drop(columns="x"), found)
    with pytest.raises(ShiftlensError, match="no correlation of 'mexa' with 'syntactic'"):
        distance_scatter(points, found.head(3))
    with pytest.raises(ShiftlensError, match="no rows"):
        distance_scatter(points.head(0), found)
