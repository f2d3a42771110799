"""LAPE: which neurons are of which language, from how often each is active."""

import numpy as np
from numpy.typing import NDArray


def activation_entropy(probabilities: NDArray) -> NDArray[np.float64]:
    r"""Entropy of each neuron's activation probabilities, normalised over the languages.

    .. math:: H_j = -\sum_k p'_{jk} \log p'_{jk}, \quad p'_{jk} = p_{jk} / \sum_{k'} p_{jk'}

    Args:
        probabilities: Share of tokens at which it is active, ``(layers, neurons, languages)``.

    Returns:
        Nats, ``(layers, neurons)``; infinite for a neuron that is never active.

    Source:
        Tang et al., "Language-Specific Neurons", ACL 2024, arXiv:2402.16438, section 2.2.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    total = p.sum(-1, keepdims=True)
    shares = p / np.where(total > 0, total, 1)
    entropy = -(shares * np.log(np.where(shares > 0, shares, 1))).sum(-1)
    return np.where(total[..., 0] > 0, entropy, np.inf)


def language_specific(
    probabilities: NDArray, filter_rate: float, top_rate: float, bar_rate: float
) -> NDArray[np.bool_]:
    """Which neurons are of which language.

    Args:
        probabilities: Share of tokens at which it is active, ``(layers, neurons, languages)``.
        filter_rate: Quantile of all probabilities that a neuron must exceed in some language.
        top_rate: Share of all neurons, those of lowest entropy, that are kept.
        bar_rate: Quantile of all probabilities above which a kept neuron is of a language.

    Returns:
        ``(layers, neurons, languages)``; a neuron can be of several languages, or of none.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    ranked = np.sort(p, axis=None)

    def quantile(rate: float) -> float:
        return float(ranked[max(0, round(rate * len(ranked)) - 1)])

    entropy = activation_entropy(p)
    entropy[p.max(-1) <= quantile(filter_rate)] = np.inf
    order = np.argsort(entropy, axis=None, kind="stable")[: round(top_rate * entropy.size)]
    kept = np.zeros(entropy.size, dtype=bool)
    kept[order] = np.isfinite(entropy.ravel()[order])
    return kept.reshape(entropy.shape)[..., None] & (p > quantile(bar_rate))
