"""Parallel corpora: the same sentences in several languages, read and checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from shiftlens.benchmarks import benchmark_columns
from shiftlens.corpus_files import Column, line_error, read_columns
from shiftlens.demo.files import demo_corpus
from shiftlens.errors import ShiftlensError
from shiftlens.languages import language_list

_KEEP_HINT = "or set keep_intersection (--keep-intersection) to drop such sentences"


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

    def table(self) -> pd.DataFrame:
        """The sentences, a column a language, behind their ids in the column ``sentence``.

        That column is not called ``id``, which is Indonesian.
        """
        return pd.DataFrame({"sentence": self.ids, **self.texts})

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal hash of the languages in order, the ids and the sentences."""
        digest = hashlib.sha256()
        for piece in json.JSONEncoder().iterencode([self.ids, list(self.texts.items())]):
            digest.update(piece.encode())
        return digest.hexdigest()

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

    - a folder of `xx.txt` files, aligned by line, also as NTREX-128 and FLORES-200 name theirs
      (`newstest2019-ref.deu.txt`, `eng_Latn.devtest`);
    - a folder of `xx.tsv` (id, tab, text) or `xx.jsonl` (`{"id": ..., "text": ...}`) files,
      aligned by id;
    - a `.tsv` file with a header of `id` and language codes;
    - a `.jsonl` file of objects such as `{"id": ..., "en": ..., "es": ...}`;
    - MGSM's folder (`mgsm_xx.tsv`), its questions aligned by line, and XCOPA's with a split
      (`xcopa/data:val`, for `xx/val.xx.jsonl`), its premises aligned by `idx`;
    - a dataset of the hub with such rows, `hf:OWNER/NAME@REVISION#CONFIG:SPLIT`; a row without
      an id has its number.

    ``demo`` stands for the sentences of the embedded demo; ``./demo`` is a folder. Files are
    UTF-8; white space around a sentence is stripped.

    Args:
        path: The folder or file.
        languages: The languages to read, in order; by default all: in a folder the files named
            by a language code, sorted, and in a file its columns in their order.
        keep_intersection: Drop the sentences that are missing or empty in some language,
            instead of refusing the corpus. Files of unequal length aligned by line are refused
            all the same: nobody can tell which line is missing.

    Returns:
        The corpus, with ids in the order of the first language.

    Raises:
        ShiftlensError: If the corpus cannot be read, is malformed, or is not parallel.
    """
    text, path = str(path), Path(path)
    requested = None if languages is None else language_list(languages)
    if text == "demo":
        return _demo(requested)
    try:
        columns = benchmark_columns(path, requested) or read_columns(path, requested)
    except OSError as error:
        where = error.filename or path
        raise ShiftlensError(
            f"{where}: cannot be read ({error.strerror}); check its permissions"
        ) from error
    _check_line_counts(columns)
    if not keep_intersection:
        _check_parallel(columns)
    return _intersect(path, columns)


def _demo(requested: Sequence[str] | None) -> Corpus:
    demo = demo_corpus()
    for code in requested or ():
        if code not in demo.texts:
            there = ", ".join(demo.texts)
            raise ShiftlensError(f"the demo corpus has no language {code!r} (there: {there})")
    return Corpus(demo.ids, {code: demo.texts[code] for code in requested or demo.texts})


def _check_line_counts(columns: Mapping[str, Column]) -> None:
    """Refuse files aligned by line of unequal length: after a lost line all are misaligned."""
    first, *others = columns.values()
    for column in others:
        if column.by_line and len(column.cells) != len(first.cells):
            raise ShiftlensError(
                f"{first.path} has {len(first.cells)} lines but {column.path} has "
                f"{len(column.cells)}; align them line by line"
            )


def _check_parallel(columns: Mapping[str, Column]) -> None:
    """Refuse sentences that are empty or not there in every language."""
    for code, column in columns.items():
        for line, text in column.cells.values():
            if not text:
                problem = f"the {code} sentence is missing or empty; fill it in, {_KEEP_HINT}"
                raise line_error(column.path, line, problem)
    first_code, first = next(iter(columns.items()))
    for code, column in columns.items():
        for one, other, lacking in ((first, column, code), (column, first, first_code)):
            for sentence_id, (line, _) in one.cells.items():
                if sentence_id not in other.cells:
                    problem = f"id {sentence_id!r} is not in {other.path} ({lacking}); add it, "
                    raise line_error(one.path, line, problem + _KEEP_HINT)


def _intersect(path: Path, columns: Mapping[str, Column]) -> Corpus:
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
