"""The controls of the view of the lens, and what a link to it may set."""

from collections.abc import Mapping
from typing import Any

from dash import html

from shiftlens.app.lens_request import PLAIN, SHIFTED, colours
from shiftlens.app.links import Fields, number, one_of, text
from shiftlens.app.session import Session
from shiftlens.app.texts import LONGEST_TEXT
from shiftlens.app.widgets import choice, field, text_area
from shiftlens.languages import language_name

HINT = "Type a text and press Run."
CONTROLS = ("text", "colour", "shift", "language")


def lens_fields(session: Session) -> Fields:
    """What a link may set."""
    return {
        "text": text("the text", LONGEST_TEXT),
        "colour": one_of("colour", lambda: list(colours(session))),
        "shift": one_of("shift", lambda: [PLAIN, SHIFTED]),
        "language": one_of("language", lambda: session.languages),
        "position": number("position", 0, 10_000, int),
    }


def lens_controls(
    session: Session, area: tuple[int, int], examples: Mapping[str, str]
) -> list[Any]:
    """Build the controls, the text empty.

    Args:
        session: The model and what was measured of it.
        area: Where the shift is.
        examples: Language to a text that can be tried at once.
    """
    a, b = area
    names = {code: language_name(code) for code in session.languages}
    ready = {code: language_name(code) for code in examples}
    switch = {PLAIN: "as it is", SHIFTED: f"with the shift, layers {a}–{b}"}
    return [
        html.P(
            "Every layer's state is read as if it were the last: what would the model say next if "
            "it stopped there?"
        ),
        field("Example", choice("lens-example", ready, blank="your own"), id="lens-ready"),
        field("Text", text_area("lens-text", 3, "the text")),
        field("Colour", choice("lens-colour", colours(session), "probability")),
        field("The model", choice("lens-shift", switch, PLAIN), id="lens-shifting"),
        field(
            "Language of the text",
            choice("lens-language", names, next(iter(names), None)),
            hint="which the shift moves it from; the dominant language is not moved",
            id="lens-speaking",
        ),
        html.Button("Run", id="lens-run"),
    ]
