"""The training benchmark at a tiny size: what its ways compute, and what PyTorch counts of them."""

import argparse
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from shiftlens.language_vectors import LanguageVectors
from shiftlens.shift import Shift
from shiftlens.training.contrastive import contrastive_loss

TINY = {
    "layers": 4,
    "width": 16,
    "vocabulary": 50,
    "sft_rows": 5,
    "sft_tokens": 8,
    "pairs": 3,
    "pair_tokens": 6,
    "vector_sentences": 8,
    "reestimate": 2,
    "prompts": 5,
    "prompt_tokens": 4,
    "new_tokens": 3,
    "repeats": 1,
}
AREA = (1, 3)
BLOCK, HEAD = 4 * 16 * 16 + 3 * 16 * 64, 16 * 50
COSINES = 2 * 6 * 3 * 3 * 16


@pytest.fixture(scope="module")
def benchmark():
    path = Path(__file__).parent.parent / "benchmarks" / "train.py"
    spec = importlib.util.spec_from_file_location("benchmark_train", path)
    module = importlib.util.module_from_spec(spec)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    spec.loader.exec_module(module)
    yield module
    torch.set_num_threads(threads)


@pytest.fixture
def parts(benchmark):
    options = argparse.Namespace(**TINY)
    model, corpus = benchmark.make_model(options), benchmark.make_corpus(options)
    shift = Shift(LanguageVectors.from_model(model, corpus), AREA)
    return model, corpus, shift, options


def test_the_counted_flops_are_those_of_the_docstring(benchmark, parts):
    flops = benchmark.count_flops(benchmark.training_ways(*parts))
    sft, shifcon, withdrawn, vectors = (way.item() for way in flops.values())
    assert sft == 6 * 5 * 8 * (4 * BLOCK + HEAD)
    assert shifcon - sft == 6 * 36 * 2 * BLOCK + COSINES
    assert withdrawn - sft == 36 * (2 * (4 * BLOCK + HEAD) + 4 * 2 * BLOCK) + COSINES
    assert vectors == 2 * 4 * 8 * 6 * 4 * BLOCK


def test_the_withdrawn_contrast_is_the_recentred_loss(benchmark, parts):
    model, _, _, options = parts
    pairs = benchmark.make_pairs(options)
    losses = [
        benchmark.withdrawn_contrast(model, pairs, AREA),
        contrastive_loss(model, pairs, AREA, "recentred", temperature=1.0),
    ]
    assert torch.allclose(*losses, rtol=1e-5)
    weight = model.hf.model.layers[1].mlp.down_proj.weight
    withdrawn, own = (torch.autograd.grad(loss, weight)[0] for loss in losses)
    assert withdrawn.abs().max() > 0
    assert torch.allclose(withdrawn, own, rtol=1e-3, atol=1e-3 * withdrawn.abs().max())


def test_every_step_moves_the_weights(benchmark, parts):
    model = parts[0]
    ways = benchmark.training_ways(*parts)
    for way in ("sft", "shifcon", "withdrawn"):
        before = [weight.detach().clone() for weight in model.hf.parameters()]
        ways[way]()
        moved = zip(before, model.hf.parameters(), strict=True)
        assert all(not torch.equal(old, new) for old, new in moved)


def test_generation_hooked_and_plain_is_of_one_length(benchmark, parts):
    model, _, shift, options = parts
    ways = benchmark.generation_ways(model, shift, options)
    plain, hooked = ways["plain"](), ways["hooked"]()
    assert plain.shape == hooked.shape == (5, 7)
    assert torch.equal(plain[[0, 4]], hooked[[0, 4]])


def test_ratios_are_medians_over_the_rounds(benchmark):
    def rounds(*values):
        return np.array(values, dtype=float)[:, None]

    cost = {
        "sft": rounds(10, 10, 20),
        "shifcon": rounds(11, 12, 60),
        "withdrawn": rounds(22, 12, 60),
        "vectors": rounds(10, 20, 30),
        "plain": rounds(1, 2),
        "hooked": rounds(1, 3),
    }
    seen = {name: ratio.item() for name, ratio in benchmark.ratios(cost, 10).items()}
    assert seen["shifcon with vectors / sft"] == pytest.approx(1.4)
    assert seen["shifcon / sft"] == pytest.approx(1.2)
    assert seen["withdrawn / shifcon"] == pytest.approx(1.0)
    assert seen["withdrawn / shifcon with vectors"] == pytest.approx(60 / 63)
    assert seen["withdrawn's extra / shifcon's"] == pytest.approx(1.0)
    assert seen["hooked / plain generation"] == pytest.approx(1.25)


def test_the_whole_benchmark_prints_every_goal(benchmark, monkeypatch, capsys):
    sizes = [f"--{name.replace('_', '-')}={size}" for name, size in TINY.items()]
    monkeypatch.setattr("sys.argv", ["train.py", *sizes, "--area", "1", "3"])
    benchmark.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 6 + 6
    for name, goal in benchmark.GOALS.items():
        assert any(line.startswith(name) and line.endswith(goal) for line in lines)
