"""Pictures before and after training: the projection against sklearn, numpy and a made-up shift."""

import shutil
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from shiftlens.errors import ShiftlensError
from shiftlens.languages import language_name
from shiftlens.plots import (
    before_after,
    before_after_interactive,
    distance_before_after,
    distance_before_after_interactive,
    language_styles,
    project_before_after,
    save_figure,
    save_html,
)

CODES = ("en", "es", "ru", "zh-Hant", "fa")
N, WIDTH = 60, 24
TEXTS = {code: [f"{code} <b>&{i} 二十と二 " + "word " * 20 for i in range(N)] for code in CODES}
AREA = (2, 5)
METRICS = ("affine_invariant", "mean_distance_rms")


def drawn_states(codes=CODES, n=N, width=WIDTH, apart=4.0):
    """Translations share a sentence's content; every language has its own place."""
    rng = np.random.default_rng(0)
    content = rng.normal(size=(n, width))
    places = {code: apart * rng.normal(size=width) for code in codes}
    noise = {code: 0.3 * rng.normal(size=(n, width)) for code in codes}
    return {code: (content + places[code] + noise[code]).astype(np.float32) for code in codes}


BEFORE = drawn_states()
AFTER = {code: 1.2 * states + 0.5 for code, states in BEFORE.items()}
SHIFTED = {
    code: states - states.mean(axis=0) + AFTER["en"].mean(axis=0) for code, states in AFTER.items()
}


def tables(shifted=SHIFTED):
    return {m: project_before_after(BEFORE, AFTER, shifted, m) for m in ("lda", "pca")}


def points(table, panel, code):
    return table[(table["panel"] == panel) & (table["language"] == code)][["x", "y"]].to_numpy()


def test_the_table_has_the_odd_sentences_of_every_panel_and_language():
    table = project_before_after(BEFORE, AFTER, SHIFTED)
    assert list(table.columns) == ["panel", "language", "sentence", "x", "y"]
    assert list(table["panel"].unique()) == ["before", "after", "shifted"]
    for _, rows in table.groupby(["panel", "language"]):
        assert rows["sentence"].tolist() == list(range(1, N, 2))
    assert set(project_before_after(BEFORE, AFTER)["panel"]) == {"before", "after"}


def test_pca_is_numpys_singular_vectors_of_the_even_sentences():
    table = project_before_after(BEFORE, AFTER, SHIFTED, "pca")
    even = np.concatenate([side[code][::2] for side in (BEFORE, AFTER) for code in CODES])
    centre = even.mean(axis=0, dtype=np.float64)
    basis = np.linalg.svd(even - centre, full_matrices=False)[2][:2]
    for panel, states in (("before", BEFORE), ("after", AFTER), ("shifted", SHIFTED)):
        for code in CODES:
            expected = (states[code][1::2] - centre) @ basis.T
            np.testing.assert_allclose(
                np.abs(points(table, panel, code)), np.abs(expected), atol=1e-4
            )


def test_lda_separates_languages_as_another_solver_does():
    """Without shrinkage the SVD solver gives the same plane; shrinkage hardly turns it here."""
    table = project_before_after(BEFORE, AFTER)
    even = np.concatenate([side[code][::2] for side in (BEFORE, AFTER) for code in CODES])
    labels = np.tile(np.repeat(CODES, N // 2), 2)
    other = LinearDiscriminantAnalysis(solver="svd", n_components=2).fit(even, labels)
    found = np.concatenate([points(table, "before", code) for code in CODES])
    expected = np.concatenate([other.transform(BEFORE[code][1::2])[:, :2] for code in CODES])
    design = np.c_[expected, np.ones(len(expected))]
    residual = found - design @ np.linalg.lstsq(design, found, rcond=None)[0]
    assert residual.var(axis=0).sum() < 0.05 * found.var(axis=0).sum()


@pytest.mark.parametrize("method", ["lda", "pca"])
def test_the_drawn_half_and_the_shifted_states_do_not_enter_the_axes(method):
    table = project_before_after(BEFORE, AFTER, SHIFTED, method)
    other = {code: states.copy() for code, states in BEFORE.items()}
    other["es"][3] += 100
    moved = project_before_after(other, AFTER, drawn_states(apart=50), method)
    changed = (table != moved).any(axis=1)
    unshifted = table[changed & (table["panel"] != "shifted")]
    assert unshifted[["panel", "language", "sentence"]].values.tolist() == [["before", "es", 3]]
    assert changed[table["panel"] == "shifted"].all()


def test_before_and_after_share_one_map():
    same = project_before_after(BEFORE, BEFORE, BEFORE)
    for code in CODES:
        for panel in ("after", "shifted"):
            np.testing.assert_array_equal(points(same, panel, code), points(same, "before", code))


def test_lda_on_noise_does_not_invent_languages():
    """With more dimensions than sentences a picture of the fitted half would show clusters."""
    noise = {code: np.random.default_rng(i).normal(size=(40, 200)) for i, code in enumerate(CODES)}
    again = {code: states + 0.01 for code, states in noise.items()}
    table = project_before_after(noise, again)
    table = table[table["panel"] == "before"]
    within = table.groupby("language")[["x", "y"]].std().mean()
    between = table.groupby("language")[["x", "y"]].mean().std()
    assert (between < within).all()


def test_lda_shows_planted_languages_and_a_shift_that_joins_them():
    table = project_before_after(BEFORE, AFTER, SHIFTED)
    spreads = {}
    for panel, rows in table.groupby("panel"):
        within = rows.groupby("language")[["x", "y"]].std().mean()
        between = rows.groupby("language")[["x", "y"]].mean().std()
        spreads[panel] = (between / within).min()
    assert spreads["before"] > 3 and spreads["after"] > 3 and spreads["shifted"] < 0.5


@pytest.mark.parametrize(
    ("before", "after", "method", "words"),
    [
        (BEFORE, AFTER, "tsne", "unknown projection 'tsne'; choose lda or pca"),
        (BEFORE, {"en": AFTER["en"]}, "pca", "do not match"),
        (BEFORE, drawn_states(n=N - 1), "pca", "do not match"),
        (BEFORE, drawn_states(width=8), "pca", "do not match"),
        ({**BEFORE, "es": BEFORE["es"][1:]}, AFTER, "pca", "do not match"),
        (drawn_states(n=3), drawn_states(n=3), "pca", "four sentences"),
        (drawn_states(("en", "es")), drawn_states(("en", "es")), "lda", "takes three"),
    ],
)
def test_states_that_cannot_be_projected_are_refused(before, after, method, words):
    with pytest.raises(ShiftlensError, match=words):
        project_before_after(before, after, method=method)


def test_the_figure_shows_the_table_on_the_same_axes():
    both = tables()
    figure = before_after(both)
    assert len(figure.axes) == 6
    for row, table in enumerate(both.values()):
        panels = figure.axes[3 * row : 3 * row + 3]
        assert len({(axes.get_xlim(), axes.get_ylim()) for axes in panels}) == 1
        for axes, name in zip(panels, ("before", "after", "shifted"), strict=True):
            lines = {line.get_label(): line for line in axes.lines}
            for code in CODES:
                line = lines[language_name(code)]
                expected = points(table, name, code)
                np.testing.assert_array_equal(line.get_xydata(), expected)
                assert line.get_color() == language_styles(CODES)[code].colour
                assert line.get_marker() == language_styles(CODES)[code].marker
    assert [axes.get_title() for axes in figure.axes[:3]] == [
        "before training",
        "after training",
        "after training, shift on",
    ]


def test_grey_lines_join_translations_with_the_dominant_sentence():
    table = tables()["pca"]
    line = before_after({"pca": table}, dominant="ru").axes[0].lines[0]
    assert line.get_label() == "translations of 12 sentences"
    segments = line.get_xydata().reshape(-1, 3, 2)
    assert len(segments) == 12 * (len(CODES) - 1) and np.isnan(segments[:, 2]).all()
    rows = table[table["panel"] == "before"]
    place = {(row.x, row.y): (row.language, row.sentence) for row in rows.itertuples()}
    for start, end, _ in segments.tolist():
        assert place[tuple(start)][0] == "ru" != place[tuple(end)][0]
        assert place[tuple(start)][1] == place[tuple(end)][1]


def test_many_sentences_are_thinned_the_same_way_for_every_language():
    big = drawn_states(n=600)
    figure = before_after({"pca": project_before_after(big, big, method="pca")})
    counts = {len(line.get_xydata()) for line in figure.axes[0].lines[1:]}
    assert len(counts) == 1 and 120 <= counts.pop() <= 132


@pytest.mark.parametrize("shifted", [SHIFTED, None])
@pytest.mark.parametrize("methods", [("lda", "pca"), ("pca",)])
def test_no_text_is_cut_or_laid_over_the_data(shifted, methods):
    both = tables(shifted)
    sweeps = {when: sweep() for when in ("before", "after", *(["shifted"] if shifted else []))}
    for figure in (
        before_after({m: both[m] for m in methods}, title="demo, shifcon: states at layer 4"),
        distance_before_after(sweeps, AREA),
    ):
        for text in figure.findobj(Text):
            if text.get_visible() and text.get_text():
                box = text.get_window_extent()
                assert box.x0 >= -1 and box.x1 <= figure.bbox.x1 + 1, text
                assert box.y0 >= -1 and box.y1 <= figure.bbox.y1 + 1, text
        legend = figure.legends[0].get_window_extent()
        for axes in figure.axes:
            assert legend.y1 <= axes.get_tightbbox().y0
            words = axes.xaxis.label.get_window_extent()
            assert words.width <= 1.05 * axes.bbox.width
            assert axes.bbox.height > 1.2 * figure.dpi
        for one, other in pairwise(figure.axes):
            assert (
                not one.get_tightbbox()
                .shrunk(0.99, 0.99)
                .overlaps(other.get_tightbbox().shrunk(0.99, 0.99))
            )


def test_the_page_holds_the_same_points_with_their_sentences():
    both = tables()
    figure = before_after_interactive(both, TEXTS)
    traces = [t for t in figure.data if t.mode == "markers" and t.name == "Spanish"]
    assert len(traces) == 6 and [t.showlegend for t in traces] == [True] + [False] * 5
    assert {t.legendgroup for t in traces} == {"es"}
    cells = [(m, p) for m in both for p in ("before", "after", "shifted")]
    for trace, (method, panel) in zip(traces, cells, strict=True):
        np.testing.assert_array_equal(np.c_[trace.x, trace.y], points(both[method], panel, "es"))
    assert traces[0].text[1].startswith("<b>Spanish (es)</b>, sentence 4<br>es &lt;b&gt;&amp;3 ")
    assert max(len(line) for line in traces[0].text[1].split("<br>")) < 90
    for axis, start in (("x", 1), ("y", 1), ("x", 4), ("y", 4)):
        names = [f"{axis}{'' if n == 1 else n}" for n in range(start, start + 3)]
        matches = [figure.layout[f"{name[0]}axis{name[1:]}"].matches for name in names]
        assert matches.count(None) == 1 and set(matches) == {None, names[matches.index(None)]}


def sweep(scale=1.0):
    rng = np.random.default_rng(0)
    grid = [(m, c, layer) for m in METRICS for c in CODES for layer in range(7)]
    table = pd.DataFrame(grid, columns=["metric", "language", "layer"])
    values = scale * rng.uniform(1, 4, len(table))
    return table.assign(value=values, n=30, d=24, rank=24, shrinkage="ledoit-wolf")


def test_distance_lines_are_the_means_over_the_other_languages():
    sweeps = {"before": sweep(), "after": sweep(0.5), "shifted": sweep(0.25)}
    figure = distance_before_after(sweeps, AREA)
    page = distance_before_after_interactive(sweeps, AREA)
    names = ("before training", "after training", "after training, shift on")
    for column, metric in enumerate(METRICS):
        lines = {line.get_label(): line.get_ydata() for line in figure.axes[column].lines}
        traces = {trace.name: trace.y for trace in page.data[4 * column : 4 * column + 4]}
        for table, name in zip(sweeps.values(), names, strict=True):
            rows = table[(table["metric"] == metric) & (table["language"] != "en")]
            expected = rows.pivot(index="layer", columns="language", values="value").to_numpy()
            np.testing.assert_allclose(lines[name], expected.mean(axis=1), rtol=1e-12)
            np.testing.assert_allclose(traces[name], expected.mean(axis=1), rtol=1e-12)
        floor = sweeps["after"].query("metric == @metric and language == 'en'")["value"]
        np.testing.assert_array_equal(lines["split-half floor after training"], floor)
        (span,) = figure.axes[column].patches
        assert (span.get_x(), span.get_x() + span.get_width()) == AREA
    with pytest.raises(ShiftlensError, match="2-9"):
        distance_before_after(sweeps, (2, 9))
    with pytest.raises(ShiftlensError, match="'later'"):
        distance_before_after({**sweeps, "later": sweep()}, AREA)


def test_files_are_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        save_figure(before_after(tables()), tmp_path / name / "geometry")
        save_html(before_after_interactive(tables(), TEXTS), tmp_path / name / "geometry.html")
    for ending in (".png", ".svg", ".html"):
        one, other = (tmp_path / name / f"geometry{ending}" for name in ("a", "b"))
        assert one.read_bytes() == other.read_bytes()


def test_the_page_works_in_a_browser_without_a_network(tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on the path")
    path = save_html(before_after_interactive(tables(), TEXTS), tmp_path / "geometry.html")
    complaints, requests = [], []
    options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        tab = browser.new_page(viewport={"width": 1280, "height": 1000})
        tab.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(path.as_uri())
        tab.wait_for_selector(".scatterlayer .trace")
        shown = tab.locator(".scatterlayer .trace").count()
        ranges = tab.evaluate(
            "() => ['xaxis','xaxis2','xaxis3'].map("
            "a => document.querySelector('.js-plotly-plot')._fullLayout[a].range.join())"
        )
        spanish = tab.locator(".scatterlayer .trace").nth(2).locator(".point").nth(3)
        spanish.hover(force=True)
        hover = tab.wait_for_selector(".hoverlayer .hovertext").text_content()
        tab.locator(".legendtoggle").nth(2).click()
        tab.wait_for_function(
            "n => document.querySelectorAll('.scatterlayer .trace').length == n", arg=shown - 6
        )
        browser.close()
    assert shown == 6 * (len(CODES) + 1) and len(set(ranges)) == 1
    assert "sentence" in hover and "二十と二" in hover
    assert complaints == [] and requests == [path.as_uri()]
