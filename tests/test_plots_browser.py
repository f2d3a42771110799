"""The slider of layers as somebody uses it: opened from the disk, in a real browser."""

import shutil

import numpy as np
import pandas as pd
import pytest

from shiftlens.languages import language_name
from shiftlens.plots import layers_interactive, save_html

TEXTS = {
    "en": "Good morning, <b>friend</b> & neighbour",
    "th": "สวัสดีตอนเช้า เพื่อนรัก",
    "te": "శుభోదయం మిత్రమా",
    "ar": "صباح الخير يا صديقي",
    "zh": "早上好，我的朋友",
    "hi": "सुप्रभात, मेरे मित्र",
}
OPTIONS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]
N, LAYERS = 8, 4
MANY = 700
GRAPH = "document.querySelector('.js-plotly-plot')"
FLAT = """([x, y]) => {
    const graph = document.querySelector('.js-plotly-plot');
    const box = graph.getBoundingClientRect(), {xaxis, yaxis} = graph._fullLayout;
    return [box.left + xaxis._offset + xaxis.d2p(x), box.top + yaxis._offset + yaxis.d2p(y)];
}"""
SOLID = """point => {
    const scene = document.querySelector('.js-plotly-plot')._fullLayout.scene._scene;
    const {model, view, projection} = scene.glplot.cameraParams;
    let v = [...point.map((c, i) => c * scene.dataScale[i]), 1];
    for (const m of [model, view, projection])
        v = [0, 1, 2, 3].map(r => [0, 1, 2, 3].reduce((sum, c) => sum + m[4 * c + r] * v[c], 0));
    const box = scene.container.getBoundingClientRect();
    return [box.left + (0.5 + 0.5 * v[0] / v[3]) * box.width,
            box.top + (0.5 - 0.5 * v[1] / v[3]) * box.height];
}"""


@pytest.fixture(scope="module")
def browser():
    """The system's Chromium, which draws WebGL without a graphics card."""
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on the path")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=OPTIONS)
        yield opened
        opened.close()


@pytest.fixture
def tab(browser):
    """A fresh tab; at the end nothing must have gone wrong or been asked of a host."""
    tab = browser.new_page(viewport={"width": 1280, "height": 800})
    complaints, requests = [], []
    tab.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("request", lambda request: requests.append(request.url))
    yield tab
    opened = tab.url
    tab.close()
    strangers = [url for url in requests if not url.startswith(("data:", "blob:"))]
    assert complaints == [] and strangers == [opened] and opened.startswith("file://")


def projection(dimensions, n=N):
    rng = np.random.default_rng(0)
    keys = [["pca"], range(LAYERS), list(TEXTS), range(1, n, 2)]
    names = ["method", "layer", "language", "sentence"]
    table = pd.MultiIndex.from_product(keys, names=names).to_frame(index=False)
    table[list("xyz"[:dimensions])] = rng.normal(size=(len(table), dimensions))
    return table


def opened(tab, table, path):
    """Open the page of a table, and say which of its traces is each language's points."""
    n = int(table["sentence"].max()) + 1
    texts = {code: [f"{text} {number}" for number in range(n)] for code, text in TEXTS.items()}
    path = save_html(layers_interactive(table, texts, area=(1, 2), layer=1), path)
    tab.goto(path.as_uri())
    webgl = tab.evaluate("!!document.createElement('canvas').getContext('webgl')")
    if not webgl and ("z" in table or n > N):
        pytest.skip("this browser has no WebGL, not even in software")
    tab.wait_for_function(f"{GRAPH} && {GRAPH}._fullLayout && {GRAPH}._fullLayout.sliders")
    tab.wait_for_timeout(500)
    names = tab.evaluate(f"{GRAPH}._fullData.map(t => t.mode == 'markers' ? t.name : '')")
    return {code: names.index(language_name(code)) for code in TEXTS}


def shown(tab, trace, axis):
    return tab.evaluate(f"Array.from({GRAPH}._fullData[{trace}].{axis})")


def slide(tab, share):
    """Click the slider's rail."""
    rail = tab.locator(".slider-rail-touch-rect").bounding_box()
    tab.mouse.click(rail["x"] + share * rail["width"], rail["y"] + rail["height"] / 2)


def expected(table, layer, code, axis):
    rows = table[(table["layer"] == layer) & (table["language"] == code)]
    return rows[axis].to_numpy("f4").tolist()


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_slider_moves_the_points_and_hover_reads_the_sentences(tab, tmp_path, dimensions):
    table = projection(dimensions)
    traces = opened(tab, table, tmp_path / "layers.html")
    assert shown(tab, traces["th"], "x") == expected(table, 1, "th", "x")
    slide(tab, 0.99)
    tab.wait_for_function(
        f"x => {GRAPH}._fullData[{traces['th']}].x[0] == x", arg=expected(table, 3, "th", "x")[0]
    )
    for code, trace in traces.items():
        for axis in "xyz"[:dimensions]:
            assert shown(tab, trace, axis) == expected(table, 3, code, axis)
    tab.wait_for_timeout(500)
    said = tab.locator("text", has_text="(residual stream").first.text_content()
    assert said.startswith("layer 3 (")
    for code, text in TEXTS.items():
        hovered = hover(tab, table, code, dimensions)
        assert language_name(code) in hovered and text in hovered, hovered
    assert tab.locator(".hovertext b").count() == 0


def hover(tab, table, code, dimensions):
    """The box beside one of a language's points; others may lie over some of them."""
    rows = table[(table["layer"] == 3) & (table["language"] == code)]
    for point in rows[list("xyz"[:dimensions])].to_numpy().tolist():
        x, y = tab.evaluate(FLAT if dimensions == 2 else SOLID, point)
        tab.mouse.move(x - 3, y - 3)
        tab.mouse.move(x, y)
        tab.wait_for_timeout(250)
        words = "".join(tab.locator(".hovertext").all_text_contents())
        if language_name(code) in words:
            break
    return words


def test_the_legend_takes_a_language_out_of_every_layer(tab, tmp_path):
    table = projection(2)
    traces = opened(tab, table, tmp_path / "layers.html")
    tab.locator(".legendtoggle").nth(1).click()
    hidden = f"{GRAPH}._fullData.filter(t => t.visible == 'legendonly').map(t => t.legendgroup)"
    tab.wait_for_function(f"{hidden}.length == 2")
    slide(tab, 0.01)
    tab.wait_for_function(
        f"x => {GRAPH}._fullData[{traces['te']}].x[0] == x", arg=expected(table, 0, "te", "x")[0]
    )
    assert tab.evaluate(hidden) == ["th", "th"]


def test_many_points_move_too(tab, tmp_path):
    table = projection(2, MANY)
    traces = opened(tab, table, tmp_path / "layers.html")
    assert tab.evaluate(f"{GRAPH}._fullData[{traces['zh']}].type") == "scattergl"
    slide(tab, 0.99)
    last = expected(table, 3, "zh", "x")
    tab.wait_for_function(f"x => {GRAPH}._fullData[{traces['zh']}].x[0] == x", arg=last[0])
    assert shown(tab, traces["zh"], "x") == last
