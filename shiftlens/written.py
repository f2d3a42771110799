"""Tables and facts as files, each whole or not there at all."""

import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from shiftlens.files import write_atomic


def parquet(table: pd.DataFrame) -> bytes:
    """A table as the content of a Parquet file."""
    buffer = BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, without its index.

    Raises:
        ShiftlensError: The folder cannot be written to, or the disk is full.
    """
    write_atomic(path, table.to_csv(index=False).encode())


def write_table(stem: Path, table: pd.DataFrame) -> list[Path]:
    """Write a table as Parquet for programs, and then as CSV for people.

    Args:
        stem: The files without their endings.
        table: Its columns; the index is left out.

    Returns:
        The CSV and the Parquet file.

    Raises:
        ShiftlensError: The folder cannot be written to, or the disk is full.
    """
    files = [stem.with_name(f"{stem.name}.{ending}") for ending in ("csv", "parquet")]
    write_atomic(files[1], parquet(table))
    write_csv(files[0], table)
    return files


def write_json(path: Path, facts: Mapping[str, Any]) -> None:
    """Write facts as JSON that a person can read.

    Raises:
        ShiftlensError: The folder cannot be written to, or the disk is full.
    """
    write_atomic(path, (json.dumps(facts, indent=1) + "\n").encode())
