"""The engine, against a plain forward pass with one hook."""

import numpy as np
import pytest
import tiny
import torch
from plain_patching import (
    ANSWERS,
    CLEAN,
    CORRUPT,
    SHORTER,
    SITES,
    assert_plain,
    basis,
    blocks,
    difference,
    ids,
    last_logits,
    one_patch,
)

from shiftlens.loading import load_model
from shiftlens.patching import COMPONENTS, Site, align_texts, patch
from shiftlens.patching.engine import Patch, Patcher
from shiftlens.patching.growing import GROWING

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(params=tiny.DECODERS, scope="module")
def decoder(request):
    return load_model(tiny.tiny_model(request.param), tiny.tiny_tokenizer())


def test_every_value_is_that_of_one_plain_forward_pass(decoder):
    result = patch(decoder, CLEAN, SHORTER, ANSWERS, align=SITES)
    assert set(result.table["layer"]) == {0, 1, 2, 3}
    assert result.table["value"].std() > 1e-3
    assert_plain(decoder, result, CLEAN, SHORTER)


def patcher(model, clean, corrupt, component="resid", bases=None, part="whole"):
    both = (model.tokenizer(text)["input_ids"] for text in (clean, corrupt))
    layers = range(4) if component == "resid" else range(1, 4)
    return Patcher(model, *both, component, layers, bases or {}, part)


def every_patch(model, corrupt, component="resid"):
    length = len(model.tokenizer(corrupt)["input_ids"])
    layers = range(4) if component == "resid" else range(1, 4)
    heads = range(4) if component == "head" else [None]
    sites = [Site("", (at,), (at,)) for at in range(length)]
    return [Patch(layer, site, head) for layer in layers for head in heads for site in sites]


def test_a_state_patched_with_itself_changes_nothing(decoder):
    expected = last_logits(decoder, CORRUPT)
    for component in COMPONENTS:
        run = patcher(decoder, CORRUPT, CORRUPT, component)
        patches = every_patch(decoder, CORRUPT, component)
        for start in (0, 5):  # the second batch goes on from the cached positions before
            logits = run.run([each for each in patches if each.start >= start])
            assert (logits - expected).abs().max() <= 1e-6 * expected.abs().max()


def test_a_growing_batch_is_a_constant_one_and_one_row_at_a_time(decoder):
    for component in COMPONENTS:
        run = patcher(decoder, CLEAN, CORRUPT, component)
        patches = every_patch(decoder, CORRUPT, component)[::4]
        grown = run.run(patches, grow=True)
        assert (grown - run.run(patches, grow=False)).abs().max() < 1e-5
        single = torch.cat([run.run([each]) for each in patches])
        assert (grown - single).abs().max() < 1e-5
        assert (grown - run.corrupt_logits).abs().max() > 1e-2


def test_every_position_at_layer_0_gives_the_clean_run(decoder):
    everywhere = tuple(range(len(ids(decoder, CLEAN)[0])))
    run = patcher(decoder, CLEAN, CORRUPT)
    [logits] = run.run([Patch(0, Site("all", everywhere, everywhere))])
    assert (logits - last_logits(decoder, CLEAN)).abs().max() < 1e-5
    assert (logits - last_logits(decoder, CORRUPT)).abs().max() > 1e-2


def test_the_last_layer_at_the_last_position_gives_the_clean_run(decoder):
    result = patch(decoder, CLEAN, SHORTER, ANSWERS, align="last", layers=[3])
    *others, last = result.table.itertuples()
    assert abs(last.value - difference(decoder, last_logits(decoder, CLEAN))) < 1e-5
    assert abs(last.effect - 1) < 1e-4
    assert all(abs(row.effect) < 1e-4 for row in others)


@pytest.mark.parametrize("max_rows", [1, 2, 7, 1000])
def test_the_largest_batch_does_not_change_the_values(decoder, max_rows):
    expected = patch(decoder, CLEAN, CORRUPT, ANSWERS, component="mlp_out").table["value"]
    seen = []
    handle = decoder.hf.lm_head.register_forward_hook(lambda *given: seen.append(len(given[2])))
    result = patch(decoder, CLEAN, CORRUPT, ANSWERS, component="mlp_out", max_rows=max_rows)
    handle.remove()
    assert max(seen) == min(max_rows, sum(seen) - 2)
    assert np.abs(result.table["value"] - expected).max() < 1e-5


def test_inside_and_outside_are_the_two_parts_of_the_step(decoder):
    subspace = {1: basis(5), 3: basis(9, seed=1)}
    for part in ("inside", "outside"):
        result = patch(decoder, CLEAN, SHORTER, ANSWERS, align=SITES, subspace=subspace, part=part)
        assert list(result.table["layer"].unique()) == [1, 3]
        for row in result.table.itertuples():
            b = subspace[row.layer].float()
            projector = b @ b.T if part == "inside" else torch.eye(32) - b @ b.T
            site = result.sites[row.site]
            expected = one_patch(
                decoder, CLEAN, SHORTER, row.layer, site, lambda h, c: h + projector @ (c - h)
            )
            assert abs(row.value - difference(decoder, expected)) < 1e-4


def test_a_full_basis_is_everything_and_its_complement_nothing(decoder):
    full, empty = ({layer: basis(r) for layer in range(4)} for r in (32, 0))
    whole = patch(decoder, CLEAN, CORRUPT, ANSWERS).table["value"]

    def values(subspace, part):
        options = {"subspace": subspace, "part": part}
        return patch(decoder, CLEAN, CORRUPT, ANSWERS, **options).table["value"]

    nothing = difference(decoder, last_logits(decoder, CORRUPT))
    assert np.abs(values(full, "inside") - whole).max() < 1e-4
    assert np.abs(values(empty, "outside") - whole).max() < 1e-4
    assert np.abs(values(full, "outside") - nothing).max() < 1e-4
    assert np.abs(values(empty, "inside") - nothing).max() < 1e-4


def test_an_architecture_that_is_not_known_to_grow_gives_the_same(monkeypatch, decoder):
    expected = patch(decoder, CLEAN, SHORTER, ANSWERS).table["value"]
    assert decoder.hf.config.model_type in GROWING
    monkeypatch.setattr("shiftlens.patching.engine.GROWING", set())
    seen = []
    handle = blocks(decoder.hf)[0].register_forward_hook(
        lambda _, args, output: seen.append(len(args[0] if args else output[0]))
    )
    values = patch(decoder, CLEAN, SHORTER, ANSWERS).table["value"]
    handle.remove()
    assert max(seen) > len(expected) / 4
    assert np.abs(values - expected).max() < 1e-5


def test_nothing_below_the_layer_or_before_the_position_is_computed_again(llama):
    sizes = []
    for block in llama.hf.model.layers:
        block.register_forward_hook(lambda _, args, output: sizes.append(tuple(output.shape[:2])))
    read = []
    llama.hf.lm_head.register_forward_hook(lambda _, args, __: read.append(args[0].shape[:2]))
    site = Site("late", (5,), (6,))
    patch(llama, CLEAN, CORRUPT, ANSWERS, align=[site])
    reading, running = sizes[:6], sizes[6:]
    assert reading == [(1, 14)] * 6
    assert running == [(1, 8), (2, 8), (3, 8)]
    assert read == [(1, 1), (1, 1), (4, 1)]


def test_sites_of_the_same_tokens_are_not_run(llama):
    clean, corrupt = "the cat sat ", "the cat ran "
    runs = []
    patch(llama, clean, corrupt, ANSWERS, progress=lambda done, total: runs.append(total))
    before = len(runs)
    same = [site for site in align_texts(llama, clean, corrupt, "auto") if site.corrupt[0] < 9]
    result = patch(llama, clean, corrupt, ANSWERS, align=same, progress=lambda *_: runs.append(0))
    assert len(runs) == before > 0
    assert (result.table["value"] == result.corrupt_value).all()
    assert_plain(llama, result, clean, corrupt)


def test_a_site_moved_within_the_shared_beginning_is_run(llama):
    clean, corrupt = "the cat sat ", "the cat ran "
    result = patch(llama, clean, corrupt, ANSWERS, align=[Site("moved", (1,), (3,))])
    assert_plain(llama, result, clean, corrupt)
    assert result.table["value"].nunique() == 4


def test_a_batch_is_of_neighbouring_positions(llama):
    widths = []
    block = llama.hf.model.layers[0]
    block.register_forward_hook(lambda _, args, output: widths.append(output.shape[1]))
    patch(llama, CLEAN, CORRUPT, ANSWERS, layers=[1, 2], max_rows=2)
    assert widths == [14, 14, *range(13, 0, -1)]
