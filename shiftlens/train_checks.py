"""What a run was begun with, and refusing to let a training go on with something else."""

import json
from pathlib import Path
from typing import Any

from shiftlens.config import TrainConfig
from shiftlens.errors import ShiftlensError
from shiftlens.whose import check_same_settings

INPUTS = "inputs.json"
MAY_CHANGE = ("out", "test", "device", "save_every")
"""Settings that a training may go on with changed."""


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
    begun = check_same_settings(config, MAY_CHANGE, "training")
    begun_with = read_inputs(out)
    if "test" not in begun_with or begun["test"] != config.test:  # of an earlier version; another
        begun_with["test"] = inputs.get("test", "")
    for name, sha256 in inputs.items():
        if begun_with.get(name) != sha256:
            raise ShiftlensError(
                f"{out} holds a training with another {name}: {getattr(config, name)} has changed "
                "since; give another folder"
            )


def read_inputs(out: Path, file: str = INPUTS, run: str = "training") -> dict[str, Any]:
    """What a run was begun with: of a training, hashes of its model and data, by setting.

    Args:
        out: The run folder.
        file: Name of the file.
        run: What the run is called.

    Raises:
        ShiftlensError: The file is missing or damaged.
    """
    try:
        read: dict[str, Any] = dict(json.loads((out / file).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ShiftlensError(
            f"{out / file} cannot be read ({error}); it says what the {run} was begun with, so "
            "give another folder"
        ) from error
    return read
