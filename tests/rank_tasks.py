"""What the tests of many processes have each of them do: ``python rank_tasks.py FOLDER``."""

import contextlib
import json
import sys
import time
from pathlib import Path

import torch
from trainers import CORPUS, At, a_model, a_trainer
from transformers import set_seed

from shiftlens import ranks
from shiftlens.collect import collect_states
from shiftlens.errors import ShiftlensError
from shiftlens.plan import plan_collection
from shiftlens.token_moments import collect_token_moments

ARMS = ("shifcon", "msft-parallel", "recentred", "anchored-shift")
SETTINGS = {"steps": 6, "batch_size": 5, "pairs": 5, "reestimate": 3, "logging_steps": 1}
LOST = "es-00001.safetensors"


def collect(out):
    """Both stores; the first is begun anew after a shard was lost, as a killed run would be."""
    model = a_model()
    collect_states(model, CORPUS, out / "states", shard_rows=5, progress=False)
    if ranks.is_first():
        (out / "states" / LOST).unlink()
    ranks.exchange("lost")
    collect_states(model, CORPUS, out / "states", shard_rows=5, progress=False)
    halves = (range(0, 12, 2), range(1, 12, 2))
    collect_token_moments(model, CORPUS, out / "moments", halves=halves, progress=False)


class Killed(Exception):
    """The training ends here."""


def killed(state):
    raise Killed


def train(out, arm):
    """What each step logged, and the weights at the end, of a training killed at step 4."""
    for callbacks in ([At("on_step_begin", 3, killed)], []):
        set_seed(0)
        settings = {**SETTINGS, "save_every": 2, "callbacks": callbacks}
        trainer = a_trainer(out / "checkpoints" / arm, arm, **settings)
        with contextlib.suppress(Killed):
            trainer.fit()
    weights = {name: value.tolist() for name, value in trainer.model.state_dict().items()}
    return [row for row in trainer.state.log_history if "loss" in row], weights


def fail(out):
    """What this process says where the model of the last one is broken."""
    plan = plan_collection(a_model(), CORPUS, shard_rows=5)
    model = a_model()
    if ranks.number() == ranks.count() - 1:
        model.blocks[1].mlp.down_proj.weight.data[:] = float("nan")
    try:
        collect_states(model, CORPUS, out / "broken", plan=plan, progress=False)
    except ShiftlensError as error:
        return [type(error).__name__, str(error)]


def leave():
    """When this process had ended what it was at as an error came, and when it had gone on."""
    ended = 0.0
    try:
        with ranks.held_by_first(contextlib.nullcontext()):
            try:
                with ranks.together():
                    if ranks.is_first():
                        raise ShiftlensError("that ends it")
            finally:
                time.sleep(ranks.number())
                ended = time.monotonic()
    except ShiftlensError:
        return [ended, time.monotonic()]


def tasks(out):
    """All of them; the first process writes what there is to compare."""
    collect(out)
    trained = {arm: train(out, arm) for arm in ARMS}
    said = ranks.exchange(fail(out))
    left = ranks.exchange(leave())
    if ranks.is_first():
        facts = {"trained": trained, "said": said, "left": left}
        (out / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


if __name__ == "__main__":
    torch.set_num_threads(1)
    with contextlib.redirect_stdout(sys.stderr), ranks.joined("cpu"):
        tasks(Path(sys.argv[1]))
