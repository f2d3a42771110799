"""Passes over held-out text, each with other neurons scaled, under one bar."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from shiftlens.errors import ShiftlensError
from shiftlens.models import LanguageModel
from shiftlens.neurons.counts import Keep
from shiftlens.neurons.hooks import scaling
from shiftlens.text_loss import text_losses


@dataclass(frozen=True)
class LossPasses:
    """What every pass has in common.

    Attributes:
        model: A causal language model.
        ids: Token ids of each language's texts, as many in each.
        factor: What the neurons' activations are multiplied by.
        batch_tokens: Most tokens, padding included, in one forward pass.
        keep: Called with a name for each pass, ``(languages, texts)``, and what makes it.
        bar: Counts texts.
    """

    model: LanguageModel
    ids: Mapping[str, Sequence[Sequence[int]]]
    factor: float
    batch_tokens: int
    keep: Keep
    bar: Any

    def losses(self, name: str, neurons: Mapping[str, Mapping[int, Tensor]]) -> np.ndarray:
        """Nats per token of every text, ``(languages, texts)``.

        Args:
            name: The pass; one that is kept under it is not made anew.
            neurons: The neurons scaled in each language's texts, by block.

        Raises:
            ShiftlensError: A loss is NaN (the language is named).
        """
        texts = sum(map(len, self.ids.values()))
        end = (self.bar.n // texts + 1) * texts
        made = self.keep(name, lambda: np.stack([self._of(c, neurons[c]) for c in self.ids]))
        self.bar.update(end - self.bar.n)
        return made

    def _of(self, code: str, neurons: Mapping[int, Tensor]) -> np.ndarray:
        with scaling(self.model, neurons, self.factor):
            try:
                values = text_losses(self.model, self.ids[code], self.batch_tokens)
            except ShiftlensError as error:
                raise ShiftlensError(f"held-out text, language {code}: {error}") from error
        self.bar.update(len(values))
        return values
