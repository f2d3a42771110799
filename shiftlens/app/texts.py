"""What people may type: bounded, and without characters that do not show."""

import unicodedata
from collections.abc import Iterable
from textwrap import shorten
from typing import Any

from shiftlens.errors import ShiftlensError
from shiftlens.models import LanguageModel

LONGEST_TEXT = 400
LONGEST_ANSWER = 60
MOST_ANSWERS = 12

_BIDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Marks that turn the direction of the text after them; letters bring their own."""


def typed_text(text: object, name: str, longest: int = LONGEST_TEXT) -> str:
    """Check a text that somebody typed.

    Args:
        text: What came from the page or a link.
        name: What it is called in messages.
        longest: Most characters.

    Returns:
        The text without white space around it.

    Raises:
        ShiftlensError: It is empty, too long, or holds a control character or half a character.
    """
    if not isinstance(text, str) or not text.strip():
        raise ShiftlensError(f"{name} is empty; type something")
    if len(text) > longest:
        raise ShiftlensError(f"{name} has {len(text):,} characters; at most {longest} can be taken")
    kept = text.replace("\r\n", "\n").strip()
    for place, character in enumerate(kept, 1):
        category = unicodedata.category(character)
        if (category in ("Cc", "Cs") and character != "\n") or character in _BIDI:
            raise ShiftlensError(
                f"{name} holds the control character U+{ord(character):04X} at place {place}; "
                "remove it"
            )
    return kept


def chosen(value: Any, choices: Iterable[Any], name: str) -> Any:
    """Check that what the page sent is one of the choices that it offers.

    Raises:
        ShiftlensError: It is not.
    """
    if not isinstance(value, str | float) or value not in list(choices):
        raise ShiftlensError(f"there is no {name} {value!r}; choose one")
    return value


def in_range(value: Any, low: float, high: float, name: str) -> Any:
    """Check that what the page sent is a number of a range.

    Raises:
        ShiftlensError: It is not.
    """
    if type(value) not in (int, float) or not low <= value <= high:
        raise ShiftlensError(f"{name} is {value!r}; give {low:g} to {high:g}")
    return value


def unknown_tokens(model: LanguageModel, *texts: str) -> str:
    """Say which text the tokenizer mostly does not know; empty where it knows them all."""
    unknown = model.tokenizer.unk_token_id
    for text in texts:
        ids = model.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        if 2 * ids.count(unknown) > len(ids):
            return (
                f"“{shorten(text, 40, placeholder='…')}”: {ids.count(unknown)} of its {len(ids)} "
                "tokens are unknown to this model's tokenizer, which reads them all as the same"
            )
    return ""


def typed_lines(text: object, name: str) -> list[str]:
    """Check a list of short texts, one a line.

    Raises:
        ShiftlensError: There is none, there are too many, or one of them cannot be taken.
    """
    whole = typed_text(text, name, MOST_ANSWERS * (LONGEST_ANSWER + 1))
    lines = [line for line in whole.split("\n") if line.strip()]
    if len(lines) > MOST_ANSWERS:
        raise ShiftlensError(f"{name}: {len(lines)} lines; at most {MOST_ANSWERS} can be taken")
    return [typed_text(line, name, LONGEST_ANSWER) for line in lines]
