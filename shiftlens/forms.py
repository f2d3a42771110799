"""Whether what was read from JSON has the form that it should have."""

import re
from typing import Any

_CODE = re.compile(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*")


def misfit(value: Any, form: Any, name: str = "it") -> str:
    """Find the first place where a value is not of a form.

    Args:
        value: What was read.
        form: A type or several; a list of one form for a list of such; or a dictionary of forms
            for an object with at least these keys. A truth value is no number.
        name: What the value is called.

    Returns:
        What is wrong there, such as "corpus.sentences is 'x'"; empty where nothing is.
    """
    if isinstance(form, dict):
        if not isinstance(value, dict):
            return f"{name} is no object"
        if missing := [key for key in form if key not in value]:
            return f"{name} lacks {missing[0]!r}"
        found = (misfit(value[key], of_key, f"{name}.{key}") for key, of_key in form.items())
        return next(filter(None, found), "")
    if isinstance(form, list):
        if not isinstance(value, list):
            return f"{name} is no list"
        found = (misfit(item, form[0], f"{name}[{n}]") for n, item in enumerate(value))
        return next(filter(None, found), "")
    kinds = form if isinstance(form, tuple) else (form,)
    right = type(value) in kinds or (float in kinds and type(value) is int)
    return "" if right else f"{name} is {value!r}"


def is_code(text: Any) -> bool:
    """Whether a text could be a language code, and so the name of a file."""
    return isinstance(text, str) and _CODE.fullmatch(text) is not None
