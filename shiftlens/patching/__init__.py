"""Activation patching across languages, on the plain model: every layer and site at once.

The state of a clean text is put into the run of a corrupt one, and the answer is watched.
"""

from shiftlens.patching.alignment import ALIGNMENTS, Site, align_texts
from shiftlens.patching.answer import Continuation, PatchedAnswer, patched_answer
from shiftlens.patching.components import COMPONENTS
from shiftlens.patching.examples import EXAMPLES, Example
from shiftlens.patching.metrics import METRICS, Metric
from shiftlens.patching.prompts import Prompt
from shiftlens.patching.result import PatchResult
from shiftlens.patching.run import Cancelled, patch

__all__ = [
    "ALIGNMENTS",
    "COMPONENTS",
    "EXAMPLES",
    "METRICS",
    "Cancelled",
    "Continuation",
    "Example",
    "Metric",
    "PatchResult",
    "PatchedAnswer",
    "Prompt",
    "Site",
    "align_texts",
    "patch",
    "patched_answer",
]
