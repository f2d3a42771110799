"""The logit lens by language: what every layer of a decoder is about to say, and in which."""

from shiftlens.lens.answers import answer_lens, answer_pivots, answer_summary, answer_tables
from shiftlens.lens.head import LensHead
from shiftlens.lens.languages import LanguageLens, language_lens, language_tables
from shiftlens.lens.leader import leader
from shiftlens.lens.memory import LensMemory, lens_memory
from shiftlens.lens.text import TextLens, text_lens
from shiftlens.lens.token_languages import AMBIGUOUS, UNSEEN, TokenLanguages

__all__ = [
    "AMBIGUOUS",
    "UNSEEN",
    "LanguageLens",
    "LensHead",
    "LensMemory",
    "TextLens",
    "TokenLanguages",
    "answer_lens",
    "answer_pivots",
    "answer_summary",
    "answer_tables",
    "language_lens",
    "language_tables",
    "leader",
    "lens_memory",
    "text_lens",
]
