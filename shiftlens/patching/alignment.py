"""Which tokens of the clean text stand for which of the corrupt one."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from shiftlens.errors import ShiftlensError
from shiftlens.models import LanguageModel
from shiftlens.patching.prompts import Prompt, read_pair

ALIGNMENTS = {
    "auto": "positions where both texts have equally many tokens, else last",
    "positions": "one to one, in texts of equally many tokens",
    "last": "token by token from the end, without the special tokens before a text",
    "spans": "the words, numbers and punctuation that both texts share, in order",
    "words": "pairs of words, clean and corrupt, that you give",
}
"""The ways to align two texts, in words."""

WordPairs = Sequence[tuple[str, str]]

_SpanPair = tuple[tuple[int, int], tuple[int, int]]
_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class Site:
    """Where clean states go into the corrupt run.

    The state at ``clean[i]`` is put at ``corrupt[i]``, for all i at once.

    Attributes:
        label: What stands there in the corrupt text.
        clean: Positions in the clean text; one may come several times.
        corrupt: As many positions in the corrupt text, each once.
    """

    label: str
    clean: tuple[int, ...]
    corrupt: tuple[int, ...]


Align = str | WordPairs | Sequence[Site]


def align_texts(
    model: LanguageModel, clean: str, corrupt: str, how: str, words: WordPairs | None = None
) -> list[Site]:
    """Pair the tokens of two texts, which may be in two languages and of unequal length.

    Where a word has a tokens in the clean text and b in the corrupt one, they are paired from the
    last; where a < b, the first clean token goes to all that are left over.

    Args:
        model: Whose tokenizer counts.
        clean: The text whose states are taken.
        corrupt: The text into whose run they are put.
        how: A key of :data:`ALIGNMENTS`.
        words: With ``words``, pairs (clean word, corrupt word). The k-th pair with the same clean
            word means its k-th occurrence, and so for the corrupt word; the last one where there
            are fewer.

    Returns:
        The sites, in the order of the corrupt text; with ``words`` in the order of the pairs.

    Raises:
        ShiftlensError: An unknown way, texts of unequal length with ``positions``, nothing in
            common with ``spans``, or a word that its text does not hold.
    """
    return _aligned(*read_pair(model, clean, corrupt), how, words or ())


def find_sites(clean: Prompt, corrupt: Prompt, align: Align) -> list[Site]:
    """The sites of two texts that are read already.

    Raises:
        ShiftlensError: As :func:`align_texts`; no sites, or sites outside of the texts.
    """
    if isinstance(align, str):
        return _aligned(clean, corrupt, align, ())
    if not isinstance(align, Sequence):
        raise ShiftlensError(f"align is {align!r}; give sites, pairs of words or the name of a way")
    sites = [each for each in align if isinstance(each, Site)]
    if len(sites) < len(align):
        return _aligned(clean, corrupt, "words", [_word_pair(each) for each in align])
    if not sites:
        raise ShiftlensError("no site is given; give sites, pairs of words or the name of a way")
    for site in sites:
        fits = len(site.clean) == len(site.corrupt) == len(set(site.corrupt)) > 0 and all(
            0 <= position < len(text)
            for text, positions in ((clean, site.clean), (corrupt, site.corrupt))
            for position in positions
        )
        if not fits:
            raise ShiftlensError(
                f"site {site} does not fit texts of {len(clean)} and {len(corrupt)} tokens; give "
                "as many clean positions as corrupt ones, each corrupt one once"
            )
    return sites


def _word_pair(pair: Any) -> tuple[str, str]:
    words = () if isinstance(pair, str | Site) else tuple(pair)
    if len(words) != 2 or not all(isinstance(word, str) for word in words):
        raise ShiftlensError(f"{pair!r} is not a pair of words: (clean word, corrupt word)")
    return words


def _aligned(clean: Prompt, corrupt: Prompt, how: str, words: WordPairs) -> list[Site]:
    if how not in ALIGNMENTS:
        raise ShiftlensError(f"unknown alignment {how!r}; choose one of {', '.join(ALIGNMENTS)}")
    if how == "auto":
        how = "positions" if len(clean) == len(corrupt) else "last"
    if how == "positions":
        return _by_positions(clean, corrupt)
    if how == "last":
        return _from_the_end(clean, corrupt)
    pairs = _shared(clean, corrupt) if how == "spans" else _given(clean, corrupt, words)
    return [
        _paired(corrupt.text[slice(*b)], clean.touching(*a), corrupt.touching(*b)) for a, b in pairs
    ]


def _by_positions(clean: Prompt, corrupt: Prompt) -> list[Site]:
    if len(clean) != len(corrupt):
        raise ShiftlensError(
            f"the clean text has {len(clean)} tokens and the corrupt one {len(corrupt)}, so they "
            "do not pair one to one; choose align='last' or 'spans', or give pairs of words"
        )
    return [Site(token, (n,), (n,)) for n, token in enumerate(corrupt.tokens)]


def _from_the_end(clean: Prompt, corrupt: Prompt) -> list[Site]:
    common = min(text.special.count(False) for text in (clean, corrupt))
    return [
        Site(corrupt.tokens[-back], (len(clean) - back,), (len(corrupt) - back,))
        for back in range(common, 0, -1)
    ]


def _paired(label: str, clean: tuple[int, ...], corrupt: tuple[int, ...]) -> Site:
    """Pair tokens from the last; the first clean one goes to all that are left over."""
    missing = max(0, len(corrupt) - len(clean))
    return Site(label, ((clean[0],) * missing + clean)[-len(corrupt) :], corrupt)


def _shared(clean: Prompt, corrupt: Prompt) -> list[_SpanPair]:
    """Character spans of the words that both texts have, in order."""
    ours, theirs = (list(_WORD.finditer(text.text)) for text in (clean, corrupt))
    matcher = SequenceMatcher(None, [m[0] for m in ours], [m[0] for m in theirs], autojunk=False)
    pairs = [
        (ours[block.a + n].span(), theirs[block.b + n].span())
        for block in matcher.get_matching_blocks()
        for n in range(block.size)
    ]
    if not pairs:
        raise ShiftlensError(
            "the two texts share no word, number or punctuation; choose align='last' or give "
            "pairs of words"
        )
    return pairs


def _given(clean: Prompt, corrupt: Prompt, words: WordPairs) -> list[_SpanPair]:
    """Character spans of pairs of words."""
    if not words:
        raise ShiftlensError("align='words' needs pairs of words: (clean word, corrupt word)")
    sides = list(zip(*words, strict=True))
    return list(
        zip(
            _occurrences(clean.text, sides[0], "clean"),
            _occurrences(corrupt.text, sides[1], "corrupt"),
            strict=True,
        )
    )


def _occurrences(text: str, words: Sequence[str], which: str) -> list[tuple[int, int]]:
    """Where each word stands: its k-th mention at its k-th occurrence."""
    spans = []
    for number, word in enumerate(words):
        escaped = re.escape(word)
        found = list(re.finditer(rf"(?<!\w){escaped}(?!\w)", text)) or list(
            re.finditer(escaped, text)
        )
        if not word.strip() or not found:
            raise ShiftlensError(f"the {which} text {text!r} does not hold the word {word!r}")
        spans.append(found[min(words[:number].count(word), len(found) - 1)].span())
    return spans
