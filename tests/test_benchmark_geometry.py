"""The geometry benchmark at a tiny size: its states, its ways, and what it prints."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from pyriemann.geometry.distance import distance_riemann
from sklearn.covariance import ledoit_wolf

from shiftlens.geometry import METRICS


@pytest.fixture(scope="module")
def benchmark():
    path = Path(__file__).parent.parent / "benchmarks" / "geometry.py"
    spec = importlib.util.spec_from_file_location("benchmark_geometry", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tiny(benchmark, monkeypatch):
    monkeypatch.setattr(benchmark, "LAYERS", 2)
    monkeypatch.setattr(benchmark, "LANGUAGES", benchmark.LANGUAGES[:3])
    monkeypatch.setattr(benchmark, "PAIRS", [(0, 1), (0, 2), (1, 2)])
    return benchmark


def run(module, monkeypatch, capsys, *options):
    monkeypatch.setattr("sys.argv", ["geometry.py", *options])
    module.main()
    return capsys.readouterr().out.splitlines()


def test_states_share_content_and_differ_in_mean_spectrum_and_axes(benchmark):
    a, b = (benchmark.make_states(0, language, 30, 400) for language in (0, 1))
    spectrum = np.linalg.eigvalsh(np.cov(a.T))[::-1]
    assert spectrum[0] > 5 * spectrum[-1]
    centred = a - a.mean(0), b - b.mean(0)
    scores = [np.linalg.svd(x, full_matrices=False)[0] for x in centred]
    assert np.linalg.svd(scores[0].T @ scores[1])[1][0] > 0.5
    assert np.linalg.norm(a.mean(0) - b.mean(0)) > 1
    assert not np.allclose(benchmark.make_states(1, 0, 30, 400), a)
    np.testing.assert_array_equal(benchmark.make_states(0, 0, 30, 400), a)


@pytest.mark.parametrize("way", ["shiftlens", "pyriemann", "textbook"])
def test_every_way_measures_the_distances(tiny, way):
    states = [tiny.make_states(0, language, 12, 8) for language in range(3)]
    distances, seconds = tiny.measure(way, states, 12)
    covariances = [ledoit_wolf(x)[0] for x in states]
    expected = [distance_riemann(covariances[i], covariances[j]) for i, j in tiny.PAIRS]
    np.testing.assert_allclose(distances, expected, rtol=1e-8)
    assert seconds.shape == (2, 2)
    assert (seconds >= 0).all()


def test_slow_ways_measure_fewer_pairs_and_are_scaled(benchmark):
    counts = {way: len(benchmark.measured_pairs(way, 2048)) for way in benchmark.WAYS}
    assert counts == {"shiftlens": 45, "pyriemann": 9, "textbook": 1}
    assert len(benchmark.measured_pairs("pyriemann", 768)) == 45


def test_every_size_is_reported_with_its_goal(tiny, monkeypatch, capsys):
    monkeypatch.setattr(tiny, "GOALS", {12: 8})
    lines = run(tiny, monkeypatch, capsys, "--sizes", "12x8", "6x20", "--repeats", "2")
    assert "3 languages, 3 pairs, 2 layers" in lines[0]
    assert len(lines) == 1 + 2 * 7
    assert sum("2 of 3 pairs" in line or "3 of 3 pairs, 4 layers" in line for line in lines) == 4
    for goal in ("(goal >= 8; 1e-8)", "(goal >= 1; 1e-8)"):
        assert any(line.startswith("pyriemann / shiftlens") and goal in line for line in lines)


def test_distances_that_differ_fail(tiny, monkeypatch):
    monkeypatch.setitem(tiny.WAYS, "pyriemann", (tiny.shrunk, lambda a, b: 1.0))
    with pytest.raises(AssertionError, match="from pyRiemann"):
        tiny.compare(12, 8, 1)


def test_every_metric_is_timed_and_left_as_it_was(tiny, monkeypatch, capsys):
    before = dict(METRICS)
    lines = run(tiny, monkeypatch, capsys, "--all-measures", "--sizes", "8x60")
    assert {line.split()[0] for line in lines[3:-2]} >= METRICS.keys() - {lines[-2].split()[0]}
    assert "(goal < 300 s)" in lines[-1]
    assert before == METRICS
