"""``steer``, ``neurons`` and ``lens`` write into no folder of another run."""

import shutil

import pytest

from shiftlens.cli import main
from shiftlens.store import running

STEER = ["steer", "--records", "demo:validation", "--source", "fi", "--target", "en", "--layer"]
GIVEN = {
    "steer": [*STEER, "3", "--strengths", "0"],
    "neurons": ["neurons", "--languages", "en,fi", "--sentences", "20", "--draws", "2"],
    "lens": ["lens", "--corpus", "demo", "--languages", "en,fi", "--sentences", "4"],
}


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
    assert f"{run} holds a run of another command than {command}" in said(
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
