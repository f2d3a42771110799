"""What each sentence of a corpus is about: one label a sentence, the same in all languages."""

from collections.abc import Sequence
from pathlib import Path

from shiftlens.corpus_files import Column, line_error, read_column
from shiftlens.demo.sentences import TASKS
from shiftlens.errors import ShiftlensError

_FORMATS = (".txt", ".tsv", ".jsonl")


def demo_labels(ids: Sequence[str]) -> tuple[str, ...]:
    """Return the tasks of sentences of the embedded demo, whose ids begin with them.

    Args:
        ids: Such as "larger-15-25"; the ids of no other corpus say what its sentences are about.

    Returns:
        One label a sentence, such as "larger".

    Raises:
        ShiftlensError: An id is not of the demo.
    """
    labels = tuple(name.split("-")[0] for name in ids)
    for name, label in zip(ids, labels, strict=True):
        if label not in TASKS:
            raise ShiftlensError(
                f"sentence {name!r} is not of the demo, whose ids begin with {', '.join(TASKS)}; "
                "read the labels of another corpus from a file"
            )
    return labels


def read_labels(path: str | Path, ids: Sequence[str]) -> tuple[str, ...]:
    """Read the label of every sentence of a corpus, such as its topic.

    Args:
        path: A `.txt` file of one label a line, in the order of the corpus; or labels by id: a
            `.tsv` file (id, tab, label; no header) or a `.jsonl` file
            (`{"id": ..., "label": ...}`), which may hold more ids than the corpus.
        ids: The ids of the corpus.

    Returns:
        One label a sentence, in the order of `ids`.

    Raises:
        ShiftlensError: The file cannot be read or is malformed, or a sentence has no label.
    """
    path = Path(path)
    if path.suffix not in _FORMATS:
        raise ShiftlensError(f"{path}: labels are read from a file ending in {', '.join(_FORMATS)}")
    try:
        column = read_column(path, "label")
    except OSError as error:
        raise ShiftlensError(f"{path}: cannot be read ({error.strerror})") from error
    for line, label in column.cells.values():
        if not label:
            raise line_error(path, line, "the label is empty; give every sentence one")
    return _by_line(column, ids) if path.suffix == ".txt" else _by_id(column, ids)


def _by_line(column: Column, ids: Sequence[str]) -> tuple[str, ...]:
    for line, label in column.cells.values():
        if "\t" in label:
            problem = "a tab in a file of one label a line; end the name of a table in .tsv"
            raise line_error(column.path, line, problem)
    if len(column.cells) != len(ids):
        raise ShiftlensError(
            f"{column.path} has {len(column.cells)} lines but the corpus has {len(ids)} sentences; "
            "give one label a line"
        )
    return tuple(label for _, label in column.cells.values())


def _by_id(column: Column, ids: Sequence[str]) -> tuple[str, ...]:
    missing = [name for name in ids if name not in column.cells]
    if missing:
        raise ShiftlensError(
            f"{column.path} has no label for {len(missing)} of {len(ids)} sentences, such as id "
            f"{missing[0]!r}; add them"
        )
    return tuple(column.cells[name][1] for name in ids)
