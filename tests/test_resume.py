"""A collection killed at any moment and run again ends as if it had not been killed."""

import math
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

N_SHARDS = 40
SCRIPT = """
import os, sys, tempfile

sys.path.insert(0, sys.argv[1])
import tiny
import torch

torch.set_num_threads(1)
from shiftlens import collect
from shiftlens.collect import collect_states
from shiftlens.corpora import Corpus
from shiftlens.loading import load_model

model = load_model(
    tiny.tiny_model("llama", hidden_size=160, intermediate_size=400), tiny.tiny_tokenizer()
)
letters = "abcdefghij klmnop qrstuv"
texts = {
    code: [letters[n % 20 :] * (1 + (n * 7 + shift) % 3) for n in range(320)]
    for shift, code in enumerate(("en", "es"))
}
corpus = Corpus.from_texts(texts)
with tempfile.TemporaryDirectory() as folder:  # so that what is imported late is there
    collect_states(model, corpus.head(2), folder + "/store", progress=False)
compute = collect._shard_states

def logged(model, plan, file, *rest):
    with open(path + ".log", "a") as log:
        log.write(file + "\\n")
    return compute(model, plan, file, *rest)

collect._shard_states = logged
print("ready", flush=True)
for line in sys.stdin:
    path = line.strip()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        collect_states(model, corpus, path, shard_rows=16, batch_tokens=256, progress=False)
        os._exit(0)
    status = os.wait()[1]
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


class Collector:
    """A process that has imported everything, and forks one collection at a time."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(Path(__file__).parent)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.read() == "ready"

    def read(self):
        return self.process.stdout.readline().strip()

    def run(self, path, kill_at=None, seconds=0.0):
        """Collect into a folder; the exit status (-9 where killed) and the seconds it took.

        With ``kill_at`` it is killed when that share of the shards is there, whole shards by their
        number and the rest by the seconds that a run takes.
        """
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        pid = int(self.read())
        start = time.perf_counter()
        if kill_at is not None:
            part, whole = math.modf(kill_at * N_SHARDS)
            while Path(f"/proc/{pid}").exists() and len(identities(path)) < whole:
                time.sleep(0.001)
            time.sleep(part * seconds / N_SHARDS)
            subprocess.run(["kill", "-KILL", str(pid)], check=False, capture_output=True)
        return int(self.read()), time.perf_counter() - start


@pytest.fixture(scope="module")
def collector():
    collector = Collector()
    yield collector
    collector.process.stdin.close()
    assert collector.process.wait() == 0


@pytest.fixture(scope="module")
def undisturbed(collector, tmp_path_factory):
    """Bytes of every file of a run that nobody killed, and the seconds it took."""
    folder = tmp_path_factory.mktemp("undisturbed") / "store"
    status, _ = collector.run(folder)
    assert status == 0
    seconds = [collector.run(folder.with_name(f"again-{n}"))[1] for n in range(2)]
    assert contents(folder.with_name("again-0")) == contents(folder)
    return contents(folder), min(seconds)


def contents(folder):
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def identities(folder):
    """Inode and time of writing of every shard that is whole."""
    return {
        file.name: (file.stat().st_ino, file.stat().st_mtime_ns)
        for file in folder.glob("*.safetensors")
    }


def kill_and_resume(collector, undisturbed, folder, moments):
    """Kill one run at each share of its shards; resume it. Shards present at each kill."""
    expected, seconds = undisturbed
    assert len(expected) == N_SHARDS + 1
    present = []
    for number, moment in enumerate(moments):
        path = folder / f"run-{number}"
        status, _ = collector.run(path, moment, seconds)
        assert status in (-signal.SIGKILL, 0)
        kept = identities(path)
        present.append(len(kept) if status else N_SHARDS)
        assert all((path / name).read_bytes() == expected[name] for name in kept)
        assert collector.run(path)[0] == 0
        assert contents(path) == expected, f"killed at {moment:.3f} of the run"
        after = identities(path)
        # Nothing that was whole is computed again, so at most the shard under way is.
        assert {name: after[name] for name in kept} == kept
        computed = (folder / f"run-{number}.log").read_text().splitlines()
        assert set(computed) == set(after)
        assert len(computed) - len(after) <= 1, "more than one shard was computed twice"
    midway = sum(0 < count < N_SHARDS for count in present)
    print(f"{len(moments)} kills; shards present of {N_SHARDS}: {present}; midway: {midway}")
    return midway


def test_a_killed_collection_resumes_to_the_same_bytes(collector, undisturbed, tmp_path):
    assert kill_and_resume(collector, undisturbed, tmp_path, [0.25, 0.45, 0.65]) >= 2


def test_a_collection_killed_again_and_again_ends_with_the_same_bytes(
    collector, undisturbed, tmp_path
):
    """Each run of the chain goes on from the shards of the one before."""
    expected, seconds = undisturbed
    path = tmp_path / "store"
    counts = []
    for share in (0.21, 0.43, 0.62):
        collector.run(path, share, seconds)
        counts.append(len(identities(path)))
    assert 0 < counts[0] <= counts[1] <= counts[2]
    assert counts[0] < N_SHARDS
    assert collector.run(path)[0] == 0
    assert contents(path) == expected


@pytest.mark.slow
def test_twenty_collections_killed_at_random_resume_to_the_same_bytes(
    collector, undisturbed, tmp_path
):
    rng = random.Random(0)
    moments = [rng.uniform(0.0, 0.9) for _ in range(20)]
    assert kill_and_resume(collector, undisturbed, tmp_path, moments) >= 12
