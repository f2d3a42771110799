"""Several processes at one task: who this one is, what all agree on, and whose turn it is.

A launcher (``accelerate launch``, ``torchrun``) starts the same command several times.
Every function here is for all of them to call, in the same order; of one process alone they ask
nothing. What is said between the processes goes over a gloo group of its own, which waits as long
as it takes: the first process may sweep for hours while the others wait for it.
"""

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

from shiftlens.errors import ShiftlensError

T = TypeVar("T")

PATIENCE = timedelta(days=365)
SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
NUMBERS = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")
"""What launchers call the number of processes, and that of this one."""


_SIGNS_OF_A_LOSS = ("gloo", "NCCL", "Connection", "Broken pipe", "TCPStore")
"""What torch.distributed says of a process that is gone."""


class SharedError(ShiftlensError):
    """An error that every process has, so that one of them is enough to say it."""


def launched() -> int:
    """How many processes a launcher says it has started; 1 without a launcher."""
    return _stated(SIZES, 1)


def silent() -> bool:
    """Whether this is a launched process other than the first, which alone speaks to the user."""
    return launched() > 1 and _stated(NUMBERS, 0) > 0


def _stated(names: tuple[str, ...], default: int) -> int:
    numbers = (os.environ.get(name, "") for name in names)
    return next((int(number) for number in numbers if number.isdecimal()), default)


@contextlib.contextmanager
def hushed(errors: bool = False) -> Iterator[None]:
    """Keep what a process other than the first prints to itself; with ``errors`` stderr too."""
    with contextlib.ExitStack() as stack:
        if silent():
            nowhere = stack.enter_context(open(os.devnull, "w"))  # noqa: PTH123 - no path
            stack.enter_context(contextlib.redirect_stdout(nowhere))
            if errors:
                stack.enter_context(contextlib.redirect_stderr(nowhere))
        yield


@contextlib.contextmanager
def joined(device: str) -> Iterator[None]:
    """Be one of the processes that a launcher started; nothing without one.

    Args:
        device: ``cpu`` for gloo; otherwise the backend of the accelerator there is.

    Raises:
        SharedError: The device is ``map``, which is for one process, or the processes did not find
            one another.
    """
    if launched() == 1 or _dist():
        yield
        return
    if device == "map":
        raise SharedError("device map spreads a model for one process; start without a launcher")
    import torch
    from accelerate import PartialState

    PartialState(cpu=device == "cpu" or not torch.accelerator.is_available())
    if count() != launched():
        raise SharedError(
            f"{launched()} processes were launched and {count()} found one another; start them "
            "with accelerate launch or torchrun"
        )
    exchange(None)
    yield
    torch.distributed.destroy_process_group()
    _group.cache_clear()


def _dist() -> Any:
    """``torch.distributed`` where this process is in a group; None without, or without torch."""
    dist = getattr(sys.modules.get("torch"), "distributed", None)
    return dist if dist and dist.is_available() and dist.is_initialized() else None


def count() -> int:
    """How many processes there are."""
    dist = _dist()
    return dist.get_world_size() if dist else 1


def number() -> int:
    """Which of them this one is, from 0."""
    dist = _dist()
    return dist.get_rank() if dist else 0


def is_first() -> bool:
    """Whether this is the process that writes what is written once and speaks to the user."""
    return number() == 0


@cache
def _group() -> Any:
    """The group of what is said between the processes."""
    return _dist().new_group(backend="gloo", timeout=PATIENCE)


def exchange(said: T) -> list[T]:
    """What each process says, in their order; returns when the last has spoken.

    Raises:
        ShiftlensError: A process is gone.
    """
    if count() == 1:
        return [said]
    heard: list[Any] = [None] * count()
    with lost():
        _dist().all_gather_object(heard, said, group=_group())
    return heard


@contextlib.contextmanager
def lost() -> Iterator[None]:
    """Say of a conversation that breaks off why it does.

    Raises:
        ShiftlensError: Another process is gone.
    """
    try:
        yield
    except RuntimeError as error:
        if not any(sign in str(error) for sign in _SIGNS_OF_A_LOSS):
            raise
        raise ShiftlensError(
            "another process of this run was lost; give the command again, and it goes on where "
            "it was"
        ) from error


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Go on when all have come to the end of the block; an error in one is an error in all.

    Raises:
        SharedError: That of the first process that has one.
    """
    failure: Exception | None = None
    try:
        yield
    except Exception as error:
        if count() == 1 or isinstance(error, SharedError):
            raise
        failure = error
    _raise_shared(exchange(_words(failure)), failure)


def _words(error: Exception | None) -> str | None:
    """An error of the user's in its own words; any other is a fault, whose place is printed."""
    if error is None or isinstance(error, ShiftlensError):
        return str(error) if error else None
    traceback.print_exception(error)
    return f"process {number() + 1} of {count()} failed ({type(error).__name__}: {error})"


def _raise_shared(heard: list[str | None], cause: Exception | None) -> None:
    if words := next((words for words in heard if words), None):
        raise SharedError(words) from cause


def from_first(make: Callable[[], T]) -> T:
    """What the first process makes, told to all.

    Args:
        make: Called in the first process alone; what it returns is pickled for the others.

    Raises:
        SharedError: Making it failed.
    """
    if count() == 1:
        return make()
    told: list[Any] = [None, None]
    failure: Exception | None = None
    if is_first():
        try:
            told[0] = make()
        except Exception as error:
            failure, told[1] = error, _words(error)
    with lost():
        _dist().broadcast_object_list(told, src=0, group=_group())
    _raise_shared(told[1:], failure)
    return told[0]


@contextlib.contextmanager
def held_by_first(context: contextlib.AbstractContextManager[Any]) -> Iterator[None]:
    """Hold a context, such as a lock, in the first process for all of them.

    After an error that all have, it is held until the last process has ended what it was at.

    Raises:
        SharedError: It cannot be entered.
    """
    with contextlib.ExitStack() as stack:
        with together():
            if is_first():
                stack.enter_context(context)
        try:
            yield
        except SharedError:
            exchange(None)
            raise


def summed(tensor: Any) -> Any:
    """The sum of a tensor over the processes, without gradient."""
    total = tensor.detach().clone()
    if count() > 1:
        with lost():
            _dist().all_reduce(total)
    return total
