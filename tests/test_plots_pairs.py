"""Matrices of languages: every cell is the table's, in one order and one scale of colours."""

import shutil
from itertools import combinations, pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.text import Text
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform

from shiftlens.errors import ShiftlensError
from shiftlens.languages import language_name
from shiftlens.plots import (
    COMMON_LANGUAGES,
    metric_label,
    pair_heatmap,
    pair_heatmap_interactive,
    save_figure,
    save_html,
)
from shiftlens.plots.pair_matrices import pair_matrices

FAMILIES = {"fi": 0.0, "et": 0.4, "ko": 9.0, "ja": 9.7, "de": 4.0, "nl": 4.3}


def pairs(places=None, metric="affine_invariant", layers=range(7)):
    """Languages on a line: the distance grows with the layer, the floor is 1."""
    places = places or FAMILIES
    rows = [
        (layer, k, j, metric, 1.0 if k == j else 10 + abs(a - b) * (1 + layer / 10), 404, 64)
        for layer in layers
        for k, a in places.items()
        for j, b in places.items()
    ]
    columns = ["layer", "language", "other", "metric", "value", "n", "d"]
    return pd.DataFrame(rows, columns=columns)


def many(count):
    spread = np.random.default_rng(3).uniform(0, 50, count)
    return pairs(dict(zip(COMMON_LANGUAGES, spread.tolist(), strict=False)))


def beyond_the_axes(figure):
    """Labels of ticks outside the limits, which are not drawn."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [tick for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high]
            yield from (tick.label1 for tick in ticks)


def check_texts_are_inside(figure):
    undrawn = set(beyond_the_axes(figure))
    for text in figure.findobj(Text):
        if text.get_visible() and text.get_text() and text not in undrawn:
            box = text.get_window_extent()
            assert box.x0 >= -1 and box.x1 <= figure.bbox.x1 + 1, text
            assert box.y0 >= -1 and box.y1 <= figure.bbox.y1 + 1, text


def check_same_bytes(draw, folder):
    formats = ["png", "svg", "pdf"]
    first = save_figure(draw(), folder / "a" / "figure", formats)
    second = save_figure(draw(), folder / "b" / "figure", formats)
    assert [path.suffix for path in first] == [".png", ".svg", ".pdf"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()


def panels(figure):
    return {
        int(axes.get_title().removeprefix("layer ")): axes
        for axes in figure.axes
        if axes.get_title()
    }


def mesh(axes):
    (found,) = [child for child in axes.collections if isinstance(child, QuadMesh)]
    return found


def value_of(table, layer, k, j):
    chosen = (table["layer"] == layer) & (table["language"] == k) & (table["other"] == j)
    return table.loc[chosen, "value"].item()


def test_cells_are_the_tables_values_under_their_languages():
    table = pairs().sample(frac=1, random_state=2)
    drawn = panels(pair_heatmap(table))
    assert list(drawn) == [0, 2, 4, 6]
    for layer, axes in drawn.items():
        codes = [label.get_text() for label in axes.get_xticklabels()]
        grid = np.asarray(mesh(axes).get_array()).reshape(len(codes), -1)
        for row, k in enumerate(codes):
            for column, j in enumerate(codes):
                assert grid[row, column] == value_of(table, layer, k, j)
        assert axes.get_ylim()[0] > axes.get_ylim()[1], "the first language stands at the top"
    names = [label.get_text() for label in drawn[0].get_yticklabels()]
    assert names == [f"{language_name(code)} ({code})" for code in codes]


def test_the_order_is_that_of_the_leaves_and_one_for_all_layers():
    table = pairs()
    codes = pair_matrices(table).codes
    for one, other in (("fi", "et"), ("ko", "ja"), ("de", "nl")):
        assert abs(codes.index(one) - codes.index(other)) == 1
    mean = table.groupby(["language", "other"])["value"].mean().unstack()
    away = mean.to_numpy().copy()
    np.fill_diagonal(away, 0)

    def length(order):
        places = [mean.index.get_loc(code) for code in order]
        return sum(away[a, b] for a, b in pairwise(places))

    tree = optimal_leaf_ordering(linkage(squareform(away), "average"), squareform(away))
    assert length(codes) == pytest.approx(length(mean.index[leaves_list(tree)]))
    for axes in panels(pair_heatmap(table)).values():
        assert [label.get_text() for label in axes.get_xticklabels()] == codes
    shuffled = table.sample(frac=1, random_state=1)
    assert pair_matrices(shuffled).codes == codes


def test_similar_languages_stand_together_by_a_similarity_too():
    table = pairs(metric="mexa")
    table["value"] = np.where(table["value"] == 1, 0, 1 / table["value"])
    codes = pair_matrices(table).codes
    for one, other in (("fi", "et"), ("ko", "ja"), ("de", "nl")):
        assert abs(codes.index(one) - codes.index(other)) == 1


def test_colours_mean_the_same_in_every_panel_and_at_every_step_of_the_slider():
    table = pairs()
    ends = (table["value"].min(), table["value"].max())
    for axes in panels(pair_heatmap(table, [0, 1])).values():
        assert mesh(axes).get_clim() == ends
    page = pair_heatmap_interactive(table)
    assert (page.data[0].zmin, page.data[0].zmax) == ends
    steps = page.layout.sliders[0].steps
    assert [step.label for step in steps] == [str(layer) for layer in range(7)]
    codes = list(page.layout.xaxis.ticktext)
    for layer, step in enumerate(steps):
        (changes,) = step.args
        assert set(changes) == {"z", "hovertemplate"}
        assert changes["hovertemplate"][0].startswith(f"%{{customdata}}, layer {layer}: ")
        (grid,) = changes["z"]
        for k, j in combinations(range(len(codes)), 2):
            assert grid[k][j] == value_of(table, layer, codes[k], codes[j])


def test_hovering_names_both_languages_and_which_way_an_asymmetric_metric_goes():
    page = pair_heatmap_interactive(pairs({"fi": 0, "ko": 3}))
    assert page.data[0].customdata[0][1] in ("Finnish - Korean", "Korean - Finnish")
    assert page.data[0].customdata[0][0].endswith(", its own split-half floor")
    there = pair_heatmap_interactive(pairs({"fi": 0, "ko": 3}, "retrieval"))
    assert there.data[0].customdata[0][1] in ("Finnish → Korean", "Korean → Finnish")
    assert there.data[0].customdata[1][1].endswith(", its own unrelated sentences")


@pytest.mark.parametrize(
    ("metric", "says", "floor"),
    [
        ("affine_invariant", "larger = farther apart", "split-half floor"),
        ("symmetrised_kl", "larger = farther apart", "split-half floor"),
        ("mexa", "larger = more alike", "unrelated sentences"),
        ("retrieval", "larger = more alike", "unrelated sentences"),
    ],
)
def test_the_bar_says_what_larger_means_and_the_caption_what_the_diagonal_is(metric, says, floor):
    table = pairs(metric=metric)
    figure = pair_heatmap(table, [2])
    bar = figure.axes[-1].get_xlabel()
    words = metric_label(metric).words.replace("the dominant language", "language D")
    assert bar.startswith(words) and says in bar
    assert metric_label(metric).formula in bar
    assert floor in figure.get_supxlabel() and "n = 404, d = 64" in figure.get_supxlabel()
    page = pair_heatmap_interactive(table)
    assert says in page.data[0].colorbar.title.text
    assert floor in page.layout.xaxis.title.text


def test_values_are_written_where_they_fit():
    axes = panels(pair_heatmap(pairs(), [4]))[4]
    codes = [label.get_text() for label in axes.get_xticklabels()]
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert len(written) == len(codes) ** 2
    for (x, y), text in written.items():
        value = value_of(pairs(), 4, codes[int(y)], codes[int(x)])
        assert text == f"{value:.1f}"
    wide = pairs()
    wide["value"] *= 1e7
    assert not panels(pair_heatmap(wide, [4]))[4].texts
    assert panels(pair_heatmap(many(10), [0]))[0].texts
    assert not panels(pair_heatmap(many(11), [0]))[0].texts
    shares = pairs(metric="mexa")
    shares["value"] /= shares["value"].max()
    assert all(len(text.get_text()) == 4 for text in panels(pair_heatmap(shares, [0]))[0].texts)


@pytest.mark.parametrize(
    ("count", "layers"), [(2, [3]), (2, [0, 1]), (9, [3]), (9, [0, 1, 2]), (40, [3]), (40, [0, 1])]
)
def test_no_text_is_cut_and_no_names_meet(count, layers):
    figure = pair_heatmap(many(count), layers, title="A model")
    check_texts_are_inside(figure)
    for axes in panels(figure).values():
        names = [label.get_window_extent() for label in axes.get_yticklabels()]
        codes = [label.get_window_extent() for label in axes.get_xticklabels()]
        assert all(a.y0 > b.y1 - 1 for a, b in pairwise(names))
        assert all(a.x1 < b.x0 + 1 for a, b in pairwise(codes))
        assert axes.bbox.width == pytest.approx(axes.bbox.height, rel=0.01)


def test_the_same_table_gives_the_same_bytes(tmp_path):
    check_same_bytes(lambda: pair_heatmap(pairs(), [1, 2]), tmp_path)
    first = save_html(pair_heatmap_interactive(pairs()), tmp_path / "a.html")
    second = save_html(pair_heatmap_interactive(pairs()), tmp_path / "b.html")
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("draw", [pair_heatmap, pair_heatmap_interactive])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="other"), "lacks the column.* other"),
        (lambda t: pd.concat([t, t.assign(metric="mexa")]), "2 metrics .affine_invariant, mexa."),
        (lambda t: t[:0], "0 metrics"),
        (lambda t: pd.concat([t, t]), "a pair of layer 0 twice"),
        (lambda t: t.drop(index=8), "no value of 'et' and 'ko' at layer 0"),
        (lambda t: t[(t["language"] == "fi") & (t["other"] == "fi")], "two or more"),
    ],
)
def test_a_table_that_cannot_be_drawn_is_refused(draw, change, message):
    with pytest.raises(ShiftlensError, match=message):
        draw(change(pairs()))


def test_layers_that_are_not_there_are_refused():
    with pytest.raises(ShiftlensError, match=r"layer 9 is not in the table of pairs \(there: 0, 1"):
        pair_heatmap(pairs(), [1, 9])
    with pytest.raises(ShiftlensError, match="no layer to draw"):
        pair_heatmap(pairs(), [])
    assert list(panels(pair_heatmap(pairs(), [5, 1]))) == [5, 1]
    assert list(panels(pair_heatmap(pairs(layers=range(3))))) == [0, 1, 2]
    assert list(panels(pair_heatmap(pairs(layers=range(33))))) == [0, 11, 21, 32]


def test_the_slider_and_the_pointer_work_in_a_browser(tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api")
    if (chromium := shutil.which("chromium")) is None:
        pytest.skip("no chromium on the path")
    table = pairs()
    page = save_html(pair_heatmap_interactive(table), tmp_path / "pairs.html")
    options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    complaints = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.goto(page.as_uri())
        tab.wait_for_selector(".heatmaplayer image")
        tab.locator(".slider-tick-touch-rect, .slider-grip-rect").first.wait_for()
        box = tab.locator(".slider-rail-touch-rect").bounding_box()
        tab.mouse.click(box["x"] + box["width"] - 4, box["y"] + box["height"] / 2)
        tab.wait_for_function("document.querySelector('.js-plotly-plot').data[0].z[0][1] > 10")
        state = tab.evaluate(
            "(({z, zmin, zmax}) => ({z, zmin, zmax}))"
            "(document.querySelector('.js-plotly-plot').data[0])"
        )
        plot = tab.locator(".heatmaplayer image").bounding_box()
        tab.mouse.move(plot["x"] + plot["width"] / 4, plot["y"] + 5)
        hover = tab.wait_for_selector(".hoverlayer .hovertext").text_content()
        browser.close()
    codes = pair_matrices(table).codes
    assert state["z"][0][1] == value_of(table, 6, codes[0], codes[1])
    assert (state["zmin"], state["zmax"]) == (table["value"].min(), table["value"].max())
    value = value_of(table, 6, codes[0], codes[1])
    names = f"{language_name(codes[0])} - {language_name(codes[1])}"
    assert hover == f"{names}, layer 6: {value:.4g}"
    assert complaints == []
