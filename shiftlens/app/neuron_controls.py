"""The controls of the view of the neurons, and what a link to it may set."""

from collections.abc import Mapping
from typing import Any

from dash import dcc, html

from shiftlens.app.links import Fields, number, one_of, text
from shiftlens.app.neuron_request import SHARES, STRONGEST, check_share
from shiftlens.app.session import Session
from shiftlens.app.texts import LONGEST_TEXT
from shiftlens.app.widgets import choice, field, text_area
from shiftlens.languages import language_name

HINT = "Press Run to count how often each neuron is active in each language."
TYPE = "Type a text and press Answer it."
CONTROLS = ("share", "language", "scale", "text")


def neuron_fields(session: Session) -> Fields:
    """What a link may set."""
    share = number("the share", min(SHARES), max(SHARES))
    return {
        "share": lambda value: check_share(share(value)),
        "language": one_of("language", lambda: session.languages),
        "scale": number("the scale", 0, STRONGEST),
        "text": text("the text", LONGEST_TEXT),
    }


def neuron_controls(session: Session, examples: Mapping[str, str]) -> list[Any]:
    """Build the controls, the text empty.

    Args:
        session: The model and what was measured of it.
        examples: Language to a text that can be tried at once.
    """
    names = {code: language_name(code) for code in session.languages}
    ready = {code: language_name(code) for code in examples}
    shares = [{"label": f"{share:.0%} of all neurons", "value": share} for share in SHARES]
    scales = {value: f"{value:g}" for value in (0, 1, 2, 3)}
    return [
        html.P(
            "An MLP neuron is of a language where it is active on that language's tokens and on "
            "few others'. Scale a language's neurons, and see what the model says."
        ),
        field(
            "Keep",
            choice("neurons-share", shares, SHARES[2] if examples else SHARES[0]),
            hint="those whose activity is spread over the fewest languages",
        ),
        html.Button("Run", id="neurons-run"),
        field("Scale the neurons of", choice("neurons-language", names, session.languages[-1])),
        field(
            "Scale",
            dcc.Slider(0, STRONGEST, 0.25, scales, 0, id="neurons-scale"),
            hint="0 ablates them, 1 leaves them, more amplifies",
        ),
        field("Example", choice("neurons-example", ready, blank="your own"), id="neurons-ready"),
        field("Text", text_area("neurons-text", 3, "the text")),
        html.Button("Answer it", id="neurons-answer-it"),
    ]
