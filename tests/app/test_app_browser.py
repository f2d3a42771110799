"""The page as somebody uses it, in a real browser."""

import io
import re
import threading
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest
from hands import (
    CLEAN,
    CORRUPT,
    STATE,
    cards,
    choose,
    click_cell,
    download,
    patched,
    place,
    refusal,
    until,
    visit,
)

import shiftlens as sl
from shiftlens.app import patch_request
from shiftlens.patching import EXAMPLES

PERSIAN = "کدام عدد بزرگ‌تر است، نه یا سه؟"
HOSTILE = "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>"


def test_an_example_is_run_a_cell_is_clicked_and_the_link_restores_it(tab):
    visit(tab)
    patched(tab)
    first = tab.locator("#patch-clean").input_value()
    assert first == next(iter(EXAMPLES.values())).clean
    visit(tab, "patch", **STATE)
    patched(tab)
    click_cell(tab, 0, 6)
    tab.wait_for_selector(".answer-card")
    assert cards(tab) == ["three", "nine", "nine"]
    assert "layer 0" in tab.locator(".answer-card.patched").text_content()
    until(tab, "location.search.includes('cell=0.6')")
    kept = parse_qs(urlsplit(tab.url).query)
    assert kept["clean"] == [CLEAN] and kept["cell"] == ["0.6"]
    click_cell(tab, 0, 2)
    until(tab, "document.querySelector('.answer-card.patched .said').textContent=='three'")
    tab.goto(tab.locator("#patch-link").evaluate("a => a.href").replace("cell=0.2", "cell=0.6"))
    patched(tab)
    tab.wait_for_selector(".answer-card")
    assert cards(tab) == ["three", "nine", "nine"]
    assert tab.locator("#patch-corrupt").input_value() == CORRUPT
    assert tab.locator("#patch-figure .shapelayer path").count() == 1


def test_what_is_typed_is_patched_and_taken_home(tab):
    visit(tab, "patch", **STATE)
    patched(tab)
    tab.fill("#patch-clean", PERSIAN)
    tab.fill("#patch-corrupt", PERSIAN.replace("نه", "دو"))
    tab.fill("#patch-answers", "نه\nسه")
    tab.click("#patch-run")
    until(tab, "document.querySelector('#patch-code').textContent.includes('دو')")
    for part in ("#patch-clean", ".summary span"):
        direction = tab.locator(part).first.evaluate("e => getComputedStyle(e).direction")
        assert direction == "rtl", part
    name, content = download(tab, "patch-csv")
    table = pd.read_csv(io.BytesIO(content))
    expected = sl.patch(
        sl.load_model("demo"), PERSIAN, PERSIAN.replace("نه", "دو"), answers=["نه", "سه"]
    ).table
    assert name == "shiftlens_patch.csv" and len(table) == len(expected)
    assert table["value"].to_numpy() == pytest.approx(expected["value"].to_numpy(), abs=1e-4)
    name, content = download(tab, "patch-figure-html")
    text = content.decode()
    assert name == "shiftlens_patch-figure.html" and "Plotly.newPlot" in text
    assert not re.search(r"<(script|link)[^>]+(src|href)=", text)
    name, content = download(tab, "patch-figure-png")
    assert name == "shiftlens_patch-figure.png" and content[:8] == b"\x89PNG\r\n\x1a\n"


def test_the_code_shown_gives_the_table_shown(tab):
    visit(tab, "patch", **STATE, metric="kl", component="mlp_out", cell="1.6")
    patched(tab)
    code = tab.locator("#patch-code").text_content()
    space = {}
    exec(re.sub(r"patch_heatmap_interactive\(result.*\)\.show\(\)", "", code), space)
    _, content = download(tab, "patch-csv")
    table = pd.read_csv(io.BytesIO(content))
    assert table["value"].to_numpy() == pytest.approx(space["result"].table["value"], abs=1e-9)
    assert space["answer"].layer == 1
    tab.click("summary")
    tab.wait_for_selector("#patch-code", state="visible")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the clean text is empty"),
        ("x" * 100_000, "characters; at most 400"),
        ("nine\x07", "control character U+0007"),
        ("\u202enine", "control character U+202E"),
    ],
)
def test_text_that_cannot_be_taken_is_refused_with_a_message(tab, text, message):
    visit(tab, "patch", **STATE)
    patched(tab)
    tab.fill("#patch-clean", text)
    tab.click("#patch-run")
    assert message in refusal(tab, "patch")
    tab.fill("#patch-clean", CLEAN)
    tab.click("#patch-run")
    tab.wait_for_selector("#patch-status.done", state="attached")


def test_markup_is_shown_as_text(tab):
    visit(tab, "patch", clean=f"{CLEAN} {HOSTILE}", corrupt=f"{CORRUPT} {HOSTILE}", metric="kl")
    patched(tab)
    click_cell(tab, 1, 10)
    tab.wait_for_selector(".answer-card")
    assert tab.locator("img").count() == 0
    assert HOSTILE in tab.locator("#patch-code").text_content()
    _, content = download(tab, "patch-figure-html")
    page = tab.context.new_page()
    page.set_content(content.decode())
    page.wait_for_selector(".heatmaplayer .hm")
    assert page.evaluate("window.hacked") is None and page.locator("img").count() == 0
    tab.fill("#patch-answers", HOSTILE)
    choose(tab, "patch-metric", "probability")
    tab.click("#patch-run")
    assert "characters; at most 60" in refusal(tab, "patch")


def test_a_link_that_is_not_the_pages_own_is_refused_with_a_message(tab):
    tab.goto(tab.home + "?view=patch&metric=" + HOSTILE)
    tab.wait_for_selector("#message:not(:empty)")
    assert "the link asks for metric '<img src=x onerror" in tab.locator("#message").text_content()
    assert tab.locator("img").count() == 0


def test_a_long_job_is_cancelled_and_a_full_line_says_so(tab, page, monkeypatch):
    visit(tab, "patch", **STATE)
    patched(tab)
    gate = threading.Event()

    def slow(*texts, progress, cancelled, **options):
        for step in range(3000):
            progress(step, 3000)
            gate.wait(0.01)

    monkeypatch.setattr(patch_request, "patch", slow)
    tab.click("#patch-run")
    tab.wait_for_selector("#patch-status.running")
    until(tab, "document.querySelector('#patch-step').textContent.includes('%')")
    waiting = [page.worker.submit(lambda job: None) for _ in range(page.worker.queued)]
    click_cell(tab, 0, 6)
    assert "the queue is full: 8 jobs are waiting" in refusal(tab, "click")
    assert tab.locator("#patch-status.running").count() == 1
    tab.click("#patch-cancel")
    tab.wait_for_selector("#patch-status.cancelled")
    assert all(job.finished.wait(5) for job in waiting)
    monkeypatch.undo()
    tab.click("#patch-run")
    tab.wait_for_selector("#patch-status.done", state="attached")


def test_the_shift_answers_every_language_and_the_sliders_move_it(tab):
    visit(tab, "shift", item="larger-09-15", a=2, b=5, strength=0, language="fa")
    tab.wait_for_selector(".answers tbody tr")
    rows = tab.locator(".answers tbody tr")
    assert rows.count() == 9 and tab.locator(".answers .changed").count() == 0
    persian = rows.nth(8).locator(".prompt span")
    assert persian.evaluate("e => getComputedStyle(e).direction") == "rtl"
    assert persian.get_attribute("lang") == "fa"
    handle = tab.locator("#shift-strength [role=slider]")
    handle.focus()
    tab.keyboard.press("End")
    until(tab, "document.querySelector('.answers').textContent.includes('× 1.5')")
    assert tab.locator(".answers .changed").count() > 0
    until(tab, "location.search.includes('strength=1.5')")
    _, content = download(tab, "shift-csv")
    table = pd.read_csv(io.BytesIO(content)).set_index("language")
    assert table.loc["en", "probability"] == table.loc["en", "shifted_probability"]
    assert table.loc["fa", "probability"] != table.loc["fa", "shifted_probability"]
    space = {}
    code = tab.locator("#shift-code").text_content().replace(".show()", "")
    exec(code.replace('"runs/page/activations"', "__import__('tempfile').mkdtemp()"), space)
    again = space["comparison"].table.set_index("language")
    assert again["shifted_answer"].tolist() == table["shifted_answer"].tolist()
    assert again["shifted_probability"].to_numpy() == pytest.approx(
        table["shifted_probability"].to_numpy(), abs=1e-5
    )


def test_ones_own_prompt_is_shifted(tab):
    visit(tab, "shift", language="fa")
    tab.wait_for_selector(".answers tbody tr")
    choose(tab, "shift-item", "your own")
    tab.fill("#shift-text", "")
    tab.click("#shift-run")
    assert "the prompt is empty" in refusal(tab, "shift")
    tab.fill("#shift-text", PERSIAN)
    tab.click("#shift-run")
    until(tab, "document.querySelectorAll('.answers tbody tr').length == 1")
    assert PERSIAN in tab.locator(".answers").text_content()


def test_the_sweep_links_layer_curves_and_sentences(tab):
    visit(tab, "sweep", layer=2, metric="mean_distance")
    tab.wait_for_selector("#sweep-plane .scatterlayer .trace")
    assert "distance of the means" in tab.locator("#sweep-metric").text_content()
    until(tab, "document.querySelector('#sweep-plane .gtitle').textContent[6] == '2'")
    axes = tab.locator("#sweep-plane .xtick text").all_text_contents()
    tab.locator("#sweep-layer [role=slider]").focus()
    tab.keyboard.press("ArrowRight")
    until(tab, "document.querySelector('#sweep-plane .gtitle').textContent[6] == '3'")
    assert tab.locator("#sweep-plane .xtick text").all_text_contents() == axes
    value = tab.evaluate("document.querySelector('#sweep-curves .js-plotly-plot').data[0].y[5]")
    tab.mouse.click(*place(tab, "sweep-curves", 5, value))
    until(tab, "document.querySelector('#sweep-plane .gtitle').textContent[6] == '5'")
    point = tab.evaluate(
        """() => {const t = document.querySelector('#sweep-plane .js-plotly-plot').data[9];
        return [t.x[0] ?? t.x._inputArray[0], t.y[0] ?? t.y._inputArray[0]]}"""
    )
    x, y = place(tab, "sweep-plane", *point)
    tab.mouse.move(x, y - 40)
    tab.mouse.move(x, y)
    tab.wait_for_selector("#sweep-sentence .translation")
    assert tab.locator("#sweep-sentence .translation").count() == 9
    until(
        tab,
        "(e => e && getComputedStyle(e).direction == 'rtl')"
        "(document.querySelector('#sweep-sentence span[lang=fa]'))",
    )
    tab.mouse.click(x, y)
    until(tab, "location.search.includes('sentence=')")
    _, content = download(tab, "sweep-csv")
    assert set(pd.read_csv(io.BytesIO(content))["layer"]) == set(range(7))
