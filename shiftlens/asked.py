"""What settings and paths alone show to be wrong, told before anything heavy is imported."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from shiftlens.area import check_share, parse_area
from shiftlens.arms import arm_named
from shiftlens.config import DemoConfig, SweepConfig, TrainConfig
from shiftlens.corpus_files import check_there
from shiftlens.errors import ShiftlensError
from shiftlens.files import check_folder
from shiftlens.languages import language_code, language_list
from shiftlens.lens_config import POSITIONS
from shiftlens.model_folders import check_model_folder, transformer_folder
from shiftlens.steering_config import KINDS
from shiftlens.whose import COMMANDS, check_run_folder, owner

DTYPES = ("float32", "bfloat16", "float16")
DEVICES = ("cpu", "cuda", "mps", "xpu", "hpu", "npu", "mtia", "xla")
MODEL = "model"
"""Folder of the model in a training's folder."""


def check_asked(config: Any) -> None:
    """Refuse what no run of a command could have.

    Only what can be told at once: whatever reads the settings checks them whole.

    Args:
        config: The settings of a command.

    Raises:
        ShiftlensError: A path has nothing at it, a code is no language, a number is out of its
            range, or the folder to write holds a run of another command.
    """
    given = {field.name: getattr(config, field.name) for field in fields(config)}
    if type(config) in (DemoConfig, *COMMANDS.values()):
        check_folder(Path(config.out))
        check_run_folder(config)
    for name, check in _CHECKS.items():
        if isinstance(given.get(name), str | Path):
            check(str(given[name]))
    if isinstance(config, TrainConfig):
        check_training(config)
    if isinstance(config, SweepConfig):
        check_share(config.share)
    check_sizes(**{name: given.get(name) for name in ("batch_tokens", "max_length", "batch_size")})


def check_sizes(**sizes: int | None) -> None:
    """Refuse sizes below 1.

    Args:
        **sizes: Each by the name of its setting; None for none.

    Raises:
        ShiftlensError: One (named) is below 1.
    """
    for name, size in sizes.items():
        if size is not None and size < 1:
            raise ShiftlensError(f"{name} is {size}; give at least 1")


def check_dtype(dtype: str) -> None:
    """Refuse a number type that there is not.

    Raises:
        ShiftlensError: It is unknown.
    """
    if dtype not in DTYPES:
        raise ShiftlensError(f"unknown dtype {dtype!r}; choose one of {', '.join(DTYPES)}")


def check_device(name: str) -> None:
    """Refuse the name of no device; whether it is there is seen when it is used.

    Raises:
        ShiftlensError: It is unknown.
    """
    kind, _, number = name.partition(":")
    if name in ("auto", "map") or (kind in DEVICES and (not number or number.isdecimal())):
        return
    raise ShiftlensError(
        f"unknown device {name!r}; choose auto (an accelerator where there is one), cpu, cuda (one "
        "of several: cuda:1), mps or xpu, or map, which spreads a large model"
    )


def check_positions(positions: str) -> None:
    """Refuse positions that a lens does not read.

    Raises:
        ShiftlensError: They are neither all nor the last.
    """
    if positions not in POSITIONS:
        raise ShiftlensError(f"positions are {positions!r}; choose {' or '.join(POSITIONS)}")


def check_kind(kind: str) -> None:
    """Refuse a kind of steering that there is not.

    Raises:
        ShiftlensError: It is unknown.
    """
    if kind not in KINDS:
        raise ShiftlensError(f"unknown kind {kind!r}; choose from {', '.join(KINDS)}")


def check_projection(name: str) -> None:
    """Refuse a projection that there is not.

    Raises:
        ShiftlensError: It is unknown.
    """
    from shiftlens.geometry import PROJECTIONS

    if name not in ("none", *PROJECTIONS):
        known = ", ".join(("none", *PROJECTIONS))
        raise ShiftlensError(f"unknown projection {name!r}; choose from {known}")


def check_tests(records: str | None, tasks: str | None, max_new_tokens: int | None) -> None:
    """Refuse a test of nothing, or of two kinds.

    Args:
        records: Held-out records.
        tasks: Tasks of lm-evaluation-harness.
        max_new_tokens: Longest answer to a record.

    Raises:
        ShiftlensError: Neither or both are asked for, or answers are to be empty.
    """
    if (records is None) == (tasks is None):
        raise ShiftlensError("give either --records FILE or --lm-eval TASKS")
    check_sizes(max_new_tokens=max_new_tokens)


def check_export(run: Path, out: Path, language: str | None, full: bool) -> None:
    """Refuse an export that there is nothing for, or no place.

    Args:
        run: Folder of a training.
        out: Folder to write.
        language: Codes, comma-separated; None for all.
        full: One whole checkpoint.

    Raises:
        ShiftlensError: The run has no model or no shift, the folder is there already, or a whole
            checkpoint is asked for several languages.
    """
    if out.exists():
        raise ShiftlensError(f"{out} exists; give a folder that does not, or remove it")
    model = run / MODEL
    if not model.is_dir():
        raise ShiftlensError(
            f"{run} holds no trained model ({model}); give the folder of a shiftlens train"
        )
    if not (model / "shift.json").exists():
        raise ShiftlensError(
            f"{run}: its arm makes no shift, and {model} is a plain checkpoint as it is"
        )
    languages = ("all",) if language is None else language_list(language)
    if full and (language is None or len(languages) > 1):
        asked = ", ".join(languages)
        raise ShiftlensError(
            f"a full checkpoint is for one language, not for {asked}; name one with --language"
        )


def check_training(config: TrainConfig) -> None:
    """Refuse settings that no training can have.

    Raises:
        ShiftlensError: A setting (named) is out of its range.
    """
    arm_named(config.arm)
    check_dtype(config.dtype)
    if config.dtype == "float16":
        raise ShiftlensError("training in float16 is not possible; take bfloat16")
    sizes = ("batch_size", "accumulation", "reestimate", "vector_sentences", "save_every")
    check_sizes(**{name: getattr(config, name) for name in sizes})
    for name in ("learning_rate", "temperature", "epochs", "lora_alpha"):
        if not getattr(config, name) > 0:
            raise ShiftlensError(f"{name} is {getattr(config, name)}; give a positive number")
    for name in ("steps", "w_gen", "w_con", "weight_decay", "lora_rank"):
        if not getattr(config, name) >= 0:
            raise ShiftlensError(f"{name} is {getattr(config, name)}; give 0 or more")
    if not 0 <= config.warmup < 1:
        raise ShiftlensError(f"warmup is {config.warmup}; give a share of the steps, 0 to below 1")
    if config.device == "map":
        raise ShiftlensError("device map is for reading a model; train on cpu, cuda, ... or auto")
    if config.third == config.dominant:
        raise ShiftlensError(f"third is {config.third}, the dominant language; give another")


def _check_model(name: str) -> None:
    if name == "demo" or (Path(name) / MODEL).is_dir():
        return
    place = transformer_folder(name)
    if not (Path(place) / "config.json").exists() and (command := owner(Path(name))):
        raise ShiftlensError(
            f"{name} holds a run of {command} and no model; give a model, or the folder of a "
            "finished training"
        )
    check_model_folder(place)


def _check_run(run: str) -> None:
    if not Path(run).is_dir():
        raise ShiftlensError(f"run folder {run} does not exist")


def _check_area(area: str) -> None:
    if area != "auto":
        parse_area(area)


def _check_metrics(names: str) -> None:
    from shiftlens.geometry import metrics_named

    metrics_named(names)


def _check_shrinkage(rule: str) -> None:
    from shiftlens.geometry import parse_shrinkage

    parse_shrinkage(rule)


_CHECKS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("run", "first", "second"), _check_run),
    "model": _check_model,
    **dict.fromkeys(("corpus", "parallel"), check_there),
    **dict.fromkeys(("held_out", "sft", "records", "test"), check_there),
    **dict.fromkeys(("languages", "language"), language_list),
    **dict.fromkeys(("dominant", "source", "target"), language_code),
    "area": _check_area,
    "dtype": check_dtype,
    "device": check_device,
    "labels": check_there,
    "positions": check_positions,
    "kind": check_kind,
    "metric": _check_metrics,
    "shrinkage": _check_shrinkage,
    "projection": check_projection,
}
"""What each setting is held against, whatever the command; what takes an import comes last."""
