"""Instruction records: a prompt, the completion to learn, and the choices to rank it among."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from shiftlens.benchmarks import benchmark_rows
from shiftlens.chats import chat_prompt, read_messages
from shiftlens.corpus_files import jsonl_rows, line_error
from shiftlens.demo.world import sft_records
from shiftlens.errors import ShiftlensError
from shiftlens.hub import PREFIX, hub_rows
from shiftlens.languages import language_code
from shiftlens.models import LanguageModel

IGNORED = -100
"""The label of a position that the loss leaves out."""


@dataclass(frozen=True)
class SftRecord:
    """One instruction; ``prompt + completion`` is the text.

    Attributes:
        id: Names the record; ``ITEM.LANGUAGE`` where the same item is there in several languages.
        language: Its BCP-47 code.
        prompt: What the model is given.
        completion: What it should go on with, the space before it included.
        choices: Completions to rank, the right one among them; empty where there are none.
        messages: The chat that the prompt is to be made of, (role, content) each, the completion
            left out; empty where the prompt is as it is.
    """

    id: str
    language: str
    prompt: str
    completion: str
    choices: tuple[str, ...] = ()
    messages: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def item(self) -> str:
        """What the record asks, whatever its language: the id without ``.LANGUAGE`` at its end."""
        return self.id.removesuffix(f".{self.language}")


def records_sha256(records: Sequence[SftRecord]) -> str:
    """SHA-256 of the records, in their order."""
    chats = [record.messages for record in records if record.messages]
    return hashlib.sha256((repr(list(records)) + repr(chats) * bool(chats)).encode()).hexdigest()


def with_template(model: LanguageModel, records: Sequence[SftRecord]) -> list[SftRecord]:
    """Make the prompts of chats, by the chat template of a model's tokenizer.

    Args:
        model: Whose tokenizer to use.
        records: The records; those without messages stay as they are.

    Returns:
        The records with every prompt a text that ends where the answer begins. A BOS that the
        template writes is left to the tokenizer, which would write another.

    Raises:
        ShiftlensError: There are chats, and the tokenizer has no chat template or its template
            refuses one (named).
    """
    return [
        replace(record, prompt=chat_prompt(model, record.id, record.messages), messages=())
        if record.messages
        else record
        for record in records
    ]


def load_records(path: str | Path) -> list[SftRecord]:
    """Read instruction records from JSONL, one object a line.

    The keys are those of :class:`SftRecord`; ``id`` (by default the line number) and ``choices``
    may be left out, and other keys are ignored. In place of prompt and completion a line may have
    ``messages``, a chat of objects with ``role`` and ``content`` that ends with the assistant's;
    :func:`with_template` makes prompts of such.

    Args:
        path: The file; or ``demo:train``, ``demo:validation`` or ``demo:test``; or the folder of a
            benchmark, MGSM's or XCOPA's with a split (``xcopa/data:test``), as
            :func:`shiftlens.benchmarks.benchmark_rows` reads it; or a dataset of the hub,
            ``hf:OWNER/NAME@REVISION#CONFIG:SPLIT``.

    Returns:
        The records in the file's order, with canonical language codes.

    Raises:
        ShiftlensError: The file is missing, empty or not UTF-8, or a line (named) is not an
            object, lacks a prompt, completion or language, holds a value of another type or a
            chat that does not end with an answer, lists choices without the completion or twice
            the same, or repeats an id.
    """
    records: list[SftRecord] = []
    lines: dict[str, int] = {}
    for file, line, row in _rows(str(path)):
        record = _record(file, line, row)
        if record.id in lines:
            first = lines[record.id]
            raise line_error(file, line, f"id {record.id!r} was used in line {first}; rename one")
        lines[record.id] = line
        records.append(record)
    return records


def _rows(source: str) -> Iterator[tuple[Path, int, dict[str, Any]]]:
    """File, line number and object of every record."""
    path = Path(source)
    if source.startswith("demo:"):
        yield from ((path, *row) for row in enumerate(sft_records(source.removeprefix("demo:")), 1))
    elif source.startswith(PREFIX):
        yield from ((path, *row) for row in hub_rows(source))
    elif path.is_file():
        yield from ((path, *row) for row in jsonl_rows(path, ("language",)))
    else:
        yield from benchmark_rows(path)


def _record(path: Path, line: int, row: dict[str, Any]) -> SftRecord:
    """Check one line."""
    values = {"id": str(line), **row}
    messages: list[tuple[str, str]] = []
    if "messages" in row:
        *messages, (_, answer) = read_messages(path, line, row)
        values |= {"prompt": messages[-1][1], "completion": answer}
    for key in ("id", "language", "prompt", "completion"):
        if key not in values:
            or_chat = ", or 'messages'" if key in ("prompt", "completion") else ""
            raise line_error(path, line, f"the key {key!r} is missing; add it{or_chat}")
        if not isinstance(values[key], str):
            raise line_error(path, line, f"{key!r} is {values[key]!r}; make it a string")
        if not values[key].strip():
            raise line_error(path, line, f"{key!r} is empty; fill it in or remove the line")
    try:
        language = language_code(values["language"])
    except ShiftlensError as error:
        raise line_error(path, line, str(error)) from error
    completion = values["completion"]
    choices = values.get("choices", [])
    if not isinstance(choices, list) or not all(isinstance(text, str) for text in choices):
        raise line_error(path, line, "'choices' is not a list of strings; make it one")
    if choices and completion not in choices:
        raise line_error(path, line, f"'choices' lacks the completion {completion!r}; add it")
    if len(set(choices)) < len(choices):
        raise line_error(path, line, "'choices' holds a text twice; list each once")
    prompt = values["prompt"]
    return SftRecord(values["id"], language, prompt, completion, tuple(choices), tuple(messages))


def eos_token(model: LanguageModel) -> int:
    """Id of the token that ends a completion.

    Raises:
        ShiftlensError: The tokenizer has none.
    """
    if model.tokenizer.eos_token_id is None:
        raise ShiftlensError(
            f"the tokenizer of {model.name} has no EOS token to end a completion with; "
            "set tokenizer.eos_token"
        )
    return int(model.tokenizer.eos_token_id)


def encode_prompts(model: LanguageModel, prompts: Sequence[str]) -> list[list[int]]:
    """Tokenise prompts, ready to be continued.

    Args:
        model: Whose tokenizer to use.
        prompts: The texts.

    Returns:
        Token ids with the special tokens that the tokenizer puts before a text (BOS), without
        those it puts behind one (EOS, SEP).
    """
    encoded = model.tokenizer(list(prompts), return_special_tokens_mask=True, verbose=False)
    return [
        ids[: max((n for n, flag in enumerate(added, 1) if not flag), default=0)]
        for ids, added in zip(encoded["input_ids"], encoded["special_tokens_mask"], strict=True)
    ]


def encode_completions(model: LanguageModel, completions: Sequence[str]) -> list[list[int]]:
    """Tokenise completions, apart from their prompts.

    Args:
        model: Whose tokenizer to use.
        completions: The texts; a space at the start is the tokenizer's to keep.

    Returns:
        Token ids without special tokens, then EOS.

    Raises:
        ShiftlensError: The tokenizer has no EOS token.
    """
    eos = eos_token(model)
    encoded = model.tokenizer(list(completions), add_special_tokens=False, verbose=False)
    return [[*ids, eos] for ids in encoded["input_ids"]]


def encode_record(
    model: LanguageModel, record: SftRecord, max_length: int | None = None
) -> tuple[list[int], list[int]]:
    """Tokenise a record for the language-model loss on its completion.

    Args:
        model: Whose tokenizer to use.
        record: The record.
        max_length: Longest sequence, at most the model's own longest, which is the default; a
            longer one loses the end of its completion, EOS first.

    Returns:
        Token ids of the prompt, the completion and EOS, ``(pos,)``; and as many labels: -100 on
        the prompt, the ids elsewhere.

    Raises:
        ShiftlensError: The tokenizer has no EOS token, or the prompt alone fills ``max_length``.
    """
    [prompt] = encode_prompts(model, [record.prompt])
    [completion] = encode_completions(model, [record.completion])
    limits = [limit for limit in (max_length, model.max_positions) if limit is not None]
    limit = min(limits, default=len(prompt) + len(completion))
    if len(prompt) >= limit:
        raise ShiftlensError(
            f"record {record.id!r} ({record.language}): the prompt's {len(prompt)} tokens leave no "
            f"room for a completion within {limit}; shorten it or raise max_length"
        )
    ids = [*prompt, *completion]
    labels = [IGNORED] * len(prompt) + completion
    return ids[:limit], labels[:limit]
