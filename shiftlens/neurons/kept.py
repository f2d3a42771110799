"""Which of a model's language-specific neurons another model of the same shape still has."""

import numpy as np
import pandas as pd

from shiftlens.errors import ShiftlensError
from shiftlens.neurons.found import NeuronsFound


def neurons_kept(before: NeuronsFound, after: NeuronsFound) -> pd.DataFrame:
    r"""Count each language's neurons in two models, and those that are the same.

    Had the second model drawn its :math:`m_b` neurons of a language at random among the
    :math:`d_b` of block b, it would share :math:`n_b m_b / d_b` of the first one's :math:`n_b`
    (the mean of the hypergeometric distribution).

    Args:
        before: The neurons of a model.
        after: Of the same model after training, or on other text.

    Returns:
        A row a language and block: ``language``, ``block`` (from 1), ``before``, ``after``,
        ``kept``, ``by_chance``.

    Raises:
        ShiftlensError: The models differ in shape, or the languages differ.
    """
    if before.languages != after.languages or before.own.shape != after.own.shape:
        raise ShiftlensError("the neurons are of other languages or of models of another shape")
    blocks, width, _ = before.own.shape
    tables = []
    for k, code in enumerate(before.languages):
        first, second = before.own[:, :, k], after.own[:, :, k]
        n, m = first.sum(axis=1), second.sum(axis=1)
        counts = {"before": n, "after": m, "kept": (first & second).sum(axis=1)}
        rows = {"language": code, "block": np.arange(1, blocks + 1), **counts}
        tables.append(pd.DataFrame({**rows, "by_chance": n * m / width}))
    return pd.concat(tables, ignore_index=True)
