"""The figures of the analyses of sweeps: what they draw is what their tables say."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from shiftlens.errors import ShiftlensError
from shiftlens.plots import area_stability, estimator_choices, layer_distance_panels, save_figure
from shiftlens.plots.labels import area_text

SIZES = (50, 1200)
CHOICES = ("base: own tokens, Ledoit-Wolf", "other halves", "with special tokens", "OAS", "α = 0.1")
LANGUAGES = ("en", "es", "fi", "ko", "fa", "zh")


def sizes_by_layer(last=6):
    rng = np.random.default_rng(0)
    rows = [{"sentences": size, "layer": layer} for size in SIZES for layer in range(last + 1)]
    values = rng.uniform(5, 30, (3, len(rows)))
    return pd.DataFrame(rows).assign(distance=values[0], spread=values[1] / 10, floor=values[2] / 9)


def shares(last=6):
    panels = {
        "by corpus size": ["50 sentences", "1,200 sentences"],
        "by metric, 1,200 sentences": ["mexa", "affine invariant", "mean distance rms"],
        "without a language, 1,200 sentences": [f"without {code}" for code in LANGUAGES],
    }
    rows = [
        {"panel": panel, "row": row, "layer": layer}
        for panel, names in panels.items()
        for row in names
        for layer in range(1, last)
    ]
    return pd.DataFrame(rows).assign(share=np.random.default_rng(1).uniform(0, 1, len(rows)))


def choices(last=6):
    rows = [{"choice": choice, "layer": layer} for choice in CHOICES for layer in range(last + 1)]
    values = np.random.default_rng(2).uniform(5, 30, (2, len(rows)))
    return pd.DataFrame(rows).assign(distance=values[0], floor=values[1] / 9)


def notes():
    return dict.fromkeys(CHOICES, "area 3–4; ρ layers 0.92, languages 0.98")


def sweep(seed, last=6):
    rows = [
        {"language": code, "layer": layer, "metric": "affine_invariant", "n": 4, "d": 8, "rank": 3}
        for code in LANGUAGES
        for layer in range(last + 1)
    ]
    values = np.random.default_rng(seed).uniform(5, 30, len(rows))
    return pd.DataFrame(rows).assign(value=values, shrinkage="oas")


def sweeps(last=6):
    return {"sentence vectors, n = 404 (d = 64)": sweep(3, last), "tokens": sweep(4, last)}


def figures(last=6):
    return [
        area_stability(sizes_by_layer(last), shares(last), area=(2, 3)),
        estimator_choices(choices(last), {"OAS": (2, 3), "α = 0.1": (1, 4)}, notes()),
        layer_distance_panels(sweeps(last), {"tokens": (2, 3)}),
    ]


def unseen(figure):
    """Labels of ticks beyond the ends of their axis, which are never drawn."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in axis.get_major_ticks():
                if not low <= tick.get_loc() <= high:
                    yield tick.label1


def lines_of(axes):
    """Label to the heights of a line."""
    return {line.get_label(): line.get_ydata() for line in axes.lines}


def test_every_size_has_its_curve_band_and_floor():
    table = sizes_by_layer()
    axes = area_stability(table, shares()).axes[0]
    drawn = [line.get_ydata() for line in axes.lines]
    for place, (size, rows) in enumerate(table.groupby("sentences")):
        assert axes.lines[2 * place].get_label() == f"{size:,} sentences"
        np.testing.assert_array_equal(drawn[2 * place], rows["distance"])
        np.testing.assert_array_equal(drawn[2 * place + 1], rows["floor"])
        band = axes.collections[place].get_paths()[0].vertices
        for layer, middle, spread in zip(
            rows["layer"], rows["distance"], rows["spread"], strict=True
        ):
            ends = band[band[:, 0] == layer, 1]
            assert (ends.min(), ends.max()) == pytest.approx((middle - spread, middle + spread))


def test_every_heatmap_shows_the_shares_of_its_panel_at_their_layers():
    table = shares()
    panels = area_stability(sizes_by_layer(), table, area=(2, 3)).axes[1:4]
    for axes, (panel, rows) in zip(panels, table.groupby("panel", sort=False), strict=True):
        assert axes.get_title() == panel
        wide = rows.pivot(index="row", columns="layer", values="share").loc[rows["row"].unique()]
        np.testing.assert_allclose(axes.images[0].get_array(), 100 * wide)
        assert axes.images[0].get_extent()[:2] == [0.5, 5.5]
        assert [label.get_text() for label in axes.get_yticklabels()] == list(wide.index)
        numbers = {(text.get_position()): text.get_text() for text in axes.texts}
        for place, row in enumerate(wide.index):
            for layer in wide.columns:
                assert numbers[layer, place] == f"{100 * wide.loc[row, layer]:.0f}"
        outline = axes.patches[0]
        assert (outline.get_x(), outline.get_x() + outline.get_width()) == (1.5, 3.5)


def test_many_layers_have_no_numbers_in_their_cells():
    figure = area_stability(sizes_by_layer(32), shares(32))
    assert all(len(axes.texts) == 0 for axes in figure.axes)
    assert len(area_stability(sizes_by_layer(), shares()).axes[1].texts) == 10


def test_every_choice_is_drawn_over_the_first_with_its_own_area():
    table, areas = choices(), {"OAS": (2, 3), CHOICES[0]: (1, 4)}
    panels = estimator_choices(table, areas, notes()).axes
    assert [axes.get_title() for axes in panels] == list(CHOICES)
    base = table[table["choice"] == CHOICES[0]]
    for axes, choice in zip(panels, CHOICES, strict=True):
        own = table[table["choice"] == choice]
        drawn = [line.get_ydata() for line in axes.lines]
        expected = [base["distance"], base["floor"]]
        expected += [] if choice == CHOICES[0] else [own["distance"], own["floor"]]
        np.testing.assert_array_equal(drawn, expected)
        spans = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in axes.patches]
        assert spans == ([areas[choice]] if choice in areas else [])
        assert notes()[choice] in [text.get_text() for text in axes.texts]


def test_every_sweep_has_a_panel_of_its_own_scale():
    tables = sweeps()
    tables["tokens"]["value"] *= 10
    panels = layer_distance_panels(tables, {"tokens": (2, 3)}).axes
    for axes, (title, table) in zip(panels, tables.items(), strict=True):
        assert axes.get_title() == title
        drawn = lines_of(axes)
        wide = table.pivot(index="layer", columns="language", values="value")
        np.testing.assert_array_equal(drawn["Finnish"], wide["fi"])
        np.testing.assert_array_equal(drawn["en split-half floor"], wide["en"])
        np.testing.assert_allclose(
            drawn["mean of 5 languages"], wide.drop(columns="en").mean(axis=1)
        )
        shaded = [text.get_text() for text in axes.texts]
        assert shaded == ([area_text((2, 3))] if title == "tokens" else [])
        assert axes.get_ylim()[0] == 0
    assert panels[1].get_ylim()[1] > 5 * panels[0].get_ylim()[1]


@pytest.mark.parametrize("last", [6, 32])
def test_no_text_is_cut_or_covered_and_the_legend_is_outside_the_axes(last):
    for figure in figures(last):
        out_of_view = set(unseen(figure))
        boxes = [
            (text.get_text(), text.get_window_extent())
            for text in figure.findobj(Text)
            if text.get_text() and text.get_visible() and text not in out_of_view
        ]
        for name, box in boxes:
            assert box.x0 >= 0 and box.y0 >= 0, name
            assert box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1, name
        for (name, box), (other, second) in combinations(boxes, 2):
            assert not box.overlaps(second), (name, other)
        (legend,) = figure.legends
        for axes in figure.axes:
            assert not legend.get_window_extent().overlaps(axes.get_window_extent())


def test_the_same_tables_give_the_same_bytes(tmp_path):
    both = [
        save_figure(area_stability(sizes_by_layer(), shares()), tmp_path / name) for name in "ab"
    ]
    for first, second in zip(*both, strict=True):
        assert first.read_bytes() == second.read_bytes()


def test_tables_that_cannot_be_drawn_are_refused():
    with pytest.raises(ShiftlensError, match=r"table of curves lacks the column\(s\) floor"):
        area_stability(sizes_by_layer().drop(columns="floor"), shares())
    with pytest.raises(ShiftlensError, match="table of shares has no rows"):
        area_stability(sizes_by_layer(), shares()[:0])
    with pytest.raises(ShiftlensError, match=r"lacks the column\(s\) choice"):
        estimator_choices(choices().drop(columns="choice"), {}, {})
    with pytest.raises(ShiftlensError, match="table of choices has no rows"):
        estimator_choices(choices()[:0], {}, {})
    with pytest.raises(ShiftlensError, match="no sweep to draw"):
        layer_distance_panels({}, {})
    with pytest.raises(ShiftlensError, match="must be two rising layers"):
        layer_distance_panels(sweeps(), {"tokens": (3, 9)})
