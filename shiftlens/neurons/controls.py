"""Other neurons to scale in the place of a language's own: random ones, and equally active ones."""

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from shiftlens.errors import ShiftlensError
from shiftlens.neurons.found import NeuronsFound

Chosen = dict[str, dict[int, Tensor]]
"""Language to block, counted from 0, to the numbers of neurons."""


def random_neurons(found: NeuronsFound, seed: int, draw: int) -> Chosen:
    """Draw as many neurons in each block as a language has there, none of them its own.

    Args:
        found: The neurons of each language.
        seed: Of all draws.
        draw: Which draw.

    Returns:
        Language to block, counted from 0, to the numbers of the neurons.

    Raises:
        ShiftlensError: More than half of a block's neurons are one language's.
    """
    drawn: Chosen = {}
    for k, code in enumerate(found.languages):
        rng = np.random.default_rng([seed, draw, k])
        drawn[code] = {}
        for block in range(len(found.own)):
            own, others = _own_and_others(found, block, k)
            drawn[code][block] = torch.from_numpy(rng.choice(others, len(own), replace=False))
    return drawn


def matched_neurons(found: NeuronsFound) -> Chosen:
    r"""Pair each of a language's neurons with another one of its block, about as active in it.

    The pairs minimise :math:`\sum |p_j - p_{j'}|`, the difference in the share of the language's
    tokens at which the two are active; j' is none of the language's own, and is taken once.

    Args:
        found: The neurons of each language.

    Returns:
        As :func:`random_neurons`.

    Raises:
        ShiftlensError: As :func:`random_neurons`.
    """
    matched: Chosen = {}
    for k, code in enumerate(found.languages):
        matched[code] = {}
        for block, active in enumerate(found.probabilities[:, :, k]):
            own, others = _own_and_others(found, block, k)
            costs = np.abs(active[own][:, None] - active[others])
            matched[code][block] = torch.from_numpy(others[linear_sum_assignment(costs)[1]])
    return matched


def _own_and_others(found: NeuronsFound, block: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """A block's neurons that are a language's, and those that are not, at least as many."""
    is_own = found.own[block, :, k]
    own, others = np.flatnonzero(is_own), np.flatnonzero(~is_own)
    if len(own) > len(others):
        raise ShiftlensError(
            f"{len(own)} of the {len(is_own)} neurons of block {block + 1} are of "
            f"{found.languages[k]}: too few others for a control; keep a smaller share"
        )
    return own, others
