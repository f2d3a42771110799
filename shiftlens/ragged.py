"""Rows of unequal length in one array: lists of tokens at a tenth of the memory."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np


class Ragged(Sequence[list[Any]]):
    """Rows of numbers that are kept in one array and read as lists.

    A list of Python integers takes some 36 bytes a number, this what its type takes.

    Args:
        rows: The rows, in any number of pieces.
        dtype: Type of the numbers.
    """

    def __init__(self, rows: Iterable[Any], dtype: type):
        lengths: list[int] = []

        def numbers() -> Iterator[Any]:
            for row in rows:
                lengths.append(len(row))
                yield from row

        self.values: np.ndarray = np.fromiter(numbers(), dtype)
        self.ends = np.cumsum(lengths, dtype=np.int64)

    @property
    def lengths(self) -> np.ndarray:
        """Numbers in each row."""
        return np.diff(self.ends, prepend=0)

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, row: int) -> list[Any]: ...
    @overload
    def __getitem__(self, row: slice) -> list[list[Any]]: ...
    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        end = self.ends[row]
        start = self.ends[row - 1] if row % len(self) else 0
        return self.values[start:end].tolist()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]
