"""What can be patched, and the modules of the plain model in which it is found."""

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

from torch import nn

from shiftlens.architectures import architecture_adapter
from shiftlens.errors import ShiftlensError
from shiftlens.models import LanguageModel

COMPONENTS = {
    "resid": "residual stream",
    "attn_out": "attention output",
    "mlp_out": "MLP output",
    "head": "attention head",
}
"""What can be patched, in words.

``resid`` is the residual stream at layers 0..L. The others are of block b = 1..L: what the output
projection of its attention or of its MLP gives (before any norm behind it, as Gemma has it), and
one head's part of what goes into the attention's.
"""


def layers_of(model: LanguageModel, component: str, layers: Iterable[int] | None) -> list[int]:
    """Which layers to patch, in rising order.

    Raises:
        ShiftlensError: No such component, or a layer that it does not have.
    """
    if component not in COMPONENTS:
        known = ", ".join(COMPONENTS)
        raise ShiftlensError(f"unknown component {component!r}; choose one of {known}")
    first = 0 if component == "resid" else 1
    if layers is None:
        layers = range(first, model.n_layers + 1)
    if not isinstance(layers, Iterable) or not all(isinstance(each, Integral) for each in layers):
        raise ShiftlensError(f"layers are {layers!r}; give a list of whole numbers")
    chosen = sorted({int(each) for each in layers})
    wrong = [layer for layer in chosen if not first <= layer <= model.n_layers]
    if wrong or not chosen:
        what = f"layer {wrong[0]} does not exist" if wrong else "no layer is given"
        raise ShiftlensError(f"{what}: {component} has {first}..{model.n_layers}")
    return chosen


def whole_numbers(**settings: Any) -> None:
    """Refuse settings that are no whole numbers.

    Raises:
        ShiftlensError: One is not (named).
    """
    for name, value in settings.items():
        if not isinstance(value, Integral):
            raise ShiftlensError(f"{name} is {value!r}; give a whole number")


def n_heads(model: LanguageModel) -> int:
    """How many (query) heads a block's attention has."""
    return int(model.hf.config.get_text_config().num_attention_heads)


def heads_of(model: LanguageModel, component: str) -> Sequence[int | None]:
    """The heads to patch at each layer: None alone where the component has none."""
    return range(n_heads(model)) if component == "head" else (None,)


def projections(model: LanguageModel, component: str) -> list[nn.Module]:
    """The output projection of every block's attention, or MLP for ``mlp_out``.

    Raises:
        ShiftlensError: TransformerLens's adapter knows none, as in a mixture of experts.
    """
    kind, part = ("mlp", "out") if component == "mlp_out" else ("attn", "o")
    module = architecture_adapter(model.hf).component_mapping["blocks"].submodules.get(kind)
    inner = None if module is None else module.submodules.get(part)
    if inner is None:
        raise ShiftlensError(
            f"{type(model.hf).__name__} has no single output projection for {component!r}; "
            "patch 'resid' instead"
        )
    path = f"{module.name}.{inner.name}" if module.name else str(inner.name)
    return [block.get_submodule(path) for block in model.blocks]
