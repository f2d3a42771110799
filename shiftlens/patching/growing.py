"""What lets a forward pass begin after a prefix and gain rows on its way up."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer

GROWING = {
    *("bloom", "gemma2", "gemma3_text", "gpt2", "gpt_neox", "llama"),
    *("mistral", "opt", "qwen2", "qwen3", "xglm"),
}
"""Model types whose batch may grow between two blocks; any other's is full from the start."""


class _PrefixLayer(DynamicLayer):
    """Keys and values of one row's prefix, seen by every row and never added to."""

    def __init__(self, keys: Tensor, values: Tensor):
        super().__init__()
        self.lazy_initialization(keys, values)
        self.keys: Tensor = keys
        self.values: Tensor = values

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        rows = (len(key_states), -1, -1, -1)
        keys = torch.cat([self.keys.expand(rows), key_states], dim=-2)
        return keys, torch.cat([self.values.expand(rows), value_states], dim=-2)


def prefix_cache(cache: DynamicCache, length: int) -> Cache:
    """The first positions of one row's cache, for any number of rows that go on from there."""
    layers: list[Any] = [
        _PrefixLayer(keys[:, :, :length], values[:, :, :length]) for keys, values, *_ in cache
    ]
    return Cache(layers=layers)


@contextlib.contextmanager
def every_row_alike(blocks: nn.ModuleList) -> Iterator[None]:
    """Give all rows what every block is given for the one row that the batch enters with.

    Most of it broadcasts. BLOOM's ``alibi`` stacks the heads of all rows, and XGLM insists on a
    mask ``(rows, 1, queries, keys)``.
    """

    def widen(_: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        rows = len(args[0])

        def for_all(given: Any) -> Any:
            masks = isinstance(given, Tensor) and given.ndim == 4
            return given.expand(rows, -1, -1, -1) if masks else given

        kwargs = {key: for_all(given) for key, given in kwargs.items()}
        if "alibi" in kwargs:
            kwargs["alibi"] = kwargs["alibi"].repeat(rows, 1, 1)
        return (args[0], *map(for_all, args[1:])), kwargs

    handles = [block.register_forward_pre_hook(widen, with_kwargs=True) for block in blocks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
