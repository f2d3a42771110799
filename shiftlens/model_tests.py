"""Testing a model as the command line asks for it."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from shiftlens.asked import MODEL, check_tests
from shiftlens.errors import ShiftlensError
from shiftlens.evaluate import evaluate
from shiftlens.harness import results_table, run_harness
from shiftlens.languages import language_code, language_list
from shiftlens.sft import SftRecord, load_records
from shiftlens.trained import check_weights, load_trained

COLUMNS = {
    "n": "records of the language",
    "exact_match": "share of greedy answers that are the right one, to the letter",
    "number_match": "share of greedy answers whose last number is the right one",
    "choice_accuracy": "share of records whose right choice is likelier than every other",
    "chance": "the same of choices drawn at random",
    "fidelity": "share of greedy answers that are a known answer of the record's language",
    "perplexity": "of the right answers, a token",
    "chrf": "chrF of the greedy answers, 0 to 100",
    "bleu": "BLEU of the greedy answers, 0 to 100",
    "value": "as lm-evaluation-harness counts it",
    "stderr": "its standard error there",
}
"""What is printed of the columns."""


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
    say: Callable[[str], None] = print,
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
        say: Receives a line on what is tested.

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
    how = (
        "no shift beside its weights"
        if shift is None
        else f"its shift {'on' if shifted else 'off'}"
    )
    shift = shift if shifted else None
    say(f"model    {place}, {how}")
    if held_out is not None:
        languages = list(dict.fromkeys(record.language for record in held_out))
        say(f"records  {records}: {len(held_out)} in {', '.join(languages)}\n")
        dominant = shift.dominant if shift else held_out[0].language
        return evaluate(
            model, held_out, shift, dominant, texts=texts, max_new_tokens=max_new_tokens
        )
    say(f"tasks    {tasks}\n")
    names = [name.strip() for name in (tasks or "").split(",")]
    found = run_harness(
        model, names, shift, code, folder=folder, limit=limit, batch_size=batch_size
    )
    return results_table(found)


def legend(table: pd.DataFrame) -> str:
    """What the columns of a table of tests are, a line each."""
    there = {name: words for name, words in COLUMNS.items() if name in table}
    width = max(map(len, there))
    return "\n".join(f"{name:{width}}  {words}" for name, words in there.items())


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
