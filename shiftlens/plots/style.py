"""The shared look of every figure: the style sheet, and one colour and marker per language."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
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
_COLOURS = (*PALETTE, ENGLISH_COLOUR)
_APART = 40
"""Difference in lightness at which two colours are told apart in greyscale."""

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
    ("d", "diamond-tall"),
    ("*", "star"),
)
"""The circle is English's own, and another language's only once all the others are taken."""
_SCALES = {"d": 1.2, "*": 1.5}
_OPEN_MARKERS = len(_MARKERS) - 1

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

    @property
    def size(self) -> float:
        """Points of the marker on a line."""
        return 3.0 * self.scale

    @property
    def scale(self) -> float:
        """How much larger the marker is drawn, to look as large as a circle."""
        return _SCALES.get(self.marker, 1.0)


def shared_style() -> AbstractContextManager[None]:
    """Return a context in which matplotlib draws with the package's style sheet alone.

    The reader's own rcParams are set aside inside the context and come back after it.

    Returns:
        A context manager for use around building or saving a figure.
    """
    return matplotlib.style.context("shiftlens.plots.shiftlens", after_reset=True)


def language_style(code: str) -> LanguageStyle:
    """Return a language's own colour and marker, which depend on its code alone.

    The common languages are told apart by the two together. A variety of one of them ("zh-Hant",
    "pt-BR") shares its colour and takes another marker; any other language takes its place from
    a hash of its code, with a marker that no common language of the same colour uses.

    Args:
        code: BCP-47 code such as "sw" or "zh-Hant".

    Returns:
        The style with which the language is drawn alone, and beside others as long as none of
        them has a claim to its marker or colour: see :func:`language_styles`.
    """
    tag = langcodes.standardize_tag(code)
    if tag in _POSITIONS:
        column, row = _POSITIONS[tag]
    else:
        primary = langcodes.Language.get(langcodes.standardize_tag(tag, macro=True)).language or tag
        column = _POSITIONS.get(primary, (_hash(primary) % len(PALETTE),))[0]
        row = len(_COMMON) + _hash(tag) % (_OPEN_MARKERS - len(_COMMON))
    english = column == len(PALETTE)
    marker, symbol = _MARKERS[0 if english else 1 + (column + row) % _OPEN_MARKERS]
    return LanguageStyle(_COLOURS[column], marker, symbol)


def language_styles(codes: Iterable[str]) -> dict[str, LanguageStyle]:
    """Return the colours and markers of languages that are drawn together.

    No marker stands for two languages before all are used, so that languages are told apart
    without colours too, and no colour before all are. Two that share a marker differ in lightness
    where colours are left that do. Who comes first keeps its own look: English, then the common
    languages in the order of :data:`COMMON_LANGUAGES`, then the others by their codes. So the same
    languages look the same in every figure.

    Args:
        codes: The languages of one run, or one figure, in any order.

    Returns:
        Code to style, in the order given.
    """
    codes = list(dict.fromkeys(codes))
    taken: list[LanguageStyle] = []
    found = {}
    for code in sorted(codes, key=_rank):
        found[code] = _next_style(language_style(code), taken)
        taken.append(found[code])
    return {code: found[code] for code in codes}


def _rank(code: str) -> tuple[int, str]:
    tag = langcodes.standardize_tag(code)
    if tag == "en":
        return -1, tag
    return (COMMON_LANGUAGES.index(tag) if tag in _POSITIONS else len(_POSITIONS)), tag


def _next_style(own: LanguageStyle, taken: Sequence[LanguageStyle]) -> LanguageStyle:
    """The style nearest to a language's own that is told apart best from those taken."""
    markers, colours = Counter(s.marker for s in taken), Counter(s.colour for s in taken)

    def cost(style: LanguageStyle) -> tuple[float, ...]:
        rivals = [
            abs(_lightness(style.colour) - _lightness(s.colour))
            for s in taken
            if s.marker == style.marker
        ]
        return (
            markers[style.marker],
            min(rivals, default=_APART) < _APART,
            colours[style.colour],
            style.colour != own.colour,
            style.marker != own.marker,
            style.marker == _MARKERS[0][0],
        )

    free = [LanguageStyle(colour, *marker) for marker in _MARKERS for colour in _COLOURS]
    return min((style for style in free if style not in taken), key=cost, default=own)


def _lightness(colour: str) -> float:
    """The luma of a hex colour, 0 to 255: how light it is in greyscale."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue


def label_styles(labels: Iterable[str]) -> dict[str, LanguageStyle]:
    """Return the colour and marker of what sentences are about, such as their tasks.

    Args:
        labels: The labels of one figure, in any order; up to 110 are told apart.

    Returns:
        Label to style, in alphabetical order.
    """
    return {
        label: LanguageStyle(PALETTE[place % len(PALETTE)], *_MARKERS[place % len(_MARKERS)])
        for place, label in enumerate(sorted(set(labels)))
    }


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
