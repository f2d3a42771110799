"""The one thread that uses the model, and the bounded line of jobs before it."""

import contextlib
import secrets
import sys
import threading
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from tqdm import tqdm

from shiftlens.errors import ShiftlensError

QUEUED = 8
"""Most jobs that may wait."""

KEPT = 64
"""Most finished jobs whose results are kept, those that were looked at last."""


class Busy(ShiftlensError):
    """The line is full."""


class Stopped(Exception):
    """A job was cancelled; raised inside it."""


class Job:
    """Some work for the model's thread.

    Attributes:
        id: What a page knows it by; it cannot be guessed.
        request: What was asked for.
        state: ``waiting``, ``running``, ``done``, ``failed`` or ``cancelled``.
        share: How much of the present step is done, 0..1; None where that is not known.
        step: What it is doing.
        result: What it found, once done.
        error: Why it failed.
        finished: Set when it is done, failed or cancelled.
    """

    def __init__(self, work: Callable[["Job"], Any], request: Any = None):
        self.id = secrets.token_urlsafe(12)
        self.request = request
        self.state = "waiting"
        self.share: float | None = None
        self.step = ""
        self.result: Any = None
        self.error = ""
        self.finished = threading.Event()
        self._work = work
        self._cancel = threading.Event()

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked it to stop."""
        return self._cancel.is_set()

    def begin(self, step: str) -> None:
        """Say what comes next, how far it is being unknown.

        Raises:
            Stopped: The job was cancelled.
        """
        self.check()
        self.step, self.share = step, None

    def report(self, done: int, total: int | None) -> None:
        """Say how far the present step is.

        Raises:
            Stopped: The job was cancelled.
        """
        self.check()
        self.share = min(1.0, done / total) if total else None

    def check(self) -> None:
        """Go on, unless somebody asked to stop.

        Raises:
            Stopped: The job was cancelled.
        """
        if self.cancelled:
            raise Stopped

    def cancel(self) -> None:
        """Ask it to stop; it does so at its next report."""
        self._cancel.set()

    def end(self, state: str) -> None:
        """Leave the job in its last state."""
        self.state = state
        self.finished.set()

    def run(self) -> None:
        """Do the work, in the model's thread."""
        self.state = "running"
        try:
            self.check()
            with _bars_report_to(self):
                self.result = self._work(self)
        except Exception as error:
            if self.cancelled:
                return self.end("cancelled")
            self.error = str(error)
            if not isinstance(error, ShiftlensError):
                traceback.print_exc(file=sys.stderr)
                self.error = (
                    f"this failed for a reason of its own ({type(error).__name__}: {error})"
                )
            return self.end("failed")
        return self.end("done")


class Worker:
    """Does jobs one after the other.

    Args:
        queued: Most jobs that may wait.
    """

    def __init__(self, queued: int = QUEUED):
        self.queued = queued
        self._waiting: deque[Job] = deque()
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._change = threading.Condition()
        threading.Thread(target=self._work, name="shiftlens-worker", daemon=True).start()

    def submit(self, work: Callable[[Job], Any], request: Any = None) -> Job:
        """Put a job at the end of the line.

        Args:
            work: Called with the job, in the model's thread.
            request: Kept with the job.

        Returns:
            The job.

        Raises:
            Busy: The line is full.
        """
        job = Job(work, request)
        with self._change:
            if len(self._waiting) >= self.queued:
                raise Busy(
                    f"the queue is full: {self.queued} jobs are waiting; "
                    "try again in a moment, or cancel one"
                )
            self._waiting.append(job)
            self._jobs[job.id] = job
            self._forget()
            self._change.notify()
        return job

    def get(self, job: str | None) -> Job | None:
        """The job of an id; None where there is none, or its result is no longer kept."""
        with self._change:
            if not isinstance(job, str) or job not in self._jobs:
                return None
            self._jobs.move_to_end(job)
            return self._jobs[job]

    def cancel(self, job: str | None) -> None:
        """Stop a job, or take it out of the line; without effect on one that is over."""
        with self._change:
            found = self._jobs.get(job) if isinstance(job, str) else None
            if found is None:
                return
            found.cancel()
            if found in self._waiting:
                self._waiting.remove(found)
                found.end("cancelled")

    def ahead(self, job: Job) -> int:
        """How many jobs come before one that waits."""
        with self._change:
            return self._waiting.index(job) + 1 if job in self._waiting else 0

    def _forget(self) -> None:
        over = [key for key, job in self._jobs.items() if job.finished.is_set()]
        for key in over[: max(0, len(over) - KEPT)]:
            del self._jobs[key]

    def _work(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting)
                job = self._waiting.popleft()
            job.run()


@contextlib.contextmanager
def _bars_report_to(job: Job) -> Iterator[None]:
    """Send what progress bars count to a job, and not to the terminal."""
    start, advance = tqdm.__init__, tqdm.update
    thread = threading.get_ident()
    counts: dict[int, float] = {}

    def quiet(bar: tqdm, *args: Any, **options: Any) -> None:
        start(bar, *args, **{**options, "disable": True})

    def update(bar: tqdm, n: float | None = 1) -> bool | None:
        if threading.get_ident() == thread:
            counts[id(bar)] = counts.get(id(bar), 0) + (n or 0)
            job.report(int(counts[id(bar)]), int(bar.total) if bar.total else None)
        return advance(bar, n)

    with mock.patch.object(tqdm, "__init__", quiet), mock.patch.object(tqdm, "update", update):
        yield
