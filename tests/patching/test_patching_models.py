"""Other forms of the architectures, other dtypes, and the model after a patching."""

import numpy as np
import pytest
import tiny
import torch
from plain_patching import ANSWERS, CLEAN, CORRUPT, SHORTER, SITES, assert_plain, basis

from shiftlens.loading import load_model
from shiftlens.patching import COMPONENTS, patch

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(params=tiny.DECODERS, scope="module")
def decoder(request):
    return load_model(tiny.tiny_model(request.param), tiny.tiny_tokenizer())


@pytest.mark.parametrize("name", ["mistral", "gemma2", "gemma3_text"])
def test_a_sliding_window_is_kept_to(name):
    model = load_model(tiny.tiny_model(name, sliding_window=4), tiny.tiny_tokenizer())
    result = patch(model, CLEAN, SHORTER, ANSWERS, align=SITES)
    assert_plain(model, result, CLEAN, SHORTER)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("opt", {"do_layer_norm_before": False}),
        ("gpt_neox", {"use_parallel_residual": False}),
        ("llama", {"attn_implementation": "eager"}),
    ],
)
def test_other_forms_of_an_architecture(name, options):
    eager = options.pop("attn_implementation", None)
    model = load_model(tiny.tiny_model(name, **options), tiny.tiny_tokenizer())
    if eager:
        model.hf.set_attn_implementation(eager)
    assert_plain(model, patch(model, CLEAN, SHORTER, ANSWERS, align=SITES), CLEAN, SHORTER)


def test_a_bfloat16_model_runs(llama):
    expected = patch(llama, CLEAN, SHORTER, ANSWERS)
    hf = tiny.tiny_model("llama").bfloat16()
    model = load_model(hf, tiny.tiny_tokenizer())
    for options in ({}, {"subspace": {2: basis(32)}, "part": "inside"}):
        result = patch(model, CLEAN, SHORTER, ANSWERS, **options)
        grid = expected.grid("value").loc[result.table["layer"].unique()]
        assert np.abs(result.grid("value") - grid).to_numpy().max() < 0.15


def test_the_model_is_left_as_it_was(decoder):
    hf = decoder.hf.train()
    tree = [(id(m), len(m._forward_hooks), len(m._forward_pre_hooks)) for m in hf.modules()]
    weights = {name: p.clone() for name, p in hf.named_parameters()}
    for component in COMPONENTS:
        patch(decoder, CLEAN, CORRUPT, ANSWERS, component=component)
    after = [(id(m), len(m._forward_hooks), len(m._forward_pre_hooks)) for m in hf.modules()]
    assert after == tree
    assert hf.training
    assert all(torch.equal(p, weights[name]) for name, p in hf.named_parameters())
    assert all(p.requires_grad and p.grad is None for p in hf.parameters())
    hf.eval()


def test_a_model_that_was_training_is_patched_without_dropout():
    model = load_model(tiny.tiny_model("gpt2"), tiny.tiny_tokenizer())
    expected = patch(model, CLEAN, CORRUPT, ANSWERS).table["value"]
    model.hf.train()
    assert np.array_equal(patch(model, CLEAN, CORRUPT, ANSWERS).table["value"], expected)


def test_hooks_are_removed_after_an_error(llama):
    def fail(*_):
        raise RuntimeError("broken")

    handle = llama.hf.model.layers[2].register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="broken"):
        patch(llama, CLEAN, CORRUPT, ANSWERS)
    handle.remove()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in llama.hf.modules())
