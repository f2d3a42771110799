"""Neurons: against loops over tokens, TransformerLens, scipy, and the paper's rule."""

import math
import weakref

import numpy as np
import pytest
import torch
from scipy.stats import entropy, hypergeom
from torch.nn import functional as F

import shiftlens.neurons.counts as counts
from shiftlens.bridge import bridged
from shiftlens.corpora import Corpus
from shiftlens.errors import ShiftlensError
from shiftlens.loading import load_model
from shiftlens.neurons import (
    NeuronsFound,
    activation_entropy,
    activation_probabilities,
    choose_neurons,
    find_neurons,
    language_specific,
    neurons_kept,
    reading,
    scaling,
)
from shiftlens.patching.components import projections
from tests.tiny import ARCHITECTURES, DECODERS, ENCODERS, tiny_model, tiny_tokenizer


def gelu_tanh(x):
    return F.gelu(x, approximate="tanh")


SILU = dict.fromkeys(("llama", "qwen2", "qwen3", "mistral"), ("gate_proj", F.silu))
GEMMA = dict.fromkeys(("gemma2", "gemma3_text"), ("gate_proj", gelu_tanh))
FIRST = {
    **SILU,
    **GEMMA,
    "gpt2": ("c_fc", gelu_tanh),
    "xglm": ("fc1", F.gelu),
    "bloom": ("dense_h_to_4h", gelu_tanh),
    "opt": ("fc1", F.relu),
    "gpt_neox": ("dense_h_to_4h", F.gelu),
    **dict.fromkeys(ENCODERS, ("intermediate.dense", F.gelu)),
}
"""What the projection before each architecture's activation function is called, and the latter."""
GATED = (*SILU, *GEMMA)
CORPUS = Corpus.from_texts(
    {
        "en": ["abc hello", "a longer text, with letters", "xyz"],
        "fi": ["äiti", "yksi kaksi kolme", "jo on aika"],
        "es": ["uno, dos", "ñandú", "la casa es grande y azul"],
    }
)


def load(name):
    return load_model(tiny_model(name), tiny_tokenizer(eos=name in ENCODERS))


def naive_activations(model, name, text):
    """Block to activations ``(tokens, neurons)`` of a text, special tokens left out."""
    path, function = FIRST[name]
    found, handles = [], []
    for module_name, module in model.hf.named_modules():
        if module_name.endswith(path):
            handles.append(
                module.register_forward_hook(lambda _, __, out: found.append(function(out)))
            )
    encoded = model.tokenizer(text, return_special_tokens_mask=True)
    with torch.no_grad():
        model.hf(torch.tensor([encoded["input_ids"]]))
    for handle in handles:
        handle.remove()
    own = [place for place, special in enumerate(encoded["special_tokens_mask"]) if not special]
    return [each.reshape(-1, each.shape[-1])[own] for each in found]


def naive_lape(model, name):
    """Probabilities and entropies by loops over sentences, tokens, neurons and languages."""
    probabilities = np.zeros((3, 48 if name != "gpt2" and name != "bloom" else 128, 3))
    for k, texts in enumerate(CORPUS.texts.values()):
        tokens = 0
        for text in texts:
            blocks = naive_activations(model, name, text)
            tokens += len(blocks[0])
            for block, activations in enumerate(blocks):
                for activation in activations.tolist():
                    for neuron, value in enumerate(activation):
                        probabilities[block, neuron, k] += value > 0
        probabilities[:, :, k] /= tokens
    entropies = np.full(probabilities.shape[:2], np.inf)
    for block, neuron in np.ndindex(*entropies.shape):
        p = probabilities[block, neuron]
        if p.sum() > 0:
            shares = [each / p.sum() for each in p]
            entropies[block, neuron] = -sum(q * math.log(q) for q in shares if q > 0)
    return probabilities, entropies


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_lape_is_that_of_loops_over_tokens_and_plain_hooks(name):
    model = load(name)
    probabilities, entropies = naive_lape(model, name)
    found = activation_probabilities(model, CORPUS, batch_tokens=40, progress=False)
    np.testing.assert_allclose(found, probabilities, atol=1e-12)
    np.testing.assert_allclose(activation_entropy(found), entropies, atol=1e-12)
    assert entropies[np.isfinite(entropies)].std() > 0.01


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_activations_are_those_that_transformer_lens_hooks(name):
    model = load(name)
    ids = torch.tensor([model.tokenizer("a longer text, with letters")["input_ids"]])
    read = {}
    with reading(model, read.__setitem__), torch.no_grad():
        model.hf(ids)
    hooks = [f"blocks.{block}.mlp.hook_{part}" for block in range(3) for part in ("pre", "post")]
    hooks += [f"blocks.{block}.mlp.hook_pre_linear" for block in range(3) if name in GATED]
    with bridged(model) as bridge, torch.no_grad():
        assert set(hooks) <= set(bridge.hook_dict)
        _, cache = bridge.run_with_cache(ids, names_filter=hooks)
        cache = {key: value.clone() for key, value in cache.items()}
    for block in range(3):
        pre, post = (cache[f"blocks.{block}.mlp.hook_{part}"] for part in ("pre", "post"))
        own = read[block].reshape(post.shape)
        torch.testing.assert_close(own, FIRST[name][1](pre), atol=1e-5, rtol=1e-5)
        if name in GATED:
            own = own * cache[f"blocks.{block}.mlp.hook_pre_linear"]
        torch.testing.assert_close(own, post, atol=1e-5, rtol=1e-5)


def test_entropies_are_scipys_and_a_dead_neuron_is_left_out():
    p = np.random.default_rng(0).random((3, 5, 4))
    p[1, 2] = 0
    found = activation_entropy(p)
    assert np.isinf(found[1, 2])
    p[1, 2], found[1, 2] = 1, np.log(4)
    np.testing.assert_allclose(found, entropy(p, axis=-1), atol=1e-12)


@pytest.mark.parametrize("rates", [(0.95, 0.01, 0.95), (0.8, 0.1, 0.9), (0.5, 0.3, 0.2)])
def test_the_choice_is_the_papers_rule_with_torchs_own_kth_value(rates):
    filter_rate, top_rate, bar_rate = rates
    p = torch.from_numpy(np.random.default_rng(1).random((4, 60, 5)) ** 4)
    flat = p.flatten()
    threshold, bar = (flat.kthvalue(round(len(flat) * r)).values for r in (filter_rate, bar_rate))
    scores = torch.distributions.Categorical(probs=p).entropy()
    scores[(p > threshold).sum(-1) == 0] = torch.inf
    lowest = scores.flatten().topk(round(scores.numel() * top_rate), largest=False).indices
    expected = torch.zeros(scores.numel(), 5, dtype=torch.bool)
    expected[lowest] = p.reshape(-1, 5)[lowest] > bar
    expected[scores.flatten().isinf()] = False
    found = language_specific(p.numpy(), filter_rate, top_rate, bar_rate)
    np.testing.assert_array_equal(found.reshape(-1, 5), expected)
    assert 0 < found.sum() < found.size / 2


def test_the_papers_thresholds_are_the_defaults():
    p = np.random.default_rng(2).random((4, 60, 5)) ** 4
    found = choose_neurons(["en", "es", "de", "fi", "ko"], p)
    np.testing.assert_array_equal(found.own, language_specific(p, 0.95, 0.01, 0.95))


def test_find_neurons_is_counting_and_choosing(llama):
    found = find_neurons(llama, CORPUS, 0.2, progress=False)
    p = activation_probabilities(llama, CORPUS, progress=False)
    np.testing.assert_array_equal(found.own, language_specific(p, 0.95, 0.2, 0.95))
    assert found.languages == ("en", "fi", "es") and found.own.any()
    assert list(found.table().columns) == ["block", "neuron", "languages", "entropy", *CORPUS.texts]
    with pytest.raises(ShiftlensError, match="'sw' \\(there: en, fi, es\\)"):
        found.of("sw")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share": 0}, "the share of neurons is 0"),
        ({"share": float("nan")}, "share of neurons is nan"),
        ({"filter_rate": 1.5}, "the filter rate is 1.5"),
        ({"bar_rate": -1}, "the bar rate is -1"),
    ],
)
def test_what_cannot_be_chosen_by_is_refused_before_the_model_runs(llama, options, message):
    with pytest.raises(ShiftlensError, match=message):
        find_neurons(llama, CORPUS, **options)
    with pytest.raises(ShiftlensError, match="two languages or more"):
        find_neurons(llama, Corpus.from_texts({"en": ["a"]}))


def test_nothing_of_a_batch_is_kept_however_long_the_corpus(llama, monkeypatch):
    alive, most, plain = set(), [0], counts.reading

    def watched(model, read):
        def watching(block, activation):
            alive.add(weakref.ref(activation, alive.discard))
            most[0] = max(most[0], len(alive))
            read(block, activation)

        return plain(model, watching)

    monkeypatch.setattr(counts, "reading", watched)
    peaks = []
    for repeats in (1, 8):
        texts = {code: list(own) * repeats for code, own in CORPUS.texts.items()}
        most[0] = 0
        p = activation_probabilities(
            llama, Corpus.from_texts(texts), batch_tokens=30, progress=False
        )
        peaks.append((most[0], p))
    assert peaks[0][0] == peaks[1][0] <= 2
    np.testing.assert_allclose(peaks[0][1], peaks[1][1], atol=1e-12)


def test_a_nan_names_language_sentence_and_block(llama):
    with torch.no_grad():
        llama.hf.get_input_embeddings().weight[llama.tokenizer.convert_tokens_to_ids("ñ")] = np.nan
    with pytest.raises(ShiftlensError, match=r"language es, sentence 2, layer 1: .* NaN"):
        activation_probabilities(llama, CORPUS, progress=False)


@pytest.mark.parametrize("name", DECODERS)
def test_scaling_by_zero_is_zeroing_the_columns_of_the_down_projection(name):
    model = load_model(tiny_model(name), tiny_tokenizer())
    ids, chosen = torch.tensor([[0, 5, 6, 7]]), torch.tensor([0, 3])
    with torch.no_grad():
        plain = model.hf(ids).logits
        with scaling(model, {1: chosen}, 1.0):
            assert torch.equal(model.hf(ids).logits, plain)
        with scaling(model, {1: chosen}, 0.0):
            ablated = model.hf(ids).logits
        assert torch.equal(model.hf(ids).logits, plain)
        weight = projections(model, "mlp_out")[1].weight
        weight[(chosen, slice(None)) if name == "gpt2" else (slice(None), chosen)] = 0
        torch.testing.assert_close(model.hf(ids).logits, ablated)
    assert not torch.equal(ablated, plain)


def test_neurons_kept_are_intersections_and_chance_is_hypergeometric():
    rng = np.random.default_rng(3)
    p = rng.random((2, 30, 2))
    one, two = (NeuronsFound(0.1, ("en", "fi"), p, rng.random(p.shape) < 0.3) for _ in range(2))
    table = neurons_kept(one, two).set_index(["language", "block"])
    for k, code in enumerate(("en", "fi")):
        for block in (0, 1):
            first, second = (set(each.of(code)[block].tolist()) for each in (one, two))
            row = table.loc[(code, block + 1)]
            assert row["kept"] == len(first & second) > 0
            assert (row["before"], row["after"]) == (len(first), len(second))
            assert row["by_chance"] == pytest.approx(hypergeom(30, len(first), len(second)).mean())
            assert one.jaccard[k, k] == 1
    both = [set(map(tuple, np.argwhere(one.own[:, :, k]))) for k in (0, 1)]
    assert one.jaccard[0, 1] == pytest.approx(len(both[0] & both[1]) / len(both[0] | both[1]))
    with pytest.raises(ShiftlensError, match="another shape"):
        neurons_kept(one, NeuronsFound(0.1, ("en", "fi"), p[:1], one.own[:1]))
