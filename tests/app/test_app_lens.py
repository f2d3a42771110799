"""The lens on the page: its figures against the model read by hand, its requests, and its view."""

import numpy as np
import pandas as pd
import pytest
import torch
from hands import download, place, refusal, until, visit
from scipy.stats import entropy

import shiftlens as sl
from shiftlens.app.lens_controls import lens_fields
from shiftlens.app.lens_figures import framed, seen_colour
from shiftlens.app.lens_request import (
    MOST_CELLS,
    check_request,
    code,
    lens_table,
    link_state,
    read_text,
    token_languages,
)
from shiftlens.app.links import link, read_link
from shiftlens.app.ready import ready_texts
from shiftlens.app.session import Session
from shiftlens.app.worker import Job, Worker
from shiftlens.errors import ShiftlensError
from shiftlens.lens import TokenLanguages, text_lens
from shiftlens.plots.lens import language_mass_lines, text_lens_heatmap
from tests.tiny import tiny_model, tiny_tokenizer

FA = ready_texts()["fa"]
AREA = (2, 5)


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    model = sl.load_model("demo")
    return Session(model, "float32", None, tmp_path_factory.mktemp("demo"), Worker())


@pytest.fixture(scope="module")
def tokens(session):
    return TokenLanguages.of_corpus(session.model, session.corpus)


@pytest.fixture(scope="module")
def lens(session, tokens):
    return text_lens(session.model, FA, tokens)


@pytest.fixture(scope="module")
def by_hand(session):
    """Next-token probabilities at every layer, ``(L + 1, positions, vocabulary)``."""
    hf = session.model.hf
    ids = torch.tensor([session.model.tokenizer(FA)["input_ids"]])
    with torch.no_grad():
        read = hf(ids, output_hidden_states=True)
        early = [hf.lm_head(hf.model.norm(h)) for h in read.hidden_states[:-1]]
    return torch.cat([*early, read.logits]).double().softmax(-1).numpy()


def test_the_cells_hold_what_the_model_read_by_hand_says(session, lens, tokens, by_hand):
    heatmap = text_lens_heatmap(lens).data[0]
    np.testing.assert_allclose(heatmap.z, by_hand.max(-1), atol=1e-5)
    names = session.model.tokenizer.convert_ids_to_tokens(by_hand[6, -1].argsort()[::-1][:5])
    for name in names:
        assert name.strip("▁Ġ ") in heatmap.hovertext[6][-1]
    found = text_lens_heatmap(lens, "entropy").data[0]
    np.testing.assert_allclose(found.z, entropy(by_hand, axis=-1), atol=1e-4)
    group = tokens.group.numpy() == tokens.languages.index("fa")
    mass = text_lens_heatmap(lens, "fa").data[0]
    np.testing.assert_allclose(mass.z, by_hand[..., group].sum(-1), atol=1e-5)
    ids, rank = lens.prompt.ids, text_lens_heatmap(lens, "rank").data[0].z
    assert np.isnan(rank[:, -1]).all()
    for position, following in enumerate(ids[1:]):
        above = by_hand[:, position] > by_hand[:, position, following][:, None]
        np.testing.assert_allclose(10 ** rank[:, position], 1 + above.sum(-1))


def test_the_lines_are_the_masses_after_one_token(lens, tokens, by_hand):
    for position in (3, -1):
        figure = language_mass_lines(lens, position)
        assert len(figure.data) == len(tokens.languages) + 2
        np.testing.assert_allclose(np.sum([line.y for line in figure.data], axis=0), 1, atol=1e-6)
        for number, line in enumerate(figure.data):
            own = by_hand[:, position][:, tokens.group.numpy() == number].sum(-1)
            np.testing.assert_allclose(line.y, own, atol=1e-5)
    assert lens.prompt.tokens[3] in language_mass_lines(lens, 3).layout.title.text


def test_what_cannot_be_drawn_is_refused(session, lens):
    plain = text_lens(session.model, "How much is one?")
    with pytest.raises(ShiftlensError, match="choose probability, entropy, rank, en"):
        text_lens_heatmap(lens, "sv")
    with pytest.raises(ShiftlensError, match="cannot colour by 'fi': the lens has no masses"):
        text_lens_heatmap(plain, "fi")
    with pytest.raises(ShiftlensError, match="no masses"):
        language_mass_lines(plain)
    with pytest.raises(ShiftlensError, match=r"no position 10; the text has 0\.\.9"):
        language_mass_lines(lens, 10)
    assert seen_colour(plain, "fi") == "probability" and seen_colour(plain, "rank") == "rank"
    assert framed(plain, 2) == [] and framed(lens, 2)[0]["x0"] == 1.5


def test_markup_is_text_and_long_words_are_cut_to_their_room(session):
    read = text_lens(session.model, "<b>zero</b> &amp; one")
    assert "<b>" not in "".join(text_lens_heatmap(read).layout.xaxis.ticktext)
    table = read.table.copy()
    table["top"] = [("<i>kaksikymmentä", "七八九十百", "a", "b", "c")] * len(table)
    heatmap = text_lens_heatmap(type(read)(read.prompt, table, None)).data[0]
    assert heatmap.text[0][0] == "&lt;i&gt;kaks…"
    assert "&lt;i&gt;kaksikymmentä" in heatmap.hovertext[0][0] and "<i>" not in heatmap.hovertext[0]
    table["top"] = [("七八九十百", *"abcd")] * len(table)
    wide = text_lens_heatmap(type(read)(read.prompt, table, None)).data[0]
    assert wide.text[0][0] == "七八九…"


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (("", "plain", None), "the text is empty"),
        (("a\0", "plain", None), "control character"),
        (("a" * 401, "plain", None), "at most 400"),
        (("a", "twice", "fi"), "no shift 'twice'"),
        (("a", "shifted", "sv"), "no language 'sv'"),
        (("a", "shifted", None), "no language None"),
    ],
)
def test_what_cannot_be_asked_is_refused(session, typed, message):
    with pytest.raises(ShiftlensError, match=message):
        check_request(session, AREA, *typed)


def test_a_link_brings_back_the_request(session):
    for typed in ((FA, "shifted", "fa"), ("a", "plain", None)):
        request = check_request(session, AREA, *typed)
        view, state = read_link(link("lens", link_state(request)), {"lens": lens_fields(session)})
        shift = state.get("shift", "plain")
        again = check_request(session, AREA, state["text"], shift, state.get("language"))
        assert view == "lens" and again == request
    for bad in ("?view=lens&colour=sv", "?view=lens&shift=on", "?view=lens&position=-1"):
        with pytest.raises(ShiftlensError):
            read_link(bad, {"lens": lens_fields(session)})


@pytest.mark.parametrize("shift", ["plain", "shifted"])
def test_the_lines_shown_read_the_same(session, tokens, tmp_path, shift):
    request = check_request(session, AREA, FA, shift, "fa")
    read = read_text(session, request, tokens, Job(lambda job: None))
    shown = code(session, request, read, "fa", 3).replace(".show()", "")
    space = {}
    exec(shown.replace("runs/page/activations", (tmp_path / "states").as_posix()), space)
    left, right = space["lens"].table, read.table
    np.testing.assert_allclose(left["entropy"], right["entropy"], atol=1e-5)
    plain = text_lens(session.model, FA, tokens).table
    assert np.allclose(plain["entropy"], right["entropy"]) is (shift == "plain")
    below = plain["layer"] < AREA[0]
    np.testing.assert_allclose(plain["fa"][below], right["fa"][below], atol=1e-6)


def test_the_table_has_a_column_for_every_number(lens):
    table = lens_table(lens)
    assert len(table) == len(lens.table) and table["top_1"].tolist() == [
        top[0] for top in lens.table["top"]
    ]
    assert (table["probability_1"] >= table["probability_5"]).all()
    assert {"fa", "unseen", "entropy", "next_rank"} < set(table) and "top" not in table


def test_a_text_with_too_many_cells_is_refused(session, monkeypatch):
    monkeypatch.setattr("shiftlens.app.lens_request.MOST_CELLS", 21)
    request = check_request(session, AREA, FA, "plain", None)
    with pytest.raises(ShiftlensError, match="10 tokens; with 7 layers at most 3 can be drawn"):
        read_text(session, request, None, Job(lambda job: None))
    assert MOST_CELLS > 7 * 200


def test_without_a_run_it_says_what_the_masses_need(tmp_path):
    model = sl.load_model(tiny_model("llama"), tiny_tokenizer())
    bare = Session(model, "float32", None, tmp_path, Worker())
    found, why = token_languages(bare)
    assert found is None and "shiftlens sweep --model" in why
    with pytest.raises(ShiftlensError, match="no shift 'shifted'"):
        check_request(bare, AREA, "the 3 cats", "shifted", "en")
    request = check_request(bare, AREA, "the 3 cats", "plain", None)
    read = read_text(bare, request, None, Job(lambda job: None))
    shown = code(bare, request, read, "rank", 0)
    assert "TokenLanguages.of" not in shown and "mass_lines(lens" not in shown


def test_a_text_is_read_a_column_clicked_and_the_link_restores_it(tab):
    visit(tab, "lens", text=FA, colour="fa", shift="shifted", language="fa")
    tab.wait_for_selector("#lens-figure .heatmaplayer .hm")
    until(tab, "document.querySelector('#lens-lines .gtitle').textContent.includes('position 9')")
    cell = tab.locator("#lens-figure .heatmap-label text", has_text="عدد").first
    assert cell.is_visible()
    tab.mouse.click(*place(tab, "lens-figure", 3, 6))
    until(tab, "location.search.includes('position=3')")
    until(tab, "document.querySelector('#lens-lines .gtitle').textContent.includes('position 3')")
    name, content = download(tab, "lens-csv")
    assert name == "shiftlens_lens.csv" and b"next_rank" in content
    assert pd.read_csv(__import__("io").BytesIO(content))["layer"].max() == 6
    tab.fill("#lens-text", "")
    tab.click("#lens-run")
    assert "the text is empty" in refusal(tab, "lens")
    tab.goto(tab.locator("#lens-link").evaluate("a => a.href"))
    until(tab, "document.querySelector('#lens-lines .gtitle')?.textContent.includes('position 3')")
    assert tab.locator("#lens-text").input_value() == FA
    assert "mass of Persian" in tab.locator("#lens-colour").text_content()
