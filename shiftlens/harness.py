"""lm-evaluation-harness on a shifted model, and tasks for it from our own records."""

import contextlib
import copy
import json
import logging
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from shiftlens.answers import Records, shifted
from shiftlens.errors import ShiftlensError
from shiftlens.models import LanguageModel
from shiftlens.sft import encode_completions, eos_token, with_template
from shiftlens.shift import Shift


def run_harness(
    model: LanguageModel,
    tasks: Sequence[str],
    shift: Shift | None = None,
    language: str | None = None,
    *,
    folder: str | Path | None = None,
    limit: int | None = None,
    batch_size: int = 16,
) -> dict[str, Any]:
    """Run tasks of lm-evaluation-harness, the shift on throughout.

    Args:
        model: A causal language model.
        tasks: Names of tasks, the harness's own or of ``folder``.
        shift: Applied in every forward pass and generation; None for the model as it is.
        language: Language of the tasks' texts; needed with a shift.
        folder: Where other tasks lie, one YAML file each.
        limit: Take the first so many items of each task only.
        batch_size: Items in a batch.

    Returns:
        The harness's own results: ``results`` by task, ``samples`` by task and item, versions.

    Raises:
        ShiftlensError: lm-eval is not installed, a task does not exist or cannot be had, a shift
            without a language, or a language without vectors.

    Source:
        Gao et al., "A framework for few-shot language model evaluation", Zenodo, 2024,
        doi:10.5281/zenodo.12608602.
    """
    try:
        from lm_eval import simple_evaluate
        from lm_eval.models.huggingface import HFLM
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise ShiftlensError(
            "--lm-eval needs lm-eval: pip install 'shiftlens[eval]', or '.[eval]' in a clone"
        ) from error
    if shift is not None and language is None:
        known = ", ".join(shift.vectors.vectors)
        raise ShiftlensError(f"the shift needs the tasks' language; give one of {known}")
    manager = _manager(TaskManager, tasks, folder)
    tokenizer = copy.deepcopy(model.tokenizer)  # the harness sets its padding
    with _unsaid("lm_eval.models.huggingface"):
        harnessed = HFLM(pretrained=model.hf, tokenizer=tokenizer, batch_size=batch_size)
    for kind in ("loglikelihood", "loglikelihood_rolling", "generate_until"):
        asked = partial(getattr(harnessed, kind), disable_tqdm=not sys.stderr.isatty())
        setattr(harnessed, kind, asked)
    with shifted(model, shift, language or ""), _without_bars_of_data():
        try:
            found = simple_evaluate(
                model=harnessed, tasks=list(tasks), limit=limit, task_manager=manager
            )
        except (OSError, ConnectionError) as error:
            raise ShiftlensError(
                f"the data of {', '.join(tasks)} cannot be had: {' '.join(str(error).split())}"
            ) from error
    assert found is not None, "one process"
    return dict(found)


@contextlib.contextmanager
def _unsaid(name: str) -> Iterator[None]:
    """Hear no warnings of a logger, here that the harness was given a model and not its name."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _without_bars_of_data() -> Iterator[None]:
    """Show no bars of what takes no time: reading the tasks' data and filling their templates."""
    import datasets
    from lm_eval.api import task

    shown, bar = datasets.is_progress_bar_enabled(), task.tqdm
    datasets.disable_progress_bars()
    task.tqdm = partial(bar, disable=True)
    try:
        yield
    finally:
        task.tqdm = bar
        if shown:
            datasets.enable_progress_bars()


def _manager(kind: Any, tasks: Sequence[str], folder: str | Path | None) -> Any:
    """What knows the tasks: the folder alone where it has them all, which is quicker."""
    if folder is not None:
        own = kind(include_path=str(folder), include_defaults=False)
        if set(tasks) <= set(own.all_tasks):
            return own
    manager = kind(include_path=None if folder is None else str(folder))
    if unknown := [name for name in tasks if name not in manager.all_tasks]:
        raise ShiftlensError(
            f"lm-evaluation-harness has no task {unknown[0]!r}; `lm-eval ls tasks` lists its own, "
            "and --tasks names the folder of others"
        )
    return manager


def results_table(found: dict[str, Any]) -> pd.DataFrame:
    """The harness's results as a table: ``task``, ``metric``, ``filter``, ``value``, ``stderr``."""
    rows = []
    for task, values in found["results"].items():
        for key, value in values.items():
            metric, _, kind = key.partition(",")
            if kind and not metric.endswith("_stderr"):
                stderr = values.get(f"{metric}_stderr,{kind}")
                rows.append((task, metric, kind, value, stderr))
    return pd.DataFrame(rows, columns=["task", "metric", "filter", "value", "stderr"])


def write_tasks(model: LanguageModel, records: Records, folder: str | Path, name: str) -> list[str]:
    """Write records as tasks of lm-evaluation-harness: greedy answers, matched exactly.

    Args:
        model: Whose EOS ends an answer.
        records: The records, of one or more languages.
        folder: Gets ``NAME_LANGUAGE.yaml`` and ``.jsonl``; made where it is missing.
        name: Begins the names of the tasks.

    Returns:
        The names of the tasks, one a language.
    """
    records = with_template(model, records)
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    longest = max(map(len, encode_completions(model, [r.completion for r in records])))
    end = str(model.tokenizer.convert_ids_to_tokens(eos_token(model)))
    tasks = []
    for language in dict.fromkeys(record.language for record in records):
        task = f"{name}_{language}"
        own = [r for r in records if r.language == language]
        rows = [{"id": r.id, "prompt": r.prompt, "completion": r.completion} for r in own]
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        data = folder / f"{task}.jsonl"
        data.write_text(lines, encoding="utf-8")
        facts = _task_facts(task, data, end, longest)
        text = yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)
        (folder / f"{task}.yaml").write_text(text, encoding="utf-8")
        tasks.append(task)
    return tasks


def _task_facts(task: str, data: Path, end: str, longest: int) -> dict[str, Any]:
    """What the harness is told of a task whose answers, up to ``end``, are matched exactly."""
    return {
        "task": task,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "{{prompt}}",
        "doc_to_target": "{{completion.strip()}}",
        "generation_kwargs": {"until": [end], "max_gen_toks": longest, "do_sample": False},
        "filter_list": [
            {
                "name": "stripped",
                "filter": [{"function": "remove_whitespace"}, {"function": "take_first"}],
            }
        ],
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    }
