"""What `shiftlens check` finds."""

from contextlib import contextmanager

import pytest
import tiny
import torch

from shiftlens import check
from shiftlens.bridge import bridged
from shiftlens.check import check_model
from shiftlens.loading import load_model
from shiftlens.residual import hook_names


def test_check_finds_every_layer_as_it_should_be(model):
    table, sound = check_model(model)
    assert sound
    assert list(table.index) == ["0", "1", "2", "3", "logits"]
    assert list(table.columns) == ["hook vs HF", "right-padded", "left-padded", "whole bridge"]
    assert (table < 2e-5).all(axis=None)


def test_check_finds_hooks_that_are_one_layer_off(llama, monkeypatch):
    def off_by_one(n_layers):
        names = hook_names(n_layers)
        return [names[0], names[0], *names[1:-1]]

    monkeypatch.setattr(check, "hook_names", off_by_one)
    table, sound = check_model(llama)
    assert not sound
    assert (table.loc[["1", "2", "3"]] > 0.1).all(axis=None)
    assert (table.loc[["0", "logits"]] < 2e-5).all(axis=None)


@pytest.mark.parametrize("broken", [True, False])
def test_check_finds_a_fault_in_either_form_of_the_bridge(llama, monkeypatch, broken):
    @contextmanager
    def faulty(model, blocks_only=False):
        with bridged(model, blocks_only) as bridge:
            if blocks_only is broken:
                bridge.blocks[1].hook_in.register_forward_hook(lambda *args: args[-1] * 1.5)
            yield bridge

    monkeypatch.setattr(check, "bridged", faulty)
    table, sound = check_model(llama)
    assert not sound
    faults = table.loc[["2", "3", "logits"]] > 1e-2
    assert bool(faults["whole bridge"].all()) is not broken
    assert faults.drop(columns="whole bridge").all(axis=None) == broken


def test_check_is_not_blinded_by_a_token_of_huge_norm():
    sink = torch.cat([torch.full((1, 8), 2000.0), torch.ones(5, 8)])
    gone = torch.cat([torch.full((1, 8), 2000.0), torch.zeros(5, 8)])
    assert check._error([gone], [sink]) == pytest.approx(1.0)
    assert check._error([sink], [sink]) == 0


def test_check_finds_padding_that_shows(monkeypatch):
    model = load_model(tiny.tiny_model("gpt2"), tiny.tiny_tokenizer())
    model.__dict__["_accepts_position_ids"] = False
    table, sound = check_model(model)
    assert not sound
    assert (table["left-padded"] > 0.1).all()
    assert (table[["hook vs HF", "right-padded"]] < 2e-5).all(axis=None)
