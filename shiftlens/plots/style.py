"""The shared look of every figure: the style sheet, and one colour and marker per language."""

import hashlib
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import langcodes
import matplotlib.style

PALETTE = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#882255",
    "#117733",
    "#332288",
    "#999933",
)
"""Okabe and Ito's colours without yellow and black, extended with four of Paul Tol's."""

ENGLISH_COLOUR = "#4D4D4D"
FLOOR_COLOUR = "#7F7F7F"
MEAN_COLOUR = "#000000"
AREA_COLOUR = "#FAEFCF"

_MARKERS = (
    ("o", "circle"),
    ("s", "square"),
    ("^", "triangle-up"),
    ("D", "diamond"),
    ("v", "triangle-down"),
    ("P", "cross"),
    ("X", "x"),
    ("<", "triangle-left"),
    (">", "triangle-right"),
    ("*", "star"),
)

# One row per group of languages often drawn together; the column gives the colour, and column
# plus row the marker, so that no two entries look the same. Rows not used here belong to tags
# outside the table.
_COMMON = (
    "de es fr ja ru zh sw th bn te",
    "et ht id it ar tr hi qu ta vi",
    "pt el nl pl uk cs he ko fa ur",
    "bg sv ro nb hu da fi mr ms eu",
    "my am yo ha kk ml kn gu pa ne",
    "fil km lo si mn zh-Hant ka hy az uz",
    "ig zu xh so af ca sk hr sr lt",
)
_POSITIONS = {
    code: (column, row)
    for row, codes in enumerate(_COMMON)
    for column, code in enumerate(codes.split())
} | {"en": (len(PALETTE), 0)}

COMMON_LANGUAGES = tuple(_POSITIONS)
"""Codes whose colour and marker together are distinct from every other's here."""


@dataclass(frozen=True)
class LanguageStyle:
    """How one language is drawn, in every figure.

    Attributes:
        colour: Hex colour, told apart by colour-blind readers with the marker's help.
        marker: Marker in matplotlib's spelling.
        symbol: The same marker in plotly's spelling.
    """

    colour: str
    marker: str
    symbol: str


def shared_style() -> AbstractContextManager[None]:
    """Return a context in which matplotlib draws with the package's style sheet alone.

    The reader's own rcParams are set aside inside the context and come back after it.

    Returns:
        A context manager for use around building or saving a figure.
    """
    return matplotlib.style.context("shiftlens.plots.shiftlens", after_reset=True)


def language_style(code: str) -> LanguageStyle:
    """Return the colour and marker of a language, which depend on its code alone.

    The common languages are told apart by construction. A variety of one of them ("zh-Hant",
    "pt-BR") shares its colour and takes another marker; any other language takes its place from
    a hash of its code, with a marker that no common language of the same colour uses.

    Args:
        code: BCP-47 code such as "sw" or "zh-Hant".

    Returns:
        The style with which the language is drawn whichever others are drawn beside it.
    """
    tag = langcodes.standardize_tag(code)
    if tag in _POSITIONS:
        column, row = _POSITIONS[tag]
    else:
        primary = langcodes.Language.get(langcodes.standardize_tag(tag, macro=True)).language or tag
        column = _POSITIONS.get(primary, (_hash(primary) % len(PALETTE),))[0]
        row = len(_COMMON) + _hash(tag) % (len(_MARKERS) - len(_COMMON))
    marker, symbol = _MARKERS[(column + row) % len(_MARKERS)]
    return LanguageStyle((*PALETTE, ENGLISH_COLOUR)[column], marker, symbol)


def label_styles(labels: Iterable[str]) -> dict[str, LanguageStyle]:
    """Return the colour and marker of what sentences are about, such as their tasks.

    Args:
        labels: The labels of one figure, in any order; up to 100 are told apart.

    Returns:
        Label to style, in alphabetical order.
    """
    return {
        label: LanguageStyle(
            PALETTE[place % len(PALETTE)], *_MARKERS[place // len(PALETTE) % len(_MARKERS)]
        )
        for place, label in enumerate(sorted(set(labels)))
    }


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
