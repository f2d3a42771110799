"""Testing a model as the command line asks for it."""

from pathlib import Path

import pandas as pd

from shiftlens.errors import ShiftlensError
from shiftlens.evaluate import evaluate
from shiftlens.harness import results_table, run_harness
from shiftlens.languages import language_code
from shiftlens.sft import load_records
from shiftlens.train import MODEL, load_trained


def run_tests(
    source: str,
    records: str | None = None,
    tasks: str | None = None,
    *,
    language: str | None = None,
    shifted: bool = True,
    texts: bool = False,
    folder: str | None = None,
    limit: int | None = None,
    batch_size: int = 16,
    dtype: str = "float32",
    device: str = "auto",
) -> pd.DataFrame:
    """Test a model on records or on tasks of lm-evaluation-harness.

    Args:
        source: The folder of a training, or what :func:`shiftlens.load_model` takes.
        records: Held-out records, each in its own language's shift.
        tasks: Names of tasks, comma-separated.
        language: Language of the tasks' texts.
        shifted: Run with the training's shift on.
        texts: Score the answers to records by chrF and BLEU too.
        folder: Where tasks of one's own lie.
        limit: Take the first so many items of each task only.
        batch_size: Items in a batch of the harness.
        dtype: As :func:`shiftlens.load_model`.
        device: As :func:`shiftlens.load_model`.

    Returns:
        For records one row a language, for tasks one a task and metric.

    Raises:
        ShiftlensError: Neither or both are asked for, or the model, records or tasks cannot be
            used.
    """
    if (records is None) == (tasks is None):
        raise ShiftlensError("give either --records FILE or --lm-eval TASKS")
    code = None if language is None else language_code(language)
    held_out = None if records is None else load_records(records)
    trained = Path(source) / MODEL
    place = trained if trained.is_dir() else source
    model, shift = load_trained(place, dtype=dtype, device=device)
    shift = shift if shifted else None
    if held_out is not None:
        dominant = shift.dominant if shift else held_out[0].language
        return evaluate(model, held_out, shift, dominant, texts=texts)
    names = [name.strip() for name in (tasks or "").split(",")]
    found = run_harness(
        model, names, shift, code, folder=folder, limit=limit, batch_size=batch_size
    )
    return results_table(found)
