"""Answers before and after: every dot is a row of the results, with Wilson's interval."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from test_plots_pairs import check_same_bytes, check_texts_are_inside

from shiftlens.errors import ShiftlensError
from shiftlens.languages import language_name
from shiftlens.plots import (
    COMMON_LANGUAGES,
    language_styles,
    save_html,
    scores,
    scores_interactive,
)
from shiftlens.plots.score_dots import wilson_interval

CODES = ("en", "fi", "ko")
GROUPS = {"dominant": ["en"], "low <b>": ["ko", "fi"]}
N = 40


def results(codes=CODES):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        [(when, code) for when in ("before", "after") for code in codes],
        columns=["when", "language"],
    )
    shares = rng.integers(0, N + 1, (len(table), 2)) / N
    perplexity = 1 + rng.uniform(0, 30, len(table))
    return table.assign(n=N, exact_match=shares[:, 0], fidelity=shares[:, 1], perplexity=perplexity)


def value_of(table, when, code, metric):
    chosen = (table["when"] == when) & (table["language"] == code)
    return table.loc[chosen, metric].item()


def names_of(axes):
    return [label.get_text() for label in axes.get_yticklabels()]


def dots_of(axes):
    """Line and time to the dot's value; open is before, filled after."""
    found = {}
    names = names_of(axes)
    for line in axes.lines:
        if len(line.get_xdata()) == 1:
            when = "before" if line.get_markerfacecolor() == "white" else "after"
            found[names[round(line.get_ydata()[0])], when] = line
    return found


def wilson(share, n, z=1.959963984540054):
    """The formula of the docstring."""
    centre = share + z**2 / (2 * n)
    reach = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return (centre - reach) / (1 + z**2 / n), (centre + reach) / (1 + z**2 / n)


@pytest.mark.parametrize("share", [0, 1, 0.5, 0.025])
def test_the_interval_is_wilsons(share):
    assert wilson_interval(share, N) == pytest.approx(wilson(share, N), abs=1e-9)


@pytest.mark.parametrize("metric", ["exact_match", "fidelity", "perplexity"])
def test_every_language_has_one_dot_before_and_one_after_where_the_results_say(metric):
    table = results().sample(frac=1, random_state=0)
    (axes,) = scores(table, metric=metric).axes
    dots = dots_of(axes)
    assert len(dots) == 2 * len(CODES)
    for (name, when), dot in dots.items():
        code = next(code for code in CODES if language_name(code) == name)
        assert dot.get_xdata()[0] == value_of(table, when, code, metric)
        assert dot.get_color() == language_styles(CODES)[code].colour
        assert dot.get_marker() == language_styles(CODES)[code].marker
    joins = [line for line in axes.lines if len(line.get_xdata()) == 2]
    assert len(joins) == len(CODES)
    for join in joins:
        ends = {dot.get_xdata()[0] for dot in dots.values()}
        assert set(join.get_xdata()) <= ends
    assert axes.get_xscale() == ("log" if metric == "perplexity" else "linear")
    assert "n = 40 questions a language" in axes.get_xlabel()
    assert ("95% intervals" in axes.get_xlabel()) == (metric != "perplexity")


def test_intervals_are_drawn_around_the_shares_and_not_around_perplexities():
    table = results()
    (axes,) = scores(table).axes
    drawn = sorted(tuple(bar.get_segments()[0][:, 0]) for bar in axes.collections)
    expected = sorted(wilson(share, N) for share in table["exact_match"])
    np.testing.assert_allclose(drawn, expected, atol=1e-9)
    (axes,) = scores(table, metric="perplexity").axes
    assert not axes.collections


def test_groups_order_and_head_the_languages():
    (axes,) = scores(results(), GROUPS).axes
    assert names_of(axes) == ["dominant", "English", "low <b>", "Korean", "Finnish"]
    weights = [label.get_fontweight() for label in axes.get_yticklabels()]
    assert weights == ["bold", "normal", "bold", "normal", "normal"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert names_of(scores(results(("ko", "en"))).axes[0]) == ["Korean", "English"]
    page = scores_interactive(results(), GROUPS)
    ticks = list(page.layout.yaxis.ticktext)
    assert ticks[:3] == ["<b>dominant</b>", "English", "<b>low &lt;b&gt;</b>"]


def test_the_page_draws_every_measure_by_its_menu():
    table = results()
    page = scores_interactive(table, metric="fidelity")
    labels = [button.label for button in page.layout.updatemenus[0].buttons]
    assert labels[1:] == ["exact match", "perplexity of the right answers"]
    assert page.layout.xaxis.type == "linear"
    for metric, button in zip(
        ("fidelity", "exact_match", "perplexity"), page.layout.updatemenus[0].buttons, strict=True
    ):
        data, axis = button.args
        for trace, when in ((1, "before"), (2, "after")):
            expected = [value_of(table, when, code, metric) for code in CODES]
            assert data["x"][trace] == expected
            assert [
                f"({code})</b>, {when}" in data["text"][trace][i] for i, code in enumerate(CODES)
            ]
        assert axis["xaxis.type"] == ("log" if metric == "perplexity" else "linear")
        assert data["error_x"][1]["visible"] == (metric != "perplexity")
        if metric == "perplexity":
            continue
        low, high = wilson(data["x"][2][0], N)
        errors = data["error_x"][2]
        assert data["x"][2][0] + errors["array"][0] == pytest.approx(high)
        assert data["x"][2][0] - errors["arrayminus"][0] == pytest.approx(low)
    assert list(page.data[1].x) == [value_of(table, "before", code, "fidelity") for code in CODES]
    assert page.data[1].marker.symbol[1].endswith("-open")
    assert not page.data[2].marker.symbol[1].endswith("-open")
    assert json.loads(page.to_json())["layout"]["xaxis"]["range"] == [-0.02, 1.02]


@pytest.mark.parametrize("draw", [scores, scores_interactive])
@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda t: t.drop(columns="n"), {}, "lack the column.* n"),
        (lambda t: pd.concat([t, t]), {}, "a language twice"),
        (lambda t: t[t["when"] == "before"], {}, "no 'en' after training"),
        (lambda t: t.drop(index=1), {}, "no 'fi' before training"),
        (lambda t: t, {"metric": "rouge"}, "no measure 'rouge'; there is exact_match, fidelity"),
        (lambda t: t, {"metric": "choice_accuracy"}, "no measure 'choice_accuracy'"),
        (lambda t: t, {"groups": {"low": ["fi", "en"]}}, "give every language one group"),
    ],
)
def test_results_that_cannot_be_drawn_are_refused(draw, change, options, message):
    with pytest.raises(ShiftlensError, match=message):
        draw(change(results()), **options)


@pytest.mark.parametrize("codes", [CODES, COMMON_LANGUAGES[:40]])
@pytest.mark.parametrize("metric", ["exact_match", "perplexity"])
def test_no_text_is_cut_and_the_legend_is_outside(codes, metric):
    figure = scores(results(codes), metric=metric, title="A model")
    check_texts_are_inside(figure)
    (axes,) = figure.axes
    assert figure.legends[0].get_window_extent().y1 <= axes.get_tightbbox().y0 + 1
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "before training",
        "after training",
    ]


def test_the_same_results_give_the_same_bytes(tmp_path):
    check_same_bytes(lambda: scores(results(), GROUPS), tmp_path)


def test_the_menu_works_in_a_browser(tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api")
    if (chromium := shutil.which("chromium")) is None:
        pytest.skip("no chromium on the path")
    table = results()
    page = save_html(scores_interactive(table, metric="perplexity"), tmp_path / "scores.html")
    options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    complaints = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        tab = browser.new_page(viewport={"width": 1280, "height": 720})
        tab.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.goto(page.as_uri())
        tab.wait_for_selector(".scatterlayer .point")
        assert tab.locator(".errorbar path.xerror").count() == 0
        tab.click(".updatemenu-header")
        tab.locator(".updatemenu-dropdown-button", has_text="exact match").click()
        tab.wait_for_function("document.querySelector('.xtitle').textContent.includes('exact')")
        assert tab.locator(".errorbar path.xerror").count() == 2 * len(CODES)
        axis = tab.evaluate(
            "(({type, range}) => ({type, range}))"
            "(document.querySelector('.js-plotly-plot').layout.xaxis)"
        )
        tab.wait_for_selector(".updatemenu-dropdown-button", state="detached")
        dot = tab.locator(".scatterlayer .trace").nth(1).locator(".point").first.bounding_box()
        tab.mouse.move(dot["x"] + 40, dot["y"] + 40)
        tab.mouse.move(dot["x"] + dot["width"] / 2, dot["y"] + dot["height"] / 2)
        hover = tab.wait_for_selector(".hoverlayer .hovertext").text_content()
        browser.close()
    assert axis == {"type": "linear", "range": [-0.02, 1.02]}
    share = value_of(table, "before", "en", "exact_match")
    assert "English (en), before training" in hover and f"{share:.4g} [" in hover
    assert complaints == []
