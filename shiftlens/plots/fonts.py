"""Fonts for texts in any script: what DejaVu Sans lacks is drawn in what the machine has."""

import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from functools import cache

from matplotlib.font_manager import FontProperties, fontManager, get_font

BASE = "DejaVu Sans"
_BLANK = ("last resort", ".lastresort", "adobe blank")
"""Fonts that claim every character and draw none."""


def drawable(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Find fonts for texts, for matplotlib's ``font.family``.

    Args:
        texts: What a figure will show.

    Returns:
        The texts, with a white square and one warning for what no installed font has, and the
        families that draw them, DejaVu Sans first.
    """
    missing = {char for text in texts for char in text if not char.isspace()} - _characters(BASE)
    families = [BASE]
    for family in _candidates(missing):
        if not missing:
            break
        if found := missing & _characters(family):
            families.append(family)
            missing -= found
    if missing:
        first = min(missing)
        warnings.warn(
            f"no installed font has {len(missing)} of the characters, such as U+{ord(first):04X} "
            f"({unicodedata.name(first, 'unnamed')}); a square stands for each. Install fonts such "
            "as Debian's fonts-noto-core and fonts-noto-cjk, and delete matplotlib's font cache",
            stacklevel=3,
        )
    squares = dict.fromkeys(map(ord, missing), "\N{WHITE SQUARE}")
    return [text.translate(squares) for text in texts], families


def _candidates(missing: set[str]) -> Iterator[str]:
    """Upright families of regular weight, those named after a missing script first, then Noto."""
    scripts = {_script(char) for char in missing}
    upright = (font for font in fontManager.ttflist if font.style == "normal")
    names = {font.name for font in upright if font.weight == 400}
    yield from sorted(
        (name for name in names if not name.lower().startswith(_BLANK)),
        key=lambda name: (scripts.isdisjoint(name.split()), not name.startswith("Noto Sans"), name),
    )


def _script(char: str) -> str:
    """The first word of a character's name, such as "Thai" or "CJK"."""
    word = unicodedata.name(char, "unknown").split()[0]
    return word if word == "CJK" else word.title()


@cache
def _characters(family: str) -> frozenset[str]:
    path = fontManager.findfont(FontProperties(family=family), fallback_to_default=False)
    return frozenset(map(chr, get_font(path).get_charmap()))
