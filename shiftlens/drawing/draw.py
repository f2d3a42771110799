"""All figures of a run folder, or some of them, as files."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from shiftlens.drawing.kinds import FIGURES, FigureKind
from shiftlens.drawing.needs import Subject
from shiftlens.errors import ShiftlensError
from shiftlens.files import make_folder
from shiftlens.folders.opening import open_run_folder
from shiftlens.folders.runs import DemoFolder, RunFolder, TrainFolder
from shiftlens.geometry import metrics_named
from shiftlens.plots.save import FORMATS

FOLDER = "figures"
"""Where in a run folder its figures go."""
COMPARED = ("before", "after")
"""Of which states of a training the figures of a sweep are drawn."""


@dataclass(frozen=True)
class _Task:
    """One figure of one subject, and the folder that its files go to."""

    name: str
    kind: FigureKind
    subject: Subject
    folder: Path


def draw_run(
    run: str | Path | RunFolder | DemoFolder,
    out: str | Path | None = None,
    only: Sequence[str] | None = None,
    formats: Sequence[str] = ("png", "svg"),
    pages: bool = True,
    metric: str | None = None,
    layer: int | None = None,
    labels: str | Path | None = None,
    progress: bool = True,
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Draw every figure that a run gives, for paper and for the screen.

    A training's folder gets ``before/`` and ``after/`` with the figures of its sweeps, a demo's
    a folder for each of its runs.

    Args:
        run: The run folder.
        out: Where to; by default ``figures/`` in the run folder.
        only: Names of :data:`shiftlens.drawing.kinds.FIGURES`; None for all that the run gives.
        formats: For paper: png, svg, pdf.
        pages: Write HTML pages for the screen too.
        metric: Metric of distances and pairs, instead of the sweep's first.
        layer: Layer of the geometry and of the pairs on paper, instead of those that tell most.
        labels: File with a label a sentence, for an LDA with the labels as classes.
        progress: Show a progress bar on stderr.
        say: Receives a line for each figure that is left out, with the reason.

    Returns:
        The files written.

    Raises:
        ShiftlensError: A name, format, metric or layer is not known, a figure that was asked for
            by name cannot be drawn of this run, or the run is unfinished or damaged.
    """
    _check(only, formats, metric)
    folder = run if isinstance(run, RunFolder | DemoFolder) else open_run_folder(run)
    target = Path(out) if out is not None else folder.out / FOLDER
    tasks: list[_Task] = []
    left_out: list[tuple[_Task, str]] = []
    for task in _tasks(folder, target, metric, layer, labels):
        if only is None or task.name in only:
            if reason := task.kind.lacks(task.subject):
                left_out.append((task, reason))
            else:
                tasks.append(task)
    if only is not None:
        _check_drawn(only, tasks, left_out, folder.kind)
    for task, reason in left_out:
        say(f"left out {_place(task, target)}: {reason}")
    files: list[Path] = []
    with tqdm(total=len(tasks), unit="figures", desc="plot", disable=not progress or None) as bar:
        for task in tasks:
            for drawing in task.kind.draw(task.subject):
                files += drawing.save(make_folder(task.folder), formats, pages)
            bar.update()
    return files


def _check(only: Sequence[str] | None, formats: Sequence[str], metric: str | None) -> None:
    for what, asked, known in (("figure", only or (), FIGURES), ("format", formats, FORMATS)):
        for name in asked:
            if name not in known:
                raise ShiftlensError(f"no {what} {name!r}; choose from {', '.join(known)}")
    if metric is not None and len(metrics_named(metric)) > 1:
        raise ShiftlensError(f"{metric!r} are several metrics; figures are of one at a time")


def _tasks(
    folder: RunFolder | DemoFolder,
    out: Path,
    metric: str | None,
    layer: int | None,
    labels: str | Path | None,
) -> Iterator[_Task]:
    """Every figure that the run's kind can have."""
    if isinstance(folder, DemoFolder):
        for name, run in {"sweep": folder.sweep, **folder.trainings}.items():
            yield from _tasks(run, out / name, metric, layer, labels)
        return
    last = folder.first.store.layers[-1]
    if layer is not None and not 0 <= layer <= last:
        raise ShiftlensError(f"layer {layer} is not in {folder.out} (0..{last})")
    training = isinstance(folder, TrainFolder)
    drawn = COMPARED if training else tuple(folder.states)
    for name, kind in FIGURES.items():
        if kind.training:
            stages = {out: folder.first} if training else {}
        else:
            stages = {out / stage if training else out: folder.states[stage] for stage in drawn}
        for place, states in stages.items():
            yield _Task(name, kind, Subject(folder, states, metric, layer, labels), place)


def _check_drawn(
    only: Sequence[str],
    tasks: Sequence[_Task],
    left_out: Sequence[tuple[_Task, str]],
    kind: str,
) -> None:
    """Refuse a figure that was asked for by name where none of the run's states gives it."""
    reasons = {task.name: reason for task, reason in left_out}
    for name in only:
        if name not in {task.name for task in tasks}:
            of_another = f"a {kind} has none; it needs {FIGURES[name].needs}"
            raise ShiftlensError(f"{name} cannot be drawn: {reasons.get(name, of_another)}")


def _place(task: _Task, out: Path) -> str:
    return (task.folder.relative_to(out) / task.name).as_posix()
