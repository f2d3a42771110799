"""How often each MLP neuron is active on each language's tokens, in one pass."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from shiftlens.collect import not_finite
from shiftlens.corpora import Corpus
from shiftlens.fitting import fitting_batch
from shiftlens.models import LanguageModel
from shiftlens.neurons.hooks import reading
from shiftlens.pooling import Pooling
from shiftlens.tokens import TokenizedLanguage, pooled_mask, token_batches, tokenize

Keep = Callable[[str, Callable[[], NDArray[np.float64]]], NDArray[np.float64]]
"""Gives what is kept under a name, or makes it and keeps it."""


def made_anew(name: str, make: Callable[[], NDArray[np.float64]]) -> NDArray[np.float64]:
    """Keep nothing."""
    return make()


def activation_probabilities(
    model: LanguageModel,
    corpus: Corpus,
    *,
    batch_tokens: int = 4096,
    max_length: int = 512,
    progress: bool = True,
    keep: Keep = made_anew,
) -> NDArray[np.float64]:
    r"""Share of each language's tokens, special ones left out, at which a neuron is above 0.

    .. math:: p_{jk} = \frac{1}{T_k} \sum_{t \in k} 1[a_j(t) > 0]

    Counts are all that is kept of a batch, so that memory does not grow with the corpus.

    Args:
        model: The plain model.
        corpus: The sentences.
        batch_tokens: Most tokens, padding included, in one forward pass.
        max_length: Longest text in tokens; longer ones are cut.
        progress: Show a progress bar on stderr.
        keep: Called with a name for each language's part, ``(blocks, neurons)``, and what makes it.

    Returns:
        p, ``(blocks, neurons, languages)``, the languages in the corpus's order.

    Raises:
        ShiftlensError: The model's neurons cannot be read, or an activation is NaN or infinite
            (language, sentence and block, counted from 1, named).

    Source:
        Tang et al., "Language-Specific Neurons", ACL 2024, arXiv:2402.16438, equation 3.
    """
    texts = tokenize(model, corpus, Pooling(), max_length)
    total = len(corpus) * len(texts)
    with tqdm(total=total, unit="texts", desc="neurons", disable=not progress or None) as bar:
        shares = []
        for language, tokenized in texts.items():
            sizes = (language, corpus.ids, tokenized, batch_tokens, bar)
            shares.append(keep(f"active-{language}", partial(_of_language, model, *sizes)))
            bar.update(len(shares) * len(corpus) - bar.n)
    return np.stack(shares, axis=-1)


def _of_language(
    model: LanguageModel,
    language: str,
    sentences: Sequence[str],
    texts: TokenizedLanguage,
    batch_tokens: int,
    bar: tqdm,
) -> NDArray[np.float64]:
    """One language's shares, ``(blocks, neurons)``."""
    counts: dict[int, Tensor] = {}

    def count(mask: Tensor, rows: list[int], block: int, activation: Tensor) -> None:
        mask = mask.to(activation.device)
        kept = activation.reshape(mask.numel(), -1)[mask.flatten()]
        bad = ~kept.isfinite().all(dim=1)
        if bad.any():
            row = mask.nonzero()[bad][0, 0]
            raise not_finite(language, sentences[rows[row]], block + 1)
        counts[block] = counts.get(block, 0) + (kept > 0).sum(dim=0)

    order = sorted(range(len(sentences)), key=lambda row: -len(texts.ids[row]))
    for rows in token_batches(order, texts.ids, batch_tokens):
        inputs = model.pad([texts.ids[row] for row in rows])
        mask = pooled_mask(inputs["attention_mask"], [texts.pooled[row] for row in rows])
        fits = fitting_batch(inputs["input_ids"].shape, batch_tokens)
        with fits, torch.no_grad(), reading(model, partial(count, mask, rows)):
            model.hf.base_model(**inputs)
        bar.update(len(rows))
    tokens = sum(map(sum, texts.pooled))
    found = torch.stack([counts[block].cpu() for block in sorted(counts)]).double() / tokens
    return found.numpy()
