import copy

import pytest
import torch
from tiny import ARCHITECTURES, ENCODERS, tiny_model, tiny_tokenizer

from shiftlens import LanguageModel, LanguageVectors, Pooling, Shift, ShiftlensError, load_model
from shiftlens.bake import REFUSED, bake, baked_tensors, carrying

CARRIERS = [name for name in ARCHITECTURES if name not in REFUSED]
AREA = (1, 2)
TEXTS = ["the river was high", "no", "a long, long way to go before night"]


def shifted(name, dtype=torch.float32, **overrides):
    hf = tiny_model(name, **overrides)
    with torch.no_grad():
        for parameter in hf.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn(parameter.shape))
    model = LanguageModel(hf.to(dtype), tiny_tokenizer(), name)
    generator = torch.Generator().manual_seed(1)
    shape = (model.n_layers + 1, model.d_model)
    vectors = {code: torch.randn(shape, generator=generator) for code in ("en", "sw")}
    return model, Shift(LanguageVectors(vectors, 8, Pooling()), AREA)


def logits(model, side="right"):
    ids = model.tokenizer(TEXTS)["input_ids"]
    inputs = model.pad(ids, side)
    with torch.no_grad():
        return model.hf(**inputs).logits[inputs["attention_mask"].bool()]


def relative(one, other):
    return ((one - other).abs().max() / other.abs().max()).item()


@pytest.mark.parametrize("name", CARRIERS)
def test_hooked_is_baked_is_reloaded(name, tmp_path):
    model, shift = shifted(name)
    plain = logits(model)
    with shift.applied(model, "sw"):
        hooked = logits(model)
    baked = bake(model, shift, "sw")
    baked.hf.save_pretrained(tmp_path)
    model.tokenizer.save_pretrained(tmp_path)
    reloaded = load_model(tmp_path)
    assert relative(hooked, plain) > 0.05
    assert relative(logits(baked), hooked) < 1e-5
    assert torch.equal(logits(reloaded), logits(baked))
    assert torch.equal(logits(model), plain)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("opt", {"do_layer_norm_before": False}),
        ("bloom", {"apply_residual_connection_post_layernorm": True}),
        ("gpt_neox", {"use_parallel_residual": False}),
        ("llama", {"mlp_bias": True, "attention_bias": True}),
        ("llama", {"tie_word_embeddings": True}),
        ("mistral", {"sliding_window": None}),
        ("qwen2", {"tie_word_embeddings": True, "rope_theta": 5e5}),
    ],
)
def test_variants_of_an_architecture_carry_it_too(name, options):
    model, shift = shifted(name, **options)
    with shift.applied(model, "sw"):
        hooked = logits(model)
    assert relative(logits(bake(model, shift, "sw")), hooked) < 1e-5


@pytest.mark.parametrize("name", [name for name in CARRIERS if name not in ENCODERS])
def test_generation_needs_no_hooks(name):
    model, shift = shifted(name)
    inputs = model.pad(model.tokenizer(TEXTS)["input_ids"], "left")
    settings = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 1}
    with shift.applied(model, "sw"):
        hooked = model.hf.generate(**inputs, **settings)
    baked = bake(model, shift, "sw").hf.generate(**inputs, **settings)
    assert torch.equal(baked, hooked)


@pytest.mark.parametrize("name", ["llama", "gpt2", "bert"])
def test_bfloat16_agrees_to_its_own_rounding(name):
    model, shift = shifted(name, torch.bfloat16)
    with shift.applied(model, "sw"):
        hooked = logits(model)
    baked = bake(model, shift, "sw")
    assert baked.hf.dtype == torch.bfloat16
    assert relative(logits(baked), hooked) < 0.05


@pytest.mark.parametrize("name", CARRIERS)
def test_a_delta_file_on_the_carrying_model_is_the_baked_model(name):
    model, shift = shifted(name)
    tensors = baked_tensors(model, shift, "sw")
    assert len(tensors) == len(AREA)
    base = copy.deepcopy(carrying(model))
    assert relative(logits(LanguageModel(base, model.tokenizer, name)), logits(model)) < 1e-6
    assert not base.load_state_dict(tensors, strict=False).unexpected_keys
    assert torch.equal(base.state_dict()[next(iter(tensors))], next(iter(tensors.values())))
    of_both = [LanguageModel(base, model.tokenizer, name), bake(model, shift, "sw")]
    assert torch.equal(*map(logits, of_both))


def test_the_dominant_language_keeps_every_weight():
    model, shift = shifted("gpt2")
    weights = model.hf.state_dict()
    for name, tensor in baked_tensors(model, shift, "en").items():
        assert torch.equal(tensor, weights[name])
    assert torch.equal(logits(bake(model, shift, "en")), logits(model))


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_carry_a_shift_is_refused_with_the_way_out(name):
    model, shift = shifted(name)
    with pytest.raises(ShiftlensError, match=r"cannot be baked into .*: .*shift\.applied"):
        bake(model, shift, "sw")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mistral", {"sliding_window": 16}),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1}),
        ("opt", {"enable_bias": False}),
    ],
)
def test_what_llama_or_the_configuration_cannot_say_is_refused(name, options):
    model, shift = shifted(name, **options)
    with pytest.raises(ShiftlensError, match="cannot be baked"):
        bake(model, shift, "sw")
