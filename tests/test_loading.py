"""What is loaded, and what loading refuses."""

import pytest
import tiny
import torch
from refusals import refused
from transformers import AutoConfig, T5Config

from shiftlens.loading import load_model


@pytest.fixture
def saved(llama, tmp_path):
    """Directory of a tiny Llama with its tokenizer."""
    llama.hf.save_pretrained(tmp_path / "llama")
    llama.tokenizer.save_pretrained(tmp_path / "llama")
    return tmp_path / "llama"


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16"])
def test_a_directory_is_loaded_in_the_dtype_asked_for(saved, name):
    model = load_model(saved, dtype=name, device="cpu")
    assert {p.dtype for p in model.hf.parameters()} == {getattr(torch, name)}
    assert not model.hf.training
    assert model.name == str(saved)


def test_a_path_that_does_not_exist_is_refused(tmp_path):
    for path in (tmp_path / "nothing", "./nothing", "~/nothing-of-the-kind"):
        with refused(str(path), "does not exist"):
            load_model(path)


def test_a_directory_without_config_is_refused(tmp_path):
    with refused(str(tmp_path), "config.json"):
        load_model(tmp_path)


def test_a_hub_id_that_cannot_be_reached_is_refused():
    with refused("nobody-at-all/no-such-model", "no such directory", "hub"):
        load_model("nobody-at-all/no-such-model")


def test_an_encoder_decoder_is_refused(tmp_path):
    T5Config(d_model=8, num_layers=1, num_heads=1).save_pretrained(tmp_path)
    with refused("encoder-decoder", "t5"):
        load_model(tmp_path)


def test_a_config_that_is_not_json_is_refused(saved):
    (saved / "config.json").write_text("{")
    with refused(str(saved), "JSON"):
        load_model(saved)


def test_an_unknown_model_type_is_refused(saved):
    (saved / "config.json").write_text('{"model_type": "no-such-type"}')
    with refused("no-such-type"):
        load_model(saved)


def test_a_config_of_wrong_types_is_refused(saved):
    (saved / "config.json").write_text('{"model_type": "llama", "hidden_size": "wide"}')
    with refused("hidden_size"):
        load_model(saved)


def test_a_truncated_weights_file_is_refused(saved):
    weights = saved / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with refused("cannot load model", str(saved)):
        load_model(saved)


def test_a_checkpoint_that_lacks_a_weight_is_refused_rather_than_filled_at_random(saved, llama):
    state = llama.hf.state_dict()
    lacking = [f"model.layers.{block}.mlp.up_proj.weight" for block in (1, 2)]
    for key in lacking:
        del state[key]
    llama.hf.save_pretrained(saved, state_dict=state)
    with refused("lacks weights", lacking[0], "1 more"):
        load_model(saved)


def test_a_checkpoint_without_a_language_model_head_is_accepted(tmp_path):
    bert = tiny.tiny_model("bert")
    bert.bert.save_pretrained(tmp_path)
    tiny.tiny_tokenizer().save_pretrained(tmp_path)
    loaded = load_model(tmp_path, device="cpu")
    assert type(loaded.hf).__name__ == "BertForMaskedLM"
    assert torch.equal(
        loaded.hf.bert.embeddings.word_embeddings.weight,
        bert.bert.embeddings.word_embeddings.weight,
    )


def test_a_directory_without_tokenizer_files_is_refused(tmp_path):
    tiny.tiny_model("gpt2").save_pretrained(tmp_path)
    with refused(str(tmp_path), "tokenizer"):
        load_model(tmp_path)


def test_remote_code_is_refused(saved):
    config = AutoConfig.from_pretrained(saved)
    config.auto_map = {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}
    config.save_pretrained(saved)
    (saved / "code.py").write_text("raise SystemExit('remote code ran')\n")
    text = (saved / "config.json").read_text().replace('"llama"', '"of-its-own"')
    (saved / "config.json").write_text(text)
    with refused("remote code"):
        load_model(saved)


def test_an_unknown_dtype_is_refused(saved):
    with refused("int8", "bfloat16"):
        load_model(saved, dtype="int8")


@pytest.mark.parametrize("device", ["cuda:99", "quantum"])
def test_a_device_that_is_not_there_is_refused(saved, device):
    with refused(device, "cannot be used"):
        load_model(saved, device=device)


def test_a_model_in_memory_needs_its_tokenizer():
    with refused("needs its tokenizer"):
        load_model(tiny.tiny_model("llama"))
