"""The report page: what it shows is what the runs say, and it asks no host for anything."""

import json
import re
import types
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from shiftlens.area import LayerArea
from shiftlens.errors import ShiftlensError
from shiftlens.layer_sweep import LayerSweep
from shiftlens.plots import PAGE_CONFIG
from shiftlens.plots.stages_page import Stage, layer_distance_stages
from shiftlens.reports.demo import Report, accuracy_table, language_table, write_report
from shiftlens.train import TrainRun

GROUPS = {"dominant": ("en",), "mid": ("es", "de"), "low": ("fi", "ko")}
CODES = [code for group in GROUPS.values() for code in group]
METRICS = ("affine_invariant", "mean_distance")
AREA = (2, 3)
EVIL = "<script>alert(1)</script>&"
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000a49444154789c63000100000500010d0a2db40000000049454e44ae426082"
)


def sweep_table(seed):
    rng = np.random.default_rng(seed)
    grid = [(m, c, layer) for m in METRICS for c in CODES for layer in range(5)]
    table = pd.DataFrame(grid, columns=["metric", "language", "layer"])
    values = rng.uniform(10, 40, len(table))
    return table.assign(value=values, n=20, d=8, rank=8, shrinkage="oas", alpha=0.1)


def layer_sweep(seed):
    areas = {metric: LayerArea(*AREA, 0.3, AREA, True) for metric in METRICS}
    return LayerSweep(sweep_table(seed), areas, "en")


def training(out, seed, shifted):
    """A finished training, as far as a page looks at it."""
    out.mkdir()
    (out / "area.json").write_text(json.dumps({"trained_area": AREA}))
    (out / "config.yaml").write_text(
        f"# python 3, shiftlens 0\nsft: s\nparallel: '{EVIL}'\ntest: t\narm: x\narea: auto\n"
        f"out: {out}\nw: {seed}\n"
    )
    (out / "geometry.png").write_bytes(PIXEL)
    rng = np.random.default_rng(seed)
    base = np.random.default_rng(0).integers(0, 41, len(CODES)) / 40
    results = pd.DataFrame(
        {
            "when": ["before"] * len(CODES) + ["after"] * len(CODES),
            "language": CODES * 2,
            "n": 40,
            "exact_match": [*base, *(rng.integers(0, 41, len(CODES)) / 40)],
        }
    )
    model = types.SimpleNamespace(name="demo", n_layers=4, d_model=8)
    sweeps = {"before": layer_sweep(0), "after": layer_sweep(seed)}
    moved = layer_sweep(seed + 10) if shifted else None
    return TrainRun(out, model, None, results=results, shifted=moved, **sweeps)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    runs = {
        "MSFT": training(folder / "msft", 1, shifted=False),
        EVIL: training(folder / "other", 2, shifted=True),
    }
    return Report(EVIL, runs, GROUPS, "shiftlens demo --out 'a & b'")


@pytest.fixture(scope="module")
def page(report, tmp_path_factory):
    return write_report(tmp_path_factory.mktemp("page") / "index.html", report)


class Parts(HTMLParser):
    """Collects text of table cells, tags and whatever a page would fetch."""

    def __init__(self):
        super().__init__()
        self.loads, self.tags, self.cells, self.within = [], [], [], None

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loads += [value for name, value in attrs if name in ("src", "href")]
        self.within = tag

    def handle_endtag(self, tag):
        self.within = None

    def handle_data(self, data):
        if self.within in ("td", "th"):
            self.cells.append(data)


def parsed(page):
    parts = Parts()
    parts.feed(page.read_text(encoding="utf-8"))
    return parts


def test_tables_are_the_results(report):
    table = language_table(report)
    for name, run in report.runs.items():
        rows = {(r.when, r.language): r.exact_match for r in run.results.itertuples()}
        for code in CODES:
            assert table.loc[code, "base"] == rows["before", code]
            assert table.loc[code, f"base + {name}"] == rows["after", code]
    groups = accuracy_table(report)
    assert list(groups.columns) == ["dominant (en)", "mid (es de)", "low (fi ko)"]
    for name in table.columns:
        low = (table.loc["fi", name] + table.loc["ko", name]) / 2
        assert groups.loc[name, "low (fi ko)"] == pytest.approx(low, abs=1e-15)
        assert groups.loc[name, "dominant (en)"] == table.loc["en", name]


def test_the_page_shows_every_number_of_both_tables(report, page):
    cells = parsed(page).cells
    shown = [float(cell) for cell in cells if re.fullmatch(r"[01]\.\d{3}", cell)]
    expected = [
        *accuracy_table(report).to_numpy().ravel(),
        *language_table(report).to_numpy().ravel(),
    ]
    np.testing.assert_allclose(shown, expected, atol=5e-4)
    for word in ("English (en)", "Korean (ko)", "dominant (en)", "w", "1", "2"):
        assert word in cells


def test_what_users_type_is_escaped(page):
    text = page.read_text(encoding="utf-8")
    assert EVIL not in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;&amp;") >= 5
    assert "'a & b'" not in text


def test_the_page_is_self_contained_small_and_the_same_bytes(report, page, tmp_path):
    parts = parsed(page)
    assert "link" not in parts.tags
    assert len(parts.loads) == 2
    assert all(load.startswith("data:image/png;base64,") for load in parts.loads)
    assert page.stat().st_size < 12e6
    text = page.read_text(encoding="utf-8")
    assert text.count("plotly.js v") == 1
    for key, value in PAGE_CONFIG.items():
        assert text.count(f'"{key}": {json.dumps(value)}') == 2, key
    assert write_report(tmp_path / "again.html", report).read_bytes() == page.read_bytes()


def stages():
    return [Stage("base", sweep_table(0), "#000000"), Stage("on", sweep_table(1), "#0072B2", "dot")]


@pytest.mark.parametrize("metric", METRICS)
def test_stage_lines_are_the_means_of_the_tables(metric):
    figure = layer_distance_stages(stages(), AREA, metric=metric)
    assert [trace.name for trace in figure.data] == ["base", "on", "en split-half floor"]
    by_label = {button.label: button.args for button in figure.layout.updatemenus[0].buttons}
    assert list(by_label) == ["affine-invariant distance", "distance of the means"] or (
        metric == "mean_distance"
    )
    for name, (data, _) in zip(
        [metric, *(set(METRICS) - {metric})], by_label.values(), strict=True
    ):
        for values, stage in zip(data["y"], stages(), strict=False):
            rows = stage.table.query("metric == @name and language != 'en'")
            np.testing.assert_allclose(values, rows.groupby("layer")["value"].mean(), rtol=1e-12)
        floor = stages()[0].table.query("metric == @name and language == 'en'")["value"]
        np.testing.assert_array_equal(data["y"][2], floor)
    assert list(figure.data[0].y) == next(iter(by_label.values()))[0]["y"][0]
    assert (figure.layout.shapes[0].x0, figure.layout.shapes[0].x1) == AREA
    assert figure.data[1].line.dash == "dot"


def test_an_area_that_the_table_does_not_hold_is_refused():
    with pytest.raises(ShiftlensError, match="3-9"):
        layer_distance_stages(stages(), (3, 9))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_works_in_a_browser_without_a_network(browser, page, width, scheme):
    complaints, requests = [], []
    tab = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    tab.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto(page.as_uri())
    tab.wait_for_selector("#figure-stages .scatterlayer .trace")
    assert tab.locator("#figure-curves .scatterlayer .trace").count() == len(CODES) + 1
    assert tab.locator("#figure-stages .scatterlayer .trace").count() == 5
    assert tab.evaluate("document.scrollingElement.scrollWidth") <= width
    assert tab.locator("h1").text_content() == EVIL
    background = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background))) < 128) == (scheme == "dark")
    tab.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith("data:")] == [page.as_uri()]
