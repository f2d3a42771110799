"""The state of a view as a link, and back."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode

from shiftlens.app.texts import typed_text
from shiftlens.errors import ShiftlensError

LONGEST_LINK = 16_000

Check = Callable[[str], Any]
Fields = Mapping[str, Check]
"""What a view keeps in a link: name to the check of its value, which returns it."""


def link(view: str, state: Mapping[str, Any]) -> str:
    """Write a view's state as the query of a link.

    Args:
        view: The view.
        state: Name to value; None and the empty text are left out.

    Returns:
        The query, ``?`` included.
    """
    kept = {key: value for key, value in state.items() if value not in (None, "")}
    return "?" + urlencode({"view": view, **kept})


def read_link(search: str | None, views: Mapping[str, Fields]) -> tuple[str | None, dict[str, Any]]:
    """Read and check the query of a link.

    Args:
        search: The query, ``?`` included; nothing for a page opened without one.
        views: View to what it keeps in a link.

    Returns:
        The view, or None, and its state: only values that their checks passed.

    Raises:
        ShiftlensError: The link is too long, names an unknown view or setting, or a value cannot
            be taken.
    """
    if not search or search == "?":
        return None, {}
    if len(search) > LONGEST_LINK:
        raise ShiftlensError(
            f"the link is longer than {LONGEST_LINK:,} characters; it was not read"
        )
    pairs = parse_qsl(search.removeprefix("?"), keep_blank_values=True)
    given = dict(pairs)
    if len(given) < len(pairs):
        raise ShiftlensError("the link gives a setting twice; it was not read")
    view = given.pop("view", "")
    if view not in views:
        raise ShiftlensError(f"the link is to no view of this page; choose {', '.join(views)}")
    fields = views[view]
    if unknown := [key for key in given if key not in fields]:
        name = unknown[0][:40]
        raise ShiftlensError(f"the link has a setting {name!r} that this view does not have")
    return view, {key: fields[key](value) for key, value in given.items()}


def asked_view(search: str | None, views: Collection[str]) -> str | None:
    """The view that a link is to, whatever else is wrong with it; None where there is none."""
    given = dict(parse_qsl((search or "")[:LONGEST_LINK].removeprefix("?")))
    return given["view"] if given.get("view") in views else None


def one_of(name: str, choices: Callable[[], Sequence[str]]) -> Check:
    """A value among choices, which are looked up when a link is read."""

    def check(value: str) -> str:
        if value not in choices():
            raise ShiftlensError(f"the link asks for {name} {value[:40]!r}, which there is not")
        return value

    return check


def number(name: str, low: float, high: float, kind: type = float) -> Check:
    """A number from low to high."""

    def check(value: str) -> Any:
        try:
            found = kind(value)
        except ValueError:
            found = None
        if found is None or not low <= found <= high:
            raise ShiftlensError(f"the link gives {name} as {value[:40]!r}; give {low} to {high}")
        return found

    return check


def text(name: str, longest: int) -> Check:
    """A text as somebody could type it."""
    return lambda value: typed_text(value, name, longest)
