"""A training from end to end: area, ShifCon, the same sweep and test before and after."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from shiftlens import ranks
from shiftlens.adapters import merge_adapters
from shiftlens.arms import arm_named
from shiftlens.asked import MODEL
from shiftlens.before_after import draw_before_after, sweep_into
from shiftlens.config import TrainConfig, to_yaml
from shiftlens.evaluate import evaluate
from shiftlens.files import left_as_found, running, saving, write_atomic
from shiftlens.folders.runs import States
from shiftlens.layer_sweep import LayerSweep
from shiftlens.loading import load_model
from shiftlens.models import LanguageModel
from shiftlens.reports.cautions import measured_on
from shiftlens.sft import SftRecord
from shiftlens.shift import Shift
from shiftlens.store import STORE, ActivationStore
from shiftlens.sweep_results import area_facts, summary
from shiftlens.train_checks import INPUTS, check_same
from shiftlens.train_task import CHECKPOINTS, TrainTask, prepare
from shiftlens.trained import save_model
from shiftlens.training.checkpoints import last_checkpoint
from shiftlens.training.objective import objective_of, third_language
from shiftlens.training.progress import loss_summary
from shiftlens.training.trainer import ShifConTrainer
from shiftlens.written import parquet, write_csv, write_json

ADAPTER = "adapter"
LOG = "log.csv"


@dataclass(frozen=True)
class TrainRun:
    """A finished training.

    Attributes:
        out: The run folder; ``model/`` in it is a plain Hugging Face directory.
        model: The trained model.
        shift: Its shift; None for an arm without one.
        before: The layer sweep of the model as it came.
        after: The layer sweep of the trained model, its states not shifted.
        shifted: The layer sweep of the trained model with its shift on; None without a shift.
        results: Test results before and after, the latter through the shift, one row a language;
            None without test records.
    """

    out: Path
    model: LanguageModel
    shift: Shift | None
    before: LayerSweep
    after: LayerSweep
    shifted: LayerSweep | None
    results: pd.DataFrame | None


def run_train(config: TrainConfig, say: Callable[[str], None] = print) -> TrainRun:
    """Sweep, choose the area, train, save, and sweep and test again.

    The sweeps before and after are of unshifted states, so that they show what training did to
    the model; a third one is of the trained model with its shift on, as is the test.

    The run folder then holds ``model/`` (weights, tokenizer, ``shift.safetensors``,
    ``shift.json``; of LoRA also ``adapter/``, merged into these weights), ``before/``, ``after/``
    and, where there is a shift, ``shifted/`` with activations and sweep tables, ``geometry`` and
    ``layer_distance_before_after`` (each ``.png``, ``.svg`` and ``.html``), ``results.csv``,
    ``sentences.parquet``, ``area.json``, ``log.csv`` and ``config.yaml``. A run that was killed
    goes on from its last checkpoint and ends with the weights of an undisturbed one; a finished
    one is not trained again.

    Args:
        config: The settings.
        say: Receives the lines that a person reads.

    Returns:
        The run.

    Raises:
        ShiftlensError: Something in the settings or data is not usable, the folder holds a
            training with other settings, or the loss became NaN (the last checkpoint is kept).
    """
    with left_as_found(Path(config.out) / CHECKPOINTS):  # the Trainer makes it when it is made
        with ranks.together():
            task = prepare(config)
        with ranks.held_by_first(running(config.out)):
            return _run(task, config, say)


def _run(task: TrainTask, config: TrainConfig, say: Callable[[str], None]) -> TrainRun:
    """Everything that writes to the run folder."""
    model, out = task.model, Path(config.out)
    ranks.from_first(lambda: _begin(task, config, say))
    sweeps = {"before": sweep_into(out / "before", model, task.parallel, config)}
    area = task.area or _swept_area(sweeps["before"])
    task.trainer.objective = objective = objective_of(config, area)
    ranks.from_first(lambda: _write_area(out, area, sweeps["before"]))
    asked = "" if task.area is None else ", as the settings say"
    curves = summary(sweeps["before"], chosen=task.area is None)
    say(f"{curves}\n\ntraining {config.arm} in area {area[0]}-{area[1]}{asked}")
    ranks.from_first(lambda: _warn(out, sweeps["before"]))
    if objective.arm.vectors == "third":
        say(f"shifting to {third_language(objective, task.parallel.languages)}, the third language")
    results = [_test(model, task.test, None, config, "before")]
    _fit(task.trainer, out)
    shift = task.trainer.shift
    if task.trainer.sharded:
        model = _whole(model, out, config.device)
    ranks.from_first(lambda: _keep_adapters(task.adapters, out))
    if task.adapters is not None:
        merge_adapters(model, task.adapters)
    ranks.from_first(lambda: save_model(model, shift, out / MODEL))
    results.append(_test(model, task.test, shift, config, "after"))
    sweeps["after"] = sweep_into(out / "after", model, task.parallel, config)
    if shift is not None:
        sweeps["shifted"] = sweep_into(out / "shifted", model, task.parallel, config, shift)
    table = pd.concat(results) if task.test else None
    ranks.from_first(lambda: _finish(task, config, area, sweeps, table, say))
    shifted = sweeps.get("shifted")
    return TrainRun(out, model, shift, sweeps["before"], sweeps["after"], shifted, table)


def _begin(task: TrainTask, config: TrainConfig, say: Callable[[str], None]) -> None:
    out, model = Path(config.out), task.model
    check_same(config, task.inputs)
    write_atomic(out / "config.yaml", to_yaml(config).encode())
    write_json(out / INPUTS, task.inputs)
    write_atomic(out / "sentences.parquet", parquet(task.parallel.table()))
    say(f"model    {model.name}: {type(model.hf).__name__}, {model.n_layers} blocks")
    say(
        f"data     {len(task.records)} instruction records, {len(task.parallel)} parallel sentences"
    )


def _warn(out: Path, before: LayerSweep) -> None:
    """Say what the area was measured on, where that is little."""
    states = States(ActivationStore.open(out / "before" / STORE), before)
    for line in measured_on(before.table, states.tokens):
        print(f"warning: {line}", file=sys.stderr)


def _finish(
    task: TrainTask,
    config: TrainConfig,
    area: tuple[int, int],
    sweeps: dict[str, LayerSweep],
    table: pd.DataFrame | None,
    say: Callable[[str], None],
) -> None:
    out = Path(config.out)
    name = f"{Path(task.model.name).name}, {config.arm}"
    draw_before_after(out, task.parallel, sweeps, area, name)
    if table is not None:
        write_csv(out / "results.csv", table)
    if arm_named(config.arm).trained:
        say(f"\n{loss_summary(pd.read_csv(out / LOG))}")
    if table is not None:
        say(f"\n{table.round(3).to_string(index=False)}")
    tested = "" if config.test else f"shiftlens eval {out} --records FILE\n         "
    say(f"\nmodel    {out / MODEL}\npictures {out / 'geometry.html'}")
    say(f"next     {tested}shiftlens report {out}")


def _keep_adapters(adapters: Any, out: Path) -> None:
    if adapters is not None:
        with saving(out / ADAPTER):
            adapters.save_pretrained(out / ADAPTER)


def _swept_area(sweep: LayerSweep) -> tuple[int, int]:
    assert sweep.area is not None, "MINIMUM_BLOCKS is checked before the sweep"
    return sweep.area.start, sweep.area.stop


def _write_area(out: Path, area: tuple[int, int], sweep: LayerSweep) -> None:
    facts = {"trained_area": list(area), **area_facts(sweep)}
    write_json(out / "area.json", facts)


def _fit(trainer: ShifConTrainer, out: Path) -> None:
    """Train where there is something to train; the shift of a finished training is the saved one.

    Estimated again on another machine, its vectors would differ in their last bits.
    """
    if not trainer.objective.arm.trained:
        trainer.shift = trainer.estimate_shift() if trainer.needs_vectors else None
        return
    trained = trainer.fit()
    trainer.language_model.hf.eval()
    if not trained and (out / MODEL / "shift.json").exists():
        trainer.shift = Shift.load(out / MODEL)
    log = pd.DataFrame(trainer.state.log_history)
    log = log[
        sorted(log, key=lambda name: (name != "step", name))
    ]  # those of a checkpoint are sorted
    if ranks.is_first() and (trained or not (out / LOG).exists()):
        write_csv(out / LOG, log)


def _whole(model: LanguageModel, out: Path, device: str) -> LanguageModel:
    """The trained model where FSDP left a part of it in each process: the last checkpoint's."""
    checkpoint = last_checkpoint(out / CHECKPOINTS)
    assert checkpoint is not None, "the Trainer saves the last step"
    return replace(load_model(checkpoint, device=device), name=model.name)


def _test(
    model: LanguageModel,
    records: list[SftRecord] | None,
    shift: Shift | None,
    config: TrainConfig,
    when: str,
) -> pd.DataFrame | None:
    if records is None:
        return None
    table = ranks.from_first(
        lambda: evaluate(model, records, shift, config.dominant, choices=False)
    )
    table.insert(0, "when", when)
    return table
