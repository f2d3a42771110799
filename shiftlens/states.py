"""Sentence vectors in memory, to be measured in part, or many times."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from shiftlens.errors import ShiftlensError
from shiftlens.store import ActivationStore


@dataclass(frozen=True)
class SentenceStates:
    """Sentence vectors of every language at every layer, in memory.

    A sweep takes them as it takes a store. They need (L + 1) x n_sentences x d_model x 4 bytes a
    language where a store needs those of one layer.

    Attributes:
        vectors: Language to its vectors ``(L + 1, n_sentences, d_model)``, row i of every language
            being the same sentence.

    Raises:
        ShiftlensError: There is no language, or their vectors are not of one such shape.
    """

    vectors: Mapping[str, np.ndarray]

    def __post_init__(self) -> None:
        shapes = {language: np.shape(own) for language, own in self.vectors.items()}
        if len(set(shapes.values())) != 1 or len(next(iter(shapes.values()))) != 3:
            raise ShiftlensError(
                "sentence vectors are of one shape (layers, sentences, d_model) in all languages, "
                f"not {shapes}"
            )

    @classmethod
    def read(cls, store: ActivationStore) -> Self:
        """Read a whole store.

        Raises:
            ShiftlensError: A shard is missing or damaged.
        """
        return cls(
            {
                language: np.stack([store.states(language, layer) for layer in store.layers])
                for language in store.languages
            }
        )

    def of_sentences(self, rows: Sequence[int] | np.ndarray) -> Self:
        """Keep some sentences, the same of all languages.

        Args:
            rows: Their numbers, from 0, in the order wanted.

        Raises:
            ShiftlensError: There is no such sentence.
        """
        chosen = np.asarray(rows, dtype=int)
        if chosen.size and not 0 <= chosen.min() <= chosen.max() < self.n_sentences:
            raise ShiftlensError(
                f"sentences {chosen.min()} to {chosen.max()} are not all in "
                f"0..{self.n_sentences - 1}"
            )
        return type(self)({language: own[:, chosen] for language, own in self.vectors.items()})

    @property
    def languages(self) -> tuple[str, ...]:
        """Language codes, in their order."""
        return tuple(self.vectors)

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers, 0..L."""
        return tuple(range(len(next(iter(self.vectors.values())))))

    @property
    def n_sentences(self) -> int:
        """Sentences a language."""
        return int(next(iter(self.vectors.values())).shape[1])

    def states(self, language: str, layer: int) -> np.ndarray:
        """Sentence vectors of one language at one layer, ``(n_sentences, d_model)``."""
        return self.vectors[language][layer]
