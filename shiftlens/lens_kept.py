"""What a lens has read, a file a language: written once, and trusted where its hash matches."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from shiftlens.errors import ShiftlensError
from shiftlens.runs import parquet
from shiftlens.store import make_folder, write_atomic
from shiftlens.train_checks import read_inputs

READ = "read"
"""Folder of what was read: what a lens that stopped goes on from."""
INPUTS = "lens_inputs.json"
"""What the numbers depend on, and the SHA-256 of each file; a training's is ``inputs.json``."""
FILES = "files"

Reader = Callable[[list[str]], Iterator[tuple[str, pd.DataFrame]]]


@dataclass(frozen=True)
class KeptTables:
    """The tables of a lens's folder.

    Attributes:
        out: The folder.
        inputs: What the numbers depend on, hashes and settings.
        hashes: SHA-256 of each file in ``read/``, by its name.
    """

    out: Path
    inputs: dict[str, Any]
    hashes: dict[str, str]

    @classmethod
    def begin(cls, out: Path, inputs: dict[str, Any]) -> "KeptTables":
        """Begin a folder, or let it go on with what it was begun with; records may come later.

        Raises:
            ShiftlensError: The folder holds a lens of something else (named), or what it was begun
                with cannot be read.
        """
        kept = read_inputs(out, INPUTS, "lens") if (out / INPUTS).exists() else dict(inputs)
        for name, value in inputs.items():
            late = name == "records" and kept.get(name, value) is None
            if kept.get(name) != value and not late:
                raise ShiftlensError(
                    f"{out} holds a lens that differs in {name}; give the same settings to go on "
                    "with it, or another folder"
                )
        make_folder(out / READ)
        hashes = kept.get(FILES)
        return cls(out, inputs, hashes if isinstance(hashes, dict) else {})

    def tables(self, what: str, languages: Sequence[str], read: Reader) -> pd.DataFrame:
        """The tables of all languages, those that are not there whole read now.

        Args:
            what: Beginning of the files' names.
            languages: The languages, in the order of the rows.
            read: Reads the languages that it is given.
        """
        kept = {code: self._content(what, code) for code in languages}
        if missing := [code for code, content in kept.items() if content is None]:
            for code, table in read(missing):
                kept[code] = self._keep(_name(what, code), parquet(table))
        self._write_inputs()
        found = [pd.read_parquet(BytesIO(content)) for content in kept.values() if content]
        return pd.concat(found, ignore_index=True)

    def _content(self, what: str, code: str) -> bytes | None:
        """What a file holds, or None where it is missing or not as it was written."""
        name = _name(what, code)
        file = self.out / READ / name
        content = file.read_bytes() if file.is_file() else b""
        return content if _sha256(content) == self.hashes.get(name) else None

    def _keep(self, name: str, content: bytes) -> bytes:
        write_atomic(self.out / READ / name, content)
        self.hashes[name] = _sha256(content)
        self._write_inputs()
        return content

    def _write_inputs(self) -> None:
        facts = {**self.inputs, FILES: dict(sorted(self.hashes.items()))}
        write_atomic(self.out / INPUTS, (json.dumps(facts, indent=1) + "\n").encode())


def _name(what: str, code: str) -> str:
    return f"{what}-{code}.parquet"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
