"""The pages of runs as somebody opens them from disk, in a real browser."""

from contextlib import contextmanager

import pytest
from finished_runs import files, trained  # noqa: F401

from shiftlens.folders.opening import open_run_folder
from shiftlens.reports.compare import compare_runs
from shiftlens.reports.compare_page import write_comparison
from shiftlens.reports.run import write_run_report


@contextmanager
def opened(browser, path, width=1280):
    """A tab with a page from disk; at the end nothing went wrong, and no host was asked."""
    complaints, asked = [], []
    tab = browser.new_page(viewport={"width": width, "height": 900})
    tab.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(path.as_uri())
    tab.wait_for_function(
        "[...document.querySelectorAll('.plotly-graph-div')].every(p => p.calcdata)"
    )
    yield tab
    assert tab.evaluate("document.scrollingElement.scrollWidth") <= width
    tab.close()
    assert complaints == []
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [path.as_uri()]


def slid(tab, figure):
    """What a figure shows before and after its slider is moved to the last layer."""
    shown = "id => JSON.stringify(document.getElementById(id).data.map(t => [t.x, t.y, t.z]))"
    groove = tab.locator(f"#{figure} .slider-rail-touch-rect").first
    groove.scroll_into_view_if_needed()
    before = tab.evaluate(shown, figure)
    box = groove.bounding_box()
    tab.mouse.click(box["x"] + box["width"] - 3, box["y"] + box["height"] / 2)
    tab.wait_for_function(f"args => ({shown})(args[0]) != args[1]", arg=[figure, before])
    last = "id => document.getElementById(id).layout.sliders[0].active"
    return tab.evaluate(last, figure)


@pytest.mark.parametrize("width", [360, 1280])
def test_a_sweeps_page_opens_from_disk_and_its_sliders_move_the_plots(
    browser, swept, tmp_path, width
):
    path = write_run_report(open_run_folder(swept), tmp_path / "report.html")
    with opened(browser, path, width) as tab:
        assert tab.locator("h1").text_content() == "Layer sweep of demo"
        assert tab.locator("#figure-first-curves .scatterlayer .trace").count() >= 9
        for figure in ("figure-first-pairs", "figure-first-lda", "figure-first-pca"):
            assert slid(tab, figure) == 6


def test_a_trainings_page_opens_from_disk_and_its_sliders_move_the_plots(
    browser,
    trained,  # noqa: F811
    tmp_path,
):
    path = write_run_report(open_run_folder(trained), tmp_path / "report.html")
    with opened(browser, path) as tab:
        assert "training of base" in tab.locator("h1").text_content()
        assert tab.locator("#figure-stages .scatterlayer .trace").count() == 4
        assert tab.locator("#figure-training .scatterlayer .trace").count() >= 3
        for figure in ("figure-first-pairs", "figure-after-pairs", "figure-after-lda"):
            assert slid(tab, figure) == 4


def test_a_comparisons_page_has_both_curves_and_changes_the_measure(
    browser,
    swept,
    trained,  # noqa: F811
    tmp_path,
):
    found = compare_runs(open_run_folder(trained), open_run_folder(swept))
    with opened(browser, write_comparison(found, tmp_path / "compare.html")) as tab:
        for number in (0, 1):
            assert tab.locator(f"#figure-curves-{number} .scatterlayer .trace").count() == 2
        title = tab.locator("#figure-curves-0 .ytitle")
        before = title.text_content()
        tab.locator("#figure-curves-0 .updatemenu-header").click()
        tab.locator("#figure-curves-0 .updatemenu-dropdown-button").nth(1).click()
        assert title.text_content() != before
