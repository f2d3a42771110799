"""What collecting the states of parallel text takes."""

from dataclasses import dataclass
from math import ceil, prod

import torch
import transformers
from torch import Tensor, nn

from shiftlens.forecast.shape import Batches, ModelShape, Texts
from shiftlens.models import without_cache
from shiftlens.plan import moment_bytes, rows_of_a_shard, state_bytes
from shiftlens.pooling import masked_mean
from shiftlens.weightless import LiveBytes, blocks_of, some_text

TOKEN_BYTES = 30
"""Of a token of the corpus in memory: its text, id and flag, and what reading them takes;
measured."""

WRITING = 3
"""Times that a shard is in memory at once while it is written; measured."""


@dataclass(frozen=True)
class CollectionForecast:
    """What a collection takes.

    Attributes:
        disk: Bytes of the states.
        weights: Bytes of the model.
        forward: Bytes at most alive in a forward pass of one batch.
        shard: Bytes of the states or moments under way, on the host.
        text: Bytes of the tokenised corpus, on the host.
        flops: Of the matrix products of all forward passes.
    """

    disk: int
    weights: int
    forward: int
    shard: int
    text: int
    flops: float

    @property
    def peak(self) -> int:
        """Bytes on one machine without a device of its own: states are written between batches."""
        return self.weights + self.text + max(self.forward + self.shard, WRITING * self.shard)


def forecast_collection(
    hf: transformers.PreTrainedModel,
    texts: Texts,
    *,
    batch_tokens: int = 4096,
    max_length: int = 512,
    moments: bool = False,
    batches: Batches | None = None,
) -> CollectionForecast:
    """Forecast a collection.

    Args:
        hf: A model of :func:`shiftlens.weightless.weightless`, inside that context.
        texts: The texts.
        batch_tokens: Most tokens, padding included, in one forward pass.
        max_length: Where longer sentences are cut.
        moments: Whether token moments are collected, not sentence vectors.
        batches: Those of all languages where they are known.

    Returns:
        The forecast.

    Raises:
        ShiftlensError: The model has no list of blocks.
    """
    shape = ModelShape.of(hf)
    layers, d_model = shape.n_layers + 1, shape.d_model
    row_bytes = state_bytes(1, layers, d_model)
    rows = min(texts.sentences, rows_of_a_shard(row_bytes))
    if moments:
        disk, shard = (moment_bytes(n, layers, d_model) for n in (2 * texts.languages, 1))
        rows = ceil(texts.sentences / 2)
    else:
        disk = state_bytes(texts.languages * texts.sentences, layers, d_model)
        shard = rows * row_bytes
    if batches is None:
        batches = [*texts.batches(rows, batch_tokens, max_length)] * texts.languages
    return CollectionForecast(
        disk,
        shape.weights,
        forward_bytes(hf, *max(batches, key=prod)),
        shard,
        round(TOKEN_BYTES * texts.total),
        sum(shape.forward(*batch) for batch in batches),
    )


def forward_bytes(hf: transformers.PreTrainedModel, rows: int, tokens: int) -> int:
    """Bytes at most alive in a forward pass without gradients, every layer pooled on its way.

    Args:
        hf: A model without weights, inside its context.
        rows: Texts of the batch.
        tokens: Tokens of each.
    """
    inputs = some_text(rows, tokens)
    mask = inputs["attention_mask"].bool()
    pooled: list[Tensor] = []

    def pool(_: nn.Module, __: object, output: Tensor | tuple[Tensor, ...]) -> None:
        stream = output[0] if isinstance(output, tuple) else output
        pooled.append(masked_mean(stream, mask))

    handles = [block.register_forward_hook(pool) for block in blocks_of(hf)]
    try:
        with LiveBytes() as bytes_, torch.no_grad():
            hf.base_model(**inputs, **without_cache(hf))
    finally:
        for handle in handles:
            handle.remove()
    return bytes_.peak
