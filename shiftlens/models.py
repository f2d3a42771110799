"""Loading a model, and its two forms: the plain Hugging Face model and its TransformerLens view.

The plain model is the truth: it is trained, saved and exported. The bridge is a view of the same
weights for analysis; it lives inside :func:`bridged` and gives the plain model back on exit.

Layer convention, everywhere in shiftlens: layer ``l`` is the residual stream after block ``l``
(1..L, before the final norm) and layer 0 is the stream entering block 1.
"""

import contextlib
import copy
import hashlib
import inspect
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from shiftlens import asked
from shiftlens.asked import check_dtype
from shiftlens.demo.files import demo_model_path
from shiftlens.errors import ShiftlensError
from shiftlens.fitting import fitting
from shiftlens.model_folders import check_model_folder, transformer_folder

BRIDGE_NAMES = {"XLMRobertaForMaskedLM": "RobertaForMaskedLM"}
"""Classes that TransformerLens knows under another architecture's name."""

DTYPES: dict[str, torch.dtype] = {name: getattr(torch, name) for name in asked.DTYPES}


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
        return str(_adapter(self.hf).component_mapping["blocks"].name)

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


def load_model(
    source: str | Path | transformers.PreTrainedModel,
    tokenizer: transformers.PreTrainedTokenizerBase | None = None,
    *,
    dtype: str = "float32",
    device: str = "auto",
) -> LanguageModel:
    """Load a language model in its plain form.

    Args:
        source: A local directory (of sentence-transformers too), a hub id, ``demo`` for the
            embedded model, or a Hugging Face model in memory.
        tokenizer: Needed beside a model in memory; otherwise loaded from ``source``.
        dtype: ``float32``, ``bfloat16`` or ``float16``; ignored for a model in memory.
        device: ``cpu``, ``cuda``, ``mps``, ... or ``auto`` for an accelerator where there is one;
            ``map`` to spread the blocks over all accelerators, memory and disk, as they fit.

    Returns:
        The model in evaluation mode. Masked language models (BERT, RoBERTa, XLM-R) and causal
        ones are told apart by their configuration.

    Raises:
        ShiftlensError: No such model, an encoder-decoder, a model that needs remote code, an
            unknown dtype or device, a model in memory without a tokenizer, or a checkpoint that
            lacks weights or tokenizer files.
    """
    if isinstance(source, transformers.PreTrainedModel):
        if tokenizer is None:
            raise ShiftlensError("a model in memory needs its tokenizer: load_model(hf, tokenizer)")
        return LanguageModel(source.eval(), tokenizer, type(source).__name__)
    name = str(source)
    path = model_path(name)
    check_dtype(dtype)
    place = None if device == "map" else find_device(device)
    config = read_config(name)
    with _hub_errors(path):
        with quietly():
            loaded: Any = model_class(config).from_pretrained(
                path,
                dtype=DTYPES[dtype],
                output_loading_info=True,
                device_map="auto" if place is None else None,
            )
        hf, report = loaded
        _refuse_random_weights(name, hf, report["missing_keys"])
        if tokenizer is None:
            tokenizer = AutoTokenizer.from_pretrained(path)
            if not tokenizer.vocab_size:
                raise ShiftlensError(f"model {name!r} comes without the files of its tokenizer")
    hf.eval()
    if place is not None:
        with fitting(f"loading model {name!r}", "give a narrower dtype, or device map"):
            hf = hf.to(place)
    return LanguageModel(hf, tokenizer, name)


def model_path(name: str) -> str:
    """Where the files of a model lie, or its hub id."""
    return str(demo_model_path()) if name == "demo" else transformer_folder(name)


def read_config(name: str) -> transformers.PreTrainedConfig:
    """Read a model's configuration, and nothing of its weights.

    Args:
        name: A local directory, a hub id, ``demo``, or a ``config.json`` alone.

    Raises:
        ShiftlensError: There is none, it is damaged or of an unknown kind, or the model is an
            encoder-decoder.
    """
    path = model_path(name)
    with _hub_errors(path):
        config = AutoConfig.from_pretrained(path)
        if config.is_encoder_decoder:
            raise ShiftlensError(
                f"model {name!r} is an encoder-decoder ({config.model_type}); "
                "shiftlens reads decoders and encoders with one stack of blocks"
            )
    return config


def model_class(config: transformers.PreTrainedConfig) -> Any:
    """What loads or makes the model of a configuration: with the head of a masked or causal one."""
    masked = config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    return AutoModelForMaskedLM if masked else AutoModelForCausalLM


def _refuse_random_weights(
    name: str, hf: transformers.PreTrainedModel, missing: Collection[str]
) -> None:
    """A head that the checkpoint lacks is never used; any other weight it lacks matters."""
    lacking = sorted(key for key in missing if key.startswith(hf.base_model_prefix + "."))
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise ShiftlensError(f"model {name!r} lacks weights: {lacking[0]}{more}")


def without_cache(hf: transformers.PreTrainedModel) -> dict[str, bool]:
    """What a forward pass is told, so that no keys and values are kept for a next token."""
    return {"use_cache": False} if hasattr(hf.config, "use_cache") else {}


def find_device(name: str) -> torch.device:
    """The device of a name; ``auto`` for an accelerator where there is one.

    Raises:
        ShiftlensError: It cannot be used.
    """
    if name == "auto":
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        return accelerator or torch.device("cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ShiftlensError(f"device {name!r} cannot be used: {reason}") from None
    return torch.device(name)


@contextlib.contextmanager
def _hub_errors(name: str) -> Iterator[None]:
    """Turn a loading failure into one line."""
    check_model_folder(name)
    path = Path(name)
    try:
        yield
    except ShiftlensError:
        raise
    except Exception as error:  # a damaged file can make transformers raise anything
        reason = str(error)
        if "trust_remote_code" in reason:
            reason = "it needs remote code (trust_remote_code), which shiftlens does not run"
        elif not path.is_dir() and isinstance(error, OSError):
            reason = "no such directory, and not a model that the hub or its cache can give"
        raise ShiftlensError(f"cannot load model {name!r}: {' '.join(reason.split())}") from error


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Silence transformers while it loads or saves: its bars, and its report on unused heads."""
    level = transformers.logging.get_verbosity()
    bars = transformers.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(level)
        if bars:
            transformers.logging.enable_progress_bar()


def _architecture(hf: nn.Module) -> str:
    name = type(hf).__name__
    return BRIDGE_NAMES.get(name, name)


def _adapter(hf: transformers.PreTrainedModel) -> Any:
    from transformer_lens.factories.architecture_adapter_factory import ArchitectureAdapterFactory
    from transformer_lens.model_bridge.sources import build_bridge_config_from_hf

    try:
        config = build_bridge_config_from_hf(
            copy.deepcopy(hf.config), _architecture(hf), type(hf).__name__, hf.dtype
        )
        return ArchitectureAdapterFactory.select_architecture_adapter(config)
    except ValueError as error:
        raise ShiftlensError(
            f"TransformerLens has no adapter for {type(hf).__name__}; load it as a causal or "
            "masked language model of a supported architecture"
        ) from error


@contextlib.contextmanager
def bridged(model: LanguageModel, blocks_only: bool = False) -> Iterator[Any]:
    """View a plain model as a ``TransformerBridge``, and give the plain model back.

    Booting a bridge replaces modules of the model in place; on exit every module, parameter,
    buffer, hook and the attention implementation are what they were.

    Args:
        model: The model to view. Nothing is copied.
        blocks_only: Bridge the blocks alone, for their ``hook_in`` and ``hook_out``: what is
            inside them stays Hugging Face's own, with its faster attention.

    Yields:
        The ``transformer_lens`` bridge over the same weights.

    Raises:
        ShiftlensError: The weights were changed inside the context. Some bridges hold copies of
            fused weights, so that such a change may be lost: train the plain model instead.
    """
    from transformer_lens.model_bridge.sources import build_bridge_from_module

    restore = _snapshot(model.hf)
    attention = model.hf.config._attn_implementation
    try:
        bridge = build_bridge_from_module(
            model.hf,
            _architecture(model.hf),
            hf_config=copy.deepcopy(model.hf.config),
            post_adapter_hook=_leave_blocks if blocks_only else None,
        )
        if blocks_only:
            model.hf.config._attn_implementation = attention
        bridge.eval()
        versions = {p: p._version for p in (*bridge.parameters(), *model.hf.parameters())}
        yield bridge
    finally:
        restore()
    if any(parameter._version != version for parameter, version in versions.items()):
        raise ShiftlensError(
            "weights were changed while the model was bridged; some bridges hold copies of fused "
            "weights, so the change may be lost: train the plain model outside of bridged()"
        )


def _leave_blocks(adapter: Any) -> None:
    """Take everything but the blocks and the embeddings around them out of a bridge's mapping."""
    mapping = adapter.component_mapping
    mapping["blocks"].submodules.clear()
    mapping["blocks"].hook_aliases = {}
    for name in set(mapping) - {"embed", "blocks", "ln_final", "unembed"}:
        del mapping[name]


def _snapshot(hf: transformers.PreTrainedModel) -> Callable[[], None]:
    """Remember the whole module tree; the function returned puts it back."""
    tree = [
        (
            module,
            dict(module.__dict__),
            {
                key: value.copy()
                for key, value in module.__dict__.items()
                if isinstance(value, dict)
            },
        )
        for module in hf.modules()
    ]
    attention = hf.config._attn_implementation

    def restore() -> None:
        for module, attributes, registries in tree:
            module.__dict__.clear()
            module.__dict__.update(attributes)
            for key, saved in registries.items():
                module.__dict__[key].clear()
                module.__dict__[key].update(saved)
        hf.config._attn_implementation = attention

    return restore


def hook_names(n_layers: int) -> list[str]:
    """TransformerLens names of layers 0..L: entry ``l`` is the hook point of layer ``l``."""
    return ["blocks.0.hook_in", *(f"blocks.{block}.hook_out" for block in range(n_layers))]


@contextlib.contextmanager
def residual_hooks(
    model: LanguageModel, action: Callable[[int, Tensor], Tensor | None], layers: Sequence[int]
) -> Iterator[None]:
    """Call ``action(layer, residual)`` in every forward pass of the plain model.

    Args:
        model: The plain model.
        action: Receives the layer and its residual stream ``(batch, pos, d_model)``; what it
            returns, unless None, takes the stream's place.
        layers: Layers to hook, among 0..L.

    Yields:
        Nothing; the hooks are removed on exit, also after an error.
    """
    blocks = model.blocks

    def entering(_: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
        stream = args[0] if args else kwargs["hidden_states"]
        new = action(0, stream)
        if new is None:
            return None
        return ((new, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": new})

    def leaving(layer: int) -> Callable[..., Any]:
        def hook(_: nn.Module, __: Any, output: Any) -> Any:
            new = action(layer, output[0] if isinstance(output, tuple) else output)
            if new is None or not isinstance(output, tuple):
                return new
            return (new, *output[1:])

        return hook

    handles = [
        blocks[0].register_forward_pre_hook(entering, with_kwargs=True)
        if layer == 0
        else blocks[layer - 1].register_forward_hook(leaving(layer))
        for layer in layers
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
