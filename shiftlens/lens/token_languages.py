"""Which language each token of a vocabulary is of, as a corpus uses it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from shiftlens.corpora import Corpus
from shiftlens.errors import ShiftlensError
from shiftlens.models import LanguageModel
from shiftlens.pooling import Pooling
from shiftlens.tokens import tokenize

AMBIGUOUS = "ambiguous"
UNSEEN = "unseen"


@dataclass(frozen=True)
class TokenLanguages:
    r"""A partition of the vocabulary: tokens of one language, of several, and never seen.

    With :math:`f_k(t)` the share of token t among the tokens of language k's sentences, t is of
    language k where

    .. math:: \frac{f_k(t)}{\sum_j f_j(t)} \ge \theta

    with the threshold :math:`\theta > 1/2`; of no language, ``ambiguous``, where no k reaches it;
    and ``unseen`` where all sentences together hold it less than ``least`` times, as they hold
    special tokens.

    Attributes:
        languages: The codes.
        group: For each token the number of its group, ``(vocabulary,)``: a language's place in
            ``languages``, then ``ambiguous``, then ``unseen``.
    """

    languages: tuple[str, ...]
    group: Tensor

    @classmethod
    def of_corpus(
        cls, model: LanguageModel, corpus: Corpus, threshold: float = 0.9, least: int = 2
    ) -> "TokenLanguages":
        """Count the tokens of a corpus.

        Args:
            model: Whose tokenizer and vocabulary count.
            corpus: Sentences in every language, parallel or not.
            threshold: The threshold, above 1/2 so that a token is of one language at most.
            least: How often a token must occur to be placed at all.

        Raises:
            ShiftlensError: The threshold or ``least`` is out of range, there is one language only,
                or no token is a language's own (named).
        """
        check_counting(corpus, threshold)
        if least < 1:
            raise ShiftlensError(f"least is {least}; give 1 or more")
        counts = _counts(model, corpus)
        shares = counts / counts.sum(axis=1, keepdims=True)
        summed = shares.sum(axis=0)
        own = shares / np.where(summed > 0, summed, 1)
        group = np.where(own.max(axis=0) >= threshold, own.argmax(axis=0), len(counts))
        group[counts.sum(axis=0) < least] = len(counts) + 1
        for number, language in enumerate(corpus.languages):
            if number not in group:
                raise ShiftlensError(
                    f"no token is of language {language!r} alone (at {threshold:.0%} of its "
                    f"occurrences, {least} or more): give more sentences, lower the threshold, or "
                    "leave out the language or the one it shares its words with"
                )
        return cls(tuple(corpus.languages), torch.from_numpy(group))

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups' names, in their order."""
        return (*self.languages, AMBIGUOUS, UNSEEN)

    @property
    def sizes(self) -> dict[str, int]:
        """How many tokens each group has."""
        counts = torch.bincount(self.group, minlength=len(self.groups)).tolist()
        return dict(zip(self.groups, counts, strict=True))

    def mass(self, probabilities: Tensor) -> Tensor:
        r"""Probability of each group.

        .. math:: P_g = \sum_{t \in g} p(t)

        Args:
            probabilities: Of the next token, ``(rows, vocabulary)``.

        Returns:
            ``(rows, languages + 2)``; every row sums to 1.
        """
        return probabilities @ self._indicator.to(probabilities.device, probabilities.dtype)

    @cached_property
    def _indicator(self) -> Tensor:
        """1 where a token is in a group, ``(vocabulary, languages + 2)``."""
        empty = torch.zeros(len(self.group), len(self.groups))
        return empty.scatter_(1, self.group[:, None], 1.0)


def check_counting(corpus: Corpus, threshold: float) -> None:
    """Refuse what tokens cannot be told by.

    Raises:
        ShiftlensError: The threshold is out of range, or there is one language only.
    """
    if not 0.5 < threshold <= 1:
        raise ShiftlensError(f"the threshold is {threshold}; give a share above 0.5, up to 1")
    if len(corpus.languages) < 2:
        raise ShiftlensError(
            f"the corpus holds {corpus.languages[0]!r} alone; give at least two languages to tell "
            "tokens by"
        )


def _counts(model: LanguageModel, corpus: Corpus) -> np.ndarray:
    """How often each language's sentences hold each token, ``(languages, vocabulary)``."""
    vocabulary = model.hf.get_output_embeddings().weight.shape[0]
    content = Pooling()
    counts = np.zeros((len(corpus.languages), vocabulary))
    for row, (_, tokens) in zip(counts, tokenize(model, corpus, content).items(), strict=True):
        ids = np.concatenate([np.asarray(each) for each in tokens.ids])
        kept = np.concatenate([np.asarray(each, dtype=bool) for each in tokens.pooled])
        row += np.bincount(ids[kept], minlength=vocabulary)
    return counts
