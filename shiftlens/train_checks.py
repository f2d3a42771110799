"""What a training refuses before it begins: impossible settings, and a folder of another one."""

import json
from dataclasses import fields
from pathlib import Path

import yaml

from shiftlens.config import TrainConfig, to_yaml
from shiftlens.errors import ShiftlensError
from shiftlens.settings import read_settings
from shiftlens.trainer import arm_named

INPUTS = "inputs.json"
MAY_CHANGE = ("out", "test", "device", "save_every")
"""Settings that a training may go on with changed."""


def check_training(config: TrainConfig) -> None:
    """Refuse settings that no training can have.

    Raises:
        ShiftlensError: A setting (named) is out of its range.
    """
    arm_named(config.arm)
    for name in ("batch_size", "accumulation", "reestimate", "vector_sentences", "save_every"):
        if getattr(config, name) < 1:
            raise ShiftlensError(f"{name} is {getattr(config, name)}; give at least 1")
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


def check_same(config: TrainConfig, inputs: dict[str, str]) -> None:
    """Let a training go on only with the settings and the data that it was begun with.

    Args:
        config: The settings now.
        inputs: Hashes of the model and data now, by setting.

    Raises:
        ShiftlensError: The run folder holds a training of other settings or data.
    """
    out = Path(config.out)
    if not (out / "area.json").exists():
        return
    later = {field.name: field.default for field in fields(TrainConfig)}
    begun = later | read_settings(out / "config.yaml", TrainConfig)
    for name, value in yaml.safe_load(to_yaml(config)).items():
        if name not in MAY_CHANGE and begun.get(name) != value:
            raise ShiftlensError(
                f"{out} holds a training with {name} {begun.get(name)!r}, not {value!r}; give the "
                "same settings to go on with it, or another folder"
            )
    begun_with = read_inputs(out)
    if "test" not in begun_with or begun["test"] != config.test:  # of an earlier version; another
        begun_with["test"] = inputs.get("test", "")
    for name, sha256 in inputs.items():
        if begun_with.get(name) != sha256:
            raise ShiftlensError(
                f"{out} holds a training with another {name}: {getattr(config, name)} has changed "
                "since; give another folder"
            )


def read_inputs(out: Path) -> dict[str, str]:
    """Hashes of the model and data that a training was begun with, by setting.

    Raises:
        ShiftlensError: They are missing or damaged.
    """
    try:
        read: dict[str, str] = dict(json.loads((out / INPUTS).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ShiftlensError(
            f"{out / INPUTS} cannot be read ({error}); it says what the training was begun with, "
            "so give another folder"
        ) from error
    return read
