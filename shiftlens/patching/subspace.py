"""The subspace inside or outside of which a state is patched."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from shiftlens.errors import ShiftlensError
from shiftlens.models import LanguageModel

PARTS = ("whole", "inside", "outside")
"""What of a state is put in: all of it, or its part inside or outside of a subspace."""

Subspace = Mapping[int, Any]
"""Layer to orthonormal basis ``(d_model, r)``, or to what was fitted and has ``components_``."""


def check_mapping(subspace: Subspace | None) -> None:
    """Refuse what is no mapping.

    Raises:
        ShiftlensError: It is not.
    """
    if not isinstance(subspace, Mapping | None):
        raise ShiftlensError("a subspace is a mapping from layers to bases, such as {3: basis}")


def check_subspace(
    model: LanguageModel,
    component: str,
    layers: Sequence[int],
    subspace: Subspace | None,
    part: str,
) -> dict[int, Tensor]:
    """The bases of a patching, checked.

    Args:
        model: The model.
        component: What is patched.
        layers: At which layers.
        subspace: Layer to basis.
        part: ``whole``, ``inside`` or ``outside``.

    Returns:
        Layer to basis ``(d_model, r)``, float32 on the model's device; none for whole states.

    Raises:
        ShiftlensError: An unknown part, a part without a subspace or the other way round, another
            component than ``resid``, a layer without a basis, or a basis that is none.
    """
    if part not in PARTS:
        raise ShiftlensError(f"unknown part {part!r}; choose one of {', '.join(PARTS)}")
    if (part == "whole") != (subspace is None):
        raise ShiftlensError("a subspace goes with part='inside' or 'outside', and these with it")
    if subspace is None:
        return {}
    if component != "resid":
        raise ShiftlensError(f"a subspace is of component 'resid', not of {component!r}")
    bases = {}
    for layer in layers:
        if layer not in subspace:
            raise ShiftlensError(f"the subspace has no basis at layer {layer}; give one, or layers")
        basis = _basis(subspace[layer], layer)
        if basis.ndim != 2 or len(basis) != model.d_model:
            raise ShiftlensError(
                f"the basis at layer {layer} has shape {tuple(basis.shape)}; make it "
                f"({model.d_model}, r), one column a direction of the residual stream"
            )
        if not torch.allclose(basis.T @ basis, torch.eye(basis.shape[1]).double(), atol=1e-4):
            raise ShiftlensError(
                f"the columns of the basis at layer {layer} are not orthonormal; take Q of its QR "
                "decomposition"
            )
        bases[layer] = basis.float().to(model.device)
    return bases


def _basis(given: Any, layer: int) -> Tensor:
    """One basis, float64; of a fitted subspace its directions as columns."""
    directions = getattr(given, "components_", None)
    try:
        return torch.as_tensor(given if directions is None else directions.T).double().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ShiftlensError(
            f"the subspace at layer {layer} is {given!r}; give an array or a fitted subspace"
        ) from error
