"""Parallel corpora: the same sentences in several languages, read and checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from shiftlens.errors import ShiftlensError
from shiftlens.languages import language_code, language_list

_KEEP_HINT = "or set keep_intersection to drop such sentences"

_Row = tuple[int, dict[str, str]]  # line number, then the line's values by name


@dataclass(frozen=True)
class Corpus:
    """Sentences aligned across languages.

    Attributes:
        ids: One id per sentence, shared by all languages.
        texts: For each language, its sentences in the order of `ids`.
        dropped: How many sentences a language lost to the intersection, for those that lost any.
    """

    ids: tuple[str, ...]
    texts: dict[str, tuple[str, ...]]
    dropped: dict[str, int] = field(default_factory=dict)

    @classmethod
    def from_texts(
        cls, texts: Mapping[str, Sequence[str]], ids: Sequence[str] | None = None
    ) -> Corpus:
        """Make a corpus of sentences held in memory.

        Args:
            texts: For each language, its sentences, aligned by position.
            ids: One id per sentence; by default the positions, counted from 1.

        Returns:
            The corpus, its languages in the order of `texts`.

        Raises:
            ShiftlensError: If a language code is not valid, the counts differ, an id is repeated,
                or there is no sentence or an empty one.
        """
        codes = language_list(list(texts))
        aligned = dict(zip(codes, map(tuple, texts.values()), strict=True))
        count = len(aligned[codes[0]])
        names = tuple(str(n + 1) for n in range(count)) if ids is None else tuple(ids)
        for code, sentences in aligned.items():
            if len(sentences) != count:
                raise ShiftlensError(
                    f"{codes[0]} has {count} sentences but {code} has {len(sentences)}; "
                    "give every language the same sentences"
                )
            for n, sentence in enumerate(sentences, 1):
                if not sentence.strip():
                    raise ShiftlensError(f"sentence {n} of {code} is empty; fill it or remove it")
        if not count:
            raise ShiftlensError("the corpus has no sentences; give at least one")
        if len(names) != count or len(set(names)) != count:
            raise ShiftlensError(f"the corpus needs {count} distinct ids, one per sentence")
        return cls(names, aligned)

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages, in order."""
        return tuple(self.texts)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal hash of the languages in order, the ids and the sentences."""
        content = json.dumps([self.ids, list(self.texts.items())])
        return hashlib.sha256(content.encode()).hexdigest()

    def head(self, n: int) -> Corpus:
        """Keep the first sentences.

        Args:
            n: How many to keep; a corpus that has fewer is kept whole.

        Returns:
            The shorter corpus.

        Raises:
            ShiftlensError: If `n` is below 1.
        """
        if n < 1:
            raise ShiftlensError(f"cannot keep {n} sentences; ask for at least 1")
        texts = {code: sentences[:n] for code, sentences in self.texts.items()}
        return Corpus(self.ids[:n], texts, self.dropped)


def load_corpus(
    path: str | Path, languages: Sequence[str] | None = None, *, keep_intersection: bool = False
) -> Corpus:
    """Read a parallel corpus.

    The layout is told from the path:

    - a folder of `xx.txt` files, aligned by line;
    - a folder of `xx.tsv` (id, tab, text) or `xx.jsonl` (`{"id": ..., "text": ...}`) files,
      aligned by id;
    - a `.tsv` file with a header of `id` and language codes;
    - a `.jsonl` file of objects such as `{"id": ..., "en": ..., "es": ...}`.

    Files are UTF-8; white space around a sentence is stripped.

    Args:
        path: The folder or file.
        languages: The languages to read, in order; by default all: in a folder the files named
            by a language code, sorted, and in a file its columns in their order.
        keep_intersection: Drop the sentences that are missing or empty in some language,
            instead of refusing the corpus.

    Returns:
        The corpus, with ids in the order of the first language.

    Raises:
        ShiftlensError: If the corpus cannot be read, is malformed, or is not parallel.
    """
    path = Path(path)
    requested = None if languages is None else language_list(languages)
    try:
        columns = _read_columns(path, requested)
    except OSError as error:
        where = error.filename or path
        raise ShiftlensError(
            f"{where}: cannot be read ({error.strerror}); check its permissions"
        ) from error
    if not keep_intersection:
        _check_parallel(columns)
    return _intersect(path, columns)


@dataclass(frozen=True)
class _Column:
    """One language's sentences: for each id its line number and text."""

    path: Path
    cells: dict[str, tuple[int, str]]


def _error(path: Path, line: int, problem: str) -> ShiftlensError:
    return ShiftlensError(f"{path}, line {line}: {problem}")


def _read_lines(path: Path) -> list[str]:
    data = path.read_bytes()
    try:
        text = data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = f"not UTF-8 (byte {error.start} of the file); save the file as UTF-8"
        raise _error(path, line, problem) from error
    if not text:
        raise ShiftlensError(f"{path}: the file is empty; give at least one sentence")
    return text.removesuffix("\n").split("\n")


def _tsv_rows(path: Path, names: Sequence[str] = ()) -> list[_Row]:
    """Name the cells of each line by `names`, or by the header line, which stays the first row."""
    rows: list[_Row] = []
    for number, line in enumerate(_read_lines(path), 1):
        cells = [cell.strip() for cell in line.split("\t")]
        if not any(cells):
            raise _error(path, number, "empty line; remove it")
        if not names:
            names = cells
            if "id" not in names or len(set(names)) < len(names):
                raise _error(path, number, "the header needs 'id' and distinct language codes")
        elif number == 1 and cells[0] == "id":
            raise _error(path, number, "a header where a sentence should be; remove it")
        if len(cells) != len(names):
            expected = f"{len(names)} ({', '.join(names)})"
            raise _error(path, number, f"{len(cells)} tab-separated cells; expected {expected}")
        rows.append((number, dict(zip(names, cells, strict=True))))
    return rows


def _jsonl_rows(path: Path, names: Sequence[str] = ("id",)) -> list[_Row]:
    """Parse one object a line, each with at least the keys `names`."""
    rows = []
    for number, line in enumerate(_read_lines(path), 1):
        if not line.strip():
            raise _error(path, number, "empty line; remove it")
        try:
            row = json.loads(line)
            json.dumps(row, ensure_ascii=False).encode()  # refuses escaped lone surrogates
        except (ValueError, RecursionError) as error:
            raise _error(
                path, number, f"malformed JSON ({getattr(error, 'msg', error)})"
            ) from error
        if not isinstance(row, dict):
            raise _error(path, number, f"expected a JSON object with {' and '.join(names)}")
        for name in names:
            if name not in row:
                raise _error(path, number, f"the key {name!r} is missing; add it")
        rows.append((number, row))
    return rows


def _column(path: Path, rows: Iterable[_Row], name: str) -> _Column:
    """Collect the values called `name` by id; a value that is not there reads as empty."""
    cells: dict[str, tuple[int, str]] = {}
    for number, row in rows:
        values = {"id": row["id"], name: row.get(name, "")}
        for key, value in values.items():
            if not isinstance(value, str):
                raise _error(path, number, f"{key!r} is {value!r}; make it a string")
        sentence_id = values["id"].strip()
        if not sentence_id:
            raise _error(path, number, "the id is empty; give each sentence an id")
        if sentence_id in cells:
            first = cells[sentence_id][0]
            raise _error(path, number, f"id {sentence_id!r} was used in line {first}; rename one")
        cells[sentence_id] = (number, values[name].strip())
    return _Column(path, cells)


def _read_file(path: Path) -> _Column:
    """Read the file of one language."""
    if path.suffix == ".txt":
        lines = enumerate(_read_lines(path), 1)
        return _Column(path, {str(number): (number, line.strip()) for number, line in lines})
    read_rows = _tsv_rows if path.suffix == ".tsv" else _jsonl_rows
    return _column(path, read_rows(path, ("id", "text")), "text")


def _code_or_none(text: str) -> str | None:
    try:
        return language_code(text)
    except ShiftlensError:
        return None


def _select(
    path: Path, found: Mapping[str, list[str]], requested: Sequence[str] | None
) -> dict[str, str]:
    """Choose for each requested language, or each one found, the one place that holds it."""
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


def _read_columns(path: Path, requested: Sequence[str] | None) -> dict[str, _Column]:
    if path.is_dir():
        return _read_folder(path, requested)
    if path.is_file() and path.suffix in (".tsv", ".jsonl"):
        return _read_table(path, requested)
    if path.exists():
        raise ShiftlensError(f"{path}: give a folder, or a file ending in .tsv or .jsonl")
    raise ShiftlensError(f"{path}: no such file or folder; check the path of the corpus")


def _read_folder(path: Path, requested: Sequence[str] | None) -> dict[str, _Column]:
    found: dict[str, list[str]] = {}
    for file in sorted(path.iterdir()):
        code = _code_or_none(file.stem)
        if code and file.suffix in (".txt", ".tsv", ".jsonl") and file.is_file():
            found.setdefault(code, []).append(file.name)
    if not found:
        raise ShiftlensError(f"{path}: no file such as en.txt, en.tsv or en.jsonl; add one each")
    chosen = _select(path, dict(sorted(found.items())), requested)
    by_line = [name for name in chosen.values() if name.endswith(".txt")]
    by_id = [name for name in chosen.values() if name not in by_line]
    if by_line and by_id:
        mixed = f"{by_line[0]} is aligned by line but {by_id[0]} by id"
        raise ShiftlensError(f"{path}: {mixed}; use one format")
    return {code: _read_file(path / name) for code, name in chosen.items()}


def _read_table(path: Path, requested: Sequence[str] | None) -> dict[str, _Column]:
    """Read a file that holds all languages."""
    rows = _tsv_rows(path) if path.suffix == ".tsv" else _jsonl_rows(path)
    first_lines: dict[str, int] = {}
    for number, row in rows:
        for name in row:
            first_lines.setdefault(name, number)
    found: dict[str, list[str]] = {}
    for name, number in first_lines.items():
        code = _code_or_none(name)
        if code and name != "id":
            found.setdefault(code, []).append(name)
        elif name != "id" and requested is None:
            problem = f"{name!r} is not a language code; rename it or list the languages to read"
            raise _error(path, number, problem)
    sentences = rows[1:] if path.suffix == ".tsv" else rows
    if not found or not sentences:
        raise ShiftlensError(f"{path}: there are no sentences; give at least one")
    chosen = _select(path, found, requested)
    return {code: _column(path, sentences, name) for code, name in chosen.items()}


def _check_parallel(columns: Mapping[str, _Column]) -> None:
    """Refuse sentences that are empty or not there in every language."""
    for code, column in columns.items():
        for line, text in column.cells.values():
            if not text:
                problem = f"the {code} sentence is missing or empty; fill it in, {_KEEP_HINT}"
                raise _error(column.path, line, problem)
    first_code, first = next(iter(columns.items()))
    for code, column in columns.items():
        if column.path.suffix == ".txt" and len(column.cells) != len(first.cells):
            raise ShiftlensError(
                f"{first.path} has {len(first.cells)} lines but {column.path} has "
                f"{len(column.cells)}; align them line by line, {_KEEP_HINT}"
            )
        for one, other, lacking in ((first, column, code), (column, first, first_code)):
            for sentence_id, (line, _) in one.cells.items():
                if sentence_id not in other.cells:
                    problem = f"id {sentence_id!r} is not in {other.path} ({lacking}); add it, "
                    raise _error(one.path, line, problem + _KEEP_HINT)


def _intersect(path: Path, columns: Mapping[str, _Column]) -> Corpus:
    """Align the sentences that every language has."""
    first, *others = columns.values()
    ids = tuple(
        sentence_id
        for sentence_id, (_, text) in first.cells.items()
        if text and all(column.cells.get(sentence_id, (0, ""))[1] for column in others)
    )
    if not ids:
        raise ShiftlensError(
            f"{path}: no sentence is in all of {', '.join(columns)}; check the ids"
        )
    texts = {code: tuple(column.cells[i][1] for i in ids) for code, column in columns.items()}
    present = {code: sum(bool(t) for _, t in c.cells.values()) for code, c in columns.items()}
    dropped = {code: count - len(ids) for code, count in present.items() if count > len(ids)}
    return Corpus(ids, texts, dropped)
