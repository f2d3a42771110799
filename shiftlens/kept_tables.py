"""What a run has measured so far, a file a part: written once, trusted where its hash matches."""

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from shiftlens.errors import ShiftlensError
from shiftlens.files import make_folder, write_atomic
from shiftlens.train_checks import read_inputs
from shiftlens.written import parquet, write_json

READ = "read"
"""Folder of the parts: what a run that stopped goes on from."""
FILES = "files"

Reader = Callable[[list[str]], Iterator[tuple[str, pd.DataFrame]]]


@dataclass(frozen=True)
class KeptTables:
    """The tables in a run's folder.

    Attributes:
        out: The folder.
        command: The command of the run; ``COMMAND_inputs.json`` says what its numbers depend on,
            and the SHA-256 of each file.
        inputs: What the numbers depend on, hashes and settings.
        hashes: SHA-256 of each file in ``read/``, by its name.
    """

    out: Path
    command: str
    inputs: dict[str, Any]
    hashes: dict[str, str]

    @classmethod
    def begin(
        cls, out: Path, command: str, inputs: dict[str, Any], late: Collection[str] = ()
    ) -> "KeptTables":
        """Begin a folder, or let it go on with what it was begun with.

        Args:
            out: The folder.
            command: The command of the run.
            inputs: What the numbers depend on.
            late: Inputs that may come later: None before.

        Raises:
            ShiftlensError: The folder holds a run with something else (named), or what it was begun
                with cannot be read.
        """
        file = f"{command}_inputs.json"
        begun = read_inputs(out, file, command) if (out / file).exists() else dict(inputs)
        for name, value in inputs.items():
            comes_late = name in late and begun.get(name, value) is None
            if begun.get(name) != value and not comes_late:
                raise ShiftlensError(
                    f"{out} holds a run of {command} that differs in {name}; give the same "
                    "settings to go on with it, or another folder"
                )
        make_folder(out / READ)
        hashes = begun.get(FILES)
        kept = cls(out, command, inputs, hashes if isinstance(hashes, dict) else {})
        kept._write_inputs()
        return kept

    def table(self, name: str, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """A table, made now where it is not there whole.

        Args:
            name: Of its file, without the ending.
            make: Makes it.
        """
        content = self._content(name)
        return _table(self._keep(name, make()) if content is None else content)

    def array(self, name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        """An array of two axes, as :meth:`table`; its rows are the columns of the file."""

        def columns() -> pd.DataFrame:
            return pd.DataFrame({str(row): values for row, values in enumerate(make())})

        return np.ascontiguousarray(self.table(name, columns).to_numpy().T)

    def tables(self, what: str, languages: Sequence[str], read: Reader) -> pd.DataFrame:
        """The tables of all languages, those that are not there whole read now.

        Args:
            what: Beginning of the files' names.
            languages: The languages, in the order of the rows.
            read: Reads the languages that it is given.
        """
        kept = {code: self._content(f"{what}-{code}") for code in languages}
        if missing := [code for code, content in kept.items() if content is None]:
            for code, table in read(missing):
                kept[code] = self._keep(f"{what}-{code}", table)
        found = [_table(content) for content in kept.values() if content]
        return pd.concat(found, ignore_index=True)

    def _content(self, name: str) -> bytes | None:
        """What a file holds, or None where it is missing or not as it was written."""
        file = self.out / READ / f"{name}.parquet"
        content = file.read_bytes() if file.is_file() else b""
        return content if _sha256(content) == self.hashes.get(file.name) else None

    def _keep(self, name: str, table: pd.DataFrame) -> bytes:
        file, content = self.out / READ / f"{name}.parquet", parquet(table)
        write_atomic(file, content)
        self.hashes[file.name] = _sha256(content)
        self._write_inputs()
        return content

    def _write_inputs(self) -> None:
        facts = {**self.inputs, FILES: dict(sorted(self.hashes.items()))}
        file = self.out / f"{self.command}_inputs.json"
        write_json(file, facts)


def _table(content: bytes) -> pd.DataFrame:
    return pd.read_parquet(BytesIO(content))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
