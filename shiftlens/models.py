"""A plain Hugging Face model with its tokenizer: the truth, which is trained, saved and exported.

Layer convention, everywhere in shiftlens: layer ``l`` is the residual stream after block ``l``
(1..L, before the final norm) and layer 0 is the stream entering block 1.
"""

import hashlib
import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import torch
import transformers
from torch import Tensor, nn

from shiftlens.architectures import architecture_adapter


@dataclass(frozen=True)
class LanguageModel:
    """A plain Hugging Face language model with its tokenizer.

    Attributes:
        hf: A causal or masked language model in evaluation mode.
        tokenizer: Its tokenizer.
        name: What the user called it: a path, a hub id, or the class name.
    """

    hf: transformers.PreTrainedModel
    tokenizer: transformers.PreTrainedTokenizerBase
    name: str

    @cached_property
    def blocks_path(self) -> str:
        """Dotted path of the list of blocks, as TransformerLens's adapter states it."""
        return str(architecture_adapter(self.hf).component_mapping["blocks"].name)

    @property
    def blocks(self) -> nn.ModuleList:
        """The L transformer blocks of the plain model."""
        return cast(nn.ModuleList, self.hf.get_submodule(self.blocks_path))

    @property
    def n_layers(self) -> int:
        """Number of blocks L; there are L + 1 layers, 0..L."""
        return len(self.blocks)

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return int(self.hf.config.get_text_config().hidden_size)

    @property
    def device(self) -> torch.device:
        """Where token ids go; from memory, where the first weights lie on disk."""
        return torch.device("cpu") if self.hf.device.type == "meta" else self.hf.device

    @property
    def max_positions(self) -> int | None:
        """Longest sequence the position table holds, or None where there is no limit."""
        config = self.hf.config.get_text_config()
        limit = getattr(config, "max_position_embeddings", None) or getattr(
            config, "n_positions", None
        )
        if limit is not None and self._positions_from_ids:
            limit -= config.pad_token_id + 1
        return limit

    @property
    def _positions_from_ids(self) -> bool:
        """RoBERTa counts positions itself, from the pad id upwards."""
        return "roberta" in self.hf.config.model_type

    @property
    def sha256(self) -> str:
        """SHA-256 over the configuration and the weights that make the residual stream, as now.

        The path does not enter, nor whether generation caches, nor the head: a checkpoint may lack
        it (a sentence encoder), and Hugging Face then draws another one at every loading. Of LoRA
        the weights beside the adapters count, under their own names.
        """
        digest = hashlib.sha256(type(self.hf).__name__.encode())
        config = self.hf.config.to_diff_dict()
        without = ("_name_or_path", "transformers_version", "architectures", "dtype", "use_cache")
        for key in without:
            config.pop(key, None)
        digest.update(json.dumps(config, sort_keys=True, default=str).encode())
        weights = {
            name.replace(".base_layer.", "."): tensor
            for name, tensor in self.hf.base_model.state_dict().items()
            if ".lora_" not in name
        }
        for name, tensor in sorted(weights.items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            here = self._offloaded(name) if tensor.is_meta else tensor
            flat = here.detach().cpu().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def _offloaded(self, name: str) -> Tensor:
        """A weight that accelerate keeps in memory or on disk until its module runs."""
        from accelerate.utils import align_module_device

        path, _, leaf = name.rpartition(".")
        module = self.hf.base_model.get_submodule(path)
        with align_module_device(module, "cpu"):
            return getattr(module, leaf).detach().clone()

    def pad(self, sequences: Sequence[Sequence[int]], side: str = "right") -> dict[str, Tensor]:
        """Pad token ids into the keyword arguments of a forward pass.

        Args:
            sequences: Token ids, one sequence a text.
            side: ``"right"`` or ``"left"``. Left padding passes explicit ``position_ids`` to the
                models that would otherwise count the padding.

        Returns:
            ``input_ids`` and ``attention_mask`` (and ``position_ids``), each ``(batch, pos)``.
        """
        width = max(map(len, sequences))
        pad_id = max(0, self.hf.config.get_text_config().pad_token_id or 0)
        ids = torch.full((len(sequences), width), pad_id, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, sequence in enumerate(sequences):
            start = width - len(sequence) if side == "left" else 0
            ids[row, start : start + len(sequence)] = torch.tensor(sequence)
            mask[row, start : start + len(sequence)] = 1
        inputs = {"input_ids": ids, "attention_mask": mask}
        if side == "left" and self._accepts_position_ids:
            inputs["position_ids"] = (mask.cumsum(dim=1) - 1).clamp(min=0)
        return {key: value.to(self.device) for key, value in inputs.items()}

    @cached_property
    def _accepts_position_ids(self) -> bool:
        parameters = inspect.signature(self.hf.base_model.forward).parameters
        return "position_ids" in parameters and not self._positions_from_ids


def without_cache(hf: transformers.PreTrainedModel) -> dict[str, bool]:
    """What a forward pass is told, so that no keys and values are kept for a next token."""
    return {"use_cache": False} if hasattr(hf.config, "use_cache") else {}
