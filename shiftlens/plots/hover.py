"""What stands beside a point when the mouse is over it."""

import unicodedata
from html import escape
from itertools import takewhile
from textwrap import wrap

from shiftlens.languages import language_name

_LINE = 60


def hover_name(code: str) -> str:
    """Return the first words of a hover box: the language in bold, and its code."""
    return f"<b>{language_name(code)} ({code})</b>"


def hover_lines(sentence: str) -> str:
    """Return a sentence in lines of at most 60 characters, its markup shown and not obeyed.

    A script without spaces is cut between characters, never before a combining mark.
    """
    lines = wrap(sentence, _LINE)
    for before, line in enumerate(lines[1:]):
        marks = "".join(takewhile(lambda c: unicodedata.category(c).startswith("M"), line))
        lines[before] += marks
        lines[before + 1] = line[len(marks) :]
    return "<br>".join(map(escape, lines))


def hover_sentence(code: str, number: int, sentence: str) -> str:
    """Return the hover box of one sentence.

    Args:
        code: Its language.
        number: Its row number, which is shown counted from 1.
        sentence: Its text.
    """
    return f"{hover_name(code)}, sentence {number + 1}<br>{hover_lines(sentence)}"
