"""The demo as files and as arguments: what ``--model demo`` and ``--corpus demo`` stand for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from shiftlens.demo.items import SPLITS
from shiftlens.demo.world import parallel_items, parallel_texts, sft_records
from shiftlens.errors import ShiftlensError


class DemoCorpus(NamedTuple):
    """The parallel sentences of the demo.

    Attributes:
        ids: One name per index, the same for every language.
        texts: Sentences by language; equal indices are translations.
    """

    ids: tuple[str, ...]
    texts: dict[str, tuple[str, ...]]


def demo_model_path() -> Path:
    """Returns the directory of the shipped base model, in Hugging Face format."""
    return Path(__file__).with_name("model")


def demo_corpus() -> DemoCorpus:
    """Returns the parallel sentences, which the layer sweep and the contrast both read."""
    texts = {language: tuple(side) for language, side in parallel_texts().items()}
    return DemoCorpus(tuple(item.id for item in parallel_items()), texts)


def write_demo_files(out: str | Path) -> Path:
    """Writes the demo's data as a user would bring it.

    ``sft/train.jsonl``, ``sft/validation.jsonl`` and ``sft/test.jsonl`` hold one record a line,
    ``parallel/xx.txt`` one sentence a line, aligned over the languages.

    Args:
        out: Directory to write to; made where it is absent.

    Returns:
        The directory.

    Raises:
        ShiftlensError: If ``out`` is a file.
    """
    out = Path(out)
    if out.is_file():
        raise ShiftlensError(f"demo files: {out} is a file; give a directory.")
    files = {f"parallel/{code}.txt": side for code, side in parallel_texts().items()}
    for split in SPLITS:
        files[f"sft/{split}.jsonl"] = [
            json.dumps(record, ensure_ascii=False) for record in sft_records(split)
        ]
    for name, lines in files.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    return out
