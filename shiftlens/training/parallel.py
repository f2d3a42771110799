"""A loss over a batch that several processes hold in parts, and its gradient.

DDP and FSDP average the processes' gradients. Every process therefore gives the loss of the whole
batch as its value, and as its gradient that of its own part times the number of processes: the
mean is the gradient that one process with the whole batch would have.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from shiftlens import ranks

T = TypeVar("T")


def own_part(total: int) -> slice:
    """Which of ``total`` rows are this process's: neighbours, as evenly as can be."""
    number, count = ranks.number(), ranks.count()
    return slice(total * number // count, total * (number + 1) // count)


def gathered(own: Tensor, part: slice, total: int) -> Tensor:
    """The rows of all processes in order, with gradient through this one's own.

    Args:
        own: This process's rows, ``(part, d)``.
        part: Where they stand, from :func:`own_part`.
        total: How many there are.

    Returns:
        ``(total, d)``.
    """
    if ranks.count() == 1:
        return own
    rows = torch.zeros(total, *own.shape[1:], dtype=own.dtype, device=own.device)
    rows[part] = own.detach()
    rows = ranks.summed(rows)
    return torch.cat([rows[: part.start], own, rows[part.stop :]])


def weighted_loss(own: Tensor, share: float) -> Tensor:
    r"""The mean over all processes of a loss that each knows for its part.

    .. math:: L = \sum_r s_r \ell_r

    Args:
        own: :math:`\ell_r`, the mean over this process's part, with its graph.
        share: :math:`s_r`, its share of what the mean is over; they sum to 1.

    Returns:
        A scalar: the value L, with the gradient of :math:`R s_r \ell_r` of R processes.
    """
    if ranks.count() == 1:
        return own
    return _valued(ranks.summed(share * own), ranks.count() * share * own)


def shared_loss(whole: Tensor) -> Tensor:
    """A loss that every process computes of all rows, with gradient through its own alone.

    Args:
        whole: The loss of :func:`gathered` rows.

    Returns:
        A scalar: the same value, with the gradient times the number of processes.
    """
    return _valued(whole.detach(), ranks.count() * whole)


def _valued(value: Tensor, carrier: Tensor) -> Tensor:
    """A value with the gradient of another."""
    return value + (carrier - carrier.detach())


def within_forward(wrapped: nn.Module, inner: nn.Module, run: Callable[[], T]) -> T:
    """Run passes of a model inside one forward of the DDP or FSDP module around it.

    DDP readies its gradient buckets there, and FSDP has the weights together; several passes, and
    one that ends early, then are one forward to them.

    Args:
        wrapped: The module around the model.
        inner: The plain model, whose ``forward`` gives way once.
        run: The passes, by ``inner.forward`` or its submodules.

    Returns:
        What ``run`` returns.
    """
    before: Any = inner.__dict__.get("forward")

    def restore() -> None:
        inner.__dict__.pop("forward", None)
        if before is not None:
            inner.__dict__["forward"] = before

    def once(*_: Any, **__: Any) -> T:
        restore()
        return run()

    inner.__dict__["forward"] = once
    try:
        return wrapped(None)
    finally:
        restore()
