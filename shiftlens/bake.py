"""A shift as a part of the weights: a checkpoint that needs no hooks at inference."""

import copy
from typing import Any, cast

import torch
import transformers
from torch import Tensor

from shiftlens.errors import ShiftlensError
from shiftlens.models import LanguageModel
from shiftlens.shift import Shift

DOWN_PROJECTION = {
    "bloom": "mlp.dense_4h_to_h.bias",
    "gpt2": "mlp.c_proj.bias",
    "gpt_neox": "mlp.dense_4h_to_h.bias",
    "llama": "mlp.down_proj.bias",
    "mistral": "mlp.down_proj.bias",
    "opt": "fc2.bias",
    "qwen2": "mlp.down_proj.bias",
    "xglm": "fc2.bias",
}
"""Bias of the MLP's last projection, which a pre-norm block adds to its output as it is."""

LAST_NORM = {
    "bert": "output.LayerNorm.bias",
    "opt": "final_layer_norm.bias",
    "roberta": "output.LayerNorm.bias",
    "xlm-roberta": "output.LayerNorm.bias",
}
"""Bias of the norm that a post-norm block ends with."""

AS_LLAMA = ("llama", "mistral", "qwen2")
"""Architectures whose weights are Llama's, which can have the biases that theirs cannot."""

REFUSED = {
    "gemma2": "a norm after the MLP rescales whatever its bias adds",
    "gemma3_text": "a norm after the MLP rescales whatever its bias adds",
    "qwen3": "its MLP has no bias, and Llama's weights have no place for its query and key norms",
}
"""Why some architectures cannot carry a shift."""


def bake(model: LanguageModel, shift: Shift, language: str) -> LanguageModel:
    r"""The model with the shift of one language in its weights.

    A shift adds a constant to the residual stream after block a and another after block b. A
    pre-norm block ends with its MLP, :math:`h_l = r + W z + c`, so the constant is added to c; a
    post-norm block ends with a norm, and the constant is added to that norm's bias. Every forward
    pass is then that of the shifted model for texts in the language, BOS and all: the logits
    differ by rounding alone.

    Args:
        model: The model; it stays as it is.
        shift: The shift.
        language: Language of the texts that the new model is for.

    Returns:
        A plain model. Llama, Mistral and Qwen2 come back as Llama with ``mlp_bias``, all biases
        zero but two; every other architecture as itself.

    Raises:
        ShiftlensError: The architecture cannot carry a shift (the message says why, and what to
            do instead), or the language has no vectors.
    """
    tensors = baked_tensors(model, shift, language)
    hf = carrying(model)
    hf = copy.deepcopy(hf) if hf is model.hf else hf
    with torch.no_grad():
        for name, tensor in tensors.items():
            hf.get_parameter(name).copy_(tensor)
    return LanguageModel(hf.eval(), model.tokenizer, model.name)


def baked_tensors(model: LanguageModel, shift: Shift, language: str) -> dict[str, Tensor]:
    """The weights in which :func:`bake` differs from :func:`carrying`: two biases.

    Args:
        model: The model.
        shift: The shift.
        language: Language of the texts.

    Returns:
        Name in the state dict to ``(d_model,)``, in the model's dtype on the CPU; the model's own
        biases for a language that the shift leaves alone.

    Raises:
        ShiftlensError: As in :func:`bake`.
    """
    bias = _bias_name(model)
    weights = model.hf.state_dict()
    tensors = {}
    for layer in shift.area:
        name = f"{model.blocks_path}.{layer - 1}.{bias}"
        own = weights[name].cpu().float() if name in weights else torch.zeros(model.d_model)
        delta = shift.delta(language, layer)
        tensors[name] = (own if delta is None else own + delta.cpu()).to(model.hf.dtype)
    return tensors


def carrying(model: LanguageModel) -> transformers.PreTrainedModel:
    """The same model in the form that can carry a shift.

    Args:
        model: The model.

    Returns:
        The model's own ``hf`` where its blocks have the bias already; otherwise a Llama with the
        same weights, and zeros where those have no bias.

    Raises:
        ShiftlensError: The architecture cannot carry a shift.
    """
    bias = _bias_name(model)
    names = [f"{model.blocks_path}.{block}.{bias}" for block in range(model.n_layers)]
    weights = model.hf.state_dict()
    if all(name in weights for name in names):
        return model.hf
    if model.hf.config.model_type not in AS_LLAMA:
        raise _refusal(model, "its configuration leaves the biases out")
    llama = transformers.LlamaForCausalLM(_llama_config(model.hf.config))
    with torch.no_grad():
        for parameter in llama.parameters():
            parameter.zero_()
    llama.load_state_dict(weights, strict=False)
    llama.generation_config = copy.deepcopy(model.hf.generation_config)
    return cast(Any, llama).to(model.hf.device, model.hf.dtype).eval()


def _bias_name(model: LanguageModel) -> str:
    """The bias that carries, by its name inside a block."""
    config = model.hf.config
    kind = config.model_type
    if kind == "opt" and not config.do_layer_norm_before:
        return LAST_NORM[kind]
    if (window := _window(config)) is not None:
        raise _refusal(
            model, f"its attention slides over {window} tokens, which Llama's weights cannot say"
        )
    bias = {**LAST_NORM, **DOWN_PROJECTION}.get(kind)
    if bias is None:
        raise _refusal(model, REFUSED.get(kind, "shiftlens does not know where it could"))
    return bias


def _window(config: Any) -> int | None:
    """Length of a Mistral's or Qwen2's sliding window; None where it is off or covers all."""
    if config.model_type not in ("mistral", "qwen2"):
        return None
    window = config.sliding_window
    return None if window is None or window >= config.max_position_embeddings else int(window)


def _llama_config(config: Any) -> transformers.LlamaConfig:
    """The configuration of a Llama whose blocks compute what this Mistral's or Qwen2's do."""
    own = {"model_type", "architectures", "transformers_version", "_name_or_path"}
    shared = {
        name: getattr(config, name)
        for name in transformers.LlamaConfig().to_dict().keys() - own
        if hasattr(config, name)
    }
    biased = config.model_type == "qwen2" or getattr(config, "attention_bias", False)
    return transformers.LlamaConfig(**{**shared, "attention_bias": biased, "mlp_bias": True})


def _refusal(model: LanguageModel, why: str) -> ShiftlensError:
    return ShiftlensError(
        f"a shift cannot be baked into {type(model.hf).__name__}: {why}; keep the shift beside "
        "the model and run it with hooks, as in `with shift.applied(model, language):`"
    )
