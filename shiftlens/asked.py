"""What settings and paths alone show to be wrong, told before anything heavy is imported."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from shiftlens.area import parse_area
from shiftlens.arms import arm_named
from shiftlens.config import DemoConfig, TrainConfig
from shiftlens.corpus_files import check_there
from shiftlens.errors import ShiftlensError
from shiftlens.files import check_folder
from shiftlens.languages import language_code, language_list
from shiftlens.model_folders import check_model_folder, transformer_folder
from shiftlens.whose import COMMANDS, check_run_folder, owner

DTYPES = ("float32", "bfloat16", "float16")
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
    else:
        check_dtype(given.get("dtype", DTYPES[0]))
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


def check_training(config: TrainConfig) -> None:
    """Refuse settings that no training can have.

    Raises:
        ShiftlensError: A setting (named) is out of its range.
    """
    arm_named(config.arm)
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


_CHECKS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("run", "first", "second"), _check_run),
    "model": _check_model,
    **dict.fromkeys(("corpus", "parallel"), check_there),
    **dict.fromkeys(("held_out", "sft", "records", "test"), check_there),
    **dict.fromkeys(("languages", "language"), language_list),
    **dict.fromkeys(("dominant", "source", "target"), language_code),
    "area": _check_area,
}
"""What each setting is held against, whatever the command."""
