"""The files of a parallel corpus: text, TSV and JSONL, read with line numbers for messages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shiftlens.errors import ShiftlensError
from shiftlens.hub import PREFIX, hub_rows
from shiftlens.languages import language_code

Row = tuple[int, dict[str, Any]]
"""Line number, then the line's values by name."""

FLORES = (".dev", ".devtest")
"""Endings of FLORES-200's files."""

BY_LINE = (".txt", *FLORES)
"""Endings of files with a sentence a line."""


@dataclass(frozen=True)
class Column:
    """One language's sentences: for each id its line number and text.

    Attributes:
        path: The file.
        cells: Line number and text by id.
        by_line: Whether the ids are line numbers, so that a lost line misaligns all after it.
    """

    path: Path
    cells: dict[str, tuple[int, str]]
    by_line: bool = False


def line_error(path: Path, line: int, problem: str) -> ShiftlensError:
    """An error that names a file and a line of it."""
    return ShiftlensError(f"{path}, line {line}: {problem}")


def _read_lines(path: Path) -> list[str]:
    data = path.read_bytes()
    try:
        text = data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = f"not UTF-8 (byte {error.start} of the file); save the file as UTF-8"
        raise line_error(path, line, problem) from error
    if not text:
        raise ShiftlensError(f"{path}: the file is empty; give at least one sentence")
    return text.removesuffix("\n").split("\n")


def tsv_rows(path: Path, names: Sequence[str] = ()) -> list[Row]:
    """Name the cells of each line by `names`, or by the header line, which stays the first row."""
    rows: list[Row] = []
    for number, line in enumerate(_read_lines(path), 1):
        cells = [cell.strip() for cell in line.split("\t")]
        if not any(cells):
            raise line_error(path, number, "empty line; remove it")
        if not names:
            names = cells
            if "id" not in names or len(set(names)) < len(names):
                raise line_error(path, number, "the header needs 'id' and distinct language codes")
        elif number == 1 and cells[0] == "id":
            raise line_error(path, number, "a header where a sentence should be; remove it")
        if len(cells) != len(names):
            expected = f"{len(names)} ({', '.join(names)})"
            raise line_error(path, number, f"{len(cells)} tab-separated cells; expected {expected}")
        rows.append((number, dict(zip(names, cells, strict=True))))
    return rows


def jsonl_rows(path: Path, names: Sequence[str] = ("id",)) -> list[Row]:
    """Parse one object a line, each with at least the keys `names`."""
    rows = []
    for number, line in enumerate(_read_lines(path), 1):
        if not line.strip():
            raise line_error(path, number, "empty line; remove it")
        try:
            row = json.loads(line)
            json.dumps(row, ensure_ascii=False).encode()  # refuses escaped lone surrogates
        except (ValueError, RecursionError) as error:
            raise line_error(
                path, number, f"malformed JSON ({getattr(error, 'msg', error)})"
            ) from error
        if not isinstance(row, dict):
            raise line_error(path, number, f"expected a JSON object with {' and '.join(names)}")
        for name in names:
            if name not in row:
                raise line_error(path, number, f"the key {name!r} is missing; add it")
        rows.append((number, row))
    return rows


def row_column(
    path: Path, rows: Iterable[Row], name: str = "text", by_line: bool = False
) -> Column:
    """Collect the values called `name` by id; a value that is not there reads as empty."""
    cells: dict[str, tuple[int, str]] = {}
    for number, row in rows:
        values = {"id": row["id"], name: row.get(name, "")}
        for key, value in values.items():
            if not isinstance(value, str):
                raise line_error(path, number, f"{key!r} is {value!r}; make it a string")
        sentence_id = values["id"].strip()
        if not sentence_id:
            raise line_error(path, number, "the id is empty; give each sentence an id")
        if sentence_id in cells:
            first = cells[sentence_id][0]
            raise line_error(
                path, number, f"id {sentence_id!r} was used in line {first}; rename one"
            )
        cells[sentence_id] = (number, values[name].strip())
    return Column(path, cells, by_line)


def read_column(path: Path, name: str = "text") -> Column:
    """Read a file of one text a sentence: by line from `BY_LINE`, else by id and `name`."""
    if path.suffix in BY_LINE:
        lines = enumerate(_read_lines(path), 1)
        cells = {str(number): (number, line.strip()) for number, line in lines}
        return Column(path, cells, by_line=True)
    read_rows = tsv_rows if path.suffix == ".tsv" else jsonl_rows
    return row_column(path, read_rows(path, ("id", name)), name)


def code_or_none(text: str) -> str | None:
    """The canonical code, or None where there is no such language."""
    try:
        return language_code(text)
    except ShiftlensError:
        return None


def _language_of(file: Path) -> str | None:
    """Language of a file by its name: ``en.txt``, ``eng_Latn.devtest``, ``news-ref.deu.txt``."""
    if file.suffix in FLORES:
        return code_or_none(file.stem.replace("_", "-"))
    return code_or_none(file.stem) or code_or_none(file.stem.rpartition(".")[2])


def select_languages(
    path: Path, found: Mapping[str, list[str]], requested: Sequence[str] | None
) -> dict[str, str]:
    """Choose for each requested language, or each one found, the one place that holds it.

    Raises:
        ShiftlensError: A requested language is not there, or two places hold one.
    """
    chosen = {}
    for code in found if requested is None else requested:
        if code not in found:
            there = ", ".join(found) or "none"
            raise ShiftlensError(f"{path}: no language {code!r}; languages there: {there}")
        if len(found[code]) > 1:
            places = " and ".join(found[code])
            raise ShiftlensError(f"{path}: {places} both hold language {code!r}; keep one")
        chosen[code] = found[code][0]
    return chosen


def read_columns(path: Path, requested: Sequence[str] | None) -> dict[str, Column]:
    """Read every language's sentences from a folder or a table, as :func:`load_corpus` says.

    Raises:
        ShiftlensError: There is nothing at the path, or nothing that can be read as texts.
    """
    if str(path).startswith(PREFIX):
        numbered = [(n, {**row, "id": str(row.get("id", n))}) for n, row in hub_rows(str(path))]
        return _from_rows(path, numbered, requested)
    if path.is_dir():
        return _read_folder(path, requested)
    if path.is_file() and path.suffix in (".tsv", ".jsonl"):
        return _read_table(path, requested)
    check_there(str(path))
    raise ShiftlensError(f"{path}: give a folder, or a file ending in .tsv or .jsonl")


def check_there(source: str) -> None:
    """Refuse the path of texts or records at which there is nothing.

    Args:
        source: A path, with a colon and a split perhaps; or a name that stands for texts.

    Raises:
        ShiftlensError: It is a path, and there is nothing.
    """
    if source == "demo" or source.startswith(("demo:", PREFIX)) or Path(source).exists():
        return
    folder, _, split = source.rpartition(":")
    if not (folder and split and Path(folder).is_dir()):
        raise ShiftlensError(f"{source}: no such file or folder; check the path")


def _read_folder(path: Path, requested: Sequence[str] | None) -> dict[str, Column]:
    found: dict[str, list[str]] = {}
    for file in sorted(path.iterdir()):
        code = _language_of(file)
        if code and file.suffix in (*BY_LINE, ".tsv", ".jsonl") and file.is_file():
            found.setdefault(code, []).append(file.name)
    if not found:
        raise ShiftlensError(f"{path}: no file such as en.txt, en.tsv or en.jsonl; add one each")
    chosen = select_languages(path, dict(sorted(found.items())), requested)
    by_line = [name for name in chosen.values() if name.endswith(BY_LINE)]
    by_id = [name for name in chosen.values() if name not in by_line]
    if by_line and by_id:
        mixed = f"{by_line[0]} is aligned by line but {by_id[0]} by id"
        raise ShiftlensError(f"{path}: {mixed}; use one format")
    return {code: read_column(path / name) for code, name in chosen.items()}


def _read_table(path: Path, requested: Sequence[str] | None) -> dict[str, Column]:
    """Read a file that holds all languages."""
    if path.suffix == ".tsv":
        header, *rows = tsv_rows(path)
        return _from_rows(path, rows, requested, header)
    return _from_rows(path, jsonl_rows(path), requested)


def _from_rows(
    path: Path, rows: list[Row], requested: Sequence[str] | None, header: Row | None = None
) -> dict[str, Column]:
    """Read rows of all languages, whose names may stand in a row of their own."""
    first_lines: dict[str, int] = {}
    for number, row in rows if header is None else [header]:
        for name in row:
            first_lines.setdefault(name, number)
    found: dict[str, list[str]] = {}
    for name, number in first_lines.items():
        code = code_or_none(name)
        if code and name != "id":
            found.setdefault(code, []).append(name)
        elif name != "id" and requested is None:
            problem = f"{name!r} is not a language code; rename it or list the languages to read"
            raise line_error(path, number, problem)
    if not found or not rows:
        raise ShiftlensError(f"{path}: there are no sentences; give at least one")
    chosen = select_languages(path, found, requested)
    return {code: row_column(path, rows, name) for code, name in chosen.items()}
