"""What a person sees of a run while it goes and when it is done."""

import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from finished_runs import trained  # noqa: F401
from test_before_after import config_of, files  # noqa: F401

from shiftlens.cli import COMMANDS, main
from shiftlens.config import to_yaml
from shiftlens.lens_config import LensConfig
from shiftlens.train import run_train
from shiftlens.training.progress import loss_summary


def test_a_training_ends_with_its_losses_where_things_lie_and_what_to_do_next(
    files,  # noqa: F811
    tmp_path,
    capfd,
):
    said = []
    run_train(config_of(files, tmp_path / "run", steps=40, save_every=40), said.append)
    printed = capfd.readouterr()
    log = pd.read_csv(tmp_path / "run" / "log.csv").dropna(subset="loss")
    assert list(log["step"]) == [10, 20, 30, 40]
    lines = printed.out.splitlines()
    for line, row in zip(lines, log.itertuples(), strict=True):
        losses = (
            f"loss {row.loss:.4g}, language model {row.loss_lm:.4g}, pairs {row.loss_pairs:.4g}"
        )
        assert line == f"step {row.step} of 40: {losses}"
    end = "\n".join(said[-3:])
    for row in (log.iloc[0], log.iloc[-1]):
        cells = (f"{row[name]:.4f}" for name in ("loss", "loss_lm", "loss_pairs"))
        assert f"{int(row['step'])} " in end and all(cell in end for cell in cells)
    assert said[-1] == (
        f"next     shiftlens eval {tmp_path}/run --records FILE\n"
        f"         shiftlens report {tmp_path}/run"
    )
    assert main(["report", str(tmp_path / "run")]) == 0


def test_a_training_that_goes_on_says_from_where(files, tmp_path, capfd):  # noqa: F811
    config = config_of(files, tmp_path / "run", steps=4, save_every=2)
    run_train(config, lambda _: None)
    assert "goes on" not in capfd.readouterr().out
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "checkpoint-4")
    run_train(config, lambda _: None)
    first = tmp_path / "run" / "checkpoints" / "checkpoint-2"
    assert capfd.readouterr().out.splitlines()[0] == f"goes on from step 2 of 4: {first}"


def test_the_third_language_that_was_chosen_is_said(files, tmp_path):  # noqa: F811
    said = []
    run_train(config_of(files, tmp_path / "run", arm="third-language"), said.append)
    assert "shifting to es, the third language" in said


def test_of_a_short_training_the_mean_loss_is_said():
    short = pd.DataFrame({"step": [5], "train_loss": [1.25]})
    assert loss_summary(short) == "mean loss of the 5 steps  1.2500"
    one = pd.DataFrame({"step": [10, 12], "loss": [2.0, np.nan], "loss_lm": [1.5, np.nan]})
    assert loss_summary(one).splitlines()[1:] == [
        " step   loss  language model",
        "   10 2.0000          1.5000",
    ]


@pytest.mark.parametrize("command", ["eval", "repeat", "report", "plot", "lens"])
def test_a_folder_that_a_command_does_not_take_says_whose_it_is(tmp_path, capsys, command):
    lens = tmp_path / "lens"
    lens.mkdir()
    (lens / "config.yaml").write_text(to_yaml(LensConfig("demo", "demo", str(lens))))
    given = [command, str(lens)]
    if command == "lens":
        given = [command, "--model", str(lens), "--corpus", "demo", "--out", str(tmp_path / "x")]
    assert main(given) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1
    assert printed.err.startswith(f"shiftlens: {lens} holds a run of lens")


@pytest.mark.parametrize("states", ["sentences", "tokens"])
def test_a_sweep_of_collected_states_forecasts_no_collection(tmp_path, capsys, states):
    given = ["--model", "demo", "--corpus", "demo", "--languages", "en,fi", "--sentences", "40"]
    given += ["--states", states, "--device", "cpu", "--out", str(tmp_path / "run")]
    assert main(["collect", *given]) == 0
    before = capsys.readouterr().out
    assert "\nwrites   " in before and "\ntakes    " in before
    assert main(["sweep", *given]) == 0
    after = capsys.readouterr().out
    assert "\nhas      " in after and ", all collected\n" in after
    assert "\nwrites   " not in after and "\ntakes    " not in after


@pytest.mark.parametrize("command", COMMANDS)
def test_no_setting_is_shown_as_none_or_text(capsys, command):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert "{None}" not in capsys.readouterr().out


def test_a_setting_can_still_be_given_as_none(tmp_path, monkeypatch):
    found = []
    monkeypatch.setitem(COMMANDS, "sweep", (COMMANDS["sweep"][0], lambda c: found.append(c) or 0))
    given = ["sweep", "--model", "demo", "--corpus", "demo", "--out", str(tmp_path / "x")]
    assert main([*given, "--sentences", "7", "--languages", "None"]) == 0
    assert (found[0].sentences, found[0].languages) == (7, None)
    assert yaml.safe_load(to_yaml(found[0]))["sentences"] == 7
    with pytest.raises(SystemExit) as stopped:
        main([*given, "--sentences", "many"])
    assert stopped.value.code == 2


def test_what_is_no_whole_number_is_told_as_such(capsys):
    with pytest.raises(SystemExit):
        main(["plan", "--model", "demo", "--sentences", "9", "--languages", "en,fi"])
    assert "--languages: give a whole number, not 'en,fi'" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_stack_trace():
    code = "import sys, shiftlens.cli as c; sys.exit(c.main(['metrics']))"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        error = process.stderr.read().decode()
    assert (error, process.returncode) == ("", 141)
