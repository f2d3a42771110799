"""LoRA: merged is adapted, fused projections learn, a killed training ends as it should."""

import json

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from trainers import AREA, CORPUS, RECORDS, At, Killed, kill, same, weights

from shiftlens import ActivationStore, ShiftlensError, TrainConfig, load_model
from shiftlens.adapters import add_adapters, merge_adapters
from shiftlens.bake import bake
from shiftlens.train import run_train
from shiftlens.trained import load_trained
from shiftlens.training.arguments import training_arguments
from shiftlens.training.objective import objective_of
from shiftlens.training.trainer import ShifConTrainer

IDS = torch.tensor([[0, 7, 9, 12, 30]])


pytestmark = pytest.mark.usefixtures("one_thread")


def a_model(name="llama", **options):
    hf = tiny.tiny_model(name, num_hidden_layers=4, **options)
    return load_model(hf, tiny.tiny_tokenizer())


def logits(model):
    with torch.no_grad():
        return model.hf.eval()(IDS).logits


def train_lora(folder, name="llama", steps=7, callbacks=None, seed=0, **settings):
    config = TrainConfig("", "", "", "", pairs=4, steps=steps, batch_size=4, learning_rate=1e-2,
                         save_every=2, reestimate=3, device="cpu")  # fmt: skip
    model = a_model(name, seed=seed)
    torch.manual_seed(0)
    adapters = add_adapters(model, 4, **settings)
    arguments = training_arguments(config, folder, disable_tqdm=True)
    objective = objective_of(config, AREA)
    trainer = ShifConTrainer(
        model, RECORDS, CORPUS, objective, arguments, callbacks=callbacks, adapters=adapters
    )
    return trainer, model, adapters


@pytest.mark.parametrize("name", tiny.DECODERS)
def test_every_architecture_starts_unmoved_and_merges_exactly(name):
    model = a_model(name)
    before, keys, sha256 = logits(model), list(model.hf.state_dict()), model.sha256
    adapters = add_adapters(model, 4)
    assert model.sha256 == sha256
    assert torch.equal(logits(model), before)
    learning = {key for key, p in model.hf.named_parameters() if p.requires_grad}
    assert learning and all("lora_" in key for key in learning)
    with torch.no_grad():
        for key, parameter in model.hf.named_parameters():
            if "lora_B" in key:
                parameter.normal_(std=0.1)
    moved = logits(model)
    assert (moved - before).abs().max() > 0.1
    merge_adapters(model, adapters)
    torch.testing.assert_close(logits(model), moved, atol=1e-5, rtol=1e-5)
    assert list(model.hf.state_dict()) == keys
    assert model.sha256 != sha256
    assert all(parameter.requires_grad for parameter in model.hf.parameters())


@pytest.mark.parametrize("name", ["bloom", "gpt2", "gpt_neox"])
def test_fused_query_key_and_value_learn(name, tmp_path):
    fused = {"bloom": "query_key_value", "gpt2": "c_attn", "gpt_neox": "query_key_value"}[name]
    trainer, model, adapters = train_lora(tmp_path, name, steps=3, targets=fused)
    before = logits(model)
    assert trainer.fit()
    merge_adapters(model, adapters)
    plain = a_model(name).hf.state_dict()
    for key, tensor in model.hf.state_dict().items():
        assert torch.equal(tensor, plain[key]) == (f"{fused}.weight" not in key), key
    assert (logits(model) - before).abs().max() > 1e-3


def test_a_killed_training_ends_as_an_undisturbed_one(tmp_path):
    straight, model, _ = train_lora(tmp_path / "straight")
    assert straight.fit()
    killed, _, _ = train_lora(tmp_path / "killed", callbacks=[At("on_step_begin", 5, kill)])
    with pytest.raises(Killed):
        killed.train()
    newest = tmp_path / "killed" / "checkpoint-4"
    assert not (newest / "model.safetensors").exists()
    resumed, again, _ = train_lora(tmp_path / "killed")
    assert resumed.fit()
    assert same(weights(again), weights(model))
    finished, restored, _ = train_lora(tmp_path / "killed")
    assert finished.fit() is False
    assert same(weights(restored), weights(model))


def test_a_run_leaves_a_plain_model_its_adapter_and_a_shift_that_bakes(tmp_path):
    a_model().hf.save_pretrained(tmp_path / "base")
    tiny.tiny_tokenizer().save_pretrained(tmp_path / "base")
    for code in CORPUS.languages:
        (tmp_path / "text").mkdir(exist_ok=True)
        (tmp_path / "text" / f"{code}.txt").write_text("\n".join(CORPUS.texts[code]) + "\n")
    rows = [{"language": r.language, "prompt": r.prompt, "completion": r.completion}
            for r in RECORDS]  # fmt: skip
    pd.DataFrame(rows).to_json(tmp_path / "sft.jsonl", orient="records", lines=True)
    config = TrainConfig(
        *(str(tmp_path / name) for name in ("base", "sft.jsonl", "text", "run")),
        area="1-3", pairs=4, steps=3, batch_size=4, learning_rate=1e-2, lora_rank=4, device="cpu",
    )  # fmt: skip
    run = run_train(config, say=lambda line: None)
    model, shift = load_trained(tmp_path / "run" / "model", device="cpu")
    torch.testing.assert_close(logits(model), logits(run.model))
    adapter = json.loads((tmp_path / "run" / "adapter" / "adapter_config.json").read_text())
    assert (adapter["r"], adapter["lora_alpha"]) == (4, 16.0)
    base = load_model(tmp_path / "base", device="cpu")
    manifests = {when: ActivationStore.open(tmp_path / "run" / when / "activations").manifest
                 for when in ("before", "after")}  # fmt: skip
    assert manifests["before"]["model"]["sha256"] == base.sha256
    assert manifests["after"]["model"]["sha256"] == model.sha256
    from peft import PeftModel

    torch.testing.assert_close(
        PeftModel.from_pretrained(base.hf, tmp_path / "run" / "adapter").eval()(IDS).logits,
        logits(model), atol=1e-5, rtol=1e-5,
    )  # fmt: skip
    with torch.no_grad(), shift.applied(model, "es"):
        hooked = model.hf(IDS).logits
    torch.testing.assert_close(logits(bake(model, shift, "es")), hooked, atol=1e-5, rtol=1e-5)
    assert np.isfinite(run.after.table["value"]).all()


def test_what_has_no_such_layers_is_told_which_there_are():
    with pytest.raises(ShiftlensError, match=r"no LoRA on 'query'.*q_proj"):
        add_adapters(a_model(), 4, targets="query")
