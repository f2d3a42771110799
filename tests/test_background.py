"""Jobs that run beside an accelerator."""

import threading

import pytest
import torch

from shiftlens.background import THREADS, Background

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_on_the_cpu_a_job_is_done_at_once_by_the_one_who_asks():
    done = []
    with Background(CPU) as background:
        background.do(lambda: done.append(threading.current_thread()))
        assert done == [threading.main_thread()]


def test_beside_an_accelerator_jobs_run_side_by_side_and_all_are_done_in_the_end():
    meeting, done = threading.Barrier(THREADS, timeout=20), []

    def job():
        meeting.wait()
        done.append(threading.current_thread())

    with Background(CUDA) as background:
        for _ in range(3 * THREADS):
            background.do(job)
    assert len(done) == 3 * THREADS
    assert threading.main_thread() not in done


def test_no_more_jobs_wait_than_there_are_threads():
    going, held = threading.Event(), []

    def job():
        held.append(1)
        going.wait(20)
        held.pop()

    with Background(CUDA) as background:
        for _ in range(THREADS):
            background.do(job)
        late = threading.Thread(target=background.do, args=(job,))
        late.start()
        late.join(0.2)
        assert late.is_alive()
        assert len(held) <= THREADS
        going.set()
        late.join(20)
    assert held == []


def test_an_error_of_a_job_is_raised_and_the_other_jobs_are_done():
    def fail():
        raise ValueError("no room")

    done = []
    with pytest.raises(ValueError, match="no room"), Background(CUDA) as background:
        background.do(fail)
        background.do(lambda: done.append(1))
    assert done == [1]


def test_finish_waits_and_says_the_error():
    with Background(CUDA) as background:
        background.do(lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            background.finish()
