"""What the patching view sends: checked, and the same after a link or as Python."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

import shiftlens as sl
from shiftlens.app.patch_cells import ALL_HEADS, Cell, cell_of, drawn, has_cell, outline
from shiftlens.app.patch_request import (
    BLANK,
    PatchRequest,
    check_request,
    example_of,
    example_state,
    link_state,
    typed_answers,
    typed_pairs,
)
from shiftlens.errors import ShiftlensError
from shiftlens.patching import ALIGNMENTS, COMPONENTS, EXAMPLES, METRICS
from shiftlens.plots import patch_heatmap_interactive

WORDS = st.text(st.characters(categories=("L",)), min_size=1, max_size=12)
TEXTS = st.lists(WORDS, min_size=1, max_size=8).map(" ".join)
CLEAN, CORRUPT = "How much is seven plus three?", "How much is two plus three?"
FIELDS = ("clean", "corrupt", "answers", "component", "metric", "align", "words")


def checked(state):
    return check_request(*(state.get(name, "") for name in FIELDS))


@given(
    TEXTS,
    TEXTS,
    st.one_of(
        st.lists(WORDS, min_size=2, max_size=5),
        st.dictionaries(st.sampled_from(["en", "fi", "zh-Hant"]), WORDS, min_size=2),
    ),
    st.sampled_from(list(COMPONENTS)),
    st.sampled_from(list(METRICS)),
    st.one_of(
        st.sampled_from([name for name in ALIGNMENTS if name != "words"]),
        st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=6),
    ),
)
def test_a_request_is_the_same_after_a_link(clean, corrupt, answers, component, metric, align):
    request = PatchRequest(clean, corrupt, answers, component, metric, align)
    assert checked(link_state(request)) == request


@pytest.mark.parametrize("title", EXAMPLES)
def test_every_example_can_be_run_from_the_page(title):
    example = EXAMPLES[title]
    request = checked(example_state(example))
    assert (request.clean, request.corrupt) == (example.clean, example.corrupt)
    assert request.answers == example.answers and request.metric == example.metric
    assert request.align == example.align


def test_fields_are_of_an_example_only_while_none_differs():
    for title, example in EXAMPLES.items():
        state = example_state(example)
        assert example_of(state, EXAMPLES) == title
        assert example_of({**state, "cell": "1.2", "head": -1}, EXAMPLES) == title
        for name, value in BLANK.items():
            changed = {**state, name: "kl" if name == "metric" else f"{value}x"}
            assert example_of(changed, EXAMPLES) is None
    assert example_of({}, EXAMPLES) is None


def test_answers_are_read_as_they_are_or_by_language():
    assert typed_answers("nine\n three ") == ["nine", "three"]
    assert typed_answers("en: nine\nFI: yhdeksän") == {"en": "nine", "fi": "yhdeksän"}
    assert typed_answers("en: nine\nthree") == ["en: nine", "three"]
    with pytest.raises(ShiftlensError, match="language twice"):
        typed_answers("en: nine\nen: ten")
    with pytest.raises(ShiftlensError, match="'qx' is not a BCP-47"):
        typed_answers("qx: nine\nen: ten")


def test_pairs_are_read_line_by_line():
    assert typed_pairs("five = kaksi\n?=?") == [("five", "kaksi"), ("?", "?")]
    for line in ("five", "five =", "= kaksi"):
        with pytest.raises(ShiftlensError, match="is no pair of words"):
            typed_pairs(line)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"component": "weights"}, "no component 'weights'"),
        ({"metric": "cosine"}, "no metric"),
        ({"align": "by hand"}, "no alignment"),
        ({"clean": " "}, "the clean text is empty"),
        ({"corrupt": "a\0"}, "the corrupt text holds"),
        ({"answers": ""}, "the list of answers is empty"),
        ({"align": "words"}, "the list of word pairs is empty"),
    ],
)
def test_what_cannot_be_asked_is_refused(change, message):
    state = link_state(PatchRequest(CLEAN, CORRUPT, ["ten", "five"], "resid", "rank", "auto"))
    with pytest.raises(ShiftlensError, match=message):
        checked({**state, **change})
    assert checked({**state, "metric": "kl", "answers": ""}).answers == []


@given(st.integers(0, 9999), st.integers(0, 9999), st.none() | st.integers(0, 9999))
def test_a_cell_is_read_as_it_is_written(layer, site, head):
    assert Cell.read(str(Cell(layer, site, head))) == Cell(layer, site, head)


@pytest.mark.parametrize("text", ["", "1", "1.", "a.b", "-1.2", "1.2.3.4", "1.99999", "1.2\n"])
def test_what_is_no_cell_is_refused(text):
    with pytest.raises(ShiftlensError, match="is no cell"):
        Cell.read(text)


@pytest.fixture(scope="module")
def results():
    model = sl.load_model("demo")
    return {
        name: sl.patch(model, CLEAN, CORRUPT, ["ten", "five"], component=name)
        for name in ("resid", "head")
    }


@pytest.mark.parametrize(
    ("component", "head"), [("resid", ALL_HEADS), ("head", ALL_HEADS), ("head", 1)]
)
def test_the_figures_cells_are_the_tables_rows(results, component, head):
    """Each cell of the figure stands for the row of the table whose effect it shows."""
    result = results[component]
    options = drawn(result, head)
    trace = patch_heatmap_interactive(result, **options).data[0]
    table = result.table.set_index(["layer", "site"])
    for y, layer in enumerate(trace.y):
        for x, column in enumerate(trace.x):
            cell = cell_of({"x": column, "y": layer}, result, options)
            assert [cell.layer, cell.site] == list(trace.customdata[y][x][:2])
            rows = table.loc[[(cell.layer, cell.site)]]
            row = rows if cell.head is None else rows[rows["head"] == cell.head]
            assert row["effect"].tolist() == pytest.approx([trace.z[y][x]])
            [frame] = outline(cell, result, options)
            assert (frame["x0"] + frame["x1"], frame["y0"] + frame["y1"]) == (2 * column, 2 * layer)


@pytest.mark.parametrize("component", ["resid", "head"])
def test_a_result_has_the_cells_of_its_table(results, component):
    result = results[component]
    last, heads = len(result.sites) - 1, result.table["head"].nunique()
    whole = component == "resid"
    assert has_cell(result, Cell(0, 0)) is whole
    assert has_cell(result, Cell(result.n_layers, last, None if whole else heads - 1))
    assert has_cell(result, Cell(1, last, 0)) is not whole
    for beyond in (
        Cell(result.n_layers + 1, 0),
        Cell(1, last + 1),
        Cell(0, 0, 0),
        Cell(1, 0, heads),
    ):
        assert not has_cell(result, beyond)


def test_where_there_is_no_effect_the_values_are_drawn(results):
    same = sl.patch(sl.load_model("demo"), CLEAN, CLEAN, ["ten"], metric="probability")
    assert drawn(same, ALL_HEADS) == {"column": "value"}
    patch_heatmap_interactive(same, **drawn(same, ALL_HEADS))
    assert drawn(results["resid"], 1) == {} and drawn(results["head"], 1) == {"head": 1}


def test_a_frame_shows_only_where_the_figure_has_the_cell(results):
    result = results["head"]
    last = len(result.sites) - 1
    assert outline(None, result, {}) == []
    assert outline(Cell(1, 0, 1), result, {}) == []
    assert outline(Cell(1, last, 1), result, {}) != []
    assert outline(Cell(1, 0, 1), result, {"head": 0}) == []
    assert outline(Cell(1, 0, 1), result, {"head": 1}) != []
    assert outline(Cell(1, 0), dataclasses.replace(result, component="resid"), {}) != []
