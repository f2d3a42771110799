"""Kills that a run's own progress times, so that the machine's load does not move them.

A run's progress is how often it has touched its folder: made, opened, listed, renamed or removed
something there. At the touch that a test chose the run stops itself, before it has done it, and
whoever forked it lets it go on for a moment, or not, and kills it.
"""

import os
import random
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Moment:
    """When a run is killed.

    Attributes:
        share: Of the touches of a run that nobody kills, how many this one has done.
        rest: Seconds after that; 0 is just before the next touch.
    """

    share: float
    rest: float = 0.0


def moments_of(seed: int, number: int, seconds: float) -> list[Moment]:
    """Moments at random, every other one at a touch and the rest up to some seconds later.

    The last tenth is left out, for under load a run looks into its folder a few times less often.
    """
    rng = random.Random(seed)
    return [
        Moment(rng.uniform(0, 0.9), seconds * rng.random() * (place % 2)) for place in range(number)
    ]


def fresh_seed() -> int:
    """A seed that is another one at every run of the tests, printed; KILLS_SEED gives it again."""
    seed = int(os.environ.get("KILLS_SEED") or random.randrange(2**32))
    print(f"KILLS_SEED={seed}")
    return seed


def count_touches(folder: str, log: str | Path, stop_at: int | None = None) -> None:
    """Write a byte to a log at every touch of this process; stop at one of them."""
    own, counted = os.getpid(), os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    done = 0

    def touched(_: str, args: tuple[Any, ...]) -> None:
        nonlocal done
        if args and isinstance(args[0], str | os.PathLike) and str(args[0]).startswith(folder):
            if done == stop_at:
                os.kill(own, signal.SIGSTOP)
            done += 1
            os.write(counted, b".")

    sys.addaudithook(touched)


def await_child(pid: int, rest: float) -> tuple[int, Any]:
    """Exit code and usage of a child, killed some seconds after it has stopped itself."""
    _, status, usage = os.wait4(pid, os.WUNTRACED)
    if os.WIFSTOPPED(status):
        if rest:
            os.kill(pid, signal.SIGCONT)
            time.sleep(rest)
        os.kill(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
    return os.waitstatus_to_exitcode(status), usage
