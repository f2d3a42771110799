"""What somebody does with the page, and reads off it."""

from pathlib import Path

from shiftlens.app.links import link

CLEAN = "Which number is larger, nine or three?"
CORRUPT = "Which number is larger, two or three?"
STATE = {"clean": CLEAN, "corrupt": CORRUPT, "answers": "nine\nthree"}
POINT = """([id, x, y]) => {
    const graph = document.querySelector(`#${id} .js-plotly-plot`);
    const box = graph.getBoundingClientRect(), {xaxis, yaxis} = graph._fullLayout;
    return [box.left + xaxis._offset + xaxis.d2p(x), box.top + yaxis._offset + yaxis.d2p(y)];
}"""


def own(url, home):
    return url.startswith((home, "data:", "blob:"))


def visit(tab, view="", **state):
    tab.goto(tab.home + (link(view, state) if view else ""))
    tab.wait_for_selector("header")


def until(tab, expression):
    """Wait until a script holds; the page's own policy forbids the waiting that evaluates text."""
    for _ in range(300):
        if tab.evaluate(expression):
            return
        tab.wait_for_timeout(50)
    raise AssertionError(f"never came true: {expression}")


def patched(tab):
    tab.wait_for_selector("#patch-status.done", state="attached")
    tab.wait_for_selector("#patch-figure .heatmaplayer .hm")


def place(tab, figure, x, y):
    """Where a point of a figure is on the screen, once the page has come to rest."""
    before = None
    while (now := tab.evaluate(POINT, [figure, x, y])) != before:
        before = now
        tab.wait_for_timeout(150)
    return now


def click_cell(tab, layer, site):
    tab.mouse.click(*place(tab, "patch-figure", site, layer))


def cards(tab):
    """The three answers: corrupt, patched and clean."""
    return tab.locator(".answer-card .said").all_text_contents()


def choose(tab, menu, words):
    tab.click(f"#{menu}")
    tab.locator(".dash-dropdown-option", has_text=words).first.click()


def download(tab, button):
    with tab.expect_download() as waiting:
        tab.click(f"#{button}")
    return waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes()


def refusal(tab, name):
    tab.wait_for_selector(f"#{name}-status.refused, #{name}-status.failed")
    return tab.locator(f"#{name}-step").text_content()
