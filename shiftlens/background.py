"""Finishing what an accelerator computed while it computes what comes next."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

import torch

THREADS = 4
"""Each holds a shard and its bytes on their way to the disk."""


class Background:
    """Runs jobs in threads beside an accelerator; at once where the model runs on the CPU.

    At most as many jobs are under way as there are threads, so that memory is bounded. The first
    error of a job is raised by a later call, at the latest on leaving. On leaving, also by an
    error, no job is under way any more.
    """

    def __init__(self, device: torch.device):
        self._pool = None if device.type == "cpu" else ThreadPoolExecutor(THREADS)
        self._waiting: deque[Future[None]] = deque()

    def do(self, job: Callable[[], None]) -> None:
        """Run a job, or hand it to a thread as soon as one is free."""
        if self._pool is None:
            job()
            return
        if len(self._waiting) == THREADS:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(job))

    def finish(self) -> None:
        """Wait for all jobs."""
        while self._waiting:
            self._waiting.popleft().result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=kind is not None)
        if kind is None:
            self.finish()
