"""A grid of trainings: arms, areas and seeds side by side, each judged on held-out records."""

import hashlib
import io
import json
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import transformers
from tqdm import tqdm

from shiftlens.area import parse_area
from shiftlens.arms import arm_named
from shiftlens.config import TrainConfig
from shiftlens.corpora import load_corpus
from shiftlens.errors import ShiftlensError
from shiftlens.evaluate import exact_match
from shiftlens.files import make_folder, write_atomic
from shiftlens.loading import load_model
from shiftlens.pooling import Pooling
from shiftlens.sft import load_records, records_sha256
from shiftlens.training.arguments import training_arguments
from shiftlens.training.objective import objective_of
from shiftlens.training.trainer import ShifConTrainer

PROGRAM = (
    "answers",
    "arms",
    "evaluate",
    "language_vectors",
    "loading",
    "models",
    "residual",
    "sft",
    "shift",
    "tokens",
    "training",
)
"""The modules and packages that decide what comes out of a cell."""
NOT_SETTINGS = ("out", "save_every")
"""Fields of a cell's configuration that have no part in it: a cell keeps no run folder."""


def run_grid(
    cells: Sequence[TrainConfig], out: str | Path, workers: int = 2, progress: bool = True
) -> pd.DataFrame:
    """Train and test every cell, each in a process of its own with one thread.

    A finished cell is one file in ``out``, named by a hash of its settings and of the model, data
    and program it was made of, so that a grid that was stopped goes on where it was.

    Args:
        cells: Trainings, no two of the same arm, area and seed. ``test`` names the held-out
            records, ``area`` is two layers; ``out`` and ``save_every`` do not matter.
        out: Folder of the finished cells; made where it is absent.
        workers: Cells at a time.
        progress: Show a progress bar on stderr.

    Returns:
        Tidy, one row an arm, area, seed, language and task: ``n`` records, ``correct`` ones (by
        greedy exact match, through the arm's shift), and of the cell the last losses ``loss_lm``
        and ``loss_pairs`` and the ``seconds`` of training. The task is what the id of a record
        has before its first hyphen.

    Raises:
        ShiftlensError: A cell cannot be run, or failed (named); the others are run all the same,
            and their files are kept.
    """
    _check(cells)
    folder = make_folder(Path(out))
    inputs = {sources: _fingerprint(*sources) for sources in dict.fromkeys(map(_sources, cells))}
    files = [folder / _file_name(cell, inputs[_sources(cell)]) for cell in cells]
    to_do = [(cell, file) for cell, file in zip(cells, files, strict=True) if not file.exists()]
    failures = _work_all(to_do, len(cells), workers, progress)
    if failures:
        raise ShiftlensError(
            f"{len(failures)} of {len(cells)} cells failed, the others are kept in {folder}; "
            f"mend these and run again: {'; '.join(failures)}"
        )
    return pd.concat([_rows(json.loads(file.read_text(encoding="utf-8"))) for file in files])


def run_cell(config: TrainConfig) -> dict[str, Any]:
    """Train one arm with one seed in memory, and test it record by record.

    Args:
        config: The cell, as in :func:`run_grid`.

    Returns:
        ``settings``; ``losses``, the parts of the last batch's loss (none for an untrained arm);
        ``seconds`` of training; and ``records`` with the columns ``id``, ``language``, ``correct``.

    Raises:
        ShiftlensError: Something in the settings or data is not usable, or the loss became NaN.
    """
    model = load_model(config.model, device=config.device)
    parallel, train = load_corpus(config.parallel), load_records(config.sft)
    test = load_records(str(config.test))
    transformers.set_seed(config.seed)
    with tempfile.TemporaryDirectory() as folder:
        quiet = {"save_strategy": "no", "logging_strategy": "no", "disable_tqdm": True}
        trainer = ShifConTrainer(
            model,
            train,
            parallel,
            objective_of(config, parse_area(config.area)),
            training_arguments(config, folder, **quiet),
            Pooling(config.special_tokens, config.skip_first),
        )
        started = time.perf_counter()
        if trainer.objective.arm.trained:
            trainer.train()
        elif trainer.needs_vectors:
            trainer.shift = trainer.estimate_shift()
        seconds = time.perf_counter() - started
    correct = exact_match(model, test, trainer.shift, batch_size=256)
    return {
        "settings": _settings(config),
        "losses": {name: value.item() for name, value in trainer.parts.items()},
        "seconds": seconds,
        "records": {
            "id": [record.id for record in test],
            "language": [record.language for record in test],
            "correct": [int(flag) for flag in correct],
        },
    }


def _work_all(
    to_do: Sequence[tuple[TrainConfig, Path]], n_cells: int, workers: int, progress: bool
) -> list[str]:
    """Run the cells that are not finished, under a bar of all; what failed, and why."""
    failures = []
    spawn = multiprocessing.get_context("spawn")
    done = n_cells - len(to_do)
    with (
        ProcessPoolExecutor(workers, spawn, torch.set_num_threads, (1,)) as pool,
        tqdm(total=n_cells, initial=done, unit="cells", disable=not progress or None) as bar,
    ):
        names = {pool.submit(_work, cell, file): _name(cell) for cell, file in to_do}
        for future in as_completed(names):
            error = future.exception()
            if error is not None:
                died = "its process, or one beside it, was killed or ran out of memory"
                what = died if isinstance(error, BrokenProcessPool) else str(error)
                failures.append(f"{names[future]}: {type(error).__name__}: {what}")
                tqdm.write(f"failed   {failures[-1]}")
            bar.update()
    return failures


def _work(config: TrainConfig, file: Path) -> None:
    """Run a cell in a worker, whose own bars and messages would tear the grid's bar."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        result = run_cell(config)
    write_atomic(file, (json.dumps(result) + "\n").encode())


def _check(cells: Sequence[TrainConfig]) -> None:
    if not cells:
        raise ShiftlensError("the grid has no cells; give at least one")
    names = [_name(cell) for cell in cells]
    for cell, name in zip(cells, names, strict=True):
        arm_named(cell.arm)
        parse_area(cell.area)
        if not cell.test:
            raise ShiftlensError(f"{name} has no records to test on; set its test")
        if names.count(name) > 1:
            raise ShiftlensError(f"two cells are {name}; a grid has one of each")


def _name(config: TrainConfig) -> str:
    return f"{config.arm}, area {config.area}, seed {config.seed}"


def _settings(config: TrainConfig) -> dict[str, Any]:
    return {key: value for key, value in asdict(config).items() if key not in NOT_SETTINGS}


def _sources(config: TrainConfig) -> tuple[str, str, str, str]:
    return config.model, config.parallel, config.sft, str(config.test)


def _fingerprint(model: str, parallel: str, sft: str, test: str) -> list[str]:
    """Hashes of what the cells are made of, the program that makes them among it."""
    records = records_sha256(load_records(sft)), records_sha256(load_records(test))
    program = hashlib.sha256()
    for name in PROGRAM:
        room = Path(__file__).with_name(name)
        for file in sorted(room.glob("*.py")) or [room.with_suffix(".py")]:
            program.update(file.read_bytes())
    return [
        load_model(model, device="cpu").sha256,
        load_corpus(parallel).sha256,
        *records,
        program.hexdigest(),
    ]


def _file_name(config: TrainConfig, inputs: list[str]) -> str:
    key = json.dumps([_settings(config), inputs], sort_keys=True)
    return f"{config.arm}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"


def _rows(result: dict[str, Any]) -> pd.DataFrame:
    """A cell's part of the table."""
    records = pd.DataFrame(result["records"])
    records["task"] = records["id"].str.split("-").str[0]
    tasks = records.groupby(["language", "task"], sort=False)
    rows = tasks["correct"].agg(n="count", correct="sum")
    cell = {key: result["settings"][key] for key in ("arm", "area", "seed")}
    losses = {f"loss_{part}": result["losses"].get(part) for part in ("lm", "pairs")}
    return rows.reset_index().assign(**cell, **losses, seconds=result["seconds"])[
        [*cell, "language", "task", "n", "correct", *losses, "seconds"]
    ]
