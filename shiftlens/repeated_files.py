"""Whether the results in two run folders are the same, and how far apart they are."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from torch import Tensor

from shiftlens.folders.files import read_table
from shiftlens.store import DAMAGE

KINDS: Mapping[str, Sequence[str]] = {
    "activations": ("**/activations/*.safetensors", "token_moments/*.safetensors"),
    "weights": ("model/model*.safetensors", "adapter/*.safetensors"),
    "shift": ("model/shift.*",),
    "tables": ("tokens.csv", "sweep*.csv", "*/sweep.csv"),
    "results": ("results.csv",),
    "log": ("log.csv",),
    "area": ("area.json",),
}
"""What a run leaves that a repetition must leave again, by name of file."""

CLOCK = ("train_runtime", "train_samples_per_second", "train_steps_per_second")
"""Columns of a log that hold times."""


@dataclass(frozen=True)
class Difference:
    """A file that is not the same in both folders.

    Attributes:
        file: Its path in the run folder.
        what: What differs, in words.
        largest: The largest difference of two numbers; None where it is none of numbers.
    """

    file: str
    what: str
    largest: float | None = None

    def __str__(self) -> str:
        """As a person reads it."""
        by = "" if self.largest is None else f" differ by up to {self.largest:.3g}"
        return f"{self.file}: {self.what}{by}"


@dataclass(frozen=True)
class Compared:
    """All files of a kind.

    Attributes:
        kind: One of ``KINDS``.
        files: How many there are in either folder.
        differences: Those that are not the same.
    """

    kind: str
    files: int
    differences: list[Difference]

    @property
    def same(self) -> bool:
        """Whether all are the same."""
        return not self.differences

    def __str__(self) -> str:
        """The kind, and the file that is furthest from the same."""
        if self.same:
            return f"{self.kind}: {self.files} file{'s' if self.files > 1 else ''}"
        worst = max(self.differences, key=lambda d: np.inf if d.largest is None else d.largest)
        return f"{self.kind}: {len(self.differences)} of {self.files}; {worst}"


def compare_folders(first: Path, second: Path) -> list[Compared]:
    """Compare the results in two run folders to the last bit; times are left out.

    Args:
        first: A run folder.
        second: Another.

    Returns:
        The kinds of result that there are in either.
    """
    compared = []
    for kind, patterns in KINDS.items():
        files = sorted(
            {
                path.relative_to(folder).as_posix()
                for folder in (first, second)
                for pattern in patterns
                for path in folder.glob(pattern)
            }
        )
        found = [_difference(file, first / file, second / file) for file in files]
        if files:
            compared.append(Compared(kind, len(files), [d for d in found if d is not None]))
    return compared


def _difference(name: str, first: Path, second: Path) -> Difference | None:
    for path, which in ((first, "the run"), (second, "the repetition")):
        if not path.exists():
            return Difference(name, f"not in {which}")
    if first.read_bytes() == second.read_bytes():
        return None
    try:
        if first.suffix == ".safetensors":
            return _tensors(name, first, second)
        if first.suffix == ".csv":
            return _tables(name, read_table(first), read_table(second))
        return _values(name, *(json.loads(path.read_text("utf-8")) for path in (first, second)))
    except DAMAGE as error:
        return Difference(name, f"damaged ({' '.join(str(error).split())})")


def _tensors(name: str, first: Path, second: Path) -> Difference | None:
    with safe_open(first, framework="pt") as one, safe_open(second, framework="pt") as two:
        names = list(one.keys())
        if set(names) != set(two.keys()):
            return Difference(name, "not the same tensors")
        apart = {key: _largest(one.get_tensor(key), two.get_tensor(key)) for key in names}
    differing = {key: by for key, by in apart.items() if by is None or by != 0}
    if not differing:
        return None
    if None in differing.values():
        return Difference(name, "tensors of other shapes or types")
    largest = max(by for by in differing.values() if by is not None)
    return Difference(name, f"{len(differing)} of {len(names)} tensors", largest)


def _largest(one: Tensor, two: Tensor) -> float | None:
    """Largest difference; None where shape or type differ, infinite where one alone is NaN."""
    if one.shape != two.shape or one.dtype != two.dtype:
        return None
    if torch.equal(one, two) or not one.numel():
        return 0.0
    apart = (one.double() - two.double()).abs().nan_to_num(torch.inf)
    apart[one.isnan() & two.isnan()] = 0.0
    return float(apart.max())


def _tables(name: str, one: pd.DataFrame, two: pd.DataFrame) -> Difference | None:
    one, two = (table.drop(columns=[*CLOCK], errors="ignore") for table in (one, two))
    if one.shape != two.shape or list(one) != list(two):
        return Difference(name, f"{one.shape} and {two.shape} rows and columns, or others")
    columns = {column: _apart(one[column], two[column]) for column in one}
    differing = {column: by for column, by in columns.items() if by is None or by != 0}
    if not differing:
        return None
    numbers = [by for by in differing.values() if by is not None]
    largest = max(numbers) if len(numbers) == len(differing) else None
    return Difference(name, f"columns {', '.join(map(str, differing))}", largest)


def _apart(one: pd.Series, two: pd.Series) -> float | None:
    """Largest difference of two columns; None where they are of words."""
    if one.equals(two):
        return 0.0
    if not all(pd.api.types.is_numeric_dtype(column) for column in (one, two)):
        return None
    return _largest(*(torch.tensor(column.to_numpy(float)) for column in (one, two)))


def _values(name: str, one: Any, two: Any) -> Difference | None:
    if one == two:
        return None
    keys = [key for key in {**one, **two} if one.get(key) != two.get(key)]
    return Difference(name, f"{', '.join(keys)}")
