import threading
import time

import pytest
from tqdm import tqdm

from shiftlens.app.worker import KEPT, Busy, Stopped, Worker
from shiftlens.errors import ShiftlensError


@pytest.fixture
def worker():
    return Worker()


@pytest.fixture
def held(worker):
    """A job that runs until it is let go."""
    gate, begun = threading.Event(), threading.Event()

    def wait(job):
        begun.set()
        while not gate.wait(0.01):
            job.check()
        return "held"

    job = worker.submit(wait)
    assert begun.wait(5)
    yield job
    gate.set()
    assert job.finished.wait(5)


def finished(job):
    assert job.finished.wait(5)
    return job


def test_jobs_run_one_after_the_other_in_one_thread(worker):
    threads, order = set(), []

    def work(number):
        def run(job):
            threads.add(threading.get_ident())
            order.append(number)
            return number

        return run

    jobs = [worker.submit(work(number), request=number) for number in range(5)]
    assert [finished(job).result for job in jobs] == list(range(5)) == order
    assert [job.request for job in jobs] == order
    assert len(threads) == 1 and threading.get_ident() not in threads


def test_a_full_line_refuses_and_says_so_until_a_place_is_free(worker, held):
    waiting = [worker.submit(lambda job: None) for _ in range(worker.queued)]
    with pytest.raises(Busy, match="queue is full: 8 jobs"):
        worker.submit(lambda job: None)
    assert [worker.ahead(job) for job in waiting] == [*range(1, 9)]
    worker.cancel(waiting[3].id)
    assert waiting[3].finished.is_set() and waiting[3].state == "cancelled"
    last = worker.submit(lambda job: "in the free place")
    assert worker.ahead(last) == 8
    worker.cancel(held.id)
    assert finished(last).result == "in the free place"
    assert held.state == "cancelled" and held.result is None
    assert [job.state for job in waiting].count("done") == 7


def test_a_running_job_stops_at_its_next_report(worker):
    begun = threading.Event()
    reached = []

    def long(job):
        job.begin("counting")
        for step in range(100_000):
            job.report(step, 100_000)
            begun.set()
            reached.append(step)
            time.sleep(0.001)

    job = worker.submit(long)
    assert begun.wait(5)
    worker.cancel(job.id)
    assert finished(job).state == "cancelled"
    assert job.step == "counting" and len(reached) < 90_000
    worker.cancel(job.id)
    worker.cancel("no such job")
    assert finished(worker.submit(lambda job: 1)).state == "done"


def test_what_stops_a_job_late_counts_as_cancelled(worker):
    def wrapped(job):
        job.cancel()
        raise ShiftlensError("patching was cancelled")

    assert finished(worker.submit(wrapped)).state == "cancelled"


def test_mistakes_are_told_and_the_worker_lives_on(worker, capfd):
    def mistake(job):
        raise ShiftlensError("the text is empty")

    def surprise(job):
        return 1 / 0

    told, surprised = finished(worker.submit(mistake)), finished(worker.submit(surprise))
    assert (told.state, told.error) == ("failed", "the text is empty")
    assert capfd.readouterr().err.count("Traceback") == 1
    assert surprised.state == "failed" and "ZeroDivisionError" in surprised.error
    assert finished(worker.submit(lambda job: 2)).result == 2


def test_progress_bars_report_to_the_job_and_not_to_the_terminal(worker, capfd):
    shares = []

    def work(job):
        with tqdm(total=8, disable=False) as bar:
            for _ in range(4):
                bar.update(2)
                shares.append(job.share)
        for _ in tqdm(range(3), disable=False):
            pass
        with tqdm(disable=False) as bar:
            bar.update()
        shares.append(job.share)

    assert finished(worker.submit(work)).state == "done"
    assert shares == [0.25, 0.5, 0.75, 1.0, None]
    assert capfd.readouterr().err == ""
    with tqdm(total=1, disable=False) as bar:
        bar.update()
    assert "100%" in capfd.readouterr().err


def test_a_cancelled_job_stops_at_a_bar(worker):
    def work(job):
        with tqdm(total=10) as bar:
            for _ in range(10):
                bar.update()
                job.cancel()

    job = finished(worker.submit(work))
    assert job.state == "cancelled" and job.share == 0.1


def test_another_threads_bars_are_left_alone(worker):
    def work(job):
        def elsewhere():
            with tqdm(total=2, disable=True) as bar:
                bar.update()

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        return job.share

    assert finished(worker.submit(work)).result is None


def test_old_results_are_forgotten_and_ids_cannot_be_counted(worker):
    jobs = [finished(worker.submit(lambda job: None)) for _ in range(KEPT + 10)]
    kept = [job for job in jobs if worker.get(job.id) is job]
    assert kept == jobs[-len(kept) :] and KEPT <= len(kept) <= KEPT + 1
    assert len({job.id for job in jobs}) == len(jobs) and min(len(job.id) for job in jobs) >= 16
    for stranger in ("", None, 3, ["x"], jobs[0].id):
        assert worker.get(stranger) is None
        worker.cancel(stranger)


def test_what_is_still_looked_at_is_kept(worker):
    first = finished(worker.submit(lambda job: "in use"))
    for _ in range(3 * KEPT):
        finished(worker.submit(lambda job: None))
        assert worker.get(first.id).result == "in use"


def test_a_stopped_job_is_no_mistake_of_the_reader():
    assert not issubclass(Stopped, ShiftlensError)
