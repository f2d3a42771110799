import numpy as np
import pytest
import torch
from scipy.stats import entropy

from shiftlens.models import load_model
from shiftlens.neurons.entropy import activation_entropy
from shiftlens.neurons.hooks import scaling
from shiftlens.patching.components import projections
from tests.tiny import DECODERS, tiny_model, tiny_tokenizer


def test_entropies_are_scipys_and_a_dead_neuron_is_left_out():
    p = np.random.default_rng(0).random((3, 5, 4))
    p[1, 2] = 0
    found = activation_entropy(p)
    assert np.isinf(found[1, 2])
    p[1, 2], found[1, 2] = 1, np.log(4)
    np.testing.assert_allclose(found, entropy(p, axis=-1), atol=1e-12)


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
