import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from same_files import contents, differing


@dataclass
class Ended:
    """How a run ended.

    Attributes:
        code: 0 done, 2 refused, -9 killed.
        seconds: How long it took.
        touches: How often it touched its folder.
        error: What it said on stderr.
    """

    code: int
    seconds: float
    touches: int
    error: str

    @property
    def message(self):
        """The one line of a refusal."""
        assert self.code == 2, f"exit {self.code}: {self.error[-3000:]}"
        assert "Traceback" not in self.error
        return self.error.strip().splitlines()[-1]


class Warm:
    """A process that has imported everything, and forks one run at a time."""

    def __init__(self, home):
        self.home = home
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("warm.py")), str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.read() == "ready"

    def read(self):
        return self.process.stdout.readline().strip()

    def run(self, what, out, **asked):
        """A run to its end, or with ``stop_at`` to its kill ``rest`` seconds after that touch."""
        order = {"what": what, "out": str(out), "home": str(self.home), **asked}
        begun = time.perf_counter()
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        code = json.loads(self.read())["code"]
        seconds = time.perf_counter() - begun
        touches = (self.home / "touches").stat().st_size
        return Ended(code, seconds, touches, (self.home / "errors.txt").read_text())

    def done(self, what, out, **asked):
        """A run that must succeed."""
        ended = self.run(what, out, **asked)
        assert ended.code == 0, ended.error[-3000:]
        return ended


@pytest.fixture(scope="session")
def warm(tmp_path_factory):
    warm = Warm(tmp_path_factory.mktemp("warm"))
    yield warm
    warm.process.stdin.close()
    assert warm.process.wait(timeout=60) == 0


@pytest.fixture(scope="session")
def undisturbed(warm, tmp_path_factory):
    """Contents and end of each kind of run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    known = {}
    for what in ("sweep", "train", "export"):
        ends = [warm.done(what, folder / f"{what}-{n}") for n in range(2)]
        known[what] = contents(folder / f"{what}-0"), min(ends, key=lambda end: end.touches)
        assert differing(known[what][0], contents(folder / f"{what}-1")) == []
    return known
