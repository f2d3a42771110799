"""What the view of the lens asks for: checked, computed, and as Python."""

from dataclasses import dataclass

import pandas as pd

from shiftlens.app.session import Session
from shiftlens.app.shift_request import too_shallow
from shiftlens.app.texts import chosen, typed_text
from shiftlens.app.worker import Job
from shiftlens.errors import ShiftlensError
from shiftlens.languages import language_name
from shiftlens.lens import TextLens, TokenLanguages, text_lens
from shiftlens.patching.prompts import read_prompt
from shiftlens.plots.lens import COLOURS
from shiftlens.residual import residual_hooks

MOST_CELLS = 8_000
"""Most layers times tokens that are drawn."""

PLAIN, SHIFTED = "plain", "shifted"


@dataclass(frozen=True)
class LensRequest:
    """A text to read.

    Attributes:
        text: The text.
        area: The layers between which it is shifted; None where it is read as it is.
        language: The language it is in, which the shift needs.
    """

    text: str
    area: tuple[int, int] | None
    language: str


@dataclass(frozen=True)
class LensFound:
    """What was read.

    Attributes:
        lens: The lens over the text.
        lacks: Why there are no masses; empty where there are.
    """

    lens: TextLens
    lacks: str


def check_request(
    session: Session, area: tuple[int, int], text: str, shift: str, language: str | None
) -> LensRequest:
    """Check what the page sent.

    Args:
        session: The model and what was measured of it.
        area: Where the shift is.
        text: What was typed.
        shift: Whether to shift.
        language: The language of the text.

    Raises:
        ShiftlensError: A choice that there is not, or a text that cannot be taken.
    """
    kept = typed_text(text, "the text")
    if shift not in (PLAIN, SHIFTED) or (shift == SHIFTED and not can_shift(session)):
        raise ShiftlensError(f"there is no shift {shift!r} to read with; choose one")
    if shift == PLAIN:
        return LensRequest(kept, None, "")
    return LensRequest(kept, area, chosen(language, session.languages, "language"))


def link_state(request: LensRequest) -> dict[str, str]:
    """A request as a link keeps it."""
    more = {"shift": SHIFTED, "language": request.language} if request.area else {}
    return {"text": request.text, **more}


def can_shift(session: Session) -> bool:
    """Whether there are vectors to shift by and layers to shift between."""
    return not session.missing and not too_shallow(session)


def colours(session: Session) -> dict[str, str]:
    """What the cells can be coloured by, in words."""
    masses = {code: f"mass of {language_name(code)}" for code in session.languages}
    return {**COLOURS, **masses}


def token_languages(session: Session) -> tuple[TokenLanguages | None, str]:
    """Which tokens are of which language, or None and why that is not known."""
    try:
        return TokenLanguages.of_corpus(session.model, session.corpus), ""
    except ShiftlensError as error:
        return None, str(error)


def read_text(
    session: Session,
    request: LensRequest,
    tokens: TokenLanguages | None,
    job: Job,
) -> TextLens:
    """Read every layer of a text.

    Raises:
        ShiftlensError: As :func:`shiftlens.lens.text_lens`, or there are too many cells to draw.
        Stopped: The job was cancelled.
    """
    model = session.model
    last, length = model.n_layers, len(read_prompt(model, request.text))
    if length * (last + 1) > MOST_CELLS:
        raise ShiftlensError(
            f"the text has {length} tokens; with {last + 1} layers at most "
            f"{MOST_CELLS // (last + 1)} can be drawn; shorten it"
        )
    shift = None
    if request.area:
        shift = session.measured(job).shift(request.area)
    job.begin("reading every layer")
    with residual_hooks(model, lambda layer, stream: job.report(layer, last), range(last + 1)):
        return text_lens(
            model, request.text, tokens, shift=shift, language=request.language or None
        )


def lens_table(lens: TextLens) -> pd.DataFrame:
    """The table with the likeliest tokens in columns of their own."""
    table = lens.table
    parts = {}
    for number in range(len(table["top"].iloc[0])):
        parts[f"top_{number + 1}"] = [tokens[number] for tokens in table["top"]]
        parts[f"probability_{number + 1}"] = [likely[number] for likely in table["probabilities"]]
    before = table[["layer", "position", "token"]]
    after = table.drop(columns=["layer", "position", "token", "top", "probabilities"])
    return pd.concat([before, pd.DataFrame(parts, index=table.index), after], axis=1)


def code(session: Session, request: LensRequest, lens: TextLens, colour: str, position: int) -> str:
    """The lines of Python that repeat a reading and its figures."""
    first, shift, more = "", "", ""
    if request.area and session.known is not None:
        first = "from dataclasses import replace\n\n" if session.known.trained else ""
        shift = session.known.shift_code(request.area) + "\n"
        more = f", shift=shift, language={request.language!r}"
    tokens = lines = ""
    if lens.tokens:
        tokens = f"{session.corpus_code}\ntokens = TokenLanguages.of_corpus(model, corpus)\n"
        lines = f"\nlanguage_mass_lines(lens, {position}).show()"
    pandas = "import pandas as pd\n\n" if "pd." in tokens else ""
    given = "text, tokens" if lens.tokens else "text"
    return f"""{first}{pandas}import shiftlens as sl
from shiftlens.lens import TokenLanguages, text_lens
from shiftlens.plots.lens import language_mass_lines, text_lens_heatmap

{session.load_code}
{tokens}{shift}text = {request.text!r}
lens = text_lens(model, {given}{more})
print(lens.table)
text_lens_heatmap(lens, {colour!r}).show(){lines}"""
