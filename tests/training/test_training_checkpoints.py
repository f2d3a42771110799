"""A training that was killed, damaged or broken ends as an undisturbed one, or says why not."""

import json
import math

import numpy as np
import pytest
import tiny
import torch
from refusals import refused
from trainers import (
    AREA,
    At,
    Killed,
    a_model,
    a_trainer,
    kill,
    same,
    trained,
    weights,
)
from transformers import AutoModelForCausalLM

from shiftlens.trained import load_trained
from shiftlens.training.checkpoints import last_checkpoint

pytestmark = pytest.mark.usefixtures("one_thread")


def train_and_kill(folder, arm, step=5, **settings):
    trainer = a_trainer(
        folder,
        arm,
        a_model(attention_dropout=0.1),
        steps=7,
        save_every=2,
        reestimate=3,
        callbacks=[At("on_step_begin", step, kill)],
        **settings,
    )
    with pytest.raises(Killed):
        trainer.train()


def train_on(folder, arm, **settings):
    torch.manual_seed(1234)
    trainer = a_trainer(
        folder,
        arm,
        a_model(seed=9, attention_dropout=0.1),
        steps=7,
        save_every=2,
        reestimate=3,
        **settings,
    )
    assert trainer.fit()
    return weights(trainer.language_model), trainer


@pytest.mark.parametrize(
    ("arm", "accumulation"),
    [("shifcon", 1), ("shifcon", 2), ("msft-parallel", 1), ("random-vector", 1), ("l2-shift", 1)],
)
def test_a_killed_training_ends_with_the_weights_of_an_undisturbed_one(tmp_path, arm, accumulation):
    settings = {"accumulation": accumulation}
    straight = trained(
        tmp_path / "straight",
        arm,
        model=a_model(attention_dropout=0.1),
        steps=7,
        save_every=2,
        reestimate=3,
        **settings,
    )
    train_and_kill(tmp_path / "killed", arm, **settings)
    assert last_checkpoint(tmp_path / "killed").name == "checkpoint-4"
    resumed, trainer = train_on(tmp_path / "killed", arm, **settings)
    assert trainer.state.global_step == 7
    assert same(resumed, straight)


CLOCK = ("train_runtime", "train_samples_per_second", "train_steps_per_second")


def logged(trainer):
    """The rows of the log but for the times in them."""
    rows = trainer.state.log_history
    return [{name: row[name] for name in row if name not in CLOCK} for row in rows]


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_killed_training_logs_the_losses_of_an_undisturbed_one(tmp_path, accumulation):
    """Rows at steps 3 and 6, checkpoints at 2, 4 and 6: a row begins before the kill at 5."""
    settings = {"accumulation": accumulation, "logging_steps": 3}
    model = a_model(attention_dropout=0.1)
    straight = a_trainer(
        tmp_path / "straight", model=model, steps=7, save_every=2, reestimate=3, **settings
    )
    straight.train()
    train_and_kill(tmp_path / "killed", "shifcon", **settings)
    _, resumed = train_on(tmp_path / "killed", "shifcon", **settings)
    assert [row["step"] for row in logged(straight)] == [3, 6, 7]
    assert logged(resumed) == logged(straight)


def test_the_log_of_a_training_killed_after_its_last_checkpoint_is_whole(tmp_path):
    _, first = train_on(tmp_path, "shifcon")
    again = a_trainer(tmp_path, steps=7, save_every=2, reestimate=3)
    assert again.fit() is False
    assert [row["step"] for row in logged(first)] == [7]
    assert logged(again) == logged(first)


def test_logged_losses_are_the_means_of_the_steps(tmp_path):
    trainer = a_trainer(tmp_path, "msft", steps=4, logging_steps=2, batch_size=3, accumulation=2)
    step, losses = trainer.compute_loss, []

    def noted(*args, **kwargs):
        losses.append(step(*args, **kwargs))
        return losses[-1]

    trainer.compute_loss = noted
    trainer.train()
    by_step = np.array([loss.item() for loss in losses]).reshape(4, 2).mean(axis=1)
    rows = logged(trainer)
    assert [row["loss"] for row in rows[:2]] == pytest.approx(by_step.reshape(2, 2).mean(axis=1))
    assert rows[2]["train_loss"] == pytest.approx(by_step.mean())


def test_a_checkpoint_without_sums_of_losses_logs_those_after_it(tmp_path):
    """Such is one of an earlier version."""
    train_and_kill(tmp_path, "shifcon", logging_steps=1)
    own = last_checkpoint(tmp_path) / "contrast.json"
    state = json.loads(own.read_text())
    for losses in ({"recent": "x"}, {**state["losses"], "more": 1}):
        own.write_text(json.dumps({**state, "losses": losses}))
        assert last_checkpoint(tmp_path).name == "checkpoint-2"
    del state["losses"]
    own.write_text(json.dumps(state))
    _, trainer = train_on(tmp_path, "shifcon", logging_steps=1)
    rows = logged(trainer)[4:]
    assert [row["step"] for row in rows] == [5, 6, 7, 7]
    assert rows[-1]["train_loss"] == pytest.approx(np.mean([row["loss"] for row in rows[:3]]))


def test_an_incomplete_checkpoint_is_passed_over(tmp_path):
    train_and_kill(tmp_path / "killed", "shifcon")
    newest = tmp_path / "killed" / "checkpoint-4"
    assert last_checkpoint(tmp_path / "killed") == newest
    (newest / "contrast.json").unlink()
    older = last_checkpoint(tmp_path / "killed")
    assert older.name == "checkpoint-2"
    assert json.loads((older / "contrast.json").read_text())["sampler_step"] == 2
    (tmp_path / "killed" / "checkpoint-10").mkdir()
    assert last_checkpoint(tmp_path / "killed") == older
    resumed, _ = train_on(tmp_path / "killed", "shifcon")
    whole = trained(
        tmp_path / "whole",
        model=a_model(attention_dropout=0.1),
        steps=7,
        save_every=2,
        reestimate=3,
    )
    assert same(resumed, whole)
    assert last_checkpoint(tmp_path / "nothing") is None


def test_a_finished_training_is_restored_and_not_trained_on(tmp_path):
    first, trainer = train_on(tmp_path, "shifcon")
    again = a_trainer(tmp_path, model=a_model(seed=5), steps=7, save_every=2, reestimate=3)
    again.compute_loss = kill
    assert again.fit() is False
    assert same(weights(again.language_model), first)
    assert again.state.global_step == 7
    assert torch.equal(again.shift.vectors["es"], trainer.shift.vectors["es"])


def test_a_checkpoint_is_a_model_with_its_shift(tmp_path):
    train_and_kill(tmp_path, "shifcon")
    model, shift = load_trained(last_checkpoint(tmp_path), device="cpu")
    assert shift.area == AREA and shift.vectors.n == 12
    assert not same(weights(model), weights(a_model()))
    assert model.tokenizer("abc")["input_ids"] == tiny.tiny_tokenizer()("abc")["input_ids"]


def all_finite(folder):
    hf = AutoModelForCausalLM.from_pretrained(folder)
    return all(torch.isfinite(tensor).all() for tensor in hf.state_dict().values())


def test_a_nan_loss_stops_at_its_step_and_keeps_the_last_checkpoint(tmp_path):
    model = a_model()

    def poison(state):
        model.hf.model.norm.weight.data[0] = math.nan

    trainer = a_trainer(
        tmp_path,
        model=model,
        steps=6,
        save_every=2,
        callbacks=[At("on_step_begin", 3, poison)],
    )
    with refused("step 3", "nan", "last checkpoint is kept"):
        trainer.train()
    assert last_checkpoint(tmp_path).name == "checkpoint-2"
    assert all_finite(tmp_path / "checkpoint-2")
    assert not any(module._forward_hooks for module in model.hf.modules())


def test_weights_that_broke_behind_a_finite_loss_are_not_saved(tmp_path):
    model = a_model()

    def poison(state):
        model.hf.model.norm.weight.grad[0] = math.inf

    trainer = a_trainer(
        tmp_path,
        model=model,
        steps=6,
        save_every=2,
        callbacks=[At("on_pre_optimizer_step", 3, poison)],
    )
    with refused("step 4", "norm.weight", "last checkpoint is kept"):
        trainer.train()
    assert last_checkpoint(tmp_path).name == "checkpoint-2"
    assert all_finite(tmp_path / "checkpoint-2")
