"""Many processes: the same bytes, the same loss curve, one error."""

import json

import launched
import numpy as np
import pytest
import rank_tasks
import torch

from shiftlens import ranks
from shiftlens.errors import ShiftlensError
from shiftlens.training.parallel import gathered, own_part, shared_loss, weighted_loss


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What one process makes of the tasks."""
    out = tmp_path_factory.mktemp("alone")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rank_tasks.tasks(out)
    torch.set_num_threads(threads)
    return out


@pytest.fixture(scope="module", params=[2, pytest.param(4, marks=pytest.mark.slow)])
def several(request, tmp_path_factory):
    """What several processes make of them."""
    out = tmp_path_factory.mktemp("several")
    ends = launched.finish(launched.start(request.param, launched.TESTS / "rank_tasks.py", out))
    assert [code for code, *_ in ends] == [0] * request.param, ends[0][2] + ends[1][2]
    return out


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("store", ["states", "moments"])
def test_a_store_has_the_bytes_of_one_process(alone, several, store):
    one = files(alone / store)
    assert len(one) == (10 if store == "states" else 7)
    assert files(several / store) == one


@pytest.mark.parametrize("arm", rank_tasks.ARMS)
def test_a_training_has_the_loss_curve_of_one_process(alone, several, arm):
    (one, weights), (other, others) = (
        json.loads((out / "facts.json").read_text(encoding="utf-8"))["trained"][arm]
        for out in (alone, several)
    )
    assert [row["step"] for row in other] == list(range(1, rank_tasks.SETTINGS["steps"] + 1))
    assert np.ptp([row["loss"] for row in one]) > 1e-2
    for name in ("loss", "grad_norm", "loss_lm"):
        expected = [row[name] for row in one]
        np.testing.assert_allclose([row[name] for row in other], expected, rtol=1e-5, atol=1e-5)
    for name, values in weights.items():
        np.testing.assert_allclose(others[name], values, atol=1e-4, err_msg=name)


def test_an_error_in_one_process_is_said_by_all_in_the_same_words(alone, several):
    said = json.loads((several / "facts.json").read_text(encoding="utf-8"))["said"]
    assert len(said) >= 2
    assert all(words == said[0] for words in said)
    kind, words = said[0]
    assert kind == "SharedError"
    assert "layer 2: the activation is NaN or infinite" in words
    [[kind, words]] = json.loads((alone / "facts.json").read_text(encoding="utf-8"))["said"]
    assert kind == "ShiftlensError"
    assert "layer 2" in words


def test_a_lock_is_held_until_the_last_has_ended_what_it_was_at(several):
    left = json.loads((several / "facts.json").read_text(encoding="utf-8"))["left"]
    assert len(left) >= 2
    assert min(gone for _, gone in left) >= max(ended for ended, _ in left)


def test_one_process_has_the_whole_and_its_own_gradient():
    rows = torch.randn(4, 3, requires_grad=True)
    assert own_part(4) == slice(0, 4)
    assert gathered(rows, slice(0, 4), 4) is rows
    loss = rows.square().sum()
    assert weighted_loss(loss, 1.0) is loss
    value = shared_loss(loss)
    value.backward()
    assert value.item() == loss.item()
    assert torch.equal(rows.grad, 2 * rows)


@pytest.mark.parametrize("size", ["", "two", None])
def test_an_environment_that_names_no_launcher_is_one_process(monkeypatch, size):
    monkeypatch.setenv("RANK", "16")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    if size is not None:
        monkeypatch.setenv("WORLD_SIZE", size)
    assert ranks.launched() == 1
    assert not ranks.silent()


def test_a_process_that_is_gone_is_said_and_another_error_left_as_it_is():
    with pytest.raises(ShiftlensError, match="another process of this run was lost"), ranks.lost():
        raise RuntimeError("[gloo/transport/tcp/pair.cc:537] Read error")
    with pytest.raises(RuntimeError, match="shapes"), ranks.lost():
        raise RuntimeError("shapes do not fit")
