"""A finished training of the demo, asked three ways: the same answer to every item."""

import importlib.util
from pathlib import Path

import pandas as pd
import pytest
import tyro
from test_export import training

from shiftlens.answers import generate_answers
from shiftlens.config import TrainConfig
from shiftlens.evaluate import evaluate
from shiftlens.settings import with_settings_files
from shiftlens.sft import SftRecord, load_records
from shiftlens.train import run_train
from shiftlens.trained import load_trained


@pytest.fixture(scope="module")
def benchmark():
    path = Path(__file__).parent.parent / "benchmarks" / "three_ways.py"
    spec = importlib.util.spec_from_file_location("benchmark_three_ways", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_item_that_differs_is_found(benchmark):
    rows = [("a", True, "a", True, "a", True), ("b", True, "b", True, "c", False)]
    columns = [name for way in benchmark.WAYS for name in (way, f"{way}_right")]
    items = pd.DataFrame(rows, columns=columns)
    assert list(benchmark.differing(items).index) == [1]
    assert list(benchmark.differing(items.assign(hooks_right=[False, True])).index) == [0, 1]


def test_each_way_has_its_own_answers(benchmark, tmp_path, monkeypatch):
    """A baked model that is not the run's is seen, and so is an answer out of its place."""
    records = [
        SftRecord(f"{n}.{code}", code, f"say {n} a{'b' * n}", f" {n}a")
        for n in range(4)
        for code in ("en", "sw")
    ]
    training(tmp_path / "run")
    items = benchmark.three_ways(tmp_path / "run", records, tmp_path / "same")
    assert benchmark.differing(items).empty
    assert sorted(items["id"]) == sorted(record.id for record in records)
    model, _ = load_trained(tmp_path / "run" / "model", device="cpu")
    monkeypatch.setattr(benchmark, "load_model", lambda *_, **__: model)
    apart = benchmark.differing(benchmark.three_ways(tmp_path / "run", records, tmp_path / "other"))
    assert set(apart["language"]) == {"sw"}


@pytest.mark.slow
def test_shifcon_on_the_demo_answers_every_test_item_the_same_three_ways(benchmark, tmp_path):
    out = tmp_path / "run"
    settings = with_settings_files(["--preset", "demo", "--out", str(out)], TrainConfig)
    run_train(tyro.cli(TrainConfig, args=settings), lambda _: None)
    records = load_records("demo:test")
    items = benchmark.three_ways(out, records, tmp_path / "ways")
    assert len(items) == 1620
    assert items["language"].nunique() == 9
    assert benchmark.differing(items).empty
    model, shift = load_trained(out / "model", device="cpu")
    expected = evaluate(model, records, shift, choices=False).set_index("language")["exact_match"]
    for way in benchmark.WAYS:
        shares = items.groupby("language")[f"{way}_right"].mean()
        pd.testing.assert_series_equal(
            shares.sort_index(), expected.sort_index(), check_names=False
        )
    plain = items.merge(
        pd.DataFrame({"id": [r.id for r in records], "plain": generate_answers(model, records)})
    )
    changed = plain[plain["plain"] != plain["baked"]]
    assert set(changed["language"]) == set(items["language"]) - {"en"}
