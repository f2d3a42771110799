"""Prompts that are ready to be tried where the model lives in the demo's world."""

from functools import cache

from shiftlens.sft import SftRecord, load_records

OWN = "own"
"""In place of a ready prompt: one that is typed."""

_EVERY = 20


@cache
def ready_prompts() -> dict[str, dict[str, SftRecord]]:
    """Held-out questions of the demo: item to language to record."""
    found: dict[str, dict[str, SftRecord]] = {}
    for record in load_records("demo:test"):
        found.setdefault(record.id.split(".")[0], {})[record.language] = record
    return {item: found[item] for item in sorted(found)[::_EVERY]}


@cache
def ready_texts() -> dict[str, str]:
    """One of these questions in every language: language to text."""
    question = next(iter(ready_prompts().values()))
    return {language: record.prompt for language, record in question.items()}
