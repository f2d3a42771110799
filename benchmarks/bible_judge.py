"""How `bible.py` judges a model: loss and retrieval, sentence by sentence."""

import tempfile
from contextlib import nullcontext

import numpy as np
from bible_base import group_of
from sklearn.metrics.pairwise import cosine_similarity

from shiftlens import Corpus, LanguageModel, Shift, collect_states
from shiftlens.languages import DOMINANT
from shiftlens.text_loss import text_losses

Cell = dict[str, np.ndarray]
"""What was found of one model, an array of all sentences a key."""


def losses(model: LanguageModel, corpus: Corpus, shift: Shift | None) -> Cell:
    """Nats and tokens of every sentence, ``nats xx`` and ``tokens xx``, with the shift on."""
    found = {}
    for code, texts in corpus.texts.items():
        ids = model.tokenizer(list(texts))["input_ids"]
        tokens = np.array([len(own) - 1 for own in ids])
        with shift.applied(model, code) if shift else nullcontext():
            found[f"nats {code}"] = text_losses(model, ids, batch_tokens=512) * tokens
        found[f"tokens {code}"] = tokens
    return found


def retrieved(
    model: LanguageModel, corpus: Corpus, shift: Shift | None, area: tuple[int, int]
) -> Cell:
    """For each layer of the area and language, which sentences find each other.

    Returns:
        ``unshifted LAYER xx`` or ``shifted LAYER xx`` to flags ``(n, 2)``: whether the sentence
        finds its translation, and whether the translation finds it.
    """
    name = "shifted" if shift else "unshifted"
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        store = collect_states(model, corpus, folder, progress=False, shift=shift)
        for layer in range(area[0], area[1] + 1):
            english = store.states(DOMINANT, layer)
            for code in corpus.languages:
                if code != DOMINANT:
                    cosines = cosine_similarity(store.states(code, layer), english)
                    best = [cosines.argmax(axis) == np.arange(len(cosines)) for axis in (1, 0)]
                    found[f"{name} {layer} {code}"] = np.stack(best, axis=1)
    return found


def low_loss(cell: Cell, corpus: Corpus) -> float:
    """Mean nats per byte of the low languages."""
    return float(
        np.mean(
            [
                cell[f"nats {code}"].sum() / len("".join(texts).encode())
                for code, texts in corpus.texts.items()
                if group_of(code) == "low"
            ]
        )
    )
