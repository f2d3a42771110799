"""The commands under a launcher: what stands in the run folder, and what the user is told."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import launched
import numpy as np
import pandas as pd
import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file
from test_ranks import files

from shiftlens import ranks
from shiftlens.cli import main
from shiftlens.corpora import load_corpus
from shiftlens.demo.world import sft_records

COLLECT = ["--model", "demo", "--corpus", "demo", "--device", "cpu", "--languages", "en,es,fi"]


pytestmark = pytest.mark.usefixtures("one_thread")


def launch(count, *arguments):
    return launched.finish(launched.start(count, "-m", "shiftlens", *arguments))


def lines(ends):
    """What the processes say of errors, all together."""
    words = "\n".join(stderr for _, _, stderr in ends).splitlines()
    return [line for line in words if line.startswith("shiftlens:")]


def test_a_sweep_goes_on_from_what_two_processes_collected(tmp_path, capsys):
    few = [*COLLECT, "--sentences", "40"]
    assert main(["collect", *few, "--out", str(tmp_path / "one")]) == 0
    said = capsys.readouterr().out
    ends = launch(2, "collect", *few, "--out", tmp_path / "two")
    assert [code for code, *_ in ends] == [0, 0], ends
    assert [out.replace("two", "one") for _, out, _ in ends] == [said, ""]
    collected = files(tmp_path / "two")
    assert collected == files(tmp_path / "one")
    assert main(["sweep", *few, "--out", str(tmp_path / "two")]) == 0
    assert collected.items() <= files(tmp_path / "two").items()
    assert (tmp_path / "two/area.json").exists()


def test_a_command_of_one_process_refuses_a_launcher(monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["verify", "run"]) == 2
    assert "verify runs in one process" in capsys.readouterr().err
    monkeypatch.setenv("RANK", "1")
    assert main(["verify", "run"]) == 2
    assert capsys.readouterr().err == ""
    assert main(["collect", *COLLECT[:4], "--device", "map", "--out", "run"]) == 2


def test_a_launcher_is_known_by_what_it_sets(monkeypatch):
    for name in (*ranks.SIZES, *ranks.NUMBERS):
        monkeypatch.delenv(name, raising=False)
    assert (ranks.launched(), ranks.silent()) == (1, False)
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "3")
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "2")
    assert (ranks.launched(), ranks.silent()) == (3, True)


@pytest.mark.slow
def test_accelerate_launches_it(tmp_path):
    command = [str(Path(sys.executable).with_name("accelerate")), "launch", "--multi_gpu"]
    command += ["--num_processes", "2", "--main_process_port", "0", "-m", "shiftlens", "collect"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *COLLECT, "--sentences", "40", "--out", tmp_path / "two"],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert main(["collect", *COLLECT, "--sentences", "40", "--out", str(tmp_path / "one")]) == 0
    assert files(tmp_path / "two") == files(tmp_path / "one")


@pytest.mark.slow
def test_a_run_whose_process_was_killed_goes_on_in_another_number_of_them(tmp_path):
    command = ("collect", *COLLECT[:6], "--out", tmp_path / "several")
    processes = launched.start(2, "-m", "shiftlens", *command)
    store = tmp_path / "several/activations"
    while not list(store.glob("*.safetensors")) and processes[1].poll() is None:
        time.sleep(0.01)
    processes[1].send_signal(signal.SIGKILL)
    ends = launched.finish(processes)
    there = len(list(store.glob("*.safetensors")))
    assert 0 < there < 18
    assert [code for code, *_ in ends] == [2, -signal.SIGKILL]
    assert len(lines(ends)) == 1
    assert "another process of this run was lost; give the command again" in lines(ends)[0]
    assert [code for code, *_ in launch(3, *command)] == [0, 0, 0]
    assert main(["collect", *COLLECT[:6], "--out", str(tmp_path / "one")]) == 0
    assert files(tmp_path / "several") == files(tmp_path / "one")


@pytest.mark.slow
def test_a_folder_that_is_held_or_of_another_run_is_refused_in_one_line(tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    with FileLock(out / "activations.lock"):
        ends = launch(2, "collect", *COLLECT, "--sentences", "9", "--out", out)
    assert [code for code, *_ in ends] == [2, 2]
    [line] = lines(ends)
    assert "another process is writing to" in line
    assert main(["collect", *COLLECT, "--sentences", "8", "--out", str(out)]) == 0
    ends = launch(2, "collect", *COLLECT, "--sentences", "9", "--out", out)
    assert [code for code, *_ in ends] == [2, 2]
    [line] = lines(ends)
    assert "holds other states" in line


TRAIN = "--model demo --sft demo:train --area 2-5 --steps 12 --learning-rate 1e-3 --device cpu"
TRAIN += " --batch-size 10 --pairs 9 --reestimate 5 --save-every 8"


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """Settings of a training, and what one process makes of it."""
    folder = tmp_path_factory.mktemp("training")
    (folder / "DIR").mkdir()
    for code, sentences in load_corpus("demo", ["en", "es", "fi"]).head(40).texts.items():
        (folder / f"DIR/{code}.txt").write_text("\n".join(sentences) + "\n", encoding="utf-8")
    languages = ("en", "es", "fi")
    records = folder / "records.jsonl"

    rows = [json.dumps(row) for row in sft_records("train") if row["language"] in languages]
    records.write_text("\n".join(rows[:300]) + "\n", encoding="utf-8")
    words = TRAIN.replace("demo:train", str(records)).split()
    settings = ["train", *words, "--parallel", str(folder / "DIR")]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    assert main([*settings, "--out", str(folder / "one")]) == 0
    torch.set_num_threads(threads)
    return settings, folder / "one"


def compare(one, other):
    """The same files but for those of the processes themselves, the same losses and weights."""
    names = [
        {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
        for folder in (one, other)
    ]
    assert len(names[0]) > 30
    assert {n for n in names[0] ^ names[1] if not n.startswith("checkpoints/")} == set()
    logs = [pd.read_csv(folder / "log.csv") for folder in (one, other)]
    for column in ("loss", "loss_lm", "loss_pairs", "grad_norm"):
        np.testing.assert_allclose(logs[1][column], logs[0][column], rtol=1e-5, atol=1e-5)
    weights = [load_file(folder / "model/model.safetensors") for folder in (one, other)]
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, rtol=0, atol=1e-4, msg=name)


@pytest.mark.slow
def test_a_training_by_two_processes_leaves_what_one_leaves(training, tmp_path):
    settings, one = training
    ends = launch(2, *settings, "--out", tmp_path / "two")
    assert [code for code, *_ in ends] == [0, 0], ends
    assert ends[1][1] == ""
    compare(one, tmp_path / "two")


@pytest.mark.slow
def test_lora_is_trained_by_two_processes(training, tmp_path):
    settings, _ = training
    settings = [*settings, "--lora-rank", "4"]
    assert main([*settings, "--out", str(tmp_path / "one")]) == 0
    ends = launch(2, *settings, "--out", tmp_path / "two")
    assert [code for code, *_ in ends] == [0, 0], ends
    compare(tmp_path / "one", tmp_path / "two")


@pytest.mark.slow
def test_fsdp_trains_what_one_process_trains_and_comes_back_to_it(training, tmp_path):
    settings, one = training
    command = (launched.TESTS / "fsdp_on_cpu.py", *settings, "--out", tmp_path / "two")
    for _ in range(2):
        ends = launched.finish(launched.start(2, *command))
        assert [code for code, *_ in ends] == [0, 0], ends
        compare(one, tmp_path / "two")


@pytest.mark.slow
def test_what_training_is_not_made_for_is_refused_in_one_line(training, tmp_path, monkeypatch):
    settings, _ = training
    command = (launched.TESTS / "fsdp_on_cpu.py", *settings, "--out", tmp_path / "two")
    ends = launched.finish(launched.start(2, *command, "--lora-rank", "4"))
    [line] = lines(ends)
    assert "LoRA is trained without FSDP" in line
    monkeypatch.setenv("FSDP_VERSION", "1")
    [line] = lines(launched.finish(launched.start(2, *command)))
    assert "training takes FSDP 2; add --fsdp_version 2" in line
