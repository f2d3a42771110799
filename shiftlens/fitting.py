"""What does not fit the memory of a device, said in one line."""

import contextlib
from collections.abc import Iterator

import torch

from shiftlens.errors import ShiftlensError

_SIGNS = ("out of memory", "not enough memory", "can't allocate memory")
"""In the errors of PyTorch's CPU allocator and of Apple's backend, which have no class."""


@contextlib.contextmanager
def fitting(what: str, advice: str) -> Iterator[None]:
    """Say in one line what ran out of memory, and what to do.

    Args:
        what: What is done inside, such as "a batch of 8 x 512 tokens".
        advice: What to do.

    Raises:
        ShiftlensError: It ran out of memory.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        known = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not known and not any(sign in str(error) for sign in _SIGNS):
            raise
        raise ShiftlensError(f"out of memory in {what}; {advice}") from error


def fitting_batch(shape: torch.Size, batch_tokens: int) -> contextlib.AbstractContextManager[None]:
    """The same of a batch whose size is a setting.

    Args:
        shape: Of its token ids, ``(batch, pos)``.
        batch_tokens: The setting, which is part of what a folder was begun with.
    """
    return fitting(
        f"a batch of {shape[0]} x {shape[1]} tokens",
        f"lower batch_tokens (now {batch_tokens}) and begin a new run folder",
    )
