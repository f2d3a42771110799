"""The top of a model: from the residual stream to next-token logits, by its own modules."""

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from shiftlens.architectures import architecture_adapter
from shiftlens.errors import ShiftlensError
from shiftlens.models import LanguageModel
from shiftlens.residual import residual_hooks

AGREES = 0.02
"""Largest difference allowed, as a share of the logits' spread; bfloat16 is within 0.01."""

PROBE = (5, 6, 7, 8)
"""Tokens of the text on which a head is held against the model's own logits."""
CHECK_COPIES = 12
"""How many float32 numbers that takes for each of its logits."""


@dataclass(frozen=True)
class LensHead:
    r"""What a decoder does with the residual stream after its last block.

    .. math:: z(h) = f(W_U \, N(h))

    with N the final norm (and OPT's projection out of the stream, where it has one), :math:`W_U`
    the unembedding and f what an architecture does to its logits (Gemma 2 caps them, Cohere and
    Granite scale them). Read at a layer below the last, z is the logit lens.

    Attributes:
        modules: N and :math:`W_U`, modules of the plain model.
        finish: f.

    Source:
        nostalgebraist, "interpreting GPT: the logit lens", LessWrong, 2020.
    """

    modules: tuple[nn.Module, ...]
    finish: Callable[[Tensor], Tensor]

    @classmethod
    def of(cls, model: LanguageModel) -> "LensHead":
        """Find the head of a model, and hold it against the model's own logits.

        Raises:
            ShiftlensError: The model is no decoder, what it does with the last layer is not known
                (the lens at the last layer would not be the model's own logits), or its logits are
                NaN or infinite.
        """
        check_decoder(model)
        adapter = architecture_adapter(model.hf)
        parts = [
            attrgetter(adapter.component_mapping[part].name)(model.hf)
            for part in ("ln_final", "project_out", "unembed")
            if part in adapter.component_mapping
        ]
        modules = tuple(module for module in parts if module is not None)
        head = cls(modules, adapter.apply_output_logits_transform)
        head._hold_against(model)
        return head

    @torch.no_grad()
    def logits(self, stream: Tensor) -> Tensor:
        """Next-token logits of the residual stream, ``(..., d_model)`` to ``(..., vocabulary)``."""
        for module in self.modules:
            weight = next(module.parameters(), stream)
            stream = module(stream.to(weight.device))
        return self.finish(stream)

    def _hold_against(self, model: LanguageModel) -> None:
        """Read the stream at the last layer of a short text of arbitrary tokens."""
        vocabulary = model.hf.get_output_embeddings().weight.shape[0]
        inputs = model.pad([[token % vocabulary for token in PROBE]])
        seen: dict[int, Tensor] = {}
        last = model.n_layers
        with torch.no_grad(), residual_hooks(model, seen.__setitem__, [last]):
            own = model.hf(**inputs).logits.float()
        read = self.logits(seen[last]).to(own.device).float()
        if not own.isfinite().all():
            raise ShiftlensError(
                f"the logits of model {model.name} are NaN or infinite on a text of four tokens; "
                "its weights are damaged, or float16 is too narrow: try --dtype bfloat16"
            )
        spread = (own - own.mean(-1, keepdim=True)).abs().max()
        if own.shape != read.shape or not (own - read).abs().max() <= AGREES * spread:
            raise ShiftlensError(
                f"{type(model.hf).__name__} does more with its last layer than a final norm and an "
                f"unembedding, so that the lens at layer {last} is not its own logits; the lens "
                "cannot read it"
            )


def check_decoder(model: LanguageModel) -> None:
    """Refuse a model that does not predict the next token.

    Raises:
        ShiftlensError: It is an encoder.
    """
    if not model.hf.can_generate():
        raise ShiftlensError(f"model {model.name} ({type(model.hf).__name__}) {_ENCODER}")


def refuse_other_kinds(config: PreTrainedConfig) -> None:
    """Refuse the configuration of a model that does not predict the next token.

    Raises:
        ShiftlensError: It is that of an encoder, alone or with a decoder, or of no language model.
    """
    if config.is_encoder_decoder or config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        raise ShiftlensError(f"a model of type {config.model_type} {_ENCODER}")
    if config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise ShiftlensError(
            f"a model of type {config.model_type} predicts no next token for the logit lens to "
            "read; give a causal language model"
        )


_ENCODER = (
    "is an encoder: it reads a text from both sides and predicts no next token for the logit lens "
    "to read; give a causal language model"
)
