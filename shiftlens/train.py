"""A training from end to end: area, ShifCon, the same sweep and test before and after."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import transformers

from shiftlens import ranks
from shiftlens.adapters import add_adapters, merge_adapters
from shiftlens.area import MINIMUM_BLOCKS, parse_area
from shiftlens.arms import arm_named
from shiftlens.asked import check_training
from shiftlens.before_after import draw_before_after, sweep_into
from shiftlens.config import TrainConfig, to_yaml
from shiftlens.corpora import Corpus, load_corpus
from shiftlens.errors import ShiftlensError
from shiftlens.evaluate import evaluate
from shiftlens.files import check_folder, left_as_found, make_folder, running, saving, write_atomic
from shiftlens.languages import language_code
from shiftlens.models import LanguageModel, load_model, quietly
from shiftlens.pooling import Pooling
from shiftlens.progress import loss_summary
from shiftlens.runs import area_facts, parquet, summary
from shiftlens.sft import SftRecord, load_records, records_sha256
from shiftlens.shift import Shift, check_area
from shiftlens.store import STORE, ActivationStore
from shiftlens.sweep import LayerSweep
from shiftlens.train_checks import INPUTS, check_same
from shiftlens.trainer import (
    ShifConTrainer,
    last_checkpoint,
    objective_of,
    training_arguments,
)
from shiftlens.whose import check_run_folder

MODEL = "model"
ADAPTER = "adapter"
CHECKPOINTS = "checkpoints"
LOG = "log.csv"
FIRST_AREA = (1, 2)
"""Area of the trainer until the sweep has chosen one."""


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
            task = _prepared(config)
        with ranks.held_by_first(running(config.out)):
            return _run(task, config, say)


def _run(task: "_Task", config: TrainConfig, say: Callable[[str], None]) -> TrainRun:
    """Everything that writes to the run folder."""
    model, out = task.model, Path(config.out)
    ranks.from_first(lambda: _begin(task, config, say))
    sweeps = {"before": sweep_into(out / "before", model, task.parallel, config)}
    area = task.area or _swept_area(sweeps["before"])
    task.trainer.objective = objective_of(config, area)
    ranks.from_first(lambda: _write_area(out, area, sweeps["before"]))
    asked = "" if task.area is None else ", as the settings say"
    say(f"{summary(sweeps['before'])}\n\ntraining {config.arm} in area {area[0]}-{area[1]}{asked}")
    results = [_test(model, task.test, None, config, "before")]
    _fit(task.trainer, out)
    shift = task.trainer.shift
    if shift is not None and shift.target is not None:
        say(f"shifts   to {shift.target}, the third language")
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


@dataclass(frozen=True)
class _Task:
    """What a training is made of, looked at and ready."""

    model: LanguageModel
    parallel: Corpus
    records: list[SftRecord]
    test: list[SftRecord] | None
    inputs: dict[str, str]
    area: tuple[int, int] | None
    adapters: Any
    trainer: ShifConTrainer


def _prepared(config: TrainConfig) -> _Task:
    """Look at everything that the user gave, and make of it what trains; nothing is written."""
    check_folder(Path(config.out))
    check_run_folder(config)
    config.dominant = language_code(config.dominant)
    check_training(config)
    parallel = load_corpus(config.parallel)
    records = load_records(config.sft)
    test = load_records(config.test) if config.test else None
    model = load_model(config.model, device=config.device)
    inputs = {"model": model.sha256, "parallel": parallel.sha256, "sft": records_sha256(records)}
    if test is not None:
        inputs["test"] = records_sha256(test)
    check_same(config, inputs)
    area = _asked_area(config, model.n_layers)
    transformers.set_seed(config.seed)
    adapters = _adapters(model, config)
    out = Path(config.out)
    trainer = _trainer(model, records, parallel, config, area or FIRST_AREA, out, adapters)
    return _Task(model, parallel, records, test, inputs, area, adapters, trainer)


def _begin(task: _Task, config: TrainConfig, say: Callable[[str], None]) -> None:
    out, model = Path(config.out), task.model
    check_same(config, task.inputs)
    write_atomic(out / "config.yaml", to_yaml(config).encode())
    write_atomic(out / INPUTS, (json.dumps(task.inputs, indent=1) + "\n").encode())
    write_atomic(out / "sentences.parquet", parquet(task.parallel.table()))
    say(f"model    {model.name}: {type(model.hf).__name__}, {model.n_layers} blocks")
    say(
        f"data     {len(task.records)} instruction records, {len(task.parallel)} parallel sentences"
    )


def _finish(
    task: _Task,
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
        write_atomic(out / "results.csv", table.to_csv(index=False).encode())
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


def save_model(model: LanguageModel, shift: Shift | None, folder: Path) -> None:
    """Write a plain Hugging Face directory, with the shift beside the weights.

    Args:
        model: The trained model.
        shift: Its shift, or None.
        folder: The directory.

    Raises:
        ShiftlensError: It cannot be written to, or the disk is full.
    """
    make_folder(folder)
    with saving(folder), quietly():
        model.hf.save_pretrained(folder)
        model.tokenizer.save_pretrained(folder)
    for name in ("shift.json", "shift.safetensors"):
        (folder / name).unlink(missing_ok=True)
    if shift is not None:
        shift.save(folder)


def load_trained(folder: str | Path, **options: Any) -> tuple[LanguageModel, Shift | None]:
    """Load what a training saved.

    Args:
        folder: The ``model`` directory of a run.
        **options: Those of :func:`shiftlens.load_model`.

    Returns:
        The model, and its shift or None.

    Raises:
        ShiftlensError: There is no model, or its shift is damaged.
    """
    model = load_model(folder, **options)
    shift = Shift.load(folder) if (Path(folder) / "shift.json").exists() else None
    return model, shift


def check_weights(run: Path, model: LanguageModel) -> None:
    """Hold a run's model against the one whose states the run collected after the training.

    Args:
        run: The run folder.
        model: What was loaded from its ``model/``, in float32.

    Raises:
        ShiftlensError: It is another, or its file is damaged.
    """
    after = run / "after" / STORE
    if after.is_dir() and model.sha256 != ActivationStore.open(after).manifest["model"]["sha256"]:
        raise ShiftlensError(
            f"{run / MODEL} is not the model that the run trained: its weights have changed since; "
            "give the command of the training again, which writes them from the last checkpoint"
        )


def _asked_area(config: TrainConfig, n_layers: int) -> tuple[int, int] | None:
    """The area given, or None for the one that the sweep will choose."""
    if config.area == "auto":
        if n_layers < MINIMUM_BLOCKS:
            raise ShiftlensError(f"a model of {n_layers} blocks has no layer area")
        return None
    area = parse_area(config.area)
    check_area(area, n_layers)
    return area


def _swept_area(sweep: LayerSweep) -> tuple[int, int]:
    assert sweep.area is not None, "MINIMUM_BLOCKS is checked before the sweep"
    return sweep.area.start, sweep.area.stop


def _write_area(out: Path, area: tuple[int, int], sweep: LayerSweep) -> None:
    facts = {"trained_area": list(area), **area_facts(sweep)}
    write_atomic(out / "area.json", (json.dumps(facts, indent=1) + "\n").encode())


def _trainer(
    model: LanguageModel,
    records: list[SftRecord],
    parallel: Corpus,
    config: TrainConfig,
    area: tuple[int, int],
    out: Path,
    adapters: Any,
) -> ShifConTrainer:
    transformers.set_seed(config.seed)
    return ShifConTrainer(
        model,
        records,
        parallel,
        objective_of(config, area),
        training_arguments(config, out / CHECKPOINTS),
        Pooling(config.special_tokens, config.skip_first),
        adapters=adapters,
    )


def _adapters(model: LanguageModel, config: TrainConfig) -> Any:
    """LoRA's matrices in the model, where the settings ask for them."""
    if not config.lora_rank:
        return None
    return add_adapters(model, config.lora_rank, config.lora_alpha, config.lora_targets)


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
        write_atomic(out / LOG, log.to_csv(index=False).encode())


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
