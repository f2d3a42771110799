"""The GPU benchmark at a tiny size on the CPU, whose numbers do not pass for a GPU's."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch

PATH = Path(__file__).parent.parent / "benchmarks" / "gpu.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("benchmark_gpu", PATH)
    module = importlib.util.module_from_spec(spec)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    spec.loader.exec_module(module)
    yield module
    torch.set_num_threads(threads)


def test_every_part_runs_at_a_tiny_size(benchmark, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "seconds", lambda action, *_, **__: [action(), 1.0][1])
    monkeypatch.setattr(benchmark, "RESULTS", tmp_path / "results")
    out = tmp_path / "tiny.json"
    arguments = ["gpu.py", "--device", "cpu", "--shapes", "tiny", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", arguments)
    benchmark.main()
    found = json.loads(out.read_text())
    assert found["device"] == "cpu"
    tiny = found["shapes"]["tiny"]
    collection = tiny["collection"]
    assert all(part["date"].count("-") == 2 for part in tiny.values())
    assert collection["padded_tokens"] >= collection["tokens"] > 3 * 24 * 3
    assert collection["forecast_device_bytes"] > 2 * collection["parameters"]
    assert collection["peak_bytes"] is None
    assert tiny["steps"]["shifcon_over_sft"] == 1.0
    assert not (tmp_path / "results").exists()


def test_both_steps_move_the_weights_and_differ(benchmark, monkeypatch):
    cpu, seen = torch.device("cpu"), []
    made = benchmark.make_model("tiny", torch.float32, cpu)
    weight = made.hf.model.layers[0].mlp.up_proj.weight
    monkeypatch.setattr(benchmark, "make_model", lambda *_: made)

    def once(action, *_, **__):
        before = weight.detach().clone()
        action()
        seen.append((weight - before).norm().item())
        return 1.0

    monkeypatch.setattr(benchmark, "seconds", once)
    assert benchmark.measure_steps("tiny", cpu)["trained"] == "all weights"
    assert len(seen) == 2 and min(seen) > 0 and seen[0] != seen[1]


def test_results_of_a_cpu_are_written_only_where_asked(benchmark, tmp_path):
    assert benchmark.results_path(torch.device("cpu"), None) is None
    assert benchmark.results_path(torch.device("cpu"), tmp_path / "x") == tmp_path / "x"


def test_the_shapes_have_the_sizes_of_their_names(benchmark):
    from transformers import LlamaConfig

    from shiftlens.forecast import ModelShape
    from shiftlens.weightless import weightless

    for name, low, high in (("1b", 0.9e9, 1.3e9), ("7b", 6.5e9, 7e9)):
        with weightless(LlamaConfig(**benchmark.SHAPES[name])) as hf:
            assert low < ModelShape.of(hf).parameters < high
