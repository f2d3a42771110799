"""Settings files: YAML, given by the user or shipped as a preset, as what a command line says."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from shiftlens.config import SweepConfig
from shiftlens.errors import ShiftlensError

_NESTED = (dict, list, set, tuple, bytes)
PRESETS = Path(__file__).with_name("presets")
SETTINGS_FILES = {
    "--config": "the path of a YAML file",
    "--preset": "the name of a preset",
}
"""Options that stand for many settings."""


class _SettingsLoader(yaml.SafeLoader):
    """YAML in which only true and false are booleans, so that ``no`` is Norwegian."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - the base class's own form
        first: [(tag, form) for tag, form in resolvers if first in "tTfF" or "bool" not in tag]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse aliases, which no setting needs and which can stand for gigabytes."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it has an alias (*name); write the value out")
        return super().compose_node(parent, index)


def preset_path(name: str) -> Path:
    """The settings file of a preset that comes with the package.

    Args:
        name: ``demo``, the embedded demo's, or ``paper``, the paper's for Llama-2-7B (never run
            here).

    Raises:
        ShiftlensError: There is no such preset.
    """
    presets = {path.stem: path for path in sorted(PRESETS.glob("*.yaml"))}
    if name not in presets:
        raise ShiftlensError(f"unknown preset {name!r}; choose from {', '.join(presets)}")
    return presets[name]


def read_settings(path: str | Path, config: type = SweepConfig) -> dict[str, Any]:
    """Read a settings file.

    Args:
        path: A YAML mapping from setting to value.
        config: The dataclass whose settings they are.

    Returns:
        Setting, with underscores, to value.

    Raises:
        ShiftlensError: The file cannot be read or is not a mapping, a setting is unknown, or a
            switch is neither true nor false.
    """
    try:
        settings = yaml.load(Path(path).read_text(encoding="utf-8"), _SettingsLoader)
    except OSError as error:
        raise ShiftlensError(f"cannot read settings file {path}: {error.strerror}") from error
    except Exception as error:  # PyYAML's constructors can raise anything
        raise ShiftlensError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(settings, dict):
        raise ShiftlensError(f"{path} is not a mapping from settings to values")
    switch = {field.name: isinstance(field.default, bool) for field in fields(config)}
    for key, value in settings.items():
        name = _setting(key)
        if name not in switch:
            raise ShiftlensError(f"{path}: unknown setting {key!r}; known: {', '.join(switch)}")
        if value is not None and switch[name] != isinstance(value, bool):
            kind = "true or false" if switch[name] else "a value"
            raise ShiftlensError(f"{path}: {name} takes {kind}, not {value!r}")
        if any(isinstance(v, _NESTED) for v in (value if isinstance(value, list) else [value])):
            raise ShiftlensError(f"{path}: {name} takes a value or a list, not {value!r}")
    return {_setting(key): value for key, value in settings.items()}


def yaml_arguments(path: str | Path, config: type = SweepConfig) -> list[str]:
    """Read a settings file as the command-line arguments that say the same.

    Args:
        path: A YAML mapping from setting to value; a list stands for a comma-separated value.
        config: The dataclass whose settings they are.

    Returns:
        Arguments such as ``["--model", "m", "--no-skip-first"]``; settings that are null are left
        out.

    Raises:
        ShiftlensError: As :func:`read_settings`.
    """
    arguments: list[str] = []
    for key, value in read_settings(path, config).items():
        name = key.replace("_", "-")
        if isinstance(value, bool):
            arguments.append(f"--{name}" if value else f"--no-{name}")
        elif value is not None:
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            arguments += [f"--{name}", text]
    return arguments


def with_settings_files(arguments: Sequence[str], config: type) -> list[str]:
    """Put the settings of ``--config FILE`` and ``--preset NAME`` in their places.

    Args:
        arguments: Those of the command line; later ones win over earlier ones.
        config: The dataclass whose settings they are.

    Returns:
        The arguments without these two options.

    Raises:
        ShiftlensError: An option lacks its value, there is no such preset, or as
            :func:`read_settings`.
    """
    expanded: list[str] = []
    rest = list(arguments)
    while rest:
        option, equals, value = rest[0].partition("=")
        written = rest.pop(0)
        if option not in SETTINGS_FILES:
            expanded.append(written)
            continue
        if not equals and not rest:
            raise ShiftlensError(f"{option} takes {SETTINGS_FILES[option]}")
        value = value if equals else rest.pop(0)
        path = preset_path(value) if option == "--preset" else Path(value)
        expanded += yaml_arguments(path, config)
    return expanded


def _setting(key: Any) -> str:
    return str(key).replace("-", "_")
