"""Memory of large tensors goes back to the system when they are gone."""

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from typing import Any

HUGE_PAGES = "THP_MEM_ALLOC_ENABLE"
"""The variable by which PyTorch asks Linux for huge pages; it reads it at its first tensor."""

HUGE_PAGE = 2 * 2**20
"""Bytes of one, and of the smallest tensor that gets some."""

HIGHEST = 32 * 2**20
"""Where glibc's own threshold ends up where large blocks come and go."""

OWN_SETTINGS = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")
"""The variables by which a user sets glibc's thresholds."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt(3)."""


def use_huge_pages() -> None:
    """Let this process's large tensors lie in huge pages, unless its environment says otherwise.

    To be called before PyTorch makes a tensor.
    """
    os.environ.setdefault(HUGE_PAGES, "1")


@contextlib.contextmanager
def large_tensors_returned() -> Iterator[None]:
    """Give the memory of large tensors back to the system as soon as they are gone.

    glibc maps a block above a threshold by itself, and unmaps it when it is freed. Every such
    block raises the threshold to its size, up to 32 MiB, and smaller ones are then cut from a heap.
    With the tensors of a forward pass that heap falls into pieces: PyTorch asks for aligned blocks,
    and the gap that one leaves is too small for the next of its own size. The process then takes
    two to three times what is alive.

    Inside this context the threshold is that of a huge page. Fresh memory costs a page fault a
    page, so this is done only where PyTorch uses huge pages (:func:`use_huge_pages`), where the C
    library is glibc, and where the environment has no setting of glibc's own
    (:data:`OWN_SETTINGS`).

    Source:
        mallopt(3), ``M_MMAP_THRESHOLD``; PyTorch's tuning guide for ``THP_MEM_ALLOC_ENABLE``.
    """
    libc = _libc()
    if libc is None:
        yield
        return
    _set_threshold(libc, HUGE_PAGE)
    try:
        yield
    finally:
        _set_threshold(libc, HIGHEST)
        return_gaps()


def return_gaps() -> None:
    """Give back what is free between smaller tensors too; under the same conditions."""
    if libc := _libc():
        libc.malloc_trim(0)


def _libc() -> Any:
    """The C library, where its memory is to be managed."""
    if os.environ.get(HUGE_PAGES) != "1" or any(name in os.environ for name in OWN_SETTINGS):
        return None
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None


def _set_threshold(libc: Any, size: int) -> None:
    """By glibc's own rule twice as much may stay free at the end of the heap."""
    libc.mallopt(_MMAP_THRESHOLD, size)
    libc.mallopt(_TRIM_THRESHOLD, 2 * size)
