"""What a model's predictions depend on: hashes of its blocks, unembedding and tokenizer."""

import contextlib
import hashlib
import json
import tempfile
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from shiftlens.files import file_hashes
from shiftlens.models import LanguageModel


def prediction_hashes(model: LanguageModel) -> dict[str, str | None]:
    """Hashes of everything in a model that losses and answers depend on.

    Args:
        model: The model; of one that predicts no next token the head does not count, which a
            checkpoint may lack and Hugging Face then draws.

    Returns:
        SHA-256 by name: ``model`` (:attr:`shiftlens.models.LanguageModel.sha256`),
        ``unembedding`` (weight and bias; None without) and ``tokenizer``.
    """
    head = model.hf.get_output_embeddings() if model.hf.can_generate() else None
    return {
        "model": model.sha256,
        "unembedding": None if head is None else _weights_sha256(head),
        "tokenizer": tokenizer_sha256(model.tokenizer),
    }


def tokenizer_sha256(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 of what a tokenizer does to a text and to a chat, wherever it was loaded from."""
    if tokenizer.is_fast:
        made: dict[str, object] = json.loads(tokenizer.backend_tokenizer.to_str())
        for of_the_last_call in ("padding", "truncation"):
            made.pop(of_the_last_call, None)
    else:
        with tempfile.TemporaryDirectory() as folder:
            tokenizer.save_vocabulary(folder)
            made = {"files": file_hashes(Path(folder)), "vocabulary": tokenizer.get_vocab()}
    facts = [made, tokenizer.special_tokens_map, tokenizer.chat_template]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def _weights_sha256(module: nn.Module) -> str:
    """Of weight and bias, also where accelerate keeps them in memory or on disk."""
    digest = hashlib.sha256()
    with _at_hand(module):
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            flat = tensor.detach().cpu().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _at_hand(module: nn.Module) -> contextlib.AbstractContextManager[None]:
    if not any(tensor.is_meta for tensor in module.parameters()):
        return contextlib.nullcontext()
    from accelerate.utils import align_module_device

    return align_module_device(module, "cpu")
