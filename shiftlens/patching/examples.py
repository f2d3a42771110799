"""Pairs of texts on which patching the demo model shows something."""

from collections.abc import Mapping
from dataclasses import dataclass

from shiftlens.patching.alignment import Align
from shiftlens.patching.prompts import Answers


@dataclass(frozen=True)
class Example:
    """What to patch in the demo model, and what is seen.

    Attributes:
        clean: The text whose states are taken.
        corrupt: The text into whose run they are put.
        answers: Texts that may follow.
        metric: What to measure.
        align: How the texts are aligned.
        shows: What the table then says.
    """

    clean: str
    corrupt: str
    answers: Answers
    metric: str
    align: Align
    shows: str


EXAMPLES: Mapping[str, Example] = {
    "a number, from English to Finnish": Example(
        clean="Which number comes after five?",
        corrupt="Mikä luku tulee luvun kaksi jälkeen?",
        answers=["kuusi", "kolme"],
        metric="logit_difference",
        align=[
            ("Which", "Mikä"),
            ("number", "luku"),
            ("comes", "tulee"),
            ("five", "kaksi"),
            ("after", "jälkeen"),
            ("?", "?"),
        ],
        shows="'five' in place of 'kaksi' (two) at layer 0 makes the Finnish answer 'kuusi' (six); "
        "from layer 1 on that word has been read, and the patch changes nothing. At '?' the "
        "English state gives 'kuusi' at layers 1 and 2, where the number is known and not yet in "
        "a language, and 'six' from layer 3 on.",
    ),
    "a sum, from English to German": Example(
        clean="How much is seven plus three?",
        corrupt="Wie viel ist zwei plus drei?",
        answers=["zehn", "fünf"],
        metric="logit_difference",
        align="positions",
        shows="The demo model never read seven plus three in any language, only three plus seven. "
        "'seven' in place of 'zwei' (two) at layer 0 makes the German answer 'zehn' (ten), and "
        "'three' in place of 'drei' leaves 'fünf' (five). At '?' the English state gives 'zehn' "
        "at layers 1 to 3 and 'ten' from layer 4 on.",
    ),
    "the language of the answer": Example(
        clean="Which number comes after five?",
        corrupt="¿Qué número viene después de cinco?",
        answers={"es": "seis", "en": "six"},
        metric="language",
        align="last",
        shows="Both texts ask the same. Only one patch turns the answer into English: that at '?' "
        "from layer 4 on. At layers 1 and 2 there it leaves over 95% to Spanish.",
    ),
}
"""Ready-made patchings of the demo model by title."""
