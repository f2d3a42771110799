"""A collection killed at any moment and run again ends as if it had not been killed."""

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from killing import Moment, fresh_seed, moments_of

N_SHARDS = 40
SCRIPT = """
import json, os, sys, tempfile, time

sys.path.insert(0, sys.argv[1])
import tiny
import torch
from killing import await_child, count_touches

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
    path, stop_at, rest = json.loads(line)
    begun, pid = time.perf_counter(), os.fork()
    if pid == 0:
        count_touches(path, path + ".touches", stop_at)
        collect_states(model, corpus, path, shard_rows=16, batch_tokens=256, progress=False)
        os._exit(0)
    code, _ = await_child(pid, rest)
    print(json.dumps([code, time.perf_counter() - begun]), flush=True)
"""


@dataclass
class Undisturbed:
    """A run that nobody killed.

    Attributes:
        files: Bytes of every file.
        touches: How often it touched its folder.
        seconds: How long it took.
    """

    files: dict[str, bytes]
    touches: int
    seconds: float


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

    def run(self, path, stop_at=None, rest=0.0):
        """Collect into a folder; the exit code (-9 where killed) and the seconds it took.

        With ``stop_at`` it is killed ``rest`` seconds after that touch of its folder.
        """
        self.process.stdin.write(json.dumps([str(path), stop_at, rest]) + "\n")
        self.process.stdin.flush()
        return json.loads(self.read())


@pytest.fixture(scope="module")
def collector():
    collector = Collector()
    yield collector
    collector.process.stdin.close()
    assert collector.process.wait() == 0


@pytest.fixture(scope="module")
def undisturbed(collector, tmp_path_factory):
    """A run that nobody killed; another one gives the same."""
    first, again = (tmp_path_factory.mktemp("undisturbed") / name for name in ("store", "again"))
    seconds = []
    for path in (first, again):
        code, took = collector.run(path)
        assert code == 0
        seconds.append(took)
    assert contents(again) == contents(first)
    assert touches(again) == touches(first)
    return Undisturbed(contents(first), touches(first), min(seconds))


def contents(folder):
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def touches(folder):
    return Path(f"{folder}.touches").stat().st_size


def identities(folder):
    """Inode and time of writing of every shard that is whole."""
    return {
        file.name: (file.stat().st_ino, file.stat().st_mtime_ns)
        for file in folder.glob("*.safetensors")
    }


def kill(collector, undisturbed, path, moment):
    """Kill a run at a moment; the number of shards it leaves, all of them where it had ended."""
    code, _ = collector.run(path, int(moment.share * undisturbed.touches), moment.rest)
    assert code == -signal.SIGKILL or (code == 0 and moment.rest > 0)
    return len(identities(path))


def kill_and_resume(collector, undisturbed, folder, moments):
    """Kill one run at each moment; resume it. How many were killed between two shards."""
    expected = undisturbed.files
    assert len(expected) == N_SHARDS + 1
    present = []
    for number, moment in enumerate(moments):
        path = folder / f"run-{number}"
        present.append(kill(collector, undisturbed, path, moment))
        kept = identities(path)
        assert all((path / name).read_bytes() == expected[name] for name in kept)
        assert collector.run(path)[0] == 0
        assert contents(path) == expected, f"killed at {moment}"
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
    moments = [Moment(0.25), Moment(0.45), Moment(0.65)]
    assert kill_and_resume(collector, undisturbed, tmp_path, moments) == len(moments)


def test_a_collection_killed_again_and_again_ends_with_the_same_bytes(
    collector, undisturbed, tmp_path
):
    """Each run of the chain goes on from the shards of the one before."""
    path = tmp_path / "store"
    moments = [Moment(0.2), Moment(0.3), Moment(0.25)]
    counts = [kill(collector, undisturbed, path, moment) for moment in moments]
    assert 0 < counts[0] < counts[1] < counts[2] < N_SHARDS
    assert collector.run(path)[0] == 0
    assert contents(path) == undisturbed.files


@pytest.mark.slow
def test_twenty_collections_killed_at_random_resume_to_the_same_bytes(
    collector, undisturbed, tmp_path
):
    a_tenth = undisturbed.seconds / 10
    moments = moments_of(fresh_seed(), 20, a_tenth)
    assert kill_and_resume(collector, undisturbed, tmp_path, moments) >= 8
