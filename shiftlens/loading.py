"""Loading a model in its plain form, and saying in one line why one cannot be loaded."""

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from shiftlens import asked
from shiftlens.asked import check_dtype
from shiftlens.demo.files import demo_model_path
from shiftlens.errors import ShiftlensError
from shiftlens.fitting import fitting
from shiftlens.model_folders import check_model_folder, transformer_folder
from shiftlens.models import LanguageModel

DTYPES: dict[str, torch.dtype] = {name: getattr(torch, name) for name in asked.DTYPES}


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


def _refuse_random_weights(
    name: str, hf: transformers.PreTrainedModel, missing: Collection[str]
) -> None:
    """A head that the checkpoint lacks is never used; any other weight it lacks matters."""
    lacking = sorted(key for key in missing if key.startswith(hf.base_model_prefix + "."))
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise ShiftlensError(f"model {name!r} lacks weights: {lacking[0]}{more}")


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
