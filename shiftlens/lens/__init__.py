"""The logit lens by language: what every layer of a decoder is about to say, and in which."""

from shiftlens.lens.answers import answer_lens, answer_summary
from shiftlens.lens.head import LensHead
from shiftlens.lens.languages import LanguageLens, language_lens
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
    "answer_summary",
    "language_lens",
    "lens_memory",
    "text_lens",
]
