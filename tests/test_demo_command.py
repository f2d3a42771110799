"""`shiftlens demo`: on a small share of its data and in two steps, else as a newcomer runs it."""

import json
import os
from pathlib import Path

import pandas as pd
import pytest
import yaml

from shiftlens import showcase
from shiftlens.cli import main
from shiftlens.config import DemoConfig, TrainConfig
from shiftlens.demo import GROUPS, LANGUAGES, parallel_texts, sft_records
from shiftlens.errors import ShiftlensError
from shiftlens.settings import preset_path, read_settings
from shiftlens.showcase import ARMS, OVERRIDES
from shiftlens.whose import DEMO

COLUMNS = ["dominant (en)", "mid (es de ru ja)", "low (fi tr ko fa)"]


def small_preset(folder):
    """The preset with a fraction of the data, and two steps."""
    (folder / "parallel").mkdir()
    for code, lines in parallel_texts().items():
        (folder / "parallel" / f"{code}.txt").write_text("\n".join(lines[:40]) + "\n")
    for split in ("train", "validation"):
        records = sft_records(split)
        of = [r for code in LANGUAGES for r in [r for r in records if r["language"] == code][:6]]
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, of)) + "\n")
    settings = read_settings(preset_path("demo"), TrainConfig)
    data = {"parallel": str(folder / "parallel"), "sft": str(folder / "train.jsonl")}
    changes = {"steps": 2, "batch_size": 4, "save_every": 1, "vector_sentences": 20}
    preset = folder / "small.yaml"
    preset.write_text(yaml.safe_dump({**settings, **data, **changes}))
    return preset


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    preset = small_preset(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(showcase, "preset_path", lambda name: preset)
        patch.setattr(showcase, "HELD_OUT", str(folder / "validation.jsonl"))
        yield folder / "run"


@pytest.fixture(scope="module")
def done(small):
    """A finished demo and what it printed."""
    lines = []
    return showcase.run_showcase(DemoConfig(str(small)), lines.append), "\n".join(lines)


def test_the_table_is_the_mean_over_the_languages_of_each_group(done):
    finished, _ = done
    assert list(finished.table.columns) == COLUMNS
    assert list(finished.table.index)[:3] == ["base", "base + MSFT", "base + ShifCon"]
    for name, run in finished.runs.items():
        results = pd.read_csv(run.out / "results.csv").set_index(["when", "language"])
        for column, codes in zip(COLUMNS, GROUPS.values(), strict=True):
            for row, when in (("base", "before"), (f"base + {name}", "after")):
                expected = sum(results.loc[(when, code), "exact_match"] for code in codes)
                shown = finished.table.loc[row, column]
                assert shown == pytest.approx(expected / len(codes), abs=1e-12)


def test_arms_share_base_seed_steps_and_data(done):
    finished, _ = done
    assert [run.out.name for run in finished.runs.values()] == ["msft", "shifcon"]
    settings = [yaml.safe_load((r.out / "config.yaml").read_text()) for r in finished.runs.values()]
    assert ("sweep", *ARMS) == DEMO
    for each, arm in zip(settings, ARMS, strict=True):
        assert all(each[name] == value for name, value in OVERRIDES.get(arm, {}).items())
    for key in set(settings[0]) - {"arm", "out", "learning_rate", "w_con"}:
        assert len({str(each[key]) for each in settings}) == 1, key
    before = {run.before.table.to_csv() for run in finished.runs.values()}
    assert len(before) == 1


def test_it_prints_steps_area_table_and_page_and_no_log_lines(done):
    finished, printed = done
    lines = printed.splitlines()
    assert [line[:5] for line in lines if line.startswith("[")] == [f"[{n}/4]" for n in range(1, 5)]
    assert f"area: {finished.sweep.sweep.area}" in printed
    assert f"{finished.table.loc['base', COLUMNS[2]]:.3f}" in printed
    assert all(column in printed for column in COLUMNS)
    assert lines[-1] == str(finished.page) and finished.page.is_file()
    assert "loss" not in printed
    assert "loss" in (finished.page.parent / "log.txt").read_text()


def test_the_same_command_again_trains_nothing_and_ends_with_the_same_page(
    done, small, monkeypatch
):
    finished, _ = done
    page = finished.page.read_bytes()
    weights = {run.out: _stamp(run.out / "model") for run in finished.runs.values()}
    monkeypatch.setattr("shiftlens.training.trainer.ShifConTrainer.train", None)
    again = showcase.run_showcase(DemoConfig(str(small)), lambda _: None)
    assert again.page.read_bytes() == page
    pd.testing.assert_frame_equal(again.table, finished.table)
    assert {run.out: _stamp(run.out / "model") for run in again.runs.values()} == weights


def test_the_report_of_the_folder_is_the_same_page_again(done, small, tmp_path, capfd):
    finished, _ = done
    assert main(["report", str(small), "--out", str(tmp_path / "new" / "page.html")]) == 0
    assert capfd.readouterr().out.strip() == str(tmp_path / "new" / "page.html")
    assert (tmp_path / "new" / "page.html").read_bytes() == finished.page.read_bytes()
    page = finished.page.read_bytes()
    assert main(["report", str(small)]) == 0
    assert finished.page.read_bytes() == page


def _stamp(folder):
    return (folder / "model.safetensors").read_bytes()


def test_an_out_that_is_a_file_is_one_line(tmp_path, capfd):
    path = tmp_path / "file"
    path.write_text("in the way")
    assert main(["demo", "--out", str(path)]) == 2
    assert capfd.readouterr().err.startswith(f"shiftlens: cannot write to folder {path}")


def test_what_else_prints_is_not_lost(tmp_path):
    log = tmp_path / "log.txt"
    for word in ("one", "two"):
        with pytest.raises(ShiftlensError), showcase._details_in(log):
            print(word)
            raise ShiftlensError("stopped")
    assert log.read_text() == "one\ntwo\n"


@pytest.mark.slow
def test_the_demo_as_a_newcomer_runs_it(tmp_path, monkeypatch):
    monkeypatch.setitem(os.environ, "HF_HUB_OFFLINE", "1")
    assert main(["demo", "--out", str(tmp_path / "demo")]) == 0
    assert Path(tmp_path / "demo" / showcase.PAGE).stat().st_size < 12e6
