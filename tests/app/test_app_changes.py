"""What the page shows when something is asked anew, edited, cancelled or lost, in a browser."""

import threading

import pytest
from conftest import served
from hands import (
    CLEAN,
    STATE,
    cards,
    choose,
    click_cell,
    patched,
    place,
    refusal,
    until,
    visit,
)
from test_before_after import files  # noqa: F401

import shiftlens as sl
from shiftlens.app import shift_view, sweep_view
from shiftlens.config import SweepConfig
from shiftlens.patching import EXAMPLES, METRICS

FIRST = next(iter(EXAMPLES))
NUMBERS = "How much is seven plus three?", "How much is two plus three?"


@pytest.fixture
def gate(monkeypatch):
    """Holds back what a view computes, in reach of its Cancel, until it is let go."""
    let_go = threading.Event()

    def hold(module, name):
        real = getattr(module, name)

        def slow(*arguments, **options):
            while not let_go.wait(0.01):
                report = options.get("report") or arguments[-1].report
                report(0, None)
            return real(*arguments, **options)

        monkeypatch.setattr(module, name, slow)

    yield hold, let_go
    let_go.set()


def code_holds(tab, words):
    until(tab, f"document.querySelector('#patch-code').textContent.includes({words!r})")


def frames(tab):
    return tab.locator("#patch-figure .shapelayer path").count()


def turn(tab, view):
    tab.click(f"header .tab:has-text('{view}')")


def dimmed(tab, view):
    return tab.locator(f"#{view}-held.earlier > .note").is_visible()


def test_a_cell_that_the_new_result_lacks_is_dropped_everywhere(tab):
    visit(tab, "patch", **STATE)
    patched(tab)
    click_cell(tab, 0, 6)
    tab.wait_for_selector(".answer-card")
    choose(tab, "patch-component", "attention output")
    tab.click("#patch-run")
    code_holds(tab, "attn_out")
    until(tab, "document.querySelector('#patch-figure .ytitle').textContent == 'block'")
    until(tab, "document.querySelectorAll('.answer-card').length == 0")
    assert frames(tab) == 0 and tab.locator("#click-status.refused").count() == 0
    assert "patched_answer" not in tab.locator("#patch-code").text_content()
    assert "cell=" not in tab.locator("#patch-link").get_attribute("href")
    visit(tab, "patch", **STATE, cell="9.99")
    patched(tab)
    code_holds(tab, "sl.patch(")
    assert "patched_answer" not in tab.locator("#patch-code").text_content()
    assert frames(tab) == 0 and cards(tab) == []


def test_a_cell_that_is_still_there_is_answered_again(tab):
    visit(tab, "patch", **STATE, cell="0.6")
    patched(tab)
    tab.wait_for_selector(".answer-card")
    assert cards(tab) == ["three", "nine", "nine"]
    tab.fill("#patch-clean", CLEAN.replace("nine", "eight"))
    tab.fill("#patch-answers", "eight\nthree")
    tab.click("#patch-run")
    until(tab, "document.querySelector('.answer-card:last-child .said')?.textContent == 'eight'")
    assert cards(tab) == ["three", "eight", "eight"] and frames(tab) == 1


def test_no_card_of_an_earlier_request_stands_under_a_new_heatmap(tab, monkeypatch):
    visit(tab, "patch", **STATE, cell="0.6")
    patched(tab)
    tab.wait_for_selector(".answer-card")

    def refused(*arguments):
        raise sl.errors.ShiftlensError("no answer today")

    monkeypatch.setattr("shiftlens.app.patch_view.run_answer", refused)
    tab.fill("#patch-clean", CLEAN.replace("nine", "eight"))
    choose(tab, "patch-metric", "probability")
    tab.click("#patch-run")
    code_holds(tab, "eight")
    assert refusal(tab, "click") == "no answer today"
    assert cards(tab) == []


def test_two_quick_clicks_choose_and_a_drag_does_not_zoom(tab):
    visit(tab, "patch", **STATE)
    patched(tab)
    ranges = """() => {
        const drawn = document.querySelector('#patch-figure .js-plotly-plot')._fullLayout;
        return [...drawn.xaxis.range, ...drawn.yaxis.range];
    }"""
    before = tab.evaluate(ranges)
    spots = [place(tab, "patch-figure", site, 0) for site in (5, 6)]
    for x, y in spots:
        tab.mouse.move(x, y)
        tab.wait_for_timeout(120)
        tab.mouse.click(x, y)
    until(tab, "location.search.includes('cell=0.6')")
    tab.mouse.move(*spots[0])
    tab.wait_for_timeout(120)
    tab.mouse.dblclick(*spots[0])
    until(tab, "location.search.includes('cell=0.5')")
    x, y = spots[0]
    tab.mouse.move(x - 200, y - 100)
    tab.mouse.down()
    tab.mouse.move(x, y, steps=5)
    tab.mouse.up()
    assert tab.evaluate(ranges) == pytest.approx(before, abs=0.1)


def test_an_example_is_left_as_soon_as_a_field_differs(tab):
    visit(tab)
    patched(tab)
    shown = tab.locator("#patch-shows")
    assert shown.text_content() == EXAMPLES[FIRST].shows
    tab.fill("#patch-corrupt", "Mikä luku tulee luvun kolme jälkeen?")
    until(tab, "document.querySelector('#patch-example').textContent.includes('your own')")
    tab.fill("#patch-answers", "kuusi\nneljä")
    tab.fill("#patch-words", "five = kolme")
    assert shown.text_content() == EXAMPLES[FIRST].shows
    tab.click("#patch-run")
    code_holds(tab, "neljä")
    assert shown.text_content() == ""
    choose(tab, "patch-example", FIRST)
    code_holds(tab, "kaksi")
    assert tab.locator("#patch-corrupt").input_value() == EXAMPLES[FIRST].corrupt
    assert shown.text_content() == EXAMPLES[FIRST].shows
    choose(tab, "patch-component", "MLP output")
    tab.click("#patch-run")
    code_holds(tab, "mlp_out")
    assert shown.text_content() == ""


def test_a_result_is_marked_as_of_the_earlier_request(tab):
    visit(tab, "patch", **STATE)
    patched(tab)
    assert not dimmed(tab, "patch")
    tab.fill("#patch-clean", "")
    tab.click("#patch-run")
    assert "is empty" in refusal(tab, "patch") and dimmed(tab, "patch")
    opacity = "e => getComputedStyle(e).opacity"
    until(tab, f"({opacity})(document.querySelector('#patch-drawn')) == 0.4")
    assert tab.locator("#patch-take").evaluate(opacity) == "0.4"
    tab.fill("#patch-clean", CLEAN)
    tab.click("#patch-run")
    until(tab, "!document.querySelector('#patch-held').matches('.earlier')")
    visit(tab, "shift", item="larger-09-15", a=2, b=5, strength=1, language="fa")
    tab.wait_for_selector(".answers tbody tr")
    assert not dimmed(tab, "shift")
    choose(tab, "shift-item", "your own")
    tab.wait_for_selector("#shift-status.hinted")
    assert "Type a prompt" in tab.locator("#shift-step").text_content() and dimmed(tab, "shift")
    choose(tab, "shift-item", "larger")
    until(tab, "!document.querySelector('#shift-held').matches('.earlier')")


@pytest.mark.parametrize(
    ("view", "module", "name", "there"),
    [
        ("Sweep", sweep_view, "project_layers", "#sweep-plane .scatterlayer .trace"),
        ("Shift", shift_view, "compare", ".answers tbody tr"),
    ],
)
@pytest.mark.parametrize("way", ["the button", "coming back"])
def test_what_was_cancelled_is_asked_again(tab, gate, view, module, name, there, way):
    hold, let_go = gate
    hold(module, name)
    key = view.lower()
    more = {"axes": "lda" if way == "the button" else "pca"} if key == "sweep" else {}
    visit(tab, key, **more)
    tab.wait_for_selector(f"#{key}-status.running")
    tab.click(f"#{key}-cancel")
    tab.wait_for_selector(f"#{key}-status.cancelled")
    assert tab.locator(there).count() == 0
    let_go.set()
    if way == "the button":
        tab.click(f"#{key}-again")
    else:
        turn(tab, "Patch")
        patched(tab)
        turn(tab, view)
    tab.wait_for_selector(there)
    assert tab.locator(f"#{key}-status.done").count() == 1


def test_what_is_no_longer_kept_says_so(tab, page):
    visit(tab, "patch", **STATE)
    patched(tab)
    x, y = place(tab, "patch-figure", 6, 0)
    page.worker._jobs.clear()
    tab.mouse.click(x, y)
    assert refusal(tab, "patch") == "this result is no longer kept; ask for it again"
    tab.click("#patch-run")
    until(tab, "!document.querySelector('#patch-held').matches('.earlier')")
    click_cell(tab, 0, 6)
    tab.wait_for_selector(".answer-card")
    page.worker._jobs.clear()
    tab.click("#patch-csv")
    assert refusal(tab, "patch") == "this result is no longer kept; ask for it again"


def test_a_lost_result_of_the_other_views_is_asked_again(tab, page):
    visit(tab, "shift", item="larger-09-15", language="fa")
    tab.wait_for_selector(".answers tbody tr")
    tab.wait_for_selector("#shift-status.done", state="attached")
    page.worker._jobs.clear()
    choose(tab, "shift-language", "Finnish")
    until(tab, "document.querySelector('#shift-link').href.includes('language=fi')")
    visit(tab, "sweep")
    tab.wait_for_selector("#sweep-plane .scatterlayer .trace")
    tab.wait_for_selector("#sweep-status.done", state="attached")
    page.worker._jobs.clear()
    tab.locator("#sweep-layer [role=slider]").focus()
    tab.keyboard.press("ArrowRight")
    assert refusal(tab, "sweep") == "this result is no longer kept; ask for it again"
    tab.click("#sweep-again")
    until(tab, "document.querySelector('#sweep-plane .gtitle').textContent[6] == '4'")


def test_a_link_may_leave_out_the_texts(tab):
    visit(tab, "patch", component="head", metric="probability")
    patched(tab)
    code_holds(tab, "component='head'")
    code_holds(tab, "metric='probability'")
    assert tab.locator("#patch-clean").input_value() == EXAMPLES[FIRST].clean
    assert tab.locator("#patch-heads").is_visible()


def test_a_link_to_a_metric_that_was_not_swept_says_so(tab):
    visit(tab, "sweep", metric="procrustes")
    tab.wait_for_selector("#sweep-curves .scatterlayer .trace")
    words = tab.locator("#sweep-lacks").text_content()
    assert "procrustes, which this sweep did not measure" in words
    visit(tab, "sweep", metric="mean_distance")
    tab.wait_for_selector("#sweep-curves .scatterlayer .trace")
    assert tab.locator("#sweep-lacks").text_content() == ""


def test_a_bad_link_opens_the_view_that_it_is_to(tab):
    visit(tab, "shift", strength=7)
    tab.wait_for_selector("#message:not(:empty)")
    assert "the strength" in tab.locator("#message").text_content()
    tab.wait_for_selector(".answers tbody tr")
    assert tab.locator("#shift-panel").is_visible() and tab.locator("#patch-panel").is_hidden()


def test_text_that_the_tokenizer_does_not_know_is_warned_of(tab):
    visit(tab, "patch", **STATE)
    patched(tab)
    assert tab.locator("#patch-unknown").text_content() == ""
    for name, text in (("clean", "ქართული ენა nine"), ("corrupt", "ქართული ენა two")):
        tab.fill(f"#patch-{name}", text)
    tab.click("#patch-run")
    code_holds(tab, "ენა")
    assert "unknown to this model's tokenizer" in tab.locator("#patch-unknown").text_content()
    visit(tab, "shift", text="ქართული ენა", language="fa")
    tab.wait_for_selector(".answers tbody tr")
    assert "unknown to this model's tokenizer" in tab.locator("#shift-unknown").text_content()


def test_a_users_own_model_says_what_to_type(files, browser, tmp_path):  # noqa: F811
    settings = {"model": str(files / "base"), "device": "cpu"}
    out = str(tmp_path / "run")
    corpus = str(files / "parallel")
    sl.run_sweep(SweepConfig(out=out, corpus=corpus, **settings), lambda line: None)
    with served(model=str(files / "base"), run=out) as server:
        tab = browser.new_page()
        tab.home = f"http://127.0.0.1:{server.port}/"
        visit(tab)
        tab.wait_for_selector("#patch-status.hinted")
        assert "Type a clean and a corrupt text" in tab.locator("#patch-step").text_content()
        turn(tab, "Shift")
        tab.wait_for_selector("#shift-status.hinted")
        until(tab, "location.search == '?view=shift'")
        visit(tab, "patch", component="head")
        tab.wait_for_selector("#patch-heads", state="visible")
        assert tab.locator("#patch-status.hinted").count() == 1
        tab.fill("#patch-clean", "the 3 cats")
        turn(tab, "Shift")
        tab.wait_for_selector("#shift-panel", state="visible")
        turn(tab, "Patch")
        tab.wait_for_selector("#patch-panel", state="visible")
        tab.wait_for_timeout(300)
        assert tab.locator("#patch-clean").input_value() == "the 3 cats"
        tab.fill("#patch-corrupt", "the 4 cats")
        choose(tab, "patch-metric", METRICS["kl"].words)
        tab.click("#patch-run")
        patched(tab)
        tab.close()
