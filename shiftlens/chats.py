"""Instruction data as chats: turns of a user and an assistant, and the prompts made of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from shiftlens.corpus_files import line_error
from shiftlens.errors import ShiftlensError
from shiftlens.models import LanguageModel

Turns = Sequence[tuple[str, str]]
"""Role and content of each turn."""


def read_messages(path: Path, line: int, row: dict[str, Any]) -> list[tuple[str, str]]:
    """Check the ``messages`` of one line of a file.

    Args:
        path: The file, for the message of an error.
        line: The line's number.
        row: The line's object.

    Returns:
        The turns, the last one the assistant's.

    Raises:
        ShiftlensError: The line has a prompt or completion too, a turn lacks its role or content,
            or the last of two turns or more is not the assistant's.
    """
    if "prompt" in row or "completion" in row:
        raise line_error(path, line, "it has 'messages' and a prompt or completion; give one kind")
    turns = row["messages"] if isinstance(row["messages"], list) else []
    pairs = [
        (turn.get("role"), turn.get("content")) if isinstance(turn, dict) else (None, None)
        for turn in turns
    ]
    if not all(isinstance(part, str) and part.strip() for pair in pairs for part in pair):
        raise line_error(path, line, "a message lacks its 'role' or 'content'; give both as text")
    if len(pairs) < 2 or pairs[-1][0] != "assistant":
        raise line_error(path, line, "'messages' do not end with the assistant's answer to another")
    return [(str(role), str(content)) for role, content in pairs]


def chat_prompt(model: LanguageModel, name: str, turns: Turns) -> str:
    """Make a prompt of a chat, by the chat template of a model's tokenizer.

    Args:
        model: Whose tokenizer to use.
        name: What an error calls the chat.
        turns: The turns before the answer.

    Returns:
        A text that ends where the answer begins. A BOS that the template writes is left to the
        tokenizer, which would write another.

    Raises:
        ShiftlensError: The tokenizer has no chat template, or its template refuses the chat.
    """
    tokenizer = model.tokenizer
    if not tokenizer.chat_template:
        raise ShiftlensError(
            f"record {name!r} is a chat, and the tokenizer of {model.name} has no chat template; "
            "give records with prompt and completion"
        )
    chat = [{"role": role, "content": content} for role, content in turns]
    try:
        text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    except jinja2.TemplateError as error:
        raise ShiftlensError(
            f"record {name!r}: the chat template of {model.name} refuses it: {error}"
        ) from error
    writes_bos = tokenizer("a", verbose=False)["input_ids"][:1] == [tokenizer.bos_token_id]
    return str(text).removeprefix(str(tokenizer.bos_token)) if writes_bos else str(text)
