"""Testing a model as the command line asks for it."""

from pathlib import Path

import pandas as pd

from shiftlens.asked import check_tests
from shiftlens.errors import ShiftlensError
from shiftlens.evaluate import evaluate
from shiftlens.harness import results_table, run_harness
from shiftlens.languages import language_code, language_list
from shiftlens.sft import SftRecord, load_records
from shiftlens.train import MODEL, check_weights, load_trained


def run_tests(
    source: str,
    records: str | None = None,
    tasks: str | None = None,
    *,
    language: str | None = None,
    shifted: bool = True,
    texts: bool = False,
    max_new_tokens: int | None = None,
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
        language: Language of the tasks' texts; of records, those to take, comma-separated.
        shifted: Run with the training's shift on.
        texts: Score the answers to records by chrF and BLEU too.
        max_new_tokens: Longest answer to a record; by default the longest completion.
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
    check_tests(records, tasks, max_new_tokens)
    held_out = None if records is None else _held_out(records, language)
    code = None if held_out or language is None else language_code(language)
    trained = Path(source) / MODEL
    place = trained if trained.is_dir() else source
    model, shift = load_trained(place, dtype=dtype, device=device)
    if trained.is_dir() and dtype == "float32":
        check_weights(Path(source), model)
    shift = shift if shifted else None
    if held_out is not None:
        dominant = shift.dominant if shift else held_out[0].language
        return evaluate(
            model, held_out, shift, dominant, texts=texts, max_new_tokens=max_new_tokens
        )
    names = [name.strip() for name in (tasks or "").split(",")]
    found = run_harness(
        model, names, shift, code, folder=folder, limit=limit, batch_size=batch_size
    )
    return results_table(found)


def _held_out(path: str, languages: str | None) -> list[SftRecord]:
    """The records of the languages asked for, or all."""
    records = load_records(path)
    there = {record.language for record in records}
    wanted = there if languages is None else language_list(languages)
    for code in wanted:
        if code not in there:
            known = ", ".join(sorted(there))
            raise ShiftlensError(f"{path} has no records in {code!r}; languages there: {known}")
    return [record for record in records if record.language in wanted]
