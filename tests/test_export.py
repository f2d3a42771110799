import json
import subprocess
import sys

import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file
from tiny import tiny_model, tiny_tokenizer
from transformers import AutoModelForCausalLM

from shiftlens import LanguageModel, LanguageVectors, Pooling, Shift, ShiftlensError, TrainConfig
from shiftlens.config import to_yaml
from shiftlens.export import export_run

IDS = torch.tensor([[0, 7, 9, 12, 30]])
CODES = ("en", "sw", "no")


def training(folder, name="llama", shifted=True):
    """What a training leaves, without the training."""
    model = LanguageModel(tiny_model(name), tiny_tokenizer(), name)
    saved = folder / "model"
    model.hf.save_pretrained(saved)
    model.tokenizer.save_pretrained(saved)
    shape = (model.n_layers + 1, model.d_model)
    vectors = {code: torch.randn(shape) for code in CODES}
    shift = Shift(LanguageVectors(vectors, 8, Pooling()), (1, 2))
    if shifted:
        shift.save(saved)
    config = TrainConfig("org/base", "data.jsonl", "news", str(folder), test="held-out.jsonl")
    (folder / "config.yaml").write_bytes(to_yaml(config).encode())
    hashes = {"model": "1" * 64, "sft": "2" * 64, "parallel": "3" * 64}
    (folder / "inputs.json").write_text(json.dumps(hashes))
    rows = [
        {"when": when, "language": code, "n": 50, "exact_match": score, "perplexity": 2.5}
        for when, score in (("before", 0.25), ("after", 0.75))
        for code in CODES
    ]
    pd.DataFrame(rows).to_csv(folder / "results.csv", index=False)
    return model, shift


def shifted_logits(model, shift, code):
    with torch.no_grad(), shift.applied(model, code):
        return model.hf(IDS).logits


def logits(hf):
    with torch.no_grad():
        return hf.eval()(IDS).logits


def python_of(card, folder):
    """The block of Python in a card, for the folder it lies in."""
    return card.split("```python\n")[1].split("```")[0].replace("FOLDER", str(folder))


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_base_and_deltas_are_the_shifted_model_in_every_language(name, tmp_path):
    model, shift = training(tmp_path / "run", name)
    out = export_run(tmp_path / "run", tmp_path / "out")
    hf = AutoModelForCausalLM.from_pretrained(out / "base")
    seen = []
    for code in (*CODES, "en"):
        deltas = load_file(out / "deltas" / f"{code}.safetensors")
        assert not hf.load_state_dict(deltas, strict=False).unexpected_keys
        expected = shifted_logits(model, shift, code)
        torch.testing.assert_close(logits(hf), expected, atol=1e-5, rtol=1e-5)
        seen.append(expected)
    assert (seen[0] - seen[1]).abs().max() > 0.01
    assert (seen[1] - seen[2]).abs().max() > 0.01


def test_a_full_checkpoint_is_one_language(tmp_path):
    model, shift = training(tmp_path / "run")
    out = export_run(tmp_path / "run", tmp_path / "out", "no", full=True)
    hf = AutoModelForCausalLM.from_pretrained(out)
    expected = shifted_logits(model, shift, "no")
    torch.testing.assert_close(logits(hf), expected, atol=1e-5, rtol=1e-5)
    assert not (out / "deltas").exists()


@pytest.mark.parametrize("full", [False, True])
def test_the_card_tells_and_its_code_runs_without_shiftlens(full, tmp_path):
    training(tmp_path / "run")
    out = export_run(tmp_path / "run", tmp_path / "out", "no", full)
    card = (out / "README.md").read_text(encoding="utf-8")
    metadata = yaml.safe_load(card.split("---")[1])
    assert metadata["language"] == ["no"]
    assert metadata["base_model"] == "org/base"
    for fact in ("1" * 64, "2" * 64, "3" * 64, "layer 1", "0.250 → 0.750", "held-out.jsonl"):
        assert fact in card
    assert str(tmp_path) not in card
    code = python_of(card, out) + '\nimport sys\nassert "shiftlens" not in sys.modules'
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_is_written_over_and_nothing_half_is_left(tmp_path):
    training(tmp_path / "run")
    (tmp_path / "out").mkdir()
    with pytest.raises(ShiftlensError, match="exists"):
        export_run(tmp_path / "run", tmp_path / "out")
    with pytest.raises(ShiftlensError, match="'fi' has no vectors"):
        export_run(tmp_path / "run", tmp_path / "new", "fi")
    with pytest.raises(ShiftlensError, match="for one language, not for en, sw"):
        export_run(tmp_path / "run", tmp_path / "new", "en,sw", full=True)
    (tmp_path / "run" / "inputs.json").write_text("{")
    with pytest.raises(ShiftlensError, match="not a finished training"):
        export_run(tmp_path / "run", tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]


def test_a_run_without_a_shift_or_a_model_says_so(tmp_path):
    training(tmp_path / "plain", shifted=False)
    with pytest.raises(ShiftlensError, match="plain checkpoint as it is"):
        export_run(tmp_path / "plain", tmp_path / "out")
    with pytest.raises(ShiftlensError, match="holds no trained model"):
        export_run(tmp_path, tmp_path / "out")


def test_an_architecture_that_cannot_carry_it_is_refused_before_anything_is_written(tmp_path):
    training(tmp_path / "run", "qwen3")
    with pytest.raises(ShiftlensError, match="cannot be baked into Qwen3ForCausalLM"):
        export_run(tmp_path / "run", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
