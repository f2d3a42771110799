"""Reading every layer of a forward pass through the model's own head."""

import contextlib
from collections.abc import Callable

import torch
from torch import Tensor

from shiftlens.errors import ShiftlensError
from shiftlens.lens.head import LensHead
from shiftlens.models import LanguageModel
from shiftlens.residual import residual_hooks
from shiftlens.shift import Shift

CHUNK_BYTES = 64 * 2**20
"""Most memory for the logits of the positions that are read at once, and what is made of them."""
COPIES = 4
"""How many float32 numbers that is for each logit."""

Measure = Callable[[Tensor, slice], Tensor]
"""From logits ``(rows, vocabulary)``, float32, of some of the positions to ``(rows, columns)``."""


def read_layers(
    model: LanguageModel,
    head: LensHead,
    inputs: dict[str, Tensor],
    positions: Tensor,
    measure: Measure,
) -> Tensor:
    """Measure what every layer predicts at some positions, in one forward pass.

    Each layer is read while the pass is at it, some positions at a time: neither the layers'
    streams nor the logits of a whole layer are ever held.

    Args:
        model: The model.
        head: Its head.
        inputs: Those of a forward pass.
        positions: True where to read, ``(batch, pos)``.
        measure: What to keep of the logits.

    Returns:
        ``(L + 1, positions, columns)``, float64, positions in the order of the batch.
    """
    rows = chunk_rows(model)
    values: dict[int, Tensor] = {}

    def read(layer: int, stream: Tensor) -> None:
        states = stream[positions.to(stream.device)]
        parts = [
            measure(head.logits(states[start : start + rows]).float(), slice(start, start + rows))
            for start in range(0, len(states), rows)
        ]
        values[layer] = torch.cat(parts).cpu().double()

    with torch.no_grad(), residual_hooks(model, read, range(model.n_layers + 1)):
        model.hf.base_model(**inputs, use_cache=False)
    return torch.stack([values[layer] for layer in sorted(values)])


def chunk_rows(model: LanguageModel) -> int:
    """How many positions are read at once."""
    vocabulary = model.hf.get_output_embeddings().weight.shape[0]
    return max(1, CHUNK_BYTES // (4 * COPIES * vocabulary))


def entropy(probabilities: Tensor) -> Tensor:
    r"""Entropy of the next token in nats, ``(rows, vocabulary)`` to ``(rows,)``.

    .. math:: H = -\sum_t p(t) \log p(t)
    """
    return torch.special.entr(probabilities).sum(-1)


def shifting(
    model: LanguageModel, shift: Shift | None, language: str
) -> contextlib.AbstractContextManager[None]:
    """The shift of a language applied, or nothing where there is none."""
    return contextlib.nullcontext() if shift is None else shift.applied(model, language)


def check_finite(values: Tensor, where: str) -> None:
    """Refuse what a model's overflow has spoilt.

    Args:
        values: ``(L + 1, ...)``.
        where: What was read, for the message.

    Raises:
        ShiftlensError: A value is NaN or infinite (layer named).
    """
    bad = (~values.isfinite()).nonzero()
    if len(bad):
        raise ShiftlensError(
            f"{where}, layer {int(bad[0, 0])}: what the lens reads is NaN or infinite; a float16 "
            "model may need --dtype bfloat16 or float32"
        )
