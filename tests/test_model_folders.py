import json

import pytest
import torch
from tiny import tiny_model, tiny_tokenizer

from shiftlens import ShiftlensError, load_model

IDS = torch.tensor([[0, 7, 9, 2]])


def sentence_model(folder, inner, modules=None):
    """A sentence-transformers directory, its transformer in a folder inside or not."""
    encoder = tiny_model("bert").bert
    encoder.save_pretrained(folder / inner)
    tiny_tokenizer(eos=True).save_pretrained(folder / inner)
    kind = "sentence_transformers.models."
    parts = [
        {"idx": 0, "name": "0", "path": inner, "type": kind + "Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": kind + "Pooling"},
    ]
    (folder / "modules.json").write_text(json.dumps(parts if modules is None else modules))
    return encoder.eval()


@pytest.mark.parametrize("inner", ["", "0_Transformer"])
def test_a_sentence_transformers_directory_is_read_as_it_is(tmp_path, inner):
    encoder = sentence_model(tmp_path, inner)
    model = load_model(tmp_path)
    with torch.no_grad():
        expected = encoder(IDS).last_hidden_state
        assert torch.equal(model.hf.base_model(IDS).last_hidden_state, expected)
    assert model.name == str(tmp_path)


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ([], "does not list a model's parts"),
        ({"a": 1}, "does not list a model's parts"),
        ([{"type": "sentence_transformers.models.BoW", "path": ""}], "BoW, not a transformer"),
    ],
)
def test_a_damaged_list_of_parts_is_named(tmp_path, modules, message):
    sentence_model(tmp_path, "", modules)
    with pytest.raises(ShiftlensError, match=message):
        load_model(tmp_path)
