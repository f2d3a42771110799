"""Reading and scaling MLP neurons of the plain model: what goes into each down projection."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from torch import Tensor, nn

from shiftlens.architectures import architecture_adapter
from shiftlens.errors import ShiftlensError
from shiftlens.models import LanguageModel
from shiftlens.patching.components import projections


def _gates(model: LanguageModel) -> list[tuple[nn.Module, Callable[..., Any]]] | None:
    """Each block's gate projection and activation function; None where MLPs have no gate."""
    mlp = architecture_adapter(model.hf).component_mapping["blocks"].submodules["mlp"]
    if "gate" not in mlp.submodules:
        return None
    found: list[tuple[nn.Module, Callable[..., Any]]] = []
    for block in model.blocks:
        module = block.get_submodule(mlp.name)
        try:
            gate = module.get_submodule(mlp.submodules["gate"].name)
            found.append((gate, cast(Callable[..., Any], module.act_fn)))
        except AttributeError as error:
            raise ShiftlensError(
                f"{type(model.hf).__name__}: the MLP's gate is not a projection of its own; its "
                "neurons cannot be read"
            ) from error
    return found


def _downs(model: LanguageModel) -> list[nn.Module]:
    """Each block's down projection."""
    try:
        return projections(model, "mlp_out")
    except ShiftlensError as error:
        raise ShiftlensError(
            f"{type(model.hf).__name__}: its blocks have no single MLP with one down projection, "
            "as a mixture of experts has none; its neurons cannot be read"
        ) from error


def neuron_count(model: LanguageModel) -> int:
    """How many neurons all blocks have together.

    Raises:
        ShiftlensError: The model's neurons cannot be reached.
    """
    weights = [cast(Tensor, down.weight) for down in _downs(model)]
    return sum(weight.numel() // model.d_model for weight in weights)


@contextlib.contextmanager
def reading(model: LanguageModel, read: Callable[[int, Tensor], None]) -> Iterator[None]:
    """Call ``read(block, activations)`` in every forward pass, block counted from 0.

    The activations are those of ``act_fn(gate)`` in a gated MLP, else what the down projection is
    given; ``(batch, pos, neurons)``, or ``(batch * pos, neurons)`` where a model flattens them.

    Raises:
        ShiftlensError: The model's MLPs are not of these kinds.
    """
    gates, handles = _gates(model), []

    def of_gate(block: int, act: Callable) -> Callable[..., None]:
        return lambda _, __, output: read(block, act(output))

    def of_down(block: int) -> Callable[..., None]:
        return lambda _, args: read(block, args[0])

    downs = _downs(model)
    try:
        for block, down in enumerate(downs):
            handles.append(
                down.register_forward_pre_hook(of_down(block))
                if gates is None
                else gates[block][0].register_forward_hook(of_gate(block, gates[block][1]))
            )
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def scaling(model: LanguageModel, neurons: Mapping[int, Tensor], factor: float) -> Iterator[None]:
    """Multiply what chosen neurons give to the down projection, in every forward pass.

    Args:
        model: The plain model.
        neurons: Block, from 0, to the numbers of its neurons, ``(n,)``.
        factor: 0 ablates, 1 changes nothing, more amplifies.

    Raises:
        ShiftlensError: The model's neurons cannot be reached.
    """
    downs, handles = _downs(model), []

    def scaled(columns: Tensor) -> Callable[..., Any]:
        def hook(_: nn.Module, args: tuple) -> tuple:
            value = args[0].clone()
            value[..., columns.to(value.device)] *= factor
            return (value, *args[1:])

        return hook

    try:
        for block, columns in neurons.items():
            if len(columns):
                handles.append(downs[block].register_forward_pre_hook(scaled(columns)))
        yield
    finally:
        for handle in handles:
            handle.remove()
