"""The lens's memory: planned for a large model, and at a small size as planned."""

import weakref

import pytest
import tiny
import torch
from by_hand import load
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    ViTConfig,
)

from shiftlens.corpora import Corpus
from shiftlens.errors import ShiftlensError
from shiftlens.lens import TokenLanguages, language_lens, lens_memory
from shiftlens.loading import load_model

GIB = 2**30
LARGE = LlamaConfig(
    vocab_size=128_256,
    hidden_size=4096,
    intermediate_size=14_336,
    num_hidden_layers=32,
    num_attention_heads=32,
    num_key_value_heads=8,
)
"""Llama 3's shape at 8 billion."""


class Live(TorchDispatchMode):
    """The most bytes of tensors made inside that were there at once."""

    def __init__(self):
        super().__init__()
        self.now = self.most = 0
        self.seen = weakref.WeakSet()

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        made = function(*arguments, **(options or {}))
        for tensor in tree_iter(made):
            if isinstance(tensor, torch.Tensor):
                self.count(tensor.untyped_storage())
        return made

    def count(self, storage):
        if storage not in self.seen:
            self.seen.add(storage)
            size = storage.nbytes()
            self.now += size
            self.most = max(self.most, self.now)
            weakref.finalize(storage, self.drop, size)

    def drop(self, size):
        self.now -= size


def measured(layers=3, sentences=6, batch_tokens=256, vocabulary=20_000, dtype=torch.float32):
    """Peak bytes of a lens beyond the weights, and its plan."""
    hf = tiny.tiny_model("llama", vocab_size=vocabulary, num_hidden_layers=layers)
    model = load_model(hf.to(dtype), tiny.tiny_tokenizer())
    corpus = Corpus.from_texts(
        {"en": ["a cab and a dad " * 3] * sentences, "es": ["ñoño zorro ñññ o " * 3] * sentences}
    )
    tokens = TokenLanguages.of_corpus(model, corpus)
    live = Live()
    with live:
        language_lens(model, corpus, tokens, batch_tokens=batch_tokens, progress=False)
    name = str(dtype).removeprefix("torch.")
    return live.most, lens_memory(hf.config, name, batch_tokens, 64, len(corpus.languages))


def test_a_model_of_32_layers_d_4096_and_a_vocabulary_of_128k_is_planned_into_16_gib():
    plan = lens_memory(LARGE, "bfloat16", languages=100)
    assert 8.0e9 < plan.weights / 2 < 8.1e9
    assert plan.total < 15.5 * GIB
    twice = lens_memory(LARGE, "float32")
    assert twice.weights == 2 * plan.weights and twice.total > 29 * GIB


@pytest.mark.parametrize(("dtype", "room"), [(torch.float32, 1.4), (torch.bfloat16, 1.6)])
def test_what_is_held_is_less_than_planned_and_not_by_much(dtype, room):
    """The plan has the check of the head on top, and a fourth copy that softmax may take inside."""
    most, plan = measured(dtype=dtype)
    held = plan.forward + plan.logits
    assert most < held < room * most


def test_neither_layers_nor_sentences_add_to_it(monkeypatch):
    monkeypatch.setattr("shiftlens.lens.reading.CHUNK_BYTES", 8 * 2**20)
    monkeypatch.setattr("shiftlens.lens.memory.CHUNK_BYTES", 8 * 2**20)
    most, _ = measured()
    deeper, _ = measured(layers=9)
    longer, _ = measured(sentences=48)
    assert max(deeper, longer) < 1.05 * most
    wider, plan = measured(vocabulary=60_000)
    assert most < wider < plan.forward + plan.logits


def test_a_wider_batch_and_a_longer_text_are_planned_to_take_more():
    small, batch, text = (
        lens_memory(LARGE, "bfloat16", *sizes) for sizes in ((512, 128), (2048, 128), (512, 512))
    )
    assert batch.forward == 4 * small.forward and text.forward > small.forward
    assert small.weights == batch.weights and small.logits == batch.logits


@pytest.mark.parametrize("config", [GPT2Config(), Gemma2Config(), tiny.tiny_model("opt").config])
def test_weights_are_counted_once_where_they_are_tied(config):
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    own = {id(p): p.numel() for p in model.parameters()}
    assert lens_memory(config).weights == 4 * sum(own.values())


def test_an_encoder_is_refused():
    with pytest.raises(ShiftlensError, match="type bert is an encoder"):
        lens_memory(BertConfig())


def test_a_model_of_no_language_is_refused():
    with pytest.raises(ShiftlensError, match="type vit predicts no next token") as caught:
        lens_memory(ViTConfig())
    assert "\n" not in str(caught.value)


def test_the_plan_is_of_the_models_own_weights():
    model = load("gpt_neox")
    expected = sum(p.nbytes for p in model.hf.parameters())
    assert lens_memory(model.hf.config).weights == expected
