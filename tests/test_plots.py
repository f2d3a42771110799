"""Figures: what they show is what the table says, and the same table gives the same bytes."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from itertools import combinations, pairwise

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from PIL import Image

from shiftlens.errors import ShiftlensError
from shiftlens.geometry import METRICS as REGISTERED
from shiftlens.languages import language_name
from shiftlens.plots import (
    COMMON_LANGUAGES,
    LAYER_AXIS,
    language_style,
    language_styles,
    layer_distance,
    layer_distance_interactive,
    layer_step,
    metric_label,
    save_figure,
    save_html,
)

METRICS = ("affine_invariant", "mean_distance", "mean_distance_rms", "shifcon", "fixed_rank")
THREE = ("en", "sw", "de", "zh")
TWELVE = ("en", *["de", "es", "fr", "ja", "ru", "zh-Hant", "sw", "th", "bn", "te", "ta", "ht"])
AREA = (5, 8)


def sweep(codes=THREE, layers=12, metrics=METRICS):
    rng = np.random.default_rng(0)
    columns = ("metric", "language", "layer")
    grid = [(m, c, layer) for m in metrics for c in codes for layer in range(layers + 1)]
    table = pd.DataFrame(grid, columns=columns)
    values = rng.uniform(10, 40, len(table))
    return table.assign(value=values, n=250, d=1024, rank=120, shrinkage="ledoit-wolf")


def values_of(table, metric, code):
    rows = table[(table["metric"] == metric) & (table["language"] == code)]
    return rows.sort_values("layer")["value"].to_numpy()


def lines_of(figure):
    return {line.get_label(): line for line in figure.axes[0].lines}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    table = sweep()
    figure = layer_distance_interactive(table, AREA)
    return table, save_html(figure, tmp_path_factory.mktemp("page") / "distance.html")


@pytest.mark.parametrize("metric", METRICS)
def test_lines_are_the_tables_values(metric):
    table = sweep().sample(frac=1, random_state=1)
    lines = lines_of(layer_distance(table, AREA, metric=metric))
    others = [code for code in THREE if code != "en"]
    assert set(lines) == {"mean of 3 languages", "en split-half floor"} | {
        language_name(code) for code in others
    }
    for code in others:
        np.testing.assert_array_equal(lines[language_name(code)].get_xdata(), np.arange(13))
        drawn = lines[language_name(code)].get_ydata()
        np.testing.assert_array_equal(drawn, values_of(table, metric, code))
    floor = lines["en split-half floor"]
    np.testing.assert_array_equal(floor.get_ydata(), values_of(table, metric, "en"))
    assert floor.get_linestyle() == "--"
    mean = lines["mean of 3 languages"]
    expected = np.mean([values_of(table, metric, code) for code in others], axis=0)
    np.testing.assert_allclose(mean.get_ydata(), expected, rtol=1e-12)
    assert mean.get_linewidth() > floor.get_linewidth()


def test_another_language_can_be_dominant():
    table = sweep()
    lines = lines_of(layer_distance(table, AREA, dominant="zh"))
    floor = lines["zh split-half floor"].get_ydata()
    np.testing.assert_array_equal(floor, values_of(table, "affine_invariant", "zh"))
    assert "English" in lines


def test_a_missing_point_is_a_gap_in_the_line_and_in_the_mean():
    table = sweep()
    table = table[~((table["language"] == "sw") & (table["layer"] == 4))]
    lines = lines_of(layer_distance(table, AREA))
    assert np.flatnonzero(np.isnan(lines["Swahili"].get_ydata())).tolist() == [4]
    assert np.flatnonzero(np.isnan(lines["mean of 3 languages"].get_ydata())).tolist() == [4]
    assert not np.isnan(lines["German"].get_ydata()).any()


def test_area_and_axes_are_labelled():
    figure = layer_distance(sweep(), AREA)
    (span,) = figure.axes[0].patches
    assert (span.get_x(), span.get_x() + span.get_width()) == AREA
    assert "layer area 5–8" in {text.get_text() for text in figure.findobj(Text)}
    assert figure.axes[0].get_xlabel() == LAYER_AXIS
    assert figure.axes[0].get_ylabel().startswith("affine-invariant distance\n$")
    assert figure.axes[0].get_xticks().tolist() == list(range(13))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("codes", "layers", "area"),
    [(THREE, 12, AREA), (TWELVE, 12, (1, 2)), (TWELVE, 32, (30, 31)), (COMMON_LANGUAGES, 80, AREA)],
)
def test_no_text_is_cut_or_laid_over_the_data(codes, layers, area, metric):
    figure = layer_distance(sweep(codes, layers, [metric]), area, metric=metric, title="A model")
    assert figure.get_figwidth() == 3.3
    for text in figure.findobj(Text):
        if text.get_visible() and text.get_text():
            box = text.get_window_extent()
            assert box.x0 >= -1 and box.x1 <= figure.bbox.x1 + 1, text
            assert box.y0 >= -1 and box.y1 <= figure.bbox.y1 + 1, text
    legend = figure.legends[0].get_window_extent()
    axes = figure.axes[0]
    assert legend.y1 <= axes.xaxis.label.get_window_extent().y0
    assert axes.bbox.height > figure.dpi
    labels = [label.get_window_extent() for label in axes.get_xticklabels()]
    assert all(a.x1 < b.x0 for a, b in pairwise(labels))


def test_files_are_the_same_bytes_and_carry_no_metadata(tmp_path):
    formats = ["png", "svg", "pdf"]
    first = save_figure(layer_distance(sweep(TWELVE), AREA), tmp_path / "a" / "gpt2.small", formats)
    with matplotlib.rc_context({"font.size": 20, "svg.hashsalt": "x", "savefig.bbox": "tight"}):
        figure = layer_distance(sweep(TWELVE), AREA)
        second = save_figure(figure, tmp_path / "b" / "gpt2.small", formats)
    assert [path.name for path in first] == [f"gpt2.small.{name}" for name in formats]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
        for word in (
            "Software",
            "dc:date",
            "dc:creator",
            "/Creator",
            "/CreationDate",
            matplotlib.__version__,
        ):
            assert word.encode() not in one.read_bytes()


def test_drawing_leaves_matplotlib_as_it_was(tmp_path):
    before = dict(matplotlib.rcParams)
    save_figure(layer_distance(sweep(), AREA), tmp_path / "figure")
    assert dict(matplotlib.rcParams) == before
    code = "import shiftlens.plots, sys; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_language_keeps_its_look_in_every_figure_of_a_run():
    table = sweep(TWELVE).sample(frac=1, random_state=0)
    looks = language_styles(sorted(TWELVE, reverse=True))
    assert looks == {code: language_styles(TWELVE)[code] for code in looks}
    page = {trace.name: trace for trace in layer_distance_interactive(table, AREA).data}
    for metric in METRICS:
        lines = lines_of(layer_distance(table, AREA, metric=metric))
        for code in TWELVE[1:]:
            line, trace = lines[language_name(code)], page[language_name(code)]
            assert line.get_color() == looks[code].colour == trace.line.color
            assert line.get_marker() == looks[code].marker
            assert trace.marker.symbol == looks[code].symbol
    assert looks["en"] == language_style("en") and looks["de"] == language_style("de")


@pytest.mark.parametrize("number", [1, 2, 9, 11, 12, 22, 60])
def test_languages_drawn_together_share_no_marker_before_all_are_used(number):
    rng = np.random.default_rng(number)
    codes = [*COMMON_LANGUAGES, "zh-Hans", "pt-BR", "nso", "ckb", "wo", "gn", "yue"]
    for _ in range(5):
        looks = language_styles(rng.permutation(codes)[:number].tolist())
        assert len(set(looks.values())) == number
        markers = Counter(style.marker for style in looks.values())
        assert max(markers.values()) == -(-number // 11)
        for one, other in combinations(looks.values(), 2):
            if number <= 11:
                assert one.colour != other.colour
            elif number <= 22 and one.marker == other.marker:
                assert abs(grey(one.colour) - grey(other.colour)) >= 40


def grey(colour):
    """The lightness of a colour, 0 to 255, as Pillow turns it to grey."""
    return Image.new("RGB", (1, 1), colour).convert("L").getpixel((0, 0))


def test_of_one_language_there_is_no_mean():
    table = sweep(("en", "de"))
    assert set(lines_of(layer_distance(table, AREA))) == {"German", "en split-half floor"}
    shown = {trace.name: trace.visible for trace in layer_distance_interactive(table, AREA).data}
    assert shown["German"] and not shown["mean of 1 language"]


def test_common_languages_look_different_from_each_other_and_from_the_rest():
    common = {language_style(code) for code in COMMON_LANGUAGES}
    assert len(COMMON_LANGUAGES) >= 40
    assert len(common) == len(COMMON_LANGUAGES)
    rare = {language_style(code) for code in ("zh-Hans", "pt-BR", "nso", "ckb", "wo", "gn", "yue")}
    assert not common & rare
    assert language_style("zh-Hant").colour == language_style("zh").colour
    assert language_style("pt-BR").colour == language_style("pt").colour
    assert language_style("eng") == language_style("en")
    mgsm = ["de", "es", "fr", "ja", "ru", "zh", "sw", "th", "bn", "te"]
    assert len({language_style(code).colour for code in mgsm}) == len(mgsm)


@pytest.mark.parametrize(("layers", "step"), [(6, 1), (12, 1), (24, 2), (32, 2), (48, 4), (80, 8)])
def test_layer_step(layers, step):
    assert layer_step(layers) == step


def test_every_metric_has_its_words_and_an_unlisted_one_its_own():
    for metric in REGISTERED:
        label = metric_label(metric)
        assert label.words != metric.replace("_", " ") or metric in ("effective_rank", "anisotropy")
    assert metric_label("my_metric").words == "my metric"
    figure = layer_distance(sweep(metrics=["my_metric"]), AREA, metric="my_metric")
    assert figure.axes[0].get_ylabel() == "my metric"


def with_intervals(table):
    return table.assign(low=table["value"] - 1, high=table["value"] + 2, reference=0.5)


def test_intervals_are_drawn_as_bands_and_the_reference_as_a_line():
    table = with_intervals(sweep(metrics=["mexa"]))
    axes = layer_distance(table, AREA, metric="mexa").axes[0]
    outline = axes.collections[0].get_paths()[0].vertices
    values = values_of(table, "mexa", "sw")
    assert outline[:, 1].min() == pytest.approx(values.min() - 1)
    assert outline[:, 1].max() == pytest.approx(values.max() + 2)
    assert len(axes.collections) == 4
    names = [line.get_label() for line in axes.lines]
    assert names[-2:] == ["en, unrelated sentences", "chance"]
    assert set(axes.lines[-1].get_ydata()) == {0.5}


def test_the_page_draws_intervals_and_reference_and_names_them_by_metric():
    table = with_intervals(sweep(metrics=["affine_invariant", "mexa", "grassmann"]))
    table.loc[table["metric"] == "affine_invariant", ["low", "high", "reference"]] = np.nan
    figure = layer_distance_interactive(table, AREA)
    assert [trace.visible for trace in figure.data] == [True] * 5 + [False] * 5
    mexa, grassmann = (button.args[0] for button in figure.layout.updatemenus[0].buttons[1:])
    assert mexa["visible"] == [True] * 10
    assert mexa["name"][4:6] == ["en, unrelated sentences", "chance"]
    assert grassmann["name"][4:6] == ["en split-half floor", "random subspaces"]
    values = values_of(table, "mexa", "sw").tolist()
    ends = [*(value + 2 for value in values), *(value - 1 for value in values[::-1])]
    assert mexa["y"][6] == pytest.approx(ends)
    assert "[" in mexa["text"][0][0]


@pytest.mark.parametrize("draw", [layer_distance, layer_distance_interactive])
@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda t: t.drop(columns="rank"), {}, "rank"),
        (lambda t: t, {"metric": "cka"}, "no metric 'cka'.*affine_invariant"),
        (lambda t: t, {"dominant": "fr"}, "'fr'.*en, sw, de, zh"),
        (lambda t: t[t["language"] == "en"], {}, "another language"),
        (lambda t: pd.concat([t, t]), {}, "twice"),
        (lambda t: t, {"area": (8, 5)}, "8-5"),
        (lambda t: t, {"area": (8, 13)}, "within 0-12"),
    ],
)
def test_a_table_that_cannot_be_drawn_is_refused(draw, change, options, message):
    with pytest.raises(ShiftlensError, match=message):
        draw(change(sweep()), **({"area": AREA} | options))


def test_the_page_figure_holds_every_metric():
    table = sweep()
    figure = layer_distance_interactive(table, AREA, metric="shifcon")
    names = ["Swahili", "German", "Chinese", "mean of 3 languages", "en split-half floor"]
    assert [trace.name for trace in figure.data if trace.visible] == names
    buttons = figure.layout.updatemenus[0].buttons
    words = ["ShifCon subspace distance", *(metric_label(m).words for m in METRICS[:3])]
    assert [button.label for button in buttons][:4] == words
    for metric, button in zip(["shifcon", *METRICS[:3], METRICS[4]], buttons, strict=True):
        data, layout = button.args
        for i, code in ((0, "sw"), (1, "de"), (2, "zh"), (4, "en")):
            assert data["y"][i] == values_of(table, metric, code).tolist()
        assert layout["yaxis.title.text"].startswith(metric_label(metric).words)
    assert list(figure.data[0].y) == values_of(table, "shifcon", "sw").tolist()
    box = figure.data[0].text[3]
    for part in ("Swahili (sw)", "layer 3", "n = 250, d = 1024, rank = 120", "ledoit-wolf"):
        assert part in box
    assert (figure.layout.shapes[0].x0, figure.layout.shapes[0].x1) == AREA
    assert figure.layout.annotations[0].text == "layer area 5–8"
    assert figure.data[0].line.color == language_style("sw").colour


def test_a_language_measured_by_one_metric_only_still_has_its_line():
    table = sweep()
    table = table[~((table["language"] == "sw") & (table["metric"] == "fixed_rank"))]
    figure = layer_distance_interactive(table, AREA)
    data = figure.layout.updatemenus[0].buttons[-1].args[0]
    assert np.isnan(data["y"][0]).all()
    assert "mean of 2 languages" in data["text"][3][0]


class Loads(HTMLParser):
    """Collects whatever a page would fetch."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        if tag == "link" or any(name == "src" or name == "href" for name, _ in attrs):
            self.found.append((tag, attrs))


def test_the_page_is_self_contained_and_the_same_bytes(page, tmp_path):
    table, path = page
    text = path.read_text(encoding="utf-8")
    parser = Loads()
    parser.feed(text)
    assert parser.found == []
    for value in values_of(table, "fixed_rank", "sw"):
        assert json.dumps(value) in text
    again = save_html(layer_distance_interactive(table, AREA), tmp_path / "again.html")
    assert again.read_bytes() == path.read_bytes()
    assert "<title>Each language against English, layer by layer</title>" in text
    odd = save_html(layer_distance_interactive(table, AREA, title="</script>&"), tmp_path / "odd")
    assert "<title>&lt;/script&gt;&amp;</title>" in odd.read_text(encoding="utf-8")
    assert odd.read_text(encoding="utf-8").count("</script>") == text.count("</script>")


def test_the_page_works_in_a_browser_without_a_network(page):
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on the path")
    _, path = page
    complaints, requests = [], []
    options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        tab = browser.new_page(viewport={"width": 1280, "height": 720})
        tab.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(path.as_uri())
        tab.wait_for_selector(".scatterlayer .trace")
        assert tab.locator(".scatterlayer .trace").count() == 5
        assert "affine-invariant" in tab.locator(".ytitle").text_content()
        tab.click(".updatemenu-header")
        tab.locator(".updatemenu-dropdown-button", has_text="fixed-rank").click()
        tab.wait_for_function("document.querySelector('.ytitle').textContent.includes('fixed')")
        tab.locator(".scatterlayer .trace").nth(0).locator(".point").nth(3).hover(force=True)
        hover = tab.wait_for_selector(".hoverlayer .hovertext").text_content()
        tools = tab.locator(".modebar-btn").evaluate_all("all => all.map(b => b.dataset.title)")
        browser.close()
    assert "Swahili (sw)" in hover and "ledoit-wolf" in hover
    assert not any("hare" in tool or "loud" in tool for tool in tools)
    assert complaints == []
    assert requests == [path.as_uri()]
