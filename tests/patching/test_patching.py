"""`patch` and `patched_answer` as a user meets them."""

import pickle

import numpy as np
import pytest
import tiny
import torch

import shiftlens as sl
from shiftlens.errors import ShiftlensError
from shiftlens.loading import load_model
from shiftlens.patching import COMPONENTS, Cancelled, Site, patched_answer
from shiftlens.residual import residual_hooks

CLEAN, CORRUPT = "hello, a cat ", "no, he is "
ANSWERS = ["e", "h"]
SUM = "How much is seven plus three?", "Wie viel ist zwei plus drei?"


@pytest.fixture(scope="module")
def demo():
    return load_model("demo")


@pytest.fixture(params=tiny.DECODERS)
def decoder(request):
    return load_model(tiny.tiny_model(request.param), tiny.tiny_tokenizer())


# The result


def test_the_table_is_tidy(demo):
    result = sl.patch(demo, *SUM, ["zehn", "fünf"])
    table = result.table
    assert list(table.columns) == [
        *("component", "layer", "head", "site", "label", "positions", "clean_positions"),
        *("token", "clean_token", "metric", "value", "effect", "answer", "top"),
    ]
    assert len(table) == 7 * 8
    row = table[(table["layer"] == 0) & (table["label"] == "zwei")].iloc[0]
    assert (row["token"], row["clean_token"]) == ("zwei", "seven")
    assert (row["positions"], row["clean_positions"], row["site"]) == ((4,), (4,), 4)
    assert (row["answer"], row["top"]) == ("zehn", "zehn")
    assert table["head"].isna().all()
    assert table.drop(columns="head").notna().all(axis=None)
    assert (result.clean_top, result.corrupt_top) == ("ten", "fünf")
    assert result.answers == {"zehn": "zehn", "fünf": "fünf"}
    assert (result.model, result.n_layers, result.component) == ("demo", 6, "resid")


def test_the_effect_is_the_share_of_the_way(demo):
    result = sl.patch(demo, *SUM, ["zehn", "fünf"])
    clean, corrupt = result.clean_value, result.corrupt_value
    assert clean > 0 > corrupt
    expected = (result.table["value"] - corrupt) / (clean - corrupt)
    np.testing.assert_allclose(result.table["effect"], expected)
    assert result.grid().loc[6, 7] == pytest.approx(1)


def test_an_effect_that_is_not_defined_is_nan_and_nothing_else_is(demo):
    result = sl.patch(demo, SUM[0], SUM[0], ["ten", "nine"])
    assert result.table["effect"].isna().all()
    assert (result.table["value"] == result.clean_value).all()


def test_an_effect_over_a_difference_of_rounding_is_nan(llama):
    with torch.no_grad():
        for block in llama.hf.model.layers:
            block.self_attn.o_proj.weight *= 2e-7
    result = sl.patch(llama, CLEAN, CORRUPT, ANSWERS, layers=[0])
    assert 0 < abs(result.clean_value - result.corrupt_value) < 1e-6
    assert result.table["effect"].isna().all()


def test_kl_needs_no_answers_and_ends_at_zero(demo):
    result = sl.patch(demo, *SUM, metric="kl")
    assert result.clean_value == pytest.approx(0, abs=1e-12)
    assert result.corrupt_value > 1
    assert (result.table["answer"] == "").all()
    grid = result.grid("value")
    assert grid.loc[6, 7] == pytest.approx(0, abs=1e-4)
    assert result.grid().loc[6, 7] == pytest.approx(1, abs=1e-4)


def test_a_word_of_several_tokens_is_shown_once(demo):
    words = [("seven", "zwei"), ("is", "ist")]
    result = sl.patch(demo, *SUM, metric="kl", align=words, layers=[2])
    assert list(result.table["label"]) == ["zwei", "ist"]
    site = Site("both", (4, 4), (4, 5))
    table = sl.patch(demo, *SUM, metric="kl", align=[site], layers=[2]).table
    assert (table["token"][0], table["clean_token"][0]) == ("zwei plus", "seven")


def test_heads_are_counted_from_0_and_drawn_by_site_or_by_head(demo):
    result = sl.patch(demo, *SUM, ["zehn", "fünf"], component="head")
    assert sorted(result.table["head"].unique()) == [0, 1, 2, 3]
    table = result.table.set_index(["layer", "head", "site"])["effect"]
    assert result.grid().loc[3, 2] == table[3, 2, 7]
    assert result.grid(site=4).loc[1, 3] == table[1, 3, 4]
    assert result.grid(head=1).loc[5, 4] == table[5, 1, 4]
    for options in ({"head": 4}, {"site": 8}):
        with pytest.raises(ShiftlensError, match="has no"):
            result.grid(**options)


def test_a_result_can_be_pickled(demo):
    result = sl.patch(demo, *SUM, ["zehn", "fünf"], layers=[1])
    again = pickle.loads(pickle.dumps(result))
    assert again.table.equals(result.table)
    assert again.sites == result.sites
    assert again.corrupt.tokens[1] == "Wie"


def test_the_language_metric_names_the_language(demo):
    result = sl.patch(demo, *SUM, {"de": "zehn", "en": "ten"}, metric="language", layers=[1, 6])
    last = result.table[result.table["site"] == 7]
    assert list(last["answer"]) == ["de", "en"]
    assert result.table["value"].between(0, 1).all()


# Progress


def test_progress_is_reported_after_every_pass_and_can_be_cancelled(demo):
    seen = []
    options = {"max_rows": 10, "progress": lambda done, total: seen.append((done, total))}
    sl.patch(demo, *SUM, ["zehn", "fünf"], **options)
    assert seen == [(n, 5) for n in range(1, 6)]
    seen.clear()
    with pytest.raises(Cancelled):
        sl.patch(demo, *SUM, ["zehn", "fünf"], cancelled=lambda: len(seen) == 2, **options)
    assert len(seen) == 2
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in demo.hf.modules())


# One patch


def answered(model, layer, site, tokens):
    """Greedy continuation with a patch by full passes, without a cache."""
    clean, corrupt = (torch.tensor([model.tokenizer(t)["input_ids"]]) for t in (CLEAN, CORRUPT))
    states = {}
    with torch.no_grad(), residual_hooks(model, states.__setitem__, [layer]):
        model.hf(clean)

    def action(_, stream):
        stream = stream.clone()
        stream[0, list(site.corrupt)] = states[layer][0, list(site.clean)]
        return stream

    ids, said = corrupt, []
    with torch.no_grad(), residual_hooks(model, action, [layer]):
        for _ in range(tokens):
            logits = model.hf(ids).logits[0, -1]
            said.append(logits)
            ids = torch.cat([ids, logits.argmax()[None, None]], dim=1)
    return said


@pytest.mark.parametrize("layer", [0, 2])
def test_an_answer_is_that_of_full_passes_with_the_patch(decoder, layer):
    site = Site("", (3, 5), (8, 10))
    found = patched_answer(
        decoder, CLEAN, CORRUPT, layer=layer, site=0, align=[site], max_new_tokens=5, top=3
    )
    said = answered(decoder, layer, site, 5)
    tokens = [int(logits.argmax()) for logits in said]
    if 2 in tokens:
        tokens = tokens[: tokens.index(2)]
    assert found.patched.text == decoder.tokenizer.decode(tokens)
    expected = said[0].double().softmax(-1).sort(descending=True).values[:3]
    np.testing.assert_allclose([p for _, p in found.patched.top], expected, rtol=1e-4)


def test_an_answer_stands_beside_the_unpatched_ones(demo):
    found = sl.patched_answer(demo, *SUM, layer=2, site=-1)
    assert (found.layer, found.site, found.head) == (2, Site("?", (7,), (7,)), None)
    assert found.clean.text.strip() == "ten" == found.clean.top[0][0]
    assert found.corrupt.text.strip() == "fünf" == found.corrupt.top[0][0]
    assert found.patched.text.strip() == "zehn" == found.patched.top[0][0]
    for said in (found.clean, found.corrupt, found.patched):
        odds = [p for _, p in said.top]
        assert len(odds) == 5
        assert odds == sorted(odds, reverse=True)
        assert 0.5 < odds[0] < 1


@pytest.mark.parametrize("component", COMPONENTS)
def test_an_answer_begins_with_the_top_of_the_table(demo, component):
    result = sl.patch(demo, *SUM, ["zehn", "fünf"], component=component)
    for row in result.table[::9].itertuples():
        head = None if component != "head" else int(row.head)
        found = sl.patched_answer(
            demo, *SUM, layer=row.layer, site=row.site, component=component, head=head, top=1
        )
        assert found.patched.top[0][0] == row.top


def test_a_continuation_stops_at_the_last_position():
    model = load_model(tiny.tiny_model("gpt2", max_position_embeddings=14), tiny.tiny_tokenizer())
    found = patched_answer(model, CLEAN, CORRUPT, layer=1, site=0, max_new_tokens=50)
    assert len(model.tokenizer.tokenize(found.clean.text)) == 1
    assert len(model.tokenizer.tokenize(found.corrupt.text)) == 4
