"""Every component, against TransformerLens's own sweeps on the bridged model."""

import numpy as np
import pytest
import tiny
import torch
from transformer_lens import patching as lens

from shiftlens.bridge import bridged
from shiftlens.loading import load_model
from shiftlens.patching import patch

ANSWERS = ["e", "h"]


def ids(model, text):
    return torch.tensor([model.tokenizer(text)["input_ids"]])


SWEEPS = {
    "resid": lens.get_act_patch_resid_pre,
    "attn_out": lens.get_act_patch_attn_out,
    "mlp_out": lens.get_act_patch_mlp_out,
    "head": lens.get_act_patch_attn_head_out_by_pos,
}


@pytest.mark.parametrize("name", tiny.DECODERS)
def test_values_are_those_of_transformer_lens(name):
    model = load_model(tiny.tiny_model(name), tiny.tiny_tokenizer())
    clean, corrupt = "a cat is ", "some dog "
    results = {
        component: patch(
            model, clean, corrupt, ANSWERS, component=component, align="positions", layers=layers
        )
        for component, layers in zip(SWEEPS, (range(3), None, None, None), strict=True)
    }
    first, second = model.tokenizer.convert_tokens_to_ids(ANSWERS)
    with bridged(model) as bridge, torch.no_grad():
        _, cache = bridge.run_with_cache(ids(model, clean))
        for component, sweep in SWEEPS.items():
            expected = sweep(
                bridge,
                ids(model, corrupt),
                cache,
                lambda logits: logits[0, -1, first] - logits[0, -1, second],
            )
            values = results[component].table["value"].to_numpy()
            if component == "head":
                expected = expected.transpose(1, 2)
            assert expected.std() > 1e-3
            assert np.abs(values - expected.flatten().numpy()).max() < 1e-5
