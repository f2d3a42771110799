"""Pictures of the sentences at every layer: against the table they are drawn of."""

import json
from base64 import b64decode
from html import unescape
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from shiftlens.errors import ShiftlensError
from shiftlens.languages import language_name
from shiftlens.plots import (
    language_styles,
    layer_geometry,
    layers_figure,
    layers_interactive,
    save_figure,
    save_html,
)
from shiftlens.plots.hover import hover_lines
from shiftlens.plots.labels import LAYER_AXIS
from shiftlens.plots.style import label_styles

CODES = ("en", "fi", "fa", "zh-Hant")
N, LAYERS = 30, 5
TOPICS = ("<i>news</i>", "sport", "travel")
TEXTS = {code: [f"{code} <b>&{n} 二十と二 " + "word " * 20 for n in range(N)] for code in CODES}


def projection(method="lda", dimensions=2, labels=False, n=N, layers=LAYERS, codes=CODES):
    rng = np.random.default_rng(0)
    keys = [[method], range(layers), codes, range(1, n, 2)]
    names = ["method", "layer", "language", "sentence"]
    table = pd.MultiIndex.from_product(keys, names=names).to_frame(index=False)
    if labels:
        table["label"] = [TOPICS[row % 3] for row in table["sentence"]]
    for axis in "xyz"[:dimensions]:
        table[axis] = 5 * table["layer"] + rng.normal(size=len(table))
    return table


def rows_of(table, layer, code):
    return table[(table["layer"] == layer) & (table["language"] == code)]


def steps(figure):
    """What each step of the slider writes into the traces: axis, then trace, as numbers."""
    return [
        {
            axis: [np.frombuffer(b64decode(a["bdata"]), {"f4": "<f4"}[a["dtype"]]) for a in arrays]
            for axis, arrays in step.args[0].items()
        }
        for step in figure.layout.sliders[0].steps
    ]


def points(figure):
    return [(i, trace) for i, trace in enumerate(figure.data) if trace.mode == "markers"]


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_every_step_brings_the_points_of_its_layer(dimensions, labels):
    table = projection("lda-labels" if labels else "pca", dimensions, labels)
    table = table.sample(frac=1, random_state=0)
    figure = layers_interactive(table, TEXTS, layer=3)
    assert len(points(figure)) == len(CODES) * (3 if labels else 1)
    moves = steps(figure)
    assert len(moves) == LAYERS and {step.method for step in figure.layout.sliders[0].steps} == {
        "restyle"
    }
    for layer, moved in enumerate(moves):
        assert list(moved) == list("xyz"[:dimensions])
        for code in CODES:
            own = rows_of(table, layer, code).set_index("sentence")
            seen = 0
            for i, trace in points(figure):
                if trace.name == language_name(code):
                    rows = own.loc[np.array(trace.customdata) - 1]
                    seen += len(rows)
                    for axis in moved:
                        np.testing.assert_array_equal(moved[axis][i], rows[axis].astype("f4"))
                        if layer == 3:
                            np.testing.assert_array_equal(trace[axis], moved[axis][i])
                    if labels:
                        assert {unescape(trace.meta[0])} == set(rows["label"])
            assert seen == len(own)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_axes_hold_all_layers_and_no_step_changes_them(dimensions):
    table = projection(dimensions=dimensions)
    figure = layers_interactive(table, TEXTS)
    home = figure.layout.scene if dimensions == 3 else figure.layout
    for axis in "xyz"[:dimensions]:
        low, high = home[f"{axis}axis"].range
        assert low < table[axis].min() and table[axis].max() < high
        assert home[f"{axis}axis"].title.text == f"LDA axis {'xyz'.index(axis) + 1}"
    for step in figure.layout.sliders[0].steps:
        assert len(step.args) == 1 and set(step.args[0]) == set("xyz"[:dimensions])


def test_the_slider_names_the_layers_and_marks_the_area():
    figure = layers_interactive(projection(), TEXTS, area=(2, 3))
    slider = figure.layout.sliders[0]
    labels = ["layer 0", "layer 1", "<b>layer 2</b>", "<b>layer 3</b>", "layer 4"]
    assert [step.label for step in slider.steps] == labels
    assert slider.active == 2 and f"layer{slider.currentvalue.suffix}" == LAYER_AXIS
    subtitle = figure.layout.title.subtitle.text
    assert subtitle.startswith("15 of 30 sentences a language")
    assert subtitle.endswith("translations of 12 sentences; bold on the slider: layer area 2–3")
    assert layers_interactive(projection(), TEXTS).layout.sliders[0].active == 2
    assert layers_interactive(projection(), TEXTS, layer=4).layout.sliders[0].active == 4


def test_grey_lines_join_translations_and_leave_with_their_language():
    table = projection()
    figure = layers_interactive(table, TEXTS, dominant="fi")
    lines = [(i, trace) for i, trace in enumerate(figure.data) if trace.mode == "lines"]
    assert [trace.legendgroup for _, trace in lines] == ["en", "fa", "zh-Hant"]
    moved = steps(figure)[4]
    for i, trace in lines:
        segments = np.c_[moved["x"][i], moved["y"][i]].reshape(-1, 3, 2)
        assert len(segments) == 12 and np.isnan(segments[:, 2]).all()
        places = []
        for end, code in enumerate(("fi", trace.legendgroup)):
            own = rows_of(table, 4, code)[["x", "y"]].to_numpy("f4")
            same = (segments[:, None, end] == own).all(axis=2)
            assert (same.sum(axis=1) == 1).all()
            places.append(same.argmax(axis=1).tolist())
        assert places[0] == places[1] and len(set(places[0])) == 12


def test_hover_shows_the_sentence_and_obeys_no_markup():
    figure = layers_interactive(projection(labels=True), TEXTS)
    _, trace = points(figure)[1]
    assert trace.hovertemplate.startswith("<b>English (en)</b>, sentence %{customdata}<br>%{text}")
    for number, text in zip(trace.customdata, trace.text, strict=True):
        assert text.startswith(f"en &lt;b&gt;&amp;{number - 1} 二十と二 word")
        assert "<b>" not in text and max(map(len, text.split("<br>"))) < 90
        assert unescape(text.replace("<br>", " ")).split() == TEXTS["en"][number - 1].split()
    assert {trace.meta[0] for _, trace in points(figure)} == {
        "&lt;i&gt;news&lt;/i&gt;",
        "sport",
        "travel",
    }


def test_a_script_without_spaces_is_not_cut_before_a_combining_mark():
    thai = "ที่นี่มีน้ำ" * 20
    lines = hover_lines(thai).split("<br>")
    assert "".join(lines) == thai and len(lines) > 2
    assert not any("\u0e31" <= line[0] <= "\u0e4e" and line[0] not in "าำเแโใไ" for line in lines)


def test_the_menu_colours_by_label_and_back():
    table = projection("lda-labels", labels=True)
    figure = layers_interactive(table, TEXTS)
    by_language, by_label = (button.args[0] for button in figure.layout.updatemenus[0].buttons)
    shown = {}
    for i, trace in points(figure):
        own = rows_of(table, 0, trace.legendgroup).set_index("sentence")
        label = own.loc[trace.customdata[0] - 1, "label"]
        style = label_styles(TOPICS)[label]
        assert by_label["marker.color"][i] == style.colour
        assert by_label["legendgroup"][i] == label
        assert unescape(by_label["name"][i]) == label and "<" not in by_label["name"][i]
        shown[label] = shown.get(label, 0) + by_label["showlegend"][i]
        assert by_language["marker.color"][i] == trace.marker.color
        assert by_language["name"][i] == trace.name
        assert by_language["showlegend"][i] == trace.showlegend
    assert shown == dict.fromkeys(TOPICS, 1)
    assert sum(trace.showlegend for _, trace in points(figure)) == len(CODES)
    assert not layers_interactive(projection(), TEXTS).layout.updatemenus


def test_many_points_are_drawn_with_webgl_and_their_texts_are_kept_once(tmp_path):
    kinds = {}
    for n in (1000, 1002):
        table = projection(n=n, layers=2)
        texts = {code: [f"{code} sentence {i}" for i in range(n)] for code in CODES}
        figure = layers_interactive(table, texts)
        kinds[n] = {trace.type for _, trace in points(figure)}
    assert kinds == {1000: {"scatter"}, 1002: {"scattergl"}}
    page = save_html(figure, tmp_path / "page.html").read_text()
    assert page.count("fa sentence 333") == 1
    few, many = (
        len(
            json.dumps(
                layers_interactive(projection(n=1002, layers=n), texts).to_plotly_json(),
                default=lambda a: a.tolist(),
            )
        )
        for n in (2, 12)
    )
    assert (many - few) / 10 < 1.1 * len(CODES) * (501 + 36) * 2 * 4 * 4 / 3 + 500


def test_what_a_projection_lacks_is_refused():
    table = projection()
    with pytest.raises(ShiftlensError, match=r"no layer 9 \(0..4\)"):
        layers_interactive(table, TEXTS, layer=9)
    with pytest.raises(ShiftlensError, match=r"no layer 5 \(0..4\)"):
        layers_interactive(table, TEXTS, area=(2, 5))
    with pytest.raises(ShiftlensError, match=r"no dominant language 'de' \(there: en, fi, fa"):
        layers_interactive(table, TEXTS, dominant="de")
    with pytest.raises(ShiftlensError, match=r"no layer 9 \(0..4\)"):
        layers_figure({"lda": table}, [1, 9])
    with pytest.raises(ShiftlensError, match="no dominant language 'de'"):
        layers_figure({"lda": table}, [1], "de")
    for tables, layers in (({}, [1]), ({"lda": table}, [])):
        with pytest.raises(ShiftlensError, match="at least one projection and one layer"):
            layers_figure(tables, layers)


def both():
    return {
        "lda": projection(),
        "lda-labels": projection("lda-labels", labels=True),
        "pca": projection("pca", 3),
    }


def test_the_printed_figure_shows_the_tables_on_the_same_axes_in_a_row():
    tables = both()
    figure = layers_figure(tables, [0, 2, 4])
    assert len(figure.axes) == 12
    rows = [(tables["lda"], "language"), (tables["lda-labels"], "language")]
    rows += [(tables["lda-labels"], "label"), (tables["pca"], "language")]
    for number, (table, by) in enumerate(rows):
        panels = figure.axes[3 * number : 3 * number + 3]
        assert len({(axes.get_xlim(), axes.get_ylim()) for axes in panels}) == 1
        for axes, layer in zip(panels, (0, 2, 4), strict=True):
            lines = {line.get_label(): line for line in axes.lines}
            here = table[table["layer"] == layer]
            assert ("translations of 12 sentences" in lines) == (by == "language")
            for name, own in here.groupby(by):
                line = lines[language_name(name) if by == "language" else name]
                looks = language_styles(CODES) if by == "language" else label_styles(TOPICS)
                style = looks[name]
                np.testing.assert_array_equal(line.get_xydata(), own[["x", "y"]])
                assert (line.get_color(), line.get_marker()) == (style.colour, style.marker)
    assert [axes.get_title() for axes in figure.axes[:3]] == ["layer 0", "layer 2", "layer 4"]
    assert figure.axes[6].get_ylabel() == "labels as classes\ncolour: label\nLDA axis 2"
    assert figure.axes[9].get_ylabel() == "PCA axis 2"
    titles = [legend.get_title().get_text() for legend in figure.legends]
    assert sorted(titles) == ["label", "language (15 sentences each)"]


@pytest.mark.parametrize(
    ("layers", "methods"),
    [([3], ["lda"]), ([0, 4], ["lda-labels"]), ([0, 1, 2, 4], ["lda", "lda-labels"])],
)
def test_no_text_is_cut_or_laid_over_the_data(layers, methods):
    tables = {method: both()[method] for method in methods}
    figure = layers_figure(tables, layers, title="a model")
    parts = [*figure.axes, *figure.legends, *figure.texts]
    for box in (part.get_tightbbox() for part in parts):
        assert box.x0 >= -1 and box.x1 <= figure.bbox.x1 + 1
        assert box.y0 >= -1 and box.y1 <= figure.bbox.y1 + 1
    (title,) = (text for text in figure.findobj(Text) if text.get_text() == "a model")
    assert title.get_window_extent().y0 >= figure.axes[0].get_tightbbox().y1 - 1
    words = next(text for text in figure.texts if text.get_text().endswith(LAYER_AXIS))
    below = [*figure.legends, words]
    boxes = sorted((part.get_window_extent() for part in below), key=lambda box: box.y0)
    for lower, upper in pairwise(boxes):
        assert lower.y1 <= upper.y0 + 1
    panels = [axes.get_tightbbox() for axes in figure.axes]
    assert min(axes.bbox.height for axes in figure.axes) > figure.dpi
    for number, panel in enumerate(panels):
        assert boxes[-1].y1 <= panel.y0 + 1
        for other in panels[:number]:
            assert not panel.shrunk(0.98, 0.98).overlaps(other.shrunk(0.98, 0.98))


def test_files_are_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        save_figure(layers_figure(both(), [1]), tmp_path / name / "layers", ("png", "svg", "pdf"))
        save_html(layers_interactive(projection(), TEXTS), tmp_path / name / "layers.html")
    for ending in (".png", ".svg", ".pdf", ".html"):
        one, other = (tmp_path / name / f"layers{ending}" for name in ("a", "b"))
        assert one.read_bytes() == other.read_bytes()


def test_one_layer_has_the_same_axes_as_every_other_and_shows_the_sentences():
    table = projection("pca")
    figures = [layer_geometry(table, layer, TEXTS) for layer in range(LAYERS)]
    ranges = {(figure.layout.xaxis.range, figure.layout.yaxis.range) for figure in figures}
    assert len(ranges) == 1
    low, high = figures[0].layout.xaxis.range
    assert low < table["x"].min() and high > table["x"].max()
    traces = {trace.name: trace for trace in figures[1].data if trace.name}
    assert list(traces) == [language_name(code) for code in CODES]
    rows = rows_of(table, 1, "fi")
    np.testing.assert_array_equal(traces["Finnish"].x, rows["x"])
    assert list(traces["Finnish"].customdata) == rows["sentence"].tolist()
    assert "sentence 6<br>fi &lt;b&gt;&amp;5 " in traces["Finnish"].text[2]


def test_a_sentence_of_one_layer_is_ringed_and_joined_to_its_translations():
    table = projection("pca")
    figure = layer_geometry(table, 2, TEXTS, sentence=7)
    own = table[(table["layer"] == 2) & (table["sentence"] == 7)]
    np.testing.assert_array_equal(figure.data[-1].x, own["x"])
    joined = pd.Series(figure.data[0].x).dropna()
    assert set(joined) == set(own["x"]) and len(joined) == 2 * (len(CODES) - 1)
    assert len(layer_geometry(table, 2, TEXTS, sentence=8).data[-1].x) == 0
    with pytest.raises(ShiftlensError, match=r"no layer 9 \(0..4\)"):
        layer_geometry(table, 9, TEXTS)
