"""The lens's logits against Hugging Face read by hand, and against TransformerLens."""

import pytest
import tiny
import torch
from by_hand import early_logits, load
from transformer_lens.tools.analysis import logit_lens
from transformers import OlmoConfig, OlmoForCausalLM

from shiftlens.bridge import bridged
from shiftlens.corpora import Corpus
from shiftlens.errors import ShiftlensError
from shiftlens.lens import LensHead, language_lens, text_lens
from shiftlens.lens.reading import read_layers
from shiftlens.loading import load_model

TEXT = "Who has 3 cats, and why?"


def lens_logits(model, ids):
    """All of the lens's logits, ``(L + 1, pos, vocabulary)``."""
    inputs = model.pad([ids])
    positions = inputs["attention_mask"].bool()
    head = LensHead.of(model)
    return read_layers(model, head, inputs, positions, lambda logits, _: logits).float()


@pytest.mark.parametrize("name", tiny.DECODERS)
def test_every_layer_is_hugging_faces_stream_through_its_norm_and_head(name):
    model = load(name)
    ids = model.tokenizer(TEXT)["input_ids"]
    found, expected = lens_logits(model, ids), early_logits(model.hf, ids, name)
    assert found.shape == (4, len(ids), 120)
    torch.testing.assert_close(found[-1], expected[-1], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert (found[1:] - found[:-1]).abs().amax(dim=(1, 2)).min() > 0.1


@pytest.mark.parametrize("name", tiny.DECODERS)
def test_transformer_lens_reads_the_same(name):
    model = load(name)
    ids = model.tokenizer(TEXT)["input_ids"]
    found = lens_logits(model, ids)
    with bridged(model) as bridge:
        theirs = logit_lens(bridge, torch.tensor([ids]), positions=None)
    assert len(theirs.labels) == 4
    torch.testing.assert_close(found, theirs.values[:, 0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"word_embed_proj_dim": 16, "do_layer_norm_before": False},
        {"do_layer_norm_before": False},
    ],
    ids=["projected", "not projected"],
)
def test_post_norm_opt_is_read_without_a_norm_and_through_its_projection(options):
    model = load("opt", **options)
    ids = model.tokenizer(TEXT)["input_ids"]
    with torch.no_grad():
        own = model.hf(torch.tensor([ids])).logits[0]
    torch.testing.assert_close(lens_logits(model, ids)[-1], own, atol=1e-5, rtol=1e-5)


def test_a_norm_without_weights_is_read():
    torch.manual_seed(0)
    sizes = {**tiny.SHAPE, "bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    model = load_model(OlmoForCausalLM(OlmoConfig(**sizes)), tiny.tiny_tokenizer())
    ids = model.tokenizer(TEXT)["input_ids"]
    found = lens_logits(model, ids)
    torch.testing.assert_close(found, early_logits(model.hf, ids), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_gives_the_models_own_logits(dtype):
    model = load_model(tiny.tiny_model("llama").to(dtype), tiny.tiny_tokenizer())
    ids = model.tokenizer(TEXT)["input_ids"]
    with torch.no_grad():
        own = model.hf(torch.tensor([ids])).logits[0].float()
    torch.testing.assert_close(lens_logits(model, ids)[-1], own, atol=0, rtol=0)


@pytest.mark.parametrize("name", tiny.ENCODERS)
def test_an_encoder_is_refused_with_a_reason(name):
    model = load_model(tiny.tiny_model(name), tiny.tiny_tokenizer(eos=True))
    for read in (LensHead.of, lambda model: text_lens(model, TEXT)):
        with pytest.raises(ShiftlensError, match="is an encoder: it reads a text from both sides"):
            read(model)


def test_a_head_that_does_more_is_refused(monkeypatch):
    model = load()
    forward = model.hf.forward

    def scaled(*args, **kwargs):
        output = forward(*args, **kwargs)
        output.logits = output.logits + torch.arange(120)
        return output

    monkeypatch.setattr(model.hf, "forward", scaled)
    with pytest.raises(ShiftlensError, match="layer 3 is not its own logits"):
        LensHead.of(model)


def test_weights_that_are_not_numbers_are_named():
    model = load()
    model.hf.model.layers[1].mlp.down_proj.weight.data[0, 0] = float("nan")
    with pytest.raises(ShiftlensError, match="logits of model LlamaForCausalLM are NaN"):
        text_lens(model, TEXT)


def test_reading_leaves_no_hook_and_changes_nothing():
    model = load()
    ids = torch.tensor([model.tokenizer(TEXT)["input_ids"]])
    with torch.no_grad():
        before = model.hf(ids).logits
        language_lens(model, Corpus.from_texts({"en": ["aabb"], "es": ["ññ"]}), progress=False)
        assert torch.equal(model.hf(ids).logits, before)
    for module in model.hf.modules():
        assert not module._forward_hooks and not module._forward_pre_hooks
