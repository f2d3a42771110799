"""Tiny random-weight models of every architecture that shiftlens claims."""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, PreTrainedTokenizerFast
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

SHAPE = {
    "vocab_size": 120,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
GROUPED = {"num_key_value_heads": 2}
HEAD = {**GROUPED, "head_dim": 8}
OVERRIDES = {
    "llama": GROUPED,
    "qwen2": GROUPED,
    "qwen3": HEAD,
    "mistral": GROUPED,
    "gemma2": HEAD,
    "gemma3_text": HEAD,
    "gpt2": {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64},
    "xglm": {"d_model": 32, "ffn_dim": 48, "num_layers": 3, "attention_heads": 4},
    "bloom": {"n_layer": 3, "n_head": 4},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32},
    "gpt_neox": {},
    "bert": {},
    "roberta": {"max_position_embeddings": 66},
    "xlm-roberta": {"max_position_embeddings": 66},
}
ENCODERS = ("bert", "roberta", "xlm-roberta")
ARCHITECTURES = tuple(OVERRIDES)
DECODERS = tuple(name for name in ARCHITECTURES if name not in ENCODERS)
SPECIAL = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}


def tiny_tokenizer(bos: bool = True, eos: bool = False) -> PreTrainedTokenizerFast:
    """One token a character, with a BOS before the text as Llama's tokenizer has it.

    With ``eos`` there is a token behind the text too, as encoders have it.
    """
    letters = "abcdefghijklmnopqrstuvwxyzäñéß .,áíóúèçàABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    tokens = [*SPECIAL.values(), *dict.fromkeys(letters)]
    backend = Tokenizer(models.WordLevel({t: i for i, t in enumerate(tokens)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    backend.decoder = decoders.Fuse()
    if bos:
        backend.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>" if eos else "<s> $A", special_tokens=[("<s>", 0), ("</s>", 2)]
        )
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=64, **SPECIAL)


def tiny_model(name: str, seed: int = 0, **overrides):
    """A random model whose layers differ visibly from one another."""
    torch.manual_seed(seed)
    ids = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    config = CONFIG_MAPPING[name](**{**SHAPE, **ids, **OVERRIDES[name], **overrides})
    factory = AutoModelForMaskedLM if name in ENCODERS else AutoModelForCausalLM
    model = factory.from_config(config).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.15)
    return model
