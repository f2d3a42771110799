"""How often each MLP neuron is active on each language's tokens, in one pass."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shiftlens.corpora import Corpus
from shiftlens.models import LanguageModel
from shiftlens.neurons.hooks import reading
from shiftlens.pooling import Pooling
from shiftlens.tokens import pooled_mask, token_batches, tokenize


def activation_probabilities(
    model: LanguageModel, corpus: Corpus, batch_tokens: int = 4096
) -> NDArray[np.float64]:
    """Share of each language's tokens, special ones left out, at which a neuron is above 0.

    Args:
        model: The plain model.
        corpus: The sentences.
        batch_tokens: Most padded tokens in a batch.

    Returns:
        ``(layers, neurons, languages)``, the languages in the corpus's order.

    Source:
        Tang et al., "Language-Specific Neurons", ACL 2024, arXiv:2402.16438, equation 3.
    """
    shares = []
    for tokenized in tokenize(model, corpus, Pooling()).values():
        counts: dict[int, Tensor] = {}
        order = sorted(range(len(corpus)), key=lambda row: -len(tokenized.ids[row]))
        for rows in token_batches(order, tokenized.ids, batch_tokens):
            inputs = model.pad([tokenized.ids[row] for row in rows])
            mask = pooled_mask(inputs["attention_mask"], [tokenized.pooled[row] for row in rows])

            def count(
                block: int, activation: Tensor, mask: Tensor = mask, counts: dict = counts
            ) -> None:
                kept = activation.reshape(mask.numel(), -1)[mask.flatten().to(activation.device)]
                counts[block] = counts.get(block, 0) + (kept > 0).sum(0).cpu()

            with torch.no_grad(), reading(model, count):
                model.hf.base_model(**inputs)
        tokens = sum(map(sum, tokenized.pooled))
        shares.append(torch.stack([counts[block] for block in sorted(counts)]).double() / tokens)
    return torch.stack(shares, dim=-1).numpy()
