"""Models that write: ``generate`` guarded while states are changed, and the name of the cache."""

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from torch import Tensor
from transformers import Cache

from shiftlens.errors import ShiftlensError


@contextlib.contextmanager
def guarded_generate(
    hf: Any, running: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext
) -> Iterator[None]:
    """Refuse prompts after which ``generate`` would go on from padding: right-padded ones.

    Args:
        hf: A Hugging Face model; one that cannot generate is left as it is.
        running: Makes a context that every ``generate`` runs in.

    Yields:
        Nothing; ``generate`` is what it was on exit.

    Raises:
        ShiftlensError: Inside, where ``generate`` is given right-padded prompts.
    """
    if not hasattr(hf, "generate"):
        yield
        return
    generate = hf.generate

    def guarded(*args: Any, **kwargs: Any) -> Any:
        padding = _padded_at_end(hf, *args, **kwargs)
        if padding is not None and padding.any():
            row = int(padding.nonzero()[0])
            raise ShiftlensError(
                f"row {row}: right-padded prompts cannot be continued; pad on the left"
            )
        with running():
            return generate(*args, **kwargs)

    with mock.patch.object(hf, "generate", guarded):
        yield


def cache_argument(hf: Any, cache: Cache) -> dict[str, Cache]:
    """The cache by the name that ``forward`` knows it by, which transformers 5.24 has changed."""
    new = "cache" in inspect.signature(hf.forward).parameters
    return {"cache" if new else "past_key_values": cache}


def _padded_at_end(hf: Any, inputs: Tensor | None = None, **kwargs: Any) -> Tensor | None:
    """Which prompts end in padding, ``(batch,)``; without a mask, as ``generate`` infers it."""
    mask = kwargs.get("attention_mask")
    if mask is not None:
        return mask[:, -1] == 0
    ids = kwargs.get("input_ids", kwargs.get("inputs", inputs))
    settings = kwargs.get("generation_config") or hf.generation_config
    pad = kwargs.get("pad_token_id", settings.pad_token_id)
    end = kwargs.get("eos_token_id", settings.eos_token_id)
    if ids is None or pad is None or pad in (end if isinstance(end, list) else [end]):
        return None
    return ids[:, -1] == pad
