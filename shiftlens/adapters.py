"""LoRA: a training that learns small matrices beside the weights and leaves these alone."""

from typing import Any

from transformers.pytorch_utils import Conv1D

from shiftlens.errors import ShiftlensError
from shiftlens.models import LanguageModel

EVERY_LAYER = "all-linear"
"""Every linear layer of the blocks, fused query, key and value among them."""


def add_adapters(
    model: LanguageModel, rank: int, alpha: float = 16.0, targets: str = EVERY_LAYER
) -> Any:
    r"""Put LoRA's matrices into a plain model, and freeze what was there.

    .. math:: W' = W + \frac{\alpha}{r} B A

    with A and B of rank r, B zero at first, so that the model computes what it did.

    Args:
        model: The model; its linear layers are wrapped in place until :func:`merge_adapters`.
        rank: r.
        alpha: The scale.
        targets: ``all-linear``, or ends of module names, comma-separated, such as
            ``q_proj,v_proj``.

    Returns:
        The ``peft.PeftModel`` around it, which a trainer takes and which saves the adapters.

    Raises:
        ShiftlensError: peft is not installed, or the model has no such layers.

    Source:
        Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022,
        arXiv:2106.09685.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ShiftlensError(
            "LoRA needs peft: pip install 'shiftlens[lora]', or '.[lora]' in a clone"
        ) from error
    transposed = any(isinstance(module, Conv1D) for module in model.hf.modules())
    names = targets if targets == EVERY_LAYER else [name.strip() for name in targets.split(",")]
    try:
        settings: Any = {"r": rank, "lora_alpha": alpha, "target_modules": names}
        return get_peft_model(model.hf, LoraConfig(**settings, fan_in_fan_out=transposed))
    except ValueError as error:
        linear = sorted({name.rpartition(".")[2] for name, _ in model.blocks.named_modules()})
        raise ShiftlensError(
            f"no LoRA on {targets!r} of {type(model.hf).__name__}: give {EVERY_LAYER} or names "
            f"among {', '.join(filter(None, linear))}"
        ) from error


def merge_adapters(model: LanguageModel, adapters: Any) -> None:
    """Add what the adapters learned to the weights; the model is a plain one again.

    Args:
        model: The model that :func:`add_adapters` was given.
        adapters: What it returned.
    """
    plain = adapters.merge_and_unload()
    assert plain is model.hf, "peft merges in place"
    for parameter in model.hf.parameters():
        parameter.requires_grad_(True)
