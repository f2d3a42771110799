"""Reading and writing the residual stream in the forward passes of a plain model."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from shiftlens.models import LanguageModel


def hook_names(n_layers: int) -> list[str]:
    """TransformerLens names of layers 0..L: entry ``l`` is the hook point of layer ``l``."""
    return ["blocks.0.hook_in", *(f"blocks.{block}.hook_out" for block in range(n_layers))]


@contextlib.contextmanager
def residual_hooks(
    model: LanguageModel, action: Callable[[int, Tensor], Tensor | None], layers: Sequence[int]
) -> Iterator[None]:
    """Call ``action(layer, residual)`` in every forward pass of the plain model.

    Args:
        model: The plain model.
        action: Receives the layer and its residual stream ``(batch, pos, d_model)``; what it
            returns, unless None, takes the stream's place.
        layers: Layers to hook, among 0..L.

    Yields:
        Nothing; the hooks are removed on exit, also after an error.
    """
    blocks = model.blocks

    def entering(_: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
        stream = args[0] if args else kwargs["hidden_states"]
        new = action(0, stream)
        if new is None:
            return None
        return ((new, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": new})

    def leaving(layer: int) -> Callable[..., Any]:
        def hook(_: nn.Module, __: Any, output: Any) -> Any:
            new = action(layer, output[0] if isinstance(output, tuple) else output)
            if new is None or not isinstance(output, tuple):
                return new
            return (new, *output[1:])

        return hook

    handles = [
        blocks[0].register_forward_pre_hook(entering, with_kwargs=True)
        if layer == 0
        else blocks[layer - 1].register_forward_hook(leaving(layer))
        for layer in layers
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
