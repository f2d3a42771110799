"""The shape of a model and of the texts: what every forecast is counted from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np
import transformers
from scipy.stats import norm
from torch import nn
from transformers.pytorch_utils import Conv1D

from shiftlens.errors import ShiftlensError
from shiftlens.tokens import token_batches
from shiftlens.weightless import blocks_of

LONGEST = 10_000_000
"""Most tokens a sentence of which there is a forecast."""

WIDEST = 10
"""Largest standard deviation of a length's logarithm."""

Batches = Sequence[tuple[int, int]]
"""Texts of each batch, and the tokens to which they are padded."""


@dataclass(frozen=True)
class Texts:
    r"""Parallel texts, as far as a forecast needs them.

    Lengths are taken to be log-normal: a share q of the sentences has at most

    .. math:: t \, \exp\!\big( \sigma \Phi^{-1}(q) - \sigma^2 / 2 \big)

    tokens, t being the mean.

    Attributes:
        languages: How many languages.
        sentences: Sentences a language.
        tokens: Tokens a sentence, special ones included, on average.
        spread: Standard deviation of a length's logarithm.

    Raises:
        ShiftlensError: One of them is out of its range.
    """

    languages: int
    sentences: int
    tokens: float
    spread: float = 0.5

    def __post_init__(self) -> None:
        for name in ("languages", "sentences", "tokens"):
            if not getattr(self, name) >= 1:
                raise ShiftlensError(f"{name} is {getattr(self, name)}; give at least 1")
        if not self.tokens <= LONGEST:
            raise ShiftlensError(f"tokens is {self.tokens}; give at most {LONGEST:,}")
        if not 0 <= self.spread <= WIDEST:
            raise ShiftlensError(f"spread is {self.spread}; give 0 to {WIDEST}")

    @property
    def total(self) -> float:
        """Tokens in all."""
        return self.languages * self.sentences * self.tokens

    def lengths(self, count: int) -> list[int]:
        """Lengths of so many sentences, the longest first: the middles of as many equal shares."""
        shares = (np.arange(count, 0, -1) - 0.5) / count
        lengths = self.tokens * np.exp(self.spread * norm.ppf(shares) - self.spread**2 / 2)
        return [max(1, round(length)) for length in lengths.tolist()]

    def longest(self, count: int) -> int:
        """Length of the longest of so many sentences taken at random."""
        return self.lengths(count)[0]

    def batches(self, shard_rows: int, batch_tokens: int, longest: int) -> Batches:
        """The batches of one language.

        Args:
            shard_rows: Sentences a shard; no batch is of two shards.
            batch_tokens: Most tokens, padding included, in a batch.
            longest: Where longer sentences are cut.
        """
        batches: list[tuple[int, int]] = []
        for start in range(0, self.sentences, shard_rows):
            count = min(shard_rows, self.sentences - start)
            lengths = [min(length, longest) for length in self.lengths(count)]
            ids = [[0] * length for length in lengths]
            for rows in token_batches(list(range(count)), ids, batch_tokens):
                batches.append((len(rows), lengths[rows[0]]))
        return batches


@dataclass(frozen=True)
class ModelShape:
    r"""What a model's modules say of its size and of the work a token is.

    A token's matrix products are 2 x in x out FLOPs in every ``Linear`` and ``Conv1D``; attention
    adds, in a block of width H and over a text of n tokens,

    .. math:: 4 \, n \, H

    (queries with keys, weights with values; kernels that skip what a causal mask hides do half).

    Attributes:
        architecture: The class of the model.
        n_layers: Its blocks L.
        d_model: Width of the residual stream.
        parameters: How many numbers are learned.
        weights: Bytes of its parameters and buffers.
        base: FLOPs of a token's matrix products in the base model, without the head.
        block: The same in one block, on average.
        head: The same in what lies behind the base model.
        attention: Width H of all heads together.
        uncounted: Share of the parameters in matrices that belong to no such module, embeddings
            apart; their work is not counted.
    """

    architecture: str
    n_layers: int
    d_model: int
    parameters: int
    weights: int
    base: int
    block: float
    head: int
    attention: int
    uncounted: float

    @classmethod
    def of(cls, hf: transformers.PreTrainedModel) -> "ModelShape":
        """Count a model's modules; its weights may be fake ones.

        Raises:
            ShiftlensError: It has no list of blocks.
        """
        text = hf.config.get_text_config()
        heads = int(text.num_attention_heads)
        width = getattr(text, "head_dim", None) or int(text.hidden_size) // heads
        parameters = sum(parameter.numel() for parameter in hf.parameters())
        base = matmul_flops(hf.base_model)
        return cls(
            architecture=type(hf).__name__,
            n_layers=int(text.num_hidden_layers),
            d_model=int(text.hidden_size),
            parameters=parameters,
            weights=sum(tensor.nbytes for tensor in (*hf.parameters(), *hf.buffers())),
            base=base,
            block=matmul_flops(blocks_of(hf)) / int(text.num_hidden_layers),
            head=matmul_flops(hf) - base,
            attention=heads * int(width),
            uncounted=_uncounted(hf) / parameters,
        )

    def forward(self, rows: int, width: int, head: bool = False) -> float:
        """FLOPs of the forward pass of a batch.

        Args:
            rows: Its texts.
            width: Tokens of each, padding included.
            head: With the language-model head.
        """
        mixing = 4 * width * self.attention * self.n_layers
        return rows * width * (self.base + mixing + (self.head if head else 0))

    def forward_to(self, layer: int, rows: int, width: int) -> float:
        """FLOPs of a forward pass that ends at a layer."""
        return rows * width * layer * (self.block + 4 * width * self.attention)


def matmul_flops(module: nn.Module) -> int:
    """FLOPs of a token's matrix products in all ``Linear`` and ``Conv1D`` modules inside."""
    return sum(2 * part.weight.numel() for part in module.modules() if multiplies(part))


def multiplies(module: nn.Module) -> TypeGuard[nn.Linear]:
    """Whether a module multiplies its input with its weight."""
    return isinstance(module, (nn.Linear, Conv1D))


def _uncounted(hf: nn.Module) -> int:
    return sum(
        parameter.numel()
        for module in hf.modules()
        if not multiplies(module) and not isinstance(module, nn.Embedding)
        for parameter in module.parameters(recurse=False)
        if parameter.dim() > 1
    )
