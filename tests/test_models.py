"""The two forms of a model, its hooks, its padding and its hash."""

import subprocess
import sys

import pytest
import tiny
import torch
from refusals import refused

from shiftlens.architectures import BRIDGE_NAMES
from shiftlens.bridge import bridged
from shiftlens.loading import load_model
from shiftlens.residual import hook_names, residual_hooks

TEXTS = ("abc", "hello world", "a longer text, with more letters", "x")


def batch(model, side="right"):
    return model.pad([model.tokenizer(text)["input_ids"] for text in TEXTS], side)


def logits(model):
    with torch.no_grad():
        return model.hf(**batch(model)).logits


def anatomy(hf):
    """Everything that must come back, by identity where it is an object."""
    return {
        "modules": {name: (id(module), type(module)) for name, module in hf.named_modules()},
        "parameters": {name: (id(p), p.requires_grad) for name, p in hf.named_parameters()},
        "buffers": {name: id(buffer) for name, buffer in hf.named_buffers()},
        "state": {name: t.data_ptr() for name, t in hf.state_dict().items()},
        "hooks": {
            name: (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks))
            for name, m in hf.named_modules()
        },
        "forwards": {name: m.__dict__.get("forward") for name, m in hf.named_modules()},
        "training": {name: m.training for name, m in hf.named_modules()},
        "attention": [m.config._attn_implementation for m in hf.modules() if hasattr(m, "config")],
        "config": hf.config.to_dict(),
        "attributes": {name: set(m.__dict__) for name, m in hf.named_modules()},
    }


def test_the_bridge_gives_the_plain_model_back(model, tmp_path):
    state = {name: tensor.clone() for name, tensor in model.hf.state_dict().items()}
    before, plain = anatomy(model.hf), logits(model)
    with bridged(model):
        assert {name: id(m) for name, m in model.hf.named_modules()} != {
            name: identity for name, (identity, _) in before["modules"].items()
        }
        logits(model)
    assert anatomy(model.hf) == before
    assert list(model.hf.state_dict()) == list(state)
    assert all(torch.equal(t, state[name]) for name, t in model.hf.state_dict().items())
    assert torch.equal(logits(model), plain)

    model.hf.save_pretrained(tmp_path)
    again = type(model.hf).from_pretrained(tmp_path).eval()
    assert set(again.state_dict()) == set(state)
    assert all(torch.equal(t, state[name]) for name, t in again.state_dict().items())
    again.set_attn_implementation(model.hf.config._attn_implementation)
    assert torch.equal(again(**batch(model)).logits, plain)


def test_the_bridge_gives_the_plain_model_back_after_an_error(model):
    before, plain = anatomy(model.hf), logits(model)
    with pytest.raises(KeyError, match="of the user"), bridged(model) as bridge:
        bridge.add_hook("blocks.1.hook_out", lambda stream, hook: stream * 2)
        raise KeyError("of the user")
    assert anatomy(model.hf) == before
    assert torch.equal(logits(model), plain)


def test_the_bridge_gives_the_plain_model_back_when_it_cannot_boot(llama, monkeypatch):
    from transformer_lens.model_bridge import TransformerBridge

    before, plain = anatomy(llama.hf), logits(llama)

    def fail(self, *args, **kwargs):
        raise RuntimeError("boot failed")

    monkeypatch.setattr(TransformerBridge, "eval", fail)
    with pytest.raises(RuntimeError, match="boot failed"), bridged(llama):
        pass
    assert anatomy(llama.hf) == before
    assert torch.equal(logits(llama), plain)


def test_bridging_twice_is_bridging_once(model):
    plain = logits(model)
    for _ in range(2):
        with bridged(model) as bridge, torch.no_grad():
            assert set(hook_names(model.n_layers)) <= set(bridge.hook_dict)
            inside = model.hf(**batch(model)).logits
    assert torch.equal(logits(model), plain)
    assert (inside - plain).abs().max() < 1e-5


def test_bridged_logits_are_the_plain_logits(model):
    plain = logits(model)
    assert plain.std() > 0.3
    with bridged(model):
        seen = logits(model)
    kept = batch(model)["attention_mask"].bool()
    assert (seen - plain)[kept].abs().max() <= 2e-6 * plain[kept].abs().max()


def test_bridged_gradients_are_the_plain_gradients(model):
    target = torch.linspace(-1, 1, tiny.SHAPE["vocab_size"])
    kept = batch(model)["attention_mask"].bool()

    def gradient(weight):
        weight.grad = None
        loss = ((model.hf(**batch(model)).logits - target)[kept] ** 2).mean()
        loss.backward()
        return weight.grad.clone()

    plain = gradient(model.hf.get_input_embeddings().weight)
    weight = model.hf.get_input_embeddings().weight
    with bridged(model):
        seen = gradient(weight)
    assert plain.abs().max() > 1e-3
    assert (seen - plain).abs().max() <= 1e-5 * plain.abs().max()


def test_changing_a_weight_while_bridged_is_refused(model):
    with refused("weights were changed"), bridged(model) as bridge, torch.no_grad():
        next(bridge.blocks[1].parameters()).add_(1.0)


def test_an_optimiser_step_while_bridged_is_refused(model):
    with refused("weights were changed"), bridged(model) as bridge:
        optimiser = torch.optim.AdamW(bridge.parameters(), lr=1e-3)
        model.hf(**batch(model)).logits.square().mean().backward()
        optimiser.step()


def test_reading_while_bridged_is_not_refused(model):
    with bridged(model):
        model.hf(**batch(model)).logits.sum().backward()


def test_residual_hooks_read_layers_0_to_L(model):
    seen = {}
    layers = range(model.n_layers + 1)
    with torch.no_grad():
        with residual_hooks(model, lambda layer, h: seen.update({layer: h.clone()}), layers):
            output = model.hf(**batch(model), output_hidden_states=True)
        for layer in range(model.n_layers):
            assert torch.equal(seen[layer], output.hidden_states[layer])
        # Layer L is what the final norm, where there is one, and the head turn into the logits.
        norm = {"final_layer_norm", "final_layernorm", "norm", "ln_f", "layer_norm"}
        found = [m for name, m in model.hf.named_modules() if name.split(".")[-1] in norm]
        last = seen[model.n_layers]
        if type(model.hf).__name__.endswith("ForMaskedLM"):
            assert torch.equal(last, output.hidden_states[-1])
        else:
            assert torch.equal(found[-1](last), output.hidden_states[-1])
            assert not torch.equal(last, output.hidden_states[-1])


def test_residual_hooks_replace_the_stream_of_the_layer_they_name(model):
    """A change at layer l leaves layers below l as they are, and is what layer l + 1 receives."""
    plain = {}
    layers = range(model.n_layers + 1)
    with torch.no_grad(), residual_hooks(model, lambda layer, h: plain.update({layer: h}), layers):
        before = model.hf(**batch(model)).logits
    blocks = model.blocks
    for changed in layers:
        seen, entered = {}, {}

        def action(layer, stream, changed=changed, seen=seen):
            seen[layer] = stream
            return stream * 1.5 if layer == changed else None

        def enter(module, args, kwargs, entered=entered):
            entered[module] = args[0] if args else kwargs["hidden_states"]

        with residual_hooks(model, action, layers):
            handles = [b.register_forward_pre_hook(enter, with_kwargs=True) for b in blocks]
            with torch.no_grad():
                after = model.hf(**batch(model)).logits
            for handle in handles:
                handle.remove()
        assert all(torch.equal(seen[layer], plain[layer]) for layer in range(changed + 1))
        assert all(not torch.equal(seen[layer], plain[layer]) for layer in layers[changed + 1 :])
        if changed < model.n_layers:
            assert torch.equal(entered[blocks[changed]], plain[changed] * 1.5)
        if changed < model.n_layers or type(model.hf).__name__.endswith("ForMaskedLM"):
            assert not torch.allclose(after, before)
    assert torch.equal(logits(model), before)


def test_residual_hooks_leave_after_an_error(llama):
    before = anatomy(llama.hf)
    calls = []

    def fail(layer, stream):
        calls.append(layer)
        raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"), residual_hooks(llama, fail, [0, 2, 3]):
        logits(llama)
    assert calls == [0]
    assert anatomy(llama.hf) == before
    logits(llama)
    assert calls == [0]


def test_left_padding_gives_the_logits_of_single_texts(model):
    padded = batch(model, "left")
    with torch.no_grad():
        together = model.hf(**padded).logits
        for row, text in enumerate(TEXTS):
            alone = model.hf(**model.pad([model.tokenizer(text)["input_ids"]])).logits[0]
            kept = together[row][padded["attention_mask"][row].bool()]
            assert (kept - alone).abs().max() <= 1e-5 * alone.abs().max()


def test_padding_does_not_need_a_pad_token(llama):
    llama.hf.config.pad_token_id = None
    assert batch(llama)["input_ids"].min() == 0
    llama.hf.config.pad_token_id = -1
    assert batch(llama)["input_ids"].min() == 0
    assert logits(llama).isfinite().all()


def test_a_position_table_bounds_the_length():
    limits = {}
    for name in tiny.ARCHITECTURES:
        model = load_model(tiny.tiny_model(name), tiny.tiny_tokenizer())
        limits[name] = model.max_positions
        longest = torch.arange(model.max_positions)[None] % 100 + 10
        assert model.hf(input_ids=longest).logits.shape[1] == model.max_positions
    assert set(limits.values()) == {64}
    bloom = tiny.tiny_model("bloom")
    del bloom.config.max_position_embeddings
    assert load_model(bloom, tiny.tiny_tokenizer()).max_positions is None


def test_shape_of_the_model_is_read_from_the_model(model):
    assert (model.n_layers, model.d_model) == (3, 32)
    assert [id(block) for block in model.blocks] == [
        id(model.hf.get_submodule(f"{model.blocks_path}.{number}")) for number in range(3)
    ]


def test_every_architecture_is_named_as_transformer_lens_knows_it():
    from transformer_lens.factories.architecture_adapter_factory import SUPPORTED_ARCHITECTURES

    names = {type(tiny.tiny_model(name)).__name__ for name in tiny.ARCHITECTURES}
    assert len(names) == len(tiny.ARCHITECTURES)
    for name in names:
        assert BRIDGE_NAMES.get(name, name) in SUPPORTED_ARCHITECTURES


def test_hash_ignores_the_path_and_sees_one_weight(model, tmp_path):
    digest = model.sha256
    for folder in ("one", "two/three"):
        model.hf.save_pretrained(tmp_path / folder)
        model.tokenizer.save_pretrained(tmp_path / folder)
        assert load_model(tmp_path / folder, device="cpu").sha256 == digest
    with torch.no_grad():
        weight = next(model.blocks[2].parameters())
        weight.view(-1)[3] = torch.nextafter(weight.view(-1)[3], torch.tensor(9.0))
    assert model.sha256 != digest


def test_hash_sees_configuration_and_dtype(llama):
    digest = llama.sha256
    llama.hf.config.rms_norm_eps *= 2
    assert llama.sha256 != digest
    llama.hf.config.rms_norm_eps /= 2
    assert llama.sha256 == digest
    llama.hf.to(torch.bfloat16)
    assert llama.sha256 != digest


def test_hash_is_the_same_inside_and_outside_of_a_bridge_visit(llama):
    digest = llama.sha256
    with bridged(llama):
        pass
    assert llama.sha256 == digest


def test_a_class_without_an_adapter_is_refused():
    from transformers import BertForTokenClassification

    config = tiny.tiny_model("bert").config
    model = load_model(BertForTokenClassification(config), tiny.tiny_tokenizer())
    with refused("BertForTokenClassification"):
        _ = model.n_layers


def test_importing_the_package_does_not_import_torch():
    code = "import sys, shiftlens; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
