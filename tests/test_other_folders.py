"""No command writes into the folder of another one's run, and a refused one leaves nothing."""

import contextlib
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from filelock import FileLock

from shiftlens import files
from shiftlens.cli import main
from shiftlens.config import SweepConfig, TrainConfig, to_yaml
from shiftlens.errors import ShiftlensError
from shiftlens.files import running, writing
from shiftlens.lens_config import LensConfig
from shiftlens.neurons_config import NeuronsConfig
from shiftlens.steering_config import SteerConfig
from shiftlens.whose import check_run_folder

STEER = ["steer", "--records", "demo:validation", "--source", "fi", "--target", "en", "--layer"]
GIVEN = {
    "steer": [*STEER, "3", "--strengths", "0"],
    "neurons": ["neurons", "--languages", "en,fi", "--sentences", "20", "--draws", "2"],
    "lens": ["lens", "--corpus", "demo", "--languages", "en,fi", "--sentences", "4"],
}


DEMO = ["--model", "demo", "--device", "cpu"]
SWEEP = [*DEMO, "--corpus", "demo"]
WRITING = {
    "collect": ["collect", *SWEEP],
    "sweep": ["sweep", *SWEEP],
    "train": ["train", *DEMO, "--sft", "demo:train", "--parallel", "demo", "--steps", "1"],
    **{name: [*given, *DEMO] for name, given in GIVEN.items()},
    "demo": ["demo"],
}
SETTINGS = {
    "sweep": SweepConfig("demo", "demo", "out"),
    "train": TrainConfig("demo", "demo:train", "demo", "out"),
    "lens": LensConfig("demo", "demo", "out"),
    "neurons": NeuronsConfig("demo", "out"),
    "steer": SteerConfig("demo", "demo:test", "fi", "en", 3, "out"),
}
BEGUN = {
    "collect": "activations/manifest.json",
    "train": "inputs.json",
    "lens": "lens_inputs.json",
    "neurons": "neurons_inputs.json",
    "steer": "steer_inputs.json",
}
MEANT = {("sweep", "collect"), ("collect", "sweep")}


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def said(capsys, command, *more):
    """The one line of a refusal."""
    capsys.readouterr()
    assert main([*GIVEN[command], "--model", "demo", "--device", "cpu", *map(str, more)]) == 2
    line = capsys.readouterr().err
    assert line.startswith("shiftlens: ") and line.count("\n") == 1
    return line


@pytest.mark.parametrize("command", GIVEN)
def test_a_sweeps_folder_is_left_as_it_is(swept, tmp_path, capsys, command):
    run = tmp_path / "runs" / "first"
    shutil.copytree(swept, run)
    before = contents(run)
    assert f"{run} holds a run of sweep; give {command} another --out" in said(
        capsys, command, "--out", run
    )
    assert f"{run.parent} is a folder of runs" in said(capsys, command, "--out", run.parent)
    assert contents(run.parent) == before
    assert main(["report", str(run)]) == 0


@pytest.mark.parametrize("command", GIVEN)
def test_a_folder_that_another_process_writes_to_is_left_alone(tmp_path, capsys, command):
    with running(tmp_path / "x"):
        assert "another process is writing to" in said(capsys, command, "--out", tmp_path / "x")
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["run.lock"]


@pytest.mark.parametrize(
    ("command", "other", "words"),
    [("steer", ["--layer", "2"], "layer 3, not 2"), ("neurons", ["--seed", "1"], "seed 0, not 1")],
)
def test_other_settings_need_another_folder(tmp_path, capsys, command, other, words):
    out = tmp_path / "x"
    given = [*GIVEN[command], "--model", "demo", "--device", "cpu", "--out", str(out)]
    assert main(given) == 0
    before = contents(out)
    assert words in said(capsys, command, "--out", out, *other)
    assert contents(out) == before
    assert main(given) == 0
    assert contents(out) == before


def refused(capsys, command, out):
    """The one line with which a command refuses a folder, which stays as it is."""
    before = sorted(out.rglob("*")), contents(out)
    capsys.readouterr()
    assert main([*WRITING[command], "--out", str(out)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("shiftlens: ") and printed.err.count("\n") == 1
    assert (sorted(out.rglob("*")), contents(out)) == before
    return printed.err


@pytest.mark.parametrize("command", WRITING)
@pytest.mark.parametrize("there", SETTINGS)
def test_a_folder_of_another_command_is_refused(tmp_path, capsys, command, there):
    if command == there or (command, there) in MEANT:
        return
    (tmp_path / "config.yaml").write_text(to_yaml(SETTINGS[there]))
    line = refused(capsys, command, tmp_path)
    assert f"{tmp_path} holds a run of {there}; give " in line and "another --out" in line


@pytest.mark.parametrize("command", WRITING)
@pytest.mark.parametrize("there", BEGUN)
def test_a_folder_that_another_command_has_begun_is_refused(tmp_path, capsys, command, there):
    if command == there or (command, there) in MEANT:
        return
    (tmp_path / BEGUN[there]).parent.mkdir(exist_ok=True)
    (tmp_path / BEGUN[there]).write_text("{}")
    assert f"holds a run of {there}; give " in refused(capsys, command, tmp_path)


@pytest.mark.parametrize("command", WRITING)
@pytest.mark.parametrize("settings", ["db: [host]", "a: [", "model: demo"])
def test_a_config_of_no_command_is_not_written_over(tmp_path, capsys, command, settings):
    (tmp_path / "config.yaml").write_text(settings)
    assert "holds a config.yaml that is damaged or of no" in refused(capsys, command, tmp_path)


@pytest.mark.parametrize("command", WRITING)
@pytest.mark.parametrize("there", SETTINGS)
def test_a_folder_of_runs_is_refused(tmp_path, capsys, command, there):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "config.yaml").write_text(to_yaml(SETTINGS[there]))
    line = refused(capsys, command, tmp_path)
    assert f"{tmp_path} is a folder of runs ({tmp_path / 'one'})" in line


def test_a_demo_takes_no_sweep_for_its_own(tmp_path, capsys):
    (tmp_path / "sweep").mkdir()
    given = SweepConfig("demo", "demo", str(tmp_path / "sweep"), metric="cka")
    (tmp_path / "sweep" / "config.yaml").write_text(to_yaml(given))
    assert "with metric 'cka', not 'affine_invariant" in refused(capsys, "demo", tmp_path)


def test_a_run_inside_a_run_does_not_keep_it_from_going_on(swept, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(swept, run)
    (run / "lens").mkdir()
    (run / "lens" / "config.yaml").write_text(to_yaml(SETTINGS["lens"]))
    check_run_folder(SweepConfig("demo", "demo", str(run), sentences=60))


def test_a_repetition_is_not_written_into_a_lens(swept, tmp_path, capsys):
    (tmp_path / "config.yaml").write_text(to_yaml(SETTINGS["lens"]))
    capsys.readouterr()
    assert main(["repeat", str(swept), "--out", str(tmp_path)]) == 2
    assert "holds a run of lens; give sweep another --out" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


LATE = {
    "a steering from a language without texts": [
        *(*GIVEN["steer"], *DEMO, "--source", "sw"),
    ],
    "a steering by a run that is not there": [*GIVEN["steer"], *DEMO, "--run", "nowhere"],
    "a steering at a layer that is not there": [*GIVEN["steer"][:-4], "--layer", "9", *DEMO],
    "neurons of too few sentences": [*GIVEN["neurons"], *DEMO, "--sentences", "3"],
    "tokens told by half": [*GIVEN["lens"], *DEMO, "--threshold", "0.5"],
    "a third language without texts": [
        *(*WRITING["train"], "--arm", "third-language", "--third", "sw"),
    ],
    "LoRA on no layer": [*WRITING["train"], "--lora-rank", "2", "--lora-targets", "nope"],
}


@pytest.mark.parametrize("given", LATE.values(), ids=LATE)
def test_a_refused_command_leaves_and_says_nothing_else(tmp_path, capsys, given):
    capsys.readouterr()
    assert main([*given, "--out", str(tmp_path / "a" / "b")]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_room_is_left_as_it_was(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10))
    (tmp_path / "kept").mkdir()
    for out in (tmp_path / "a" / "b", tmp_path / "kept"):
        assert main([*WRITING["sweep"], "--sentences", "20", "--out", str(out)]) == 2
    assert [path.name for path in tmp_path.rglob("*")] == ["kept"]


def test_a_training_refused_by_its_data_leaves_no_folder_of_checkpoints(tmp_path, capsys):
    with running(tmp_path / "a" / "b"):
        assert main([*WRITING["train"], "--out", str(tmp_path / "a" / "b")]) == 2
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["run.lock"]


def test_what_was_written_before_a_failure_stays(tmp_path):
    with pytest.raises(RuntimeError), running(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "states").write_text("whole")
        raise RuntimeError
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["states"]


@pytest.mark.parametrize("hold", [running, writing])
def test_a_start_refused_in_a_folder_just_made_leaves_it_to_the_first(tmp_path, monkeypatch, hold):
    path = tmp_path / "a" / "b"
    asked = files.check_folder

    def first_comes_between(folder):
        asked(folder)
        monkeypatch.setattr(files, "check_folder", asked)
        first.enter_context(hold(path))

    with contextlib.ExitStack() as first:
        monkeypatch.setattr(files, "check_folder", first_comes_between)
        with pytest.raises(ShiftlensError, match="another process is writing to"), hold(path):
            raise AssertionError
        (path / "states").write_text("whole")


@pytest.mark.parametrize("hold", [running, writing])
def test_a_lock_on_a_file_that_was_taken_away_lets_nobody_in(tmp_path, monkeypatch, hold):
    path, acquire = tmp_path / "a" / "b", FileLock.acquire

    def failed_and_begun_anew(lock, **how):
        held = acquire(lock, **how)
        monkeypatch.setattr(FileLock, "acquire", acquire)
        Path(lock.lock_file).unlink()
        third.enter_context(hold(path))
        return held

    with contextlib.ExitStack() as third:
        monkeypatch.setattr(FileLock, "acquire", failed_and_begun_anew)
        with pytest.raises(ShiftlensError, match="another process is writing to"), hold(path):
            raise AssertionError
        (path / "states").write_text("whole")
        with pytest.raises(ShiftlensError, match="another process is writing to"), hold(path):
            raise AssertionError


@pytest.mark.parametrize("hold", [running, writing])
def test_a_failure_takes_away_what_it_made_and_no_lock_of_before(tmp_path, hold):
    path = tmp_path / "a" / "b"
    with pytest.raises(RuntimeError), hold(path):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    path.mkdir(parents=True)
    for lock in (path / "run.lock", path.with_name("b.lock")):
        lock.touch()
    with pytest.raises(RuntimeError), hold(path):
        raise RuntimeError
    assert sorted(p.name for p in path.parent.rglob("*")) == ["b", "b.lock", "run.lock"]
