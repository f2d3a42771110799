"""What TransformerLens knows of a Hugging Face model's architecture: where its parts are."""

import copy
from typing import Any

import transformers
from torch import nn

from shiftlens.errors import ShiftlensError

BRIDGE_NAMES = {"XLMRobertaForMaskedLM": "RobertaForMaskedLM"}
"""Classes that TransformerLens knows under another architecture's name."""


def architecture_name(hf: nn.Module) -> str:
    """What TransformerLens calls the architecture of a model: its class, or that of a like one."""
    name = type(hf).__name__
    return BRIDGE_NAMES.get(name, name)


def architecture_adapter(hf: transformers.PreTrainedModel) -> Any:
    """TransformerLens's adapter for a model; its ``component_mapping`` names the parts.

    Raises:
        ShiftlensError: TransformerLens has none for this class of models.
    """
    from transformer_lens.factories.architecture_adapter_factory import ArchitectureAdapterFactory
    from transformer_lens.model_bridge.sources import build_bridge_config_from_hf

    try:
        config = build_bridge_config_from_hf(
            copy.deepcopy(hf.config), architecture_name(hf), type(hf).__name__, hf.dtype
        )
        return ArchitectureAdapterFactory.select_architecture_adapter(config)
    except ValueError as error:
        raise ShiftlensError(
            f"TransformerLens has no adapter for {type(hf).__name__}; load it as a causal or "
            "masked language model of a supported architecture"
        ) from error
