"""Batches of parallel pairs, which a training draws in an order that its seed decides."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from shiftlens.errors import ShiftlensError
from shiftlens.tokens import TokenizedLanguage

T = TypeVar("T")


@dataclass(frozen=True)
class PairBatch:
    """N parallel pairs: the dominant texts and their translations, tokenised.

    Attributes:
        languages: Language of each of the 2 N rows, the dominant ones first.
        ids: Token ids of the 2 N rows.
        pooled: Which tokens of each row are pooled.
    """

    languages: tuple[str, ...]
    ids: list[list[int]]
    pooled: list[list[bool]]

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.languages) // 2

    def part(self, rows: slice) -> "PairBatch":
        """Some of the pairs."""
        n = len(self)

        def both(sides: Sequence[T]) -> list[T]:
            return [*sides[:n][rows], *sides[n:][rows]]

        return PairBatch(tuple(both(self.languages)), both(self.ids), both(self.pooled))


@dataclass
class PairSampler:
    """Batches of parallel pairs, every batch with N different sentences.

    Every epoch visits the sentences in a random order, each once and in a language drawn at
    random; those left over, fewer than N, wait for another epoch. What comes at a given step
    depends on the seed and that step alone, so that ``step`` is the sampler's whole state.

    Attributes:
        tokens: The tokens of each language, the dominant one among them.
        dominant: The dominant language.
        pairs: Pairs a batch, N.
        seed: Of order and languages.
        step: Number of the next batch.
        one_language: Draw one language a batch, not one a sentence.
    """

    tokens: dict[str, TokenizedLanguage]
    dominant: str
    pairs: int
    seed: int
    step: int = 0
    one_language: bool = False

    def __post_init__(self) -> None:
        sentences = len(self.tokens[self.dominant].ids)
        if self.pairs < 2 or self.pairs > sentences:
            raise ShiftlensError(
                f"a contrastive batch of {self.pairs} pairs is not possible with {sentences} "
                f"parallel sentences; give --pairs 2 to {sentences}"
            )

    def __iter__(self) -> Iterator[PairBatch]:
        return self

    def __next__(self) -> PairBatch:
        """The next batch."""
        others = [code for code in self.tokens if code != self.dominant]
        sentences = len(self.tokens[self.dominant].ids)
        epoch, place = divmod(self.step, sentences // self.pairs)
        generator = np.random.default_rng([self.seed, epoch])
        order = generator.permutation(sentences)
        drawn = generator.integers(len(others), size=sentences)
        rows = order[place * self.pairs : (place + 1) * self.pairs]
        languages = [others[drawn[rows[0] if self.one_language else row]] for row in rows]
        self.step += 1
        sides = [(self.dominant, row) for row in rows] + list(zip(languages, rows, strict=True))
        return PairBatch(
            tuple(code for code, _ in sides),
            [self.tokens[code].ids[row] for code, row in sides],
            [self.tokens[code].pooled[row] for code, row in sides],
        )
