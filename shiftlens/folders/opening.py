"""Opening a run folder, and what to say of one that is unfinished, damaged or no run."""

from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from shiftlens.arms import arm_named
from shiftlens.config import SweepConfig, TrainConfig
from shiftlens.errors import ShiftlensError
from shiftlens.folders.files import (
    CONFIG,
    TABLE,
    read_header,
    read_sweep,
    read_sweep_table,
    read_table,
    reading,
    unfinished,
)
from shiftlens.folders.runs import DemoFolder, States, SweepFolder, TrainFolder
from shiftlens.forms import misfit
from shiftlens.layer_sweep import LayerSweep
from shiftlens.settings import read_settings
from shiftlens.store import MANIFEST, STORE, ActivationStore
from shiftlens.token_moments import TOKENS, TokenMoments
from shiftlens.whose import check_opens

_MODEL = {**dict.fromkeys(("architecture", "dtype", "sha256"), str), "n_layers": int}
_TOKENS = {"truncated": int, "unknown_rate": float}
STAGES = ("before", "after", "shifted")
"""Folders of a training, each with states and their sweep."""


def open_run_folder(path: str | Path) -> SweepFolder | TrainFolder | DemoFolder:
    """Open the folder of a finished run; nothing in it is changed.

    Args:
        path: The folder.

    Returns:
        What is in it.

    Raises:
        ShiftlensError: There is no run, it did not finish, or a file (named) is damaged.
    """
    out = Path(path)
    check_opens(out)
    if not (out / CONFIG).exists():
        return _demo(out)
    return _training(out) if _is_training(out) else _sweep(out)


def _is_training(out: Path) -> bool:
    with reading(out / CONFIG):
        lines = (out / CONFIG).read_text(encoding="utf-8").splitlines()
    return any(line.startswith("sft:") for line in lines)


def _settings(out: Path, config: type) -> dict[str, Any]:
    """The settings of a run, with the default of those that came after it."""
    defaults = {
        field.name: field.default for field in fields(config) if field.default is not MISSING
    }
    settings = {**defaults, **read_settings(out / CONFIG, config)}
    hints = get_type_hints(config).items()
    kinds = {name: get_args(hint) or (hint,) for name, hint in hints}
    form = {
        name: tuple(kind if isinstance(kind, type) else type(kind) for kind in of_one)
        for name, of_one in kinds.items()
    }
    with reading(out / CONFIG):
        if wrong := misfit(settings, form, "config"):
            raise ValueError(wrong)
    return settings


def _states(store: ActivationStore | TokenMoments, sweep: LayerSweep) -> States:
    """A store and its sweep, where they are of one another."""
    with reading(store.path / MANIFEST):
        tokens = dict.fromkeys(store.languages, _TOKENS)
        if wrong := misfit(store.manifest, {"model": _MODEL, "tokens": tokens}, "manifest"):
            raise ValueError(wrong)
        if store.layers[-1] != sweep.table["layer"].max():
            raise ValueError(f"its layers are 0..{store.layers[-1]}, those of {TABLE} are not")
        if set(store.languages) != set(sweep.table["language"]) | {sweep.dominant}:
            raise ValueError(f"its languages are not those of {TABLE}")
    return States(store, sweep)


def _sweep(out: Path) -> SweepFolder:
    settings = _settings(out, SweepConfig)
    table = read_sweep_table(out / TABLE)
    sweep, area = read_sweep(out, table)
    with reading(out / TABLE):
        if (used := table["shrinkage"].iloc[0]) != str(settings["shrinkage"]):
            raise ValueError(f"its shrinkage is {used}, that of {CONFIG} {settings['shrinkage']}")
    tokens = settings["states"] == "tokens"
    store = TokenMoments.open(out / TOKENS) if tokens else ActivationStore.open(out / STORE)
    projection = settings["projection"]
    return SweepFolder(
        out,
        settings,
        read_header(out),
        {"sweep": _states(store, sweep)},
        area,
        None if projection == "none" else read_sweep_table(out / f"sweep_{projection}.csv"),
        read_table(out / "tokens.csv", ["language"], list(_TOKENS)),
    )


def _training(out: Path) -> TrainFolder:
    settings = _settings(out, TrainConfig)
    arm = arm_named(settings["arm"])
    before, area = read_sweep(out, read_sweep_table(out / "before" / TABLE))
    states = {}
    for stage in STAGES if arm.shift else STAGES[:2]:
        table = read_sweep_table(out / stage / TABLE)
        sweep = before if stage == "before" else LayerSweep(table, None, before.dominant)
        states[stage] = _states(ActivationStore.open(out / stage / STORE), sweep)
    return TrainFolder(
        out,
        settings,
        read_header(out),
        states,
        area,
        read_table(out / "results.csv", ["when", "language"], ["n", "exact_match"])
        if settings["test"]
        else None,
        read_table(out / "log.csv", numbers=None) if arm.trained else None,
    )


def _demo(out: Path) -> DemoFolder:
    """A demo's folder, or what to do about one that is no run."""
    inside = sorted(path.parent for path in out.glob(f"*/{CONFIG}"))
    if out / "sweep" in inside and len(inside) > 1:
        runs = {path.name: open_run_folder(path) for path in inside}
        trainings = {name: run for name, run in runs.items() if isinstance(run, TrainFolder)}
        if isinstance(sweep := runs["sweep"], SweepFolder) and trainings:
            return DemoFolder(out, sweep, trainings)
    if any((out / name).exists() for name in (STORE, TOKENS, *STAGES, "sweep")):
        raise unfinished(out / CONFIG)
    there = f"; there are runs in it: {', '.join(map(str, inside))}" if inside else ""
    raise ShiftlensError(f"{out} is no run folder: it has no {CONFIG}{there}")
