"""The neurons of each language: found in one call, counted, compared, and as a table."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from shiftlens.corpora import Corpus
from shiftlens.errors import ShiftlensError
from shiftlens.models import LanguageModel
from shiftlens.neurons.counts import Keep, activation_probabilities, made_anew
from shiftlens.neurons.entropy import activation_entropy, language_specific
from shiftlens.neurons.hooks import neuron_count

SHARE = 0.01
"""The paper's share of all neurons, those of lowest entropy, that are kept."""

PERCENTILE = 0.95
"""The paper's percentile of all activation probabilities, for the filter and for the bar."""


@dataclass(frozen=True)
class NeuronsFound:
    """Which neurons are of which language.

    Attributes:
        share: The share of all neurons that was kept.
        languages: The codes.
        probabilities: Share of tokens at which each is active, ``(blocks, neurons, languages)``.
        own: Which are a language's, of that shape; one can be of several languages.
    """

    share: float
    languages: tuple[str, ...]
    probabilities: NDArray[np.float64]
    own: NDArray[np.bool_]

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many each block has of each language, ``(blocks, languages)``."""
        return self.own.sum(axis=1)

    @property
    def overlap(self) -> NDArray[np.int64]:
        """How many neurons two languages share, ``(languages, languages)``."""
        flat = self.own.reshape(-1, len(self.languages)).astype(np.int64)
        return flat.T @ flat

    @property
    def jaccard(self) -> NDArray[np.float64]:
        r"""Shared neurons of two languages, of both languages' neurons.

        .. math:: J_{kl} = \frac{|N_k \cap N_l|}{|N_k \cup N_l|}

        ``(languages, languages)``; NaN where neither has any.
        """
        sizes = np.diag(self.overlap)
        either = sizes[:, None] + sizes - self.overlap
        return np.where(either > 0, self.overlap / np.maximum(either, 1), np.nan)

    def of(self, language: str) -> dict[int, Tensor]:
        """A language's neurons by block, counted from 0, as :func:`scaling` takes them.

        Raises:
            ShiftlensError: There is no such language.
        """
        if language not in self.languages:
            there = ", ".join(self.languages)
            raise ShiftlensError(f"no neurons were sought for {language!r} (there: {there})")
        column = self.own[:, :, self.languages.index(language)]
        return {block: torch.from_numpy(np.flatnonzero(row)) for block, row in enumerate(column)}

    def table(self) -> pd.DataFrame:
        """One row a neuron that is of some language.

        Returns:
            ``block`` (from 1), ``neuron`` (from 0), ``languages`` (codes, a space between),
            ``entropy`` (nats), and for each language the share of its tokens at which it is
            active.
        """
        blocks, neurons = np.nonzero(self.own.any(axis=-1))
        entropy = activation_entropy(self.probabilities)
        owners = [
            " ".join(code for code, is_own in zip(self.languages, row, strict=True) if is_own)
            for row in self.own[blocks, neurons]
        ]
        facts = {"block": blocks + 1, "neuron": neurons, "languages": owners}
        facts["entropy"] = entropy[blocks, neurons]
        active = dict(zip(self.languages, self.probabilities[blocks, neurons].T, strict=True))
        return pd.DataFrame({**facts, **active})


def find_neurons(
    model: LanguageModel,
    corpus: Corpus,
    share: float = SHARE,
    *,
    filter_rate: float = PERCENTILE,
    bar_rate: float = PERCENTILE,
    batch_tokens: int = 4096,
    max_length: int = 512,
    progress: bool = True,
    keep: Keep = made_anew,
) -> NeuronsFound:
    """Find the neurons that are active on few languages' tokens: LAPE.

    Args:
        model: The plain model, a decoder or an encoder.
        corpus: Sentences of two languages or more.
        share: As for :func:`choose_neurons`, and so the rates.
        filter_rate: As there.
        bar_rate: As there.
        batch_tokens: Most tokens, padding included, in one forward pass.
        max_length: Longest text in tokens; longer ones are cut.
        progress: Show a progress bar on stderr.
        keep: As for :func:`activation_probabilities`.

    Returns:
        The neurons of each language.

    Raises:
        ShiftlensError: As :func:`choose_neurons`, :func:`check_share` and
            :func:`activation_probabilities`.

    Source:
        Tang et al., "Language-Specific Neurons: The Key to Multilingual Capabilities in Large
        Language Models", ACL 2024, arXiv:2402.16438.
    """
    check_rates(corpus.languages, share, filter_rate, bar_rate)
    check_share(model, share)
    probabilities = activation_probabilities(
        model,
        corpus,
        batch_tokens=batch_tokens,
        max_length=max_length,
        progress=progress,
        keep=keep,
    )
    return choose_neurons(
        corpus.languages, probabilities, share, filter_rate=filter_rate, bar_rate=bar_rate
    )


def choose_neurons(
    languages: Sequence[str],
    probabilities: NDArray[np.float64],
    share: float = SHARE,
    *,
    filter_rate: float = PERCENTILE,
    bar_rate: float = PERCENTILE,
) -> NeuronsFound:
    """Choose each language's neurons from how often they are active.

    Of the neurons more active in some language than ``filter_rate`` of all probabilities, those of
    lowest entropy are kept, ``share`` of all neurons; a kept one is of each language in which it is
    more active than ``bar_rate`` of all probabilities.

    Args:
        languages: The codes.
        probabilities: From :func:`activation_probabilities`.
        share: Share of all neurons to keep, above 0 and at most 1; the paper's 1%.
        filter_rate: Percentile, 0 to 1; the paper's 95th.
        bar_rate: Percentile, 0 to 1; the paper's 95th.

    Raises:
        ShiftlensError: A number is out of its range, or there are fewer than two languages.
    """
    check_rates(languages, share, filter_rate, bar_rate)
    own = language_specific(probabilities, filter_rate, share, bar_rate)
    return NeuronsFound(share, tuple(languages), probabilities, own)


def check_rates(
    languages: Sequence[str], share: float, filter_rate: float, bar_rate: float
) -> None:
    """Check what neurons are to be chosen by.

    Raises:
        ShiftlensError: As :func:`choose_neurons`.
    """
    if len(languages) < 2:
        raise ShiftlensError("neurons are told apart by language: give two languages or more")
    if not 0 < share <= 1:
        raise ShiftlensError(f"the share of neurons is {share:g}; give one above 0, at most 1")
    for name, rate in (("filter", filter_rate), ("bar", bar_rate)):
        if not 0 <= rate <= 1:
            raise ShiftlensError(f"the {name} rate is {rate:g}; give a percentile from 0 to 1")


def check_share(model: LanguageModel, share: float) -> None:
    """Refuse a share that is not a single neuron of the model.

    Raises:
        ShiftlensError: It is too small.
    """
    n = neuron_count(model)
    if round(share * n) < 1:
        raise ShiftlensError(
            f"a share of {share:g} of the {n:,} neurons of {model.name} is none; give "
            f"{1 / n:.2g}, which is one, or more"
        )
