"""MGSM and XCOPA as they are published: folders read as records and as parallel text."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from shiftlens.corpus_files import (
    Column,
    Row,
    code_or_none,
    jsonl_rows,
    line_error,
    row_column,
    select_languages,
    tsv_rows,
)
from shiftlens.errors import ShiftlensError
from shiftlens.numerals import whole_number

CONNECTIVES = {
    "en": (" because ", " so "),
    "et": (", sest ", ", seega "),
    "ht": (" paske ", " kidonk "),
    "id": (" karena ", " sehingga "),
    "it": (" perché ", " quindi "),
    "qu": (", imaraykuchus ", ", chayrayku "),
    "sw": (" kwa sababu ", " kwa hivyo "),
    "ta": (", ஏனெனில் ", ", எனவே "),
    "th": (" เพราะ", " ดังนั้น"),
    "tr": (", çünkü ", ", bu yüzden "),
    "vi": (" bởi vì ", " cho nên "),
    "zh": ("，因为", "，所以"),
}
"""What joins a premise to its cause, and to its effect."""

XCOPA_KEYS = ("premise", "choice1", "choice2", "question", "label", "idx")


def benchmark_rows(source: Path) -> Iterator[tuple[Path, int, dict[str, Any]]]:
    """Read a benchmark as instruction records, of every language there.

    MGSM, ``mgsm_xx.tsv``: the prompt is the question and a line feed, the completion the answer.

    XCOPA, ``xx/SPLIT.xx.jsonl``: the prompt is the premise, without its stop, and the
    language's word for "because" or "so" (:data:`CONNECTIVES`), as the item asks for a cause or an
    effect; the choices are the two alternatives, their first letter small.

    Args:
        source: The folder, with a colon and the split where it holds several.

    Yields:
        File, line number, and ``id`` (``ITEM.LANGUAGE``: ``mgsm-1.sw``, ``xcopa-test-0.sw``),
        ``language``, ``prompt``, ``completion`` and, of XCOPA, ``choices``.

    Raises:
        ShiftlensError: There is no benchmark, no such split, or a line (named) is malformed.

    Source:
        MGSM: Shi et al., "Language Models are Multilingual Chain-of-Thought Reasoners", 2022,
        arXiv:2210.03057. XCOPA: Ponti et al., EMNLP 2020, arXiv:2005.00333.
    """
    folder, found = _find(source)
    if not found:
        raise ShiftlensError(
            f"{source}: no such file, nor a folder with mgsm_xx.tsv or xx/test.xx.jsonl; check the "
            "path of the records"
        )
    for code, name in select_languages(folder, found, None).items():
        file = folder / name
        for line, row in _items(file):
            asked = _xcopa_parts(file, line, row, code) if "label" in row else _mgsm_parts(row)
            yield file, line, {"id": f"{row['id']}.{code}", "language": code, **asked}


def benchmark_columns(source: Path, requested: Sequence[str] | None) -> dict[str, Column]:
    """Read a benchmark as parallel text: the questions of MGSM, the premises of XCOPA.

    Args:
        source: As for :func:`benchmark_rows`.
        requested: The languages to read; all by default.

    Returns:
        Each language's texts by item (``mgsm-1``, ``xcopa-val-0``); nothing where there is no
        benchmark.

    Raises:
        ShiftlensError: A language or split is not there, or a line (named) is malformed.
    """
    folder, found = _find(source)
    if not found:
        return {}
    columns = {}
    for code, name in select_languages(folder, found, requested).items():
        file = folder / name
        columns[code] = row_column(file, _items(file), by_line=file.suffix == ".tsv")
    return columns


def _find(source: Path) -> tuple[Path, dict[str, list[str]]]:
    """The folder, and the files of one split in it by language; none where it is no benchmark."""
    folder, split = source, ""
    if not folder.is_dir():
        name, _, split = str(source).rpartition(":")
        if not name:
            return source, {}
        folder = Path(name)
    splits: dict[str, dict[str, list[str]]] = {}
    for file in sorted([*folder.glob("mgsm_*.tsv"), *folder.glob("*/*.*.jsonl")]):
        part, _, language = file.stem.partition(".")
        if file.suffix == ".tsv":
            part, language = "test", file.stem.removeprefix("mgsm_")
        elif file.parent.name != language:
            continue
        if code := code_or_none(language):
            places = splits.setdefault(part, {}).setdefault(code, [])
            places.append(file.relative_to(folder).as_posix())
    if not splits:
        return folder, {}
    if not split and len(splits) == 1:
        [split] = splits
    if split not in splits:
        there = " or ".join(f"{folder}:{name}" for name in splits)
        raise ShiftlensError(f"{source}: which split? give {there}")
    return folder, splits[split]


def _items(file: Path) -> list[Row]:
    """The checked lines of a file, each with the item's ``id`` and the ``text`` that it shows."""
    if file.suffix == ".tsv":
        rows: list[Row] = tsv_rows(file, ("text", "answer"))
        for line, row in rows:
            row["id"] = f"mgsm-{line}"
            if whole_number(row["answer"]) is None:
                raise line_error(file, line, f"the answer {row['answer']!r} is no whole number")
        return rows
    rows = jsonl_rows(file, XCOPA_KEYS)
    for line, row in rows:
        _check_xcopa(file, line, row)
        row["text"] = row["premise"].strip()
        row["id"] = f"xcopa-{file.name.partition('.')[0]}-{row['idx']}"
    return rows


def _check_xcopa(file: Path, line: int, row: dict[str, Any]) -> None:
    for key in ("premise", "choice1", "choice2"):
        if not isinstance(row[key], str) or not row[key].strip():
            raise line_error(file, line, f"{key!r} is {row[key]!r}; give a text")
    for key, allowed in (("question", ("cause", "effect")), ("label", (0, 1))):
        if row[key] not in allowed:
            either = " or ".join(map(str, allowed))
            raise line_error(file, line, f"{key!r} is {row[key]!r}; give {either}")


def _mgsm_parts(row: dict[str, Any]) -> dict[str, Any]:
    return {"prompt": row["text"] + "\n", "completion": row["answer"]}


def _xcopa_parts(file: Path, line: int, row: dict[str, Any], code: str) -> dict[str, Any]:
    if code not in CONNECTIVES:
        problem = f"shiftlens knows no word for 'because' and 'so' in {code!r}; give JSONL records"
        raise line_error(file, line, f"{problem} with prompt, completion and choices")
    joint = CONNECTIVES[code][row["question"] == "effect"]
    space = joint[len(joint.rstrip()) :]
    choices = [space + _small(row[key].strip(), code) for key in ("choice1", "choice2")]
    return {
        "prompt": row["text"].rstrip(".。!！ ") + joint.rstrip(),
        "completion": choices[row["label"]],
        "choices": choices,
    }


def _small(text: str, code: str) -> str:
    """The text with a small first letter, but for the English "I" and with the Turkish two i."""
    if code == "en" and re.match(r"I\b", text):
        return text
    first = {"I": "ı", "İ": "i"}.get(text[0]) if code == "tr" else None
    return (first or text[0].lower()) + text[1:]
