"""Running a run again from its settings, and whether the result is the same."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from shiftlens.config import SweepConfig, TrainConfig, to_yaml
from shiftlens.corpora import load_corpus
from shiftlens.errors import ShiftlensError
from shiftlens.folders.opening import open_run_folder
from shiftlens.folders.runs import DemoFolder, SweepFolder, TrainFolder
from shiftlens.loading import load_model
from shiftlens.repeated_files import Compared, compare_folders
from shiftlens.runs import load_inputs, run_sweep
from shiftlens.sft import load_records, records_sha256
from shiftlens.train import run_train
from shiftlens.train_checks import read_inputs
from shiftlens.whose import check_run_folder


@dataclass(frozen=True)
class Repetition:
    """A run and its repetition.

    Attributes:
        out: Folder of the repetition; gone where it was discarded.
        compared: What was compared, kind by kind.
        reasons: What may have made a difference, a line each; of the versions and the device.
    """

    out: Path
    compared: list[Compared]
    reasons: list[str]

    @property
    def same(self) -> bool:
        """Whether all is the same to the last bit."""
        return all(kind.same for kind in self.compared)


def repeat_run(
    run: str | Path,
    out: str | Path | None = None,
    discard: bool = False,
    say: Callable[[str], None] = print,
) -> Repetition:
    """Run a run again from its ``config.yaml`` and compare the two folders.

    Model and data are held against the hashes in the run folder first: a run whose inputs have
    changed is not repeated.

    Args:
        run: The folder of a finished sweep or training; nothing in it is changed.
        out: Folder of the repetition; by default the run's name with ``-repeat``.
        discard: Use a temporary folder instead.
        say: Receives the lines that a person reads.

    Returns:
        The repetition.

    Raises:
        ShiftlensError: There is no such run, its model or data have changed or are gone, or the
            folder of the repetition holds a finished run.
    """
    folder = open_run_folder(run)
    if isinstance(folder, DemoFolder):
        inside = ", ".join(str(part.out) for part in (folder.sweep, *folder.trainings.values()))
        raise ShiftlensError(f"{run} is a demo of several runs: repeat one of {inside}")
    with _place(Path(run), out, discard) as place:
        config = _settings(folder, place)
        check_run_folder(config)
        _check_inputs(folder, config)
        reasons = _reasons(folder.versions, config)
        say(f"repeats  {run} into {place}" + (", which goes afterwards" if discard else ""))
        for line in reasons:
            say(f"note     {line}")
        _run(config)
        repetition = Repetition(place, compare_folders(Path(run), place), reasons)
    say(_verdict(repetition))
    return repetition


@contextmanager
def _place(run: Path, out: str | Path | None, discard: bool) -> Iterator[Path]:
    """The folder of the repetition."""
    if discard:
        if out is not None:
            raise ShiftlensError("--discard leaves nothing, so it takes no --out")
        with tempfile.TemporaryDirectory(prefix="shiftlens-repeat-") as name:
            yield Path(name) / run.resolve().name
        return
    place = (
        Path(out) if out is not None else run.resolve().with_name(f"{run.resolve().name}-repeat")
    )
    if _finished(place):
        raise ShiftlensError(f"{place} holds a finished run; delete it, or give another --out")
    yield place


def _finished(place: Path) -> bool:
    try:
        open_run_folder(place)
    except ShiftlensError:
        return False
    return True


def _settings(folder: SweepFolder | TrainFolder, place: Path) -> SweepConfig | TrainConfig:
    kind: type[SweepConfig | TrainConfig] = (
        SweepConfig if isinstance(folder, SweepFolder) else TrainConfig
    )
    known = {field.name for field in fields(kind)}
    settings: dict[str, Any] = {k: v for k, v in folder.settings.items() if k in known}
    return kind(**{**settings, "out": str(place)})


def _check_inputs(folder: SweepFolder | TrainFolder, config: SweepConfig | TrainConfig) -> None:
    """Refuse to repeat what cannot come out the same."""
    if isinstance(config, SweepConfig):
        manifest = folder.first.store.manifest
        then = {name: manifest[name]["sha256"] for name in ("model", "corpus")}
        corpus, model = load_inputs(config)
        now = {"model": model.sha256, "corpus": corpus.sha256}
    else:
        then = read_inputs(folder.out)
        now = {
            "model": load_model(config.model, device=config.device).sha256,
            "parallel": load_corpus(config.parallel).sha256,
            "sft": records_sha256(load_records(config.sft)),
        }
        if config.test and "test" in then:
            now["test"] = records_sha256(load_records(config.test))
    for name, sha256 in now.items():
        if then.get(name) != sha256:
            raise ShiftlensError(
                f"{folder.out} cannot be repeated: its {name} {getattr(config, name)} has changed "
                f"since (SHA-256 {str(then.get(name))[:12]}... then, {sha256[:12]}... now)"
            )


def _reasons(then: str, config: SweepConfig | TrainConfig) -> list[str]:
    """Why results may differ though model and data are the same."""
    here = to_yaml(config).split("\n", 1)[0].removeprefix("# ")
    before, now = (dict(part.rsplit(" ", 1) for part in _parts(text)) for text in (then, here))
    reasons = [
        f"{name} is {version} here, and the run was made with {before.get(name, 'none stated')}"
        for name, version in now.items()
        if before.get(name) != version
    ]
    if config.device == "auto":
        reasons.append("the run's device was auto, so it may have been another than here")
    elif config.device != "cpu":
        reasons.append(f"on {config.device} sums may be taken in another order each time")
    return reasons


def _parts(versions: str) -> list[str]:
    return [part for part in versions.split(", ") if " " in part]


def _run(config: SweepConfig | TrainConfig) -> None:
    """Run, and keep what it says for itself."""
    lines: list[str] = []
    if isinstance(config, SweepConfig):
        run_sweep(config, lines.append)
    else:
        run_train(config, lines.append)


def _verdict(repetition: Repetition) -> str:
    lines = [f"{'same' if kind.same else 'DIFFERS':8} {kind}" for kind in repetition.compared]
    if repetition.same:
        return "\n".join([*lines, "", "the same to the last bit"])
    likely = repetition.reasons or [
        "versions, device, model and data are those recorded: another processor or number of "
        "threads rounds otherwise, or a file was changed after the run"
    ]
    return "\n".join(
        [*lines, "", "it differs; what may be behind it:", *(f"  {r}" for r in likely)]
    )
