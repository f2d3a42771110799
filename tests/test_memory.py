"""Large tensors give their memory back, and a collection takes what was forecast."""

import importlib.util
import os
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from shiftlens import memory
from shiftlens.forecast import Texts
from shiftlens.memory import (
    HUGE_PAGE,
    HUGE_PAGES,
    OWN_SETTINGS,
    large_tensors_returned,
    return_gaps,
    use_huge_pages,
)

BENCHMARK = Path(__file__).parent.parent / "benchmarks" / "forecast.py"
of_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a matter of glibc")
GROWN = """
from contextlib import nullcontext
from pathlib import Path
import sys
import torch
from shiftlens.memory import large_tensors_returned

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

with large_tensors_returned() if sys.argv[1] == "returned" else nullcontext():
    torch.ones(2_000_000).sum()
    before, kept = resident(), []
    for n in range(30):
        large = torch.ones(1_500_000 + 2_000 * n)
        kept.append(torch.ones(5_000))
        del large
    print(resident() - before)
"""


@of_glibc
def test_what_large_tensors_leave_between_small_ones_goes_back():
    grown = {}
    for way in ("returned", "kept"):
        done = subprocess.run(
            [sys.executable, "-c", GROWN, way],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, HUGE_PAGES: "1"},
        )
        grown[way] = int(done.stdout)
    assert grown["returned"] < 3e6
    assert grown["kept"] > 5e6


@pytest.fixture
def libc(monkeypatch):
    """What is asked of a glibc, in turn."""
    asked = []
    made = SimpleNamespace(
        mallopt=lambda parameter, size: asked.append((parameter, size)),
        malloc_trim=lambda pad: asked.append("trim"),
    )
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: made)
    monkeypatch.setattr(memory.sys, "platform", "linux")
    for name in OWN_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(HUGE_PAGES, "to be put back")
    monkeypatch.delenv(HUGE_PAGES)
    return asked


@pytest.mark.parametrize("own", [{HUGE_PAGES: "0"}, *({name: "65536"} for name in OWN_SETTINGS)])
def test_what_the_user_has_set_stays(libc, monkeypatch, own):
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    use_huge_pages()
    with large_tensors_returned():
        return_gaps()
    assert libc == []


def test_the_threshold_is_low_inside_and_glibcs_highest_after(libc):
    use_huge_pages()
    with pytest.raises(ValueError, match="inside"), large_tensors_returned():
        return_gaps()
        raise ValueError("inside")
    low, high = HUGE_PAGE, 32 * 2**20
    assert libc == [(-3, low), (-1, 2 * low), "trim", (-3, high), (-1, 2 * high), "trim"]


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("benchmark_forecast", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@of_glibc
@pytest.mark.slow
@pytest.mark.parametrize("name", ["minilm", "llama"])
def test_a_collection_takes_the_memory_that_was_forecast(benchmark, name, tmp_path):
    path = benchmark.model_paths(tmp_path, [name])[name]
    model = benchmark.load_model(path, device="cpu")
    tokens = benchmark.plan_collection(model, benchmark.make_corpus(300)).tokens.values()
    mean = sum(language.mean_tokens for language in tokens) / len(tokens)
    said = benchmark.forecast(path, Texts(len(tokens), 300, mean), tokens=1)
    measured = benchmark.memory_of("collect", path, 300, tmp_path)
    assert said["collect"]["memory"] == pytest.approx(measured, rel=0.25)
