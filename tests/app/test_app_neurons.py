"""The neurons on the page: against sets and weights by hand, its requests, and its view."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hands import choose, download, refusal, until, visit

import shiftlens as sl
from shiftlens.app.links import read_link
from shiftlens.app.neuron_controls import neuron_fields
from shiftlens.app.neuron_figures import counts_figure, overlap_figure, summary
from shiftlens.app.neuron_request import (
    ScaleRequest,
    answer_scaled,
    check_scale,
    check_share,
    code,
    count_active,
)
from shiftlens.app.ready import ready_texts
from shiftlens.app.session import Session
from shiftlens.app.worker import Job, Worker
from shiftlens.errors import ShiftlensError
from shiftlens.neurons import choose_neurons
from shiftlens.patching.components import projections

FI = ready_texts()["fi"]


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    model = sl.load_model("demo")
    return Session(model, "float32", None, tmp_path_factory.mktemp("demo"), Worker())


@pytest.fixture(scope="module")
def found(session):
    short = sl.load_corpus("demo").head(60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "corpus", short)
        active = count_active(session, Job(lambda job: None))
    return choose_neurons(short.languages, active, 0.05)


def test_the_figures_count_what_sets_of_neurons_hold(found):
    sets = {
        code: {(b, n) for b, row in enumerate(found.own[:, :, k]) for n in np.flatnonzero(row)}
        for k, code in enumerate(found.languages)
    }
    counts = counts_figure(found).data[0]
    overlap = overlap_figure(found).data[0]
    for k, (code_k, mine) in enumerate(sets.items()):
        for block in range(6):
            assert counts.z[block][k] == sum(b == block for b, _ in mine)
        for j, other in enumerate(sets.values()):
            assert overlap.text[k][j] == len(mine & other)
            if mine | other:
                assert overlap.z[k][j] == pytest.approx(len(mine & other) / len(mine | other))
        chosen = found.of(code_k)
        assert {(b, int(n)) for b, row in chosen.items() for n in row} == mine
    kept = set().union(*sets.values())
    assert summary(found).startswith(f"{len(kept)} of 1,152 neurons")
    table = found.table()
    assert len(table) == len(kept) <= 0.05 * 1152 + 1
    for row in table.to_dict("records"):
        owners = [code for code, own in sets.items() if (row["block"] - 1, row["neuron"]) in own]
        assert row["languages"].split() == owners


def test_the_answers_are_those_of_a_model_whose_weights_are_scaled(session, found):
    model, chosen = session.model, found.of("fi")
    job = Job(lambda job: None)
    same = answer_scaled(session, found, ScaleRequest(FI, "fi", 1.0), job)
    assert same.plain == same.scaled and same.neurons == sum(map(len, chosen.values())) > 0
    for scale in (0.0, 2.5):
        scaled = answer_scaled(session, found, ScaleRequest(FI, "fi", scale), job).scaled
        other = sl.load_model("demo")
        with torch.no_grad():
            for down, columns in zip(projections(other, "mlp_out"), chosen.values(), strict=True):
                down.weight[:, columns] *= scale
            ids = torch.tensor([other.tokenizer(FI)["input_ids"]])
            likely = other.hf(ids).logits[0, -1].double().softmax(-1).topk(5)
            grown = other.hf.generate(ids, max_new_tokens=12, do_sample=False)[0, ids.shape[1] :]
        expected = likely.values.tolist()
        assert [p for _, p in scaled.top] == pytest.approx(expected, abs=1e-5)
        assert scaled.text == other.tokenizer.decode(grown, skip_special_tokens=True).strip()
        assert scaled.top != same.plain.top
    again = answer_scaled(session, found, ScaleRequest(FI, "fi", 1.0), job)
    assert again.plain == same.plain
    assert model.hf.training is False


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ((" ", "fi", 0), "the text is empty"),
        (("a", "sv", 0), "no language 'sv'"),
        (("a", "fi", -0.1), "give 0 to 3"),
        (("a", "fi", float("nan")), "give 0 to 3"),
        (("a", "fi", 1e9), "give 0 to 3"),
    ],
)
def test_what_cannot_be_asked_is_refused(session, typed, message):
    with pytest.raises(ShiftlensError, match=message):
        check_scale(session, *typed)
    with pytest.raises(ShiftlensError, match=r"no share 0\.5"):
        check_share(0.5)


def test_a_link_is_checked(session):
    views = {"neurons": neuron_fields(session)}
    state = {"share": 0.02, "language": "ko", "scale": 2.0}
    assert read_link("?view=neurons&share=0.02&language=ko&scale=2", views)[1] == state
    for bad in ("share=0.03", "share=1", "scale=4", "language=sv", "text=%00"):
        with pytest.raises(ShiftlensError):
            read_link(f"?view=neurons&{bad}", views)


def test_the_lines_shown_give_the_same_answers(session, found):
    request = ScaleRequest(FI, "fi", 0.0)
    answer = answer_scaled(session, found, request, Job(lambda job: None))
    shown = code(session, found, request)
    space = {}
    exec(shown.replace('load_corpus("demo")', 'load_corpus("demo").head(60)'), space)
    np.testing.assert_array_equal(space["found"].own, found.own)
    assert space["plain"] == [answer.plain.text] and space["scaled"] == [answer.scaled.text]
    assert "scaling(model" not in code(session, found, None)


def test_without_a_run_the_view_says_what_it_lacks(tmp_path):
    other = replace(sl.load_model("demo"), name="other")
    bare = Session(other, "float32", None, tmp_path, Worker())
    with pytest.raises(ShiftlensError, match="shiftlens sweep --model other"):
        count_active(bare, Job(lambda job: None))


def test_neurons_are_found_scaled_and_the_link_restores_it(tab):
    visit(tab, "neurons", text=FI, language="fi", scale=0)
    tab.wait_for_selector(".answer-card")
    said = "#neurons-answer .answer-card"
    assert tab.locator(said).count() == 2
    assert "neurons of Finnish, × 0" in tab.locator(said).nth(1).text_content()
    assert tab.locator("#neurons-overlap .heatmaplayer .hm").count() == 1
    choose(tab, "neurons-language", "Persian")
    until(tab, "document.querySelector('#neurons-answer').textContent.includes('of Persian')")
    until(tab, "location.search.includes('language=fa')")
    tab.locator("#neurons-scale [role=slider]").focus()
    tab.keyboard.press("End")
    until(tab, "document.querySelector('#neurons-answer').textContent.includes('× 3')")
    name, content = download(tab, "neurons-csv")
    assert name == "shiftlens_neurons.csv" and content.startswith(b"block,neuron,languages,entropy")
    tab.fill("#neurons-text", "")
    tab.click("#neurons-answer-it")
    assert "the text is empty" in refusal(tab, "scaled")
    tab.goto(tab.locator("#neurons-link").evaluate("a => a.href"))
    until(tab, "document.querySelector('#neurons-answer')?.textContent.includes('Persian, × 3')")
    assert tab.locator("#neurons-text").input_value() == FI
