"""The files of a run folder, read with a word on what to do where one is missing or damaged."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow

from shiftlens.area import MINIMUM_BLOCKS, LayerArea
from shiftlens.config import TrainConfig
from shiftlens.corpora import Corpus, load_corpus
from shiftlens.errors import ShiftlensError
from shiftlens.forms import is_code, misfit
from shiftlens.geometry import METRICS
from shiftlens.layer_sweep import LayerSweep
from shiftlens.settings import read_settings
from shiftlens.shift import check_area
from shiftlens.store import ActivationStore
from shiftlens.token_moments import TokenMoments

CONFIG = "config.yaml"
AREA = "area.json"
TABLE = "sweep.csv"
SENTENCES = "sentences.parquet"

_COLUMNS = ("layer", "language", "metric", "value", "n", "d", "rank", "shrinkage")
_UNREADABLE = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, MemoryError),
    pyarrow.ArrowException,
)
_AREA_FORM = {
    **{"start": int, "stop": int, "share": float},
    **{"lowest": [int], "contiguous": bool},
}


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Say of a file of a run that is missing or damaged what to do about it.

    Raises:
        ShiftlensError: Reading it failed.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise unfinished(path) from error
    except _UNREADABLE as error:
        words = " ".join(str(error).split())
        raise ShiftlensError(
            f"{path.parent} is not a finished run: {path.name} is damaged ({words}); give the "
            "command of the run again"
        ) from error


def unfinished(path: Path) -> ShiftlensError:
    """The error of a run that was stopped before it wrote a file."""
    return ShiftlensError(
        f"{path.parent} is not a finished run: {path.name} is missing; give the command of the "
        "run again, and it goes on where it was"
    )


def read_table(
    path: Path, keys: Sequence[str] = (), numbers: Sequence[str] | None = ()
) -> pd.DataFrame:
    """Read a table of a run, numbers to the last bit; "na" is a language and not a gap.

    Args:
        path: The file.
        keys: Columns that it must have, and that name each row once.
        numbers: Columns of numbers that it must have; None where all are.

    Raises:
        ShiftlensError: It is missing or damaged.
    """
    with reading(path):
        table = pd.read_csv(
            path, keep_default_na=False, na_values=[""], float_precision="round_trip"
        )
        numbers = [str(name) for name in table] if numbers is None else numbers
        if missing := [name for name in (*keys, *numbers) if name not in table]:
            raise ValueError(f"it lacks {', '.join(missing)}")
        if odd := [name for name in numbers if table[name].dtype.kind not in "if"]:
            raise ValueError(f"{odd[0]} has what is no number")
        if keys and (
            table.duplicated(list(keys)).any() or bool(table[list(keys)].isna().to_numpy().any())
        ):
            raise ValueError(f"its rows are not named by {' and '.join(keys)}")
        return table


def read_sweep_table(path: Path) -> pd.DataFrame:
    """Read the tidy table of a sweep.

    Raises:
        ShiftlensError: It is missing or damaged.
    """
    table = read_table(path)
    with reading(path):
        if missing := [name for name in _COLUMNS if name not in table]:
            raise ValueError(f"it lacks {', '.join(missing)}")
        if table.empty:
            raise ValueError("it has no rows")
        if wrong := _wrong_columns(table):
            raise ValueError(wrong)
    return table


def _wrong_columns(table: pd.DataFrame) -> str:
    """What is wrong with what the columns of a sweep's table hold; empty where nothing is."""
    whole = [name for name in ("layer", "n", "d") if table[name].dtype.kind != "i"]
    numbers = [name for name in ("value", "rank") if table[name].dtype.kind not in "if"]
    if odd := [*whole, *numbers]:
        return f"{odd[0]} has what is no number"
    if unknown := [name for name in table["metric"].unique() if name not in METRICS]:
        return f"there is no metric {unknown[0]!r}"
    if not all(map(is_code, table["language"])):
        return "a language is no code"
    per_metric = table.groupby("metric")
    if any(set(rows["layer"]) != set(range(table["layer"].max() + 1)) for _, rows in per_metric):
        return "its layers are not 0..L"
    return ""


def read_sweep(out: Path, table: pd.DataFrame) -> tuple[LayerSweep, tuple[int, int] | None]:
    """Put a sweep together again from its table and the run's ``area.json``.

    Args:
        out: The run folder.
        table: The sweep's table.

    Returns:
        The sweep, and the area: of a training the one trained in, of a sweep the one chosen.

    Raises:
        ShiftlensError: ``area.json`` is missing or damaged.
    """
    with reading(out / AREA):
        facts = json.loads((out / AREA).read_text(encoding="utf-8"))
        if wrong := misfit(facts, {"areas": dict, "dominant": str, "metric": str}, "area"):
            raise ValueError(wrong)
        areas = {metric: _layer_area(area) for metric, area in facts["areas"].items()}
        shallow = table["layer"].max() < MINIMUM_BLOCKS
        sweep = LayerSweep(table, None if shallow else areas, str(facts["dominant"]))
        if "trained_area" in facts:
            a, b = facts["trained_area"]
            check_area((a, b), int(table["layer"].max()))
            return sweep, (a, b)
        if sweep.metric != facts["metric"]:
            raise ValueError(f"it is of {facts['metric']}, the table of {sweep.metric}")
        return sweep, (sweep.area.start, sweep.area.stop) if sweep.area else None


def _layer_area(facts: Mapping[str, Any]) -> LayerArea:
    if wrong := misfit(facts, _AREA_FORM, "area"):
        raise ValueError(wrong)
    layers = {name: tuple(facts.get(name, ())) for name in ("lowest", "tied")}
    return LayerArea(**{**facts, **layers})


def read_corpus(out: Path, store: ActivationStore | TokenMoments) -> Corpus:
    """Read the sentences behind a store: kept by a sweep, or where a training had them from.

    Args:
        out: The run folder.
        store: The store in it.

    Returns:
        The sentences, in the order of the store's rows.

    Raises:
        ShiftlensError: The sentences are damaged, not there any more, or others.
    """
    kept = out / SENTENCES
    if not kept.exists():
        return _corpus_of_training(out, store)
    with reading(kept):
        table = pd.read_parquet(kept)
        if len(table) != store.n_sentences:
            raise ValueError(f"{len(table)} sentences, not as many as the states")
        ids = table["sentence"] if "sentence" in table else range(1, len(table) + 1)
        texts = {code: tuple(table[code]) for code in store.languages}
        return Corpus(tuple(map(str, ids)), texts)


def _corpus_of_training(out: Path, store: ActivationStore | TokenMoments) -> Corpus:
    """The sentences of a run that kept none, from where its settings say it had them."""
    parallel = read_settings(out / CONFIG, TrainConfig)["parallel"]
    try:
        corpus = load_corpus(parallel, store.languages)
    except ShiftlensError as error:
        raise ShiftlensError(
            f"the sentences of {out} are those of {parallel!r}, and they cannot be read from "
            f"{Path.cwd()} ({error}); plot, report or serve from the directory in which it was "
            "trained"
        ) from error
    if corpus.sha256 != store.manifest["corpus"]["sha256"]:
        raise ShiftlensError(f"{parallel} no longer holds the sentences that {out} read")
    return corpus


def read_header(out: Path) -> str:
    """Read the versions that a run states in the first line of its settings.

    Raises:
        ShiftlensError: The settings are missing or damaged.
    """
    with reading(out / CONFIG):
        header = (out / CONFIG).read_text(encoding="utf-8").split("\n", 1)[0]
    return header.removeprefix("# ") if header.startswith("# ") else "not stated"
