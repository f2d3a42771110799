"""Offering inputs to loaders, and counting what came of them."""

import contextlib
import io
import random
import resource
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from shiftlens.errors import ShiftlensError

SECONDS = 30.0
"""Longest that one input may take."""

LONGEST_MESSAGE = 4_000


class Hang(BaseException):
    """An input took too long."""


@dataclass
class Target:
    """A loader, and inputs for it.

    Attributes:
        name: What the counts call it.
        offer: From a source of randomness to a call that loads one spoiled input.
        weight: How many inputs it gets for one of the others.
    """

    name: str
    offer: Callable[[random.Random], Callable[[], Any]]
    weight: float = 1.0


@dataclass
class Outcome:
    """What became of the inputs of one loader.

    Attributes:
        counts: Inputs that were ``accepted`` or ``refused`` in one line.
        failures: Of the others, the number of the input to what happened.
        slowest: Seconds of computing.
    """

    counts: Counter[str] = field(default_factory=Counter)
    failures: dict[int, str] = field(default_factory=dict)
    slowest: float = 0.0


@contextlib.contextmanager
def time_bound(seconds: float) -> Iterator[None]:
    """Raise where what is inside takes too long."""

    def late(*_: Any) -> None:
        raise Hang(f"took more than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def attempt(call: Callable[[], Any]) -> str:
    """``accepted`` or ``refused``, or what happened that must not."""
    quiet = io.StringIO()
    try:
        with (
            time_bound(SECONDS),
            contextlib.redirect_stdout(quiet),
            contextlib.redirect_stderr(quiet),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            call()
        return "accepted"
    except ShiftlensError as error:
        if len(str(error)) > LONGEST_MESSAGE:
            return f"a message of {len(str(error))} characters: {str(error)[:200]!r}"
        return "refused"
    except SystemExit as error:  # the command line's own refusal of an option's value
        return "refused" if error.code == 2 else f"exit {error.code}"
    except (Exception, Hang) as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [f for f in frames if "/shiftlens/" in f.filename] or frames
        return (
            f"{type(error).__name__}: {str(error)[:150]!r} at {own[-1].filename}:{own[-1].lineno}"
        )


def source(target: Target, seed: int, number: int) -> random.Random:
    """The randomness of one input, so that it can be offered again."""
    return random.Random(f"{target.name} {seed} {number}")


def fuzz(target: Target, inputs: int, seed: int = 0) -> Outcome:
    """Offer a loader its inputs."""
    outcome = Outcome()
    for number in range(round(inputs * target.weight)):
        call = target.offer(source(target, seed, number))
        started = time.process_time()
        found = attempt(call)
        outcome.slowest = max(outcome.slowest, time.process_time() - started)
        if found in ("accepted", "refused"):
            outcome.counts[found] += 1
        else:
            outcome.failures[number] = found
    return outcome


def peak_megabytes() -> float:
    """Most memory that this process has had."""
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6
