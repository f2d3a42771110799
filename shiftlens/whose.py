"""Whose run a folder holds: no command writes into the folder of another one's."""

import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import yaml

from shiftlens.config import SweepConfig, TrainConfig, to_yaml
from shiftlens.errors import ShiftlensError
from shiftlens.lens_config import LensConfig
from shiftlens.neurons_config import NeuronsConfig
from shiftlens.settings import read_settings
from shiftlens.steering_config import SteerConfig

CONFIG = "config.yaml"
COMMANDS: Mapping[str, type] = {
    "sweep": SweepConfig,
    "train": TrainConfig,
    "lens": LensConfig,
    "neurons": NeuronsConfig,
    "steer": SteerConfig,
}
"""The commands that leave their settings in the folder."""

STATES = ("activations", "token_moments")
"""Folders of states in that of a sweep."""

MARKS = {
    "lens_inputs.json": "lens",
    "neurons_inputs.json": "neurons",
    "steer_inputs.json": "steer",
    "inputs.json": "train",
    **dict.fromkeys(STATES, "collect"),
}
"""What tells of a run without settings, as of one that did not finish; the first that is there."""

INSIDE_A_MODEL = ("lens", "neurons", "steer")
"""Commands whose folders are not opened again."""

DEMO = ("sweep", "msft", "shifcon")
"""The runs in the folder of a demo."""

_SHARED = {"collect": "sweep"}
"""Commands that are a part of another one, whose folder is theirs."""


def check_run_folder(config: Any, may_change: Collection[str] | None = None) -> None:
    """Refuse a folder of another command's run, or of other settings.

    Args:
        config: The settings of a command that writes a folder ``out``.
        may_change: Settings in which the run that is there may differ; None for any.

    Raises:
        ShiftlensError: The folder holds a run of another command, a ``config.yaml`` of none or
            folders with runs in them; or its run has other settings.
    """
    out, command = Path(config.out), _command(type(config))
    there = owner(out, type(config))
    if there is not None and _SHARED.get(there, there) != command:
        whose = f"a run of {there}" if there else f"a {CONFIG} that is damaged or of no command"
        raise ShiftlensError(f"{out} holds {whose}; give {command} another --out")
    own = DEMO if command == "demo" else ()
    others = [run for run in runs_inside(out) if run.name not in own]
    if there is None and others:
        raise ShiftlensError(f"{out} is a folder of runs ({others[0]}); give another --out")
    if may_change is not None and (out / CONFIG).exists():
        check_same_settings(config, may_change)


def runs_inside(out: Path) -> list[Path]:
    """The folders in a folder that hold a run."""
    folders = [path for path in out.iterdir() if path.is_dir()] if out.is_dir() else []
    readable = [folder for folder in sorted(folders) if os.access(folder, os.X_OK)]
    return [folder for folder in readable if owner(folder) is not None]


def check_opens(run: str | Path) -> None:
    """Refuse a folder in which there is no sweep, training or demo to read.

    Raises:
        ShiftlensError: It does not exist, is no run folder, or holds a run of another command.
    """
    out = Path(run)
    if not out.is_dir():
        raise ShiftlensError(f"run folder {out} does not exist")
    command = owner(out)
    if command in INSIDE_A_MODEL:
        raise ShiftlensError(
            f"{out} holds a run of {command}: its tables and figures are in the folder, and no "
            "other command reads them; give the folder of a sweep, a training or a demo"
        )
    if command is None and not runs_inside(out):
        raise ShiftlensError(f"{out} is no run folder: it has no {CONFIG}")


def _command(config: type) -> str:
    return config.__name__.removesuffix("Config").lower()


def owner(out: Path, own: type = SweepConfig) -> str | None:
    """The command whose run a folder holds.

    Args:
        out: The folder.
        own: Settings that several commands could have are taken for those of this one.

    Returns:
        Its name; None where there is no run, empty where it cannot be told of which it is.
    """
    if (out / CONFIG).is_file():
        for kind in (own, *COMMANDS.values()):
            if _are_settings_of(out / CONFIG, kind):
                return _command(kind)
    marked = next((command for name, command in MARKS.items() if (out / name).exists()), None)
    return "" if marked is None and (out / CONFIG).exists() else marked


def _are_settings_of(path: Path, kind: type) -> bool:
    try:
        there = read_settings(path, kind)
    except ShiftlensError:
        return False
    return all(field.name in there for field in fields(kind) if field.default is MISSING)


def check_languages(out: Path, name: str, languages: Sequence[str]) -> None:
    """Refuse languages other than those whose states a folder holds, or another order of them.

    Args:
        out: The folder of a sweep.
        name: That of the states in it.
        languages: Those asked for.

    Raises:
        ShiftlensError: They differ.
    """
    try:
        manifest = json.loads((out / name / "manifest.json").read_text(encoding="utf-8"))
        there = [str(code) for code in manifest["corpus"]["languages"]]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return  # none, or damaged, which whoever opens it tells
    if there != list(languages):
        same = sorted(there) == sorted(languages)
        raise ShiftlensError(
            f"{out} holds states in {','.join(there)}, and {','.join(languages)} is asked for"
            f"{', the same in another order' if same else ''}; give --languages "
            f"{','.join(there)} to go on with it, or another --out"
        )


def check_same_settings(
    config: Any, may_change: Collection[str], run: str = "run"
) -> dict[str, Any]:
    """Refuse settings other than those in the ``config.yaml`` of the run's folder.

    Args:
        config: The settings now, of a run with a folder ``out``.
        may_change: Settings that may differ.
        run: What the run is called.

    Returns:
        The settings in the folder, defaults where it has none.

    Raises:
        ShiftlensError: A setting (named) differs, or the file cannot be read.
    """
    later = {field.name: field.default for field in fields(config)}
    begun = later | read_settings(Path(config.out) / CONFIG, type(config))
    for name, value in yaml.safe_load(to_yaml(config)).items():
        if name not in may_change and begun.get(name) != value:
            was, now = ("none" if v is None else repr(v) for v in (begun.get(name), value))
            raise ShiftlensError(
                f"{config.out} holds a {run} with {name} {was}, not {now}; "
                f"{_as_begun(name, begun.get(name))} to go on with it, or another folder"
            )
    return begun


def _as_begun(name: str, value: Any) -> str:
    """What to do for a setting to be this."""
    option = name.replace("_", "-")
    if value is None:
        return f"leave out --{option}"
    if isinstance(value, bool):
        return f"give --{option}" if value else f"give --no-{option}"
    return f"give --{option} {value}"
