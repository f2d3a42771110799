"""A model from its configuration alone: every shape, no weights, and the memory it would take."""

import copy
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from shiftlens.errors import ShiftlensError
from shiftlens.loading import DTYPES, model_class


@contextmanager
def weightless(
    config: transformers.PreTrainedConfig, dtype: str = "float32"
) -> Iterator[transformers.PreTrainedModel]:
    """Make a model of fake tensors, and let it run on such.

    A fake tensor has a shape, a dtype and a device, and no content: what runs inside the context
    chooses the kernels that it would choose, and neither computes nor takes memory.

    Args:
        config: Of the model.
        dtype: ``float32``, ``bfloat16`` or ``float16``.

    Yields:
        The model in evaluation mode, on the CPU as it says.

    Raises:
        ShiftlensError: The model cannot be made, or it asks for the content of a tensor, as a
            mixture of experts does to choose its experts.
    """
    name = config.model_type
    try:
        with FakeTensorMode():
            hf = model_class(config).from_config(copy.deepcopy(config), dtype=DTYPES[dtype])
            yield hf.eval()
    except (ShiftlensError, AssertionError):
        raise
    except Exception as error:  # a model's own code can raise anything
        reason = " ".join(str(error).split())[:200]
        raise ShiftlensError(
            f"a {name} model cannot be run without its weights ({type(error).__name__}: {reason})"
        ) from error


def blocks_of(hf: transformers.PreTrainedModel) -> nn.ModuleList:
    """The list of the model's blocks: the one as long as its configuration says.

    Raises:
        ShiftlensError: There is none.
    """
    depth = hf.config.get_text_config().num_hidden_layers
    for module in hf.base_model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            return module
    raise ShiftlensError(f"{type(hf).__name__} has no list of {depth} blocks")


def some_text(rows: int, tokens: int) -> dict[str, Tensor]:
    """Inputs of a forward pass, ``(rows, tokens)`` each."""
    ids = torch.ones(rows, tokens, dtype=torch.long)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


class LiveBytes(TorchDispatchMode):
    """Bytes of the tensors made inside the context: alive now, and alive at once at most.

    Attributes:
        now: Those alive after the last operation.
        peak: The most there were.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation and count what it made."""
        given = set(_storages((args, kwargs)))
        result = func(*args, **(kwargs or {}))
        for storage in set(_storages(result)) - given:
            if storage not in self._seen:
                self._seen.add(storage)
                self.now += storage.nbytes()
                weakref.finalize(storage, self._gone, storage.nbytes())
        self.peak = max(self.peak, self.now)
        return result

    def _gone(self, size: int) -> None:
        self.now -= size


def _storages(values: Any) -> Iterator[torch.UntypedStorage]:
    return (leaf.untyped_storage() for leaf in tree_leaves(values) if isinstance(leaf, Tensor))
