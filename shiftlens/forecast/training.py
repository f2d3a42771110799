"""What a ShifCon training takes."""

from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from shiftlens.adapters import EVERY_LAYER
from shiftlens.arms import Arm
from shiftlens.errors import ShiftlensError
from shiftlens.forecast.shape import ModelShape, Texts, multiplies
from shiftlens.pooling import masked_mean
from shiftlens.weightless import LiveBytes, blocks_of, some_text

CHECKPOINTS = 2
"""How many are kept on disk."""

ADAM = 2
"""Numbers of state of AdamW for every trained one, float32 each."""


VECTOR_TOKENS = 4096
"""Most tokens in a batch while language vectors are estimated."""


@dataclass(frozen=True)
class Steps:
    """The steps of a training, as far as a forecast needs them.

    Attributes:
        steps: Optimizer steps.
        records: Instruction records in a batch.
        tokens: Tokens of a batch's longest record, to which the others are padded.
        accumulation: Batches of a step.
        pairs: Parallel pairs in a contrastive batch.
        last: The last layer that the contrast reads, b - 1.
        reestimate: Steps between estimates of the language vectors.
        vector_sentences: Sentences a language in each estimate.
        lora_rank: Rank of LoRA's matrices; 0 for none.
        lora_targets: Layers that LoRA adapts.
        autocast: Whether arithmetic is bfloat16.
    """

    steps: int
    records: int = 32
    tokens: int = 256
    accumulation: int = 1
    pairs: int = 32
    last: int = 1
    reestimate: int = 50
    vector_sentences: int = 256
    lora_rank: int = 0
    lora_targets: str = "all-linear"
    autocast: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "records", "tokens", "accumulation", "pairs", "reestimate"):
            if not getattr(self, name) >= 1:
                raise ShiftlensError(f"{name} is {getattr(self, name)}; give at least 1")


@dataclass(frozen=True)
class TrainingForecast:
    """What a training takes, its sweeps apart.

    Attributes:
        disk: Bytes of the model and its checkpoints.
        weights: Bytes of the model, float32.
        gradients: Bytes of the gradients.
        optimizer: Bytes of AdamW's states.
        activations: Bytes that wait for the backward pass at the end of the forward passes.
        working: Bytes of activations and gradients at most alive at once.
        flops: Of the matrix products of all steps.
    """

    disk: int
    weights: int
    gradients: int
    optimizer: int
    activations: int
    working: int
    flops: float

    @property
    def peak(self) -> int:
        """Bytes on the device."""
        return self.weights + self.optimizer + self.working


def forecast_training(
    hf: transformers.PreTrainedModel, texts: Texts, steps: Steps, arm: Arm
) -> TrainingForecast:
    r"""Forecast a training.

    A token's backward pass takes twice the FLOPs of its forward pass, and with LoRA once, as the
    frozen weights need no gradient:

    .. math:: (1 + 2) F \quad\text{or}\quad (1 + 1) F.

    The contrast's forward pass ends at layer b - 1 and has no head. A checkpoint holds the trained
    weights and their two AdamW states.

    Args:
        hf: A float32 model of :func:`shiftlens.weightless.weightless`, inside that context; with
            LoRA it is changed by it.
        texts: The parallel texts.
        steps: The steps.
        arm: The arm of the comparison.

    Returns:
        The forecast.

    Raises:
        ShiftlensError: The model is no causal language model, or LoRA cannot be put into it.
    """
    if not hf.can_generate():
        raise ShiftlensError(f"{type(hf).__name__} is no causal language model; train one of those")
    shape = ModelShape.of(hf)
    flops = _flops(shape, texts, steps, arm)
    blocks = blocks_of(hf)
    if steps.lora_rank:
        _adapt(hf, blocks, steps.lora_rank, steps.lora_targets)
    weights = sum(tensor.nbytes for tensor in (*hf.parameters(), *hf.buffers()))
    gradients = sum(p.nbytes for p in hf.parameters() if p.requires_grad)
    activations, working = step_bytes(hf, blocks, texts, steps, arm)
    disk = shape.weights + CHECKPOINTS * (1 + ADAM) * gradients
    return TrainingForecast(disk, weights, gradients, ADAM * gradients, activations, working, flops)


def _adapt(
    hf: transformers.PreTrainedModel, blocks: nn.ModuleList, rank: int, targets: str
) -> None:
    """Freeze a model and put LoRA's matrices beside its layers, as peft computes them."""
    ends = tuple(f".{name.strip()}" for name in targets.split(","))
    chosen = [
        module
        for name, module in blocks.named_modules()
        if multiplies(module) and (targets == EVERY_LAYER or f".{name}".endswith(ends))
    ]
    if not chosen:
        raise ShiftlensError(f"no LoRA on {targets!r} of {type(hf).__name__}")
    hf.requires_grad_(False)
    for module in chosen:
        inner, outer = module.weight.shape[:: 1 if isinstance(module, Conv1D) else -1]
        module.lora_down = nn.Parameter(torch.empty(rank, inner))
        module.lora_up = nn.Parameter(torch.empty(outer, rank))
        module.register_forward_hook(_adapted)


def _adapted(module: Any, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    return output + functional.linear(functional.linear(*inputs, module.lora_down), module.lora_up)


def _flops(shape: ModelShape, texts: Texts, steps: Steps, arm: Arm) -> float:
    batch = shape.forward(steps.records, steps.tokens, head=True)
    if arm.contrast is not None:
        batch += shape.forward_to(steps.last, 2 * steps.pairs, texts.longest(2 * steps.pairs))
    elif arm.parallel_lm:
        batch += shape.forward(steps.pairs, 2 * texts.longest(steps.pairs), head=True)
    passes = (2 if steps.lora_rank else 3) * steps.accumulation * steps.steps
    estimates = ceil(steps.steps / steps.reestimate) + 1 if arm.shift else 0
    read = replace(texts, sentences=min(steps.vector_sentences, texts.sentences))
    estimate = sum(
        shape.forward(*b) for b in read.batches(read.sentences, VECTOR_TOKENS, VECTOR_TOKENS)
    )
    return passes * batch + estimates * texts.languages * estimate


def step_bytes(
    hf: Any, blocks: nn.ModuleList, texts: Texts, steps: Steps, arm: Arm
) -> tuple[int, int]:
    """Bytes that a step's forward passes leave, and those at most alive until it has ended.

    Args:
        hf: A model without weights, inside its context.
        blocks: Its blocks.
        texts: The parallel texts.
        steps: The steps.
        arm: The arm.
    """
    hf.train()
    left = 0
    with LiveBytes() as alive:
        for _ in range(min(steps.accumulation, 2)):
            before = alive.now
            with torch.autocast("cpu", torch.bfloat16, enabled=steps.autocast):
                loss = _language_model(hf, steps.records, steps.tokens)
                if arm.contrast is not None:
                    loss = loss + _contrast(hf, blocks[: steps.last], steps.pairs, texts)
                elif arm.parallel_lm:
                    loss = loss + _language_model(hf, steps.pairs, 2 * texts.longest(steps.pairs))
            left = max(left, alive.now - before)
            loss.backward()
            del loss
    return left, alive.peak


def _language_model(hf: Any, rows: int, tokens: int) -> Tensor:
    inputs = some_text(rows, tokens)
    loss: Tensor = hf(**inputs, labels=inputs["input_ids"], use_cache=False).loss
    return loss


class _Reached(Exception):
    """The forward pass has come as far as it is needed."""


def _contrast(hf: Any, blocks: nn.ModuleList, pairs: int, texts: Texts) -> Tensor:
    """Both sides of the pairs through these blocks, and something of the last one's states."""
    inputs = some_text(2 * pairs, texts.longest(2 * pairs))
    mask = inputs["attention_mask"].bool()
    seen: list[Tensor] = []

    def read(_: nn.Module, __: object, output: Tensor | tuple[Tensor, ...]) -> None:
        seen.append(masked_mean(output[0] if isinstance(output, tuple) else output, mask))
        raise _Reached

    handle = blocks[-1].register_forward_hook(read)
    try:
        hf(**inputs, use_cache=False)
    except _Reached:
        pass
    finally:
        handle.remove()
    return seen[0].square().mean()
