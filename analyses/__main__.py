"""Draw every figure again, each by the command that its sidecar keeps, and say which changed.

Command: python analyses [NAME ...] [--corpora DIR] [--folder DIR] [--jobs N] [--list]

What needs only the package and its demo is drawn; what needs parallel text is drawn where --corpora
names the folder in which the corpora lie, and is listed with what it needs otherwise. A figure of
a sweep's run folder has that sweep made first, from the settings in the sidecar's "run". Results
that take hours are stored in analyses/results and drawn from there; no figure needs them anew.
"""

import argparse
import contextlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from _shared import FIGURES, model_path

ROOT = FIGURES.parent


class Task(NamedTuple):
    """A figure, its command's words, and what is missing to run them."""

    name: str
    words: list[str]
    needs: str
    run: dict[str, Any] | None


def task(sidecar: Path, corpora: Path | None) -> Task:
    """What it takes to draw one figure again."""
    facts = json.loads(sidecar.read_text(encoding="utf-8"))
    words, missing = shlex.split(facts["command"]), []
    run = dict(facts["run"]) if "RUN" in words and "run" in facts else None
    if "RUN" in words and run is None:
        missing.append("a run folder of your own")
    for place in [i + 1 for i, word in enumerate(words) if word == "--corpus"]:
        words[place] = _corpus(words[place], corpora, missing)
    if run:
        run["corpus"] = _corpus(run["corpus"], corpora, missing)
    return Task(sidecar.stem, words, ", ".join(dict.fromkeys(missing)), run)


def _corpus(name: str, corpora: Path | None, missing: list[str]) -> str:
    """Where a corpus lies; noted as missing where it does not."""
    if name == "demo":
        return name
    if corpora is None or not (corpora / name).exists():
        missing.append(f"the parallel text {name} (--corpora DIR with {name} in DIR)")
    return str((corpora or Path()) / name)


def draw(todo: Task, folder: Path) -> str:
    """Run a figure's command and say whether its picture is as the one kept."""
    kept = (FIGURES / f"{todo.name}.png").read_bytes()
    with tempfile.TemporaryDirectory() as scratch:
        words = [sys.executable, *todo.words[1:], "--folder", str(folder.resolve())]
        if todo.run:
            words = [scratch if word == "RUN" else word for word in words]
            swept = _quietly([sys.executable, __file__, "--sweep", scratch, json.dumps(todo.run)])
            if swept.returncode:
                return f"failed: {_last_line(swept)}"
        done = _quietly(words)
    if done.returncode:
        return f"failed: {_last_line(done)}"
    return "same" if (folder / f"{todo.name}.png").read_bytes() == kept else "changed"


def sweep(folder: str, run: str) -> None:
    """Make the run folder that a figure is drawn from."""
    from shiftlens import SweepConfig, run_sweep

    settings = json.loads(run)
    run_sweep(SweepConfig(**settings | {"out": folder, "model": model_path(settings["model"])}))


def _quietly(words: list[str]) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, env=environment)


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    return next(iter(done.stderr.strip().splitlines()[::-1]), f"exit status {done.returncode}")


def main() -> int:
    """Redraw what can be; 1 if a command failed."""
    parser = argparse.ArgumentParser(
        "python analyses", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    known = sorted(path.stem for path in FIGURES.glob("*.json"))
    parser.add_argument("names", nargs="*", metavar="NAME", help="figures; all by default")
    parser.add_argument("--corpora", type=Path, help="folder in which the named corpora lie")
    parser.add_argument("--folder", type=Path, default=FIGURES, help="where the figures go")
    parser.add_argument("--jobs", type=int, default=1, help="figures at a time")
    parser.add_argument("--list", action="store_true", help="only say what would be run")
    settings = parser.parse_args()
    if unknown := [name for name in settings.names if name not in known]:
        parser.error(f"no figure {unknown[0]!r}; there are {', '.join(known)}")
    corpora = settings.corpora and settings.corpora.resolve()
    tasks = [task(FIGURES / f"{name}.json", corpora) for name in settings.names or known]
    width, failed = max(len(each.name) for each in tasks), False
    for each in tasks:
        if each.needs or settings.list:
            print(f"{each.name:{width}}  {'needs ' + each.needs if each.needs else 'can be drawn'}")
    able = [] if settings.list else [each for each in tasks if not each.needs]
    with ThreadPoolExecutor(settings.jobs) as pool:
        outcomes = pool.map(draw, able, [settings.folder] * len(able))
        for each, outcome in zip(able, outcomes, strict=True):
            print(f"{each.name:{width}}  {outcome}", flush=True)
            failed |= outcome.startswith("failed")
    return int(failed)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--sweep"]:
        with contextlib.redirect_stdout(sys.stderr):
            sweep(*sys.argv[2:])
    else:
        raise SystemExit(main())
