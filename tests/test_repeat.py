"""Runs repeated: the same, or what differs, by how much and why."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file, save_file
from test_runs import save_model, settings, write_corpus

from shiftlens.cli import main
from shiftlens.config import TrainConfig, to_yaml
from shiftlens.errors import ShiftlensError
from shiftlens.repeat import repeat_run
from shiftlens.repeated_files import compare_folders
from shiftlens.runs import run_sweep
from shiftlens.settings import read_settings
from shiftlens.sft import load_records, records_sha256
from shiftlens.train import run_train
from shiftlens.train_checks import check_same

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a finished sweep in it; for copies only."""
    home = tmp_path_factory.mktemp("made")
    save_model(home / "model", num_hidden_layers=4)
    write_corpus(home / "corpus")
    run_sweep(settings(home, home / "run", projection="centre"), [].append)
    return home


@pytest.fixture
def home(made, tmp_path):
    """The same with model, corpus and run of its own."""
    shutil.copytree(made, tmp_path / "home")
    config = tmp_path / "home" / "run" / "config.yaml"
    config.write_text(config.read_text().replace(str(made), str(tmp_path / "home")))
    return tmp_path / "home"


@pytest.fixture(scope="module")
def training(made):
    """The folder of a finished training of two steps."""
    lines = [
        {"language": code, "prompt": f"{code} {n}?", "completion": f" {n} ok"}
        for code in ("en", "es", "fi")
        for n in range(4)
    ]
    sft = made / "sft.jsonl"
    sft.write_text("\n".join(json.dumps({"id": str(i), **r}) for i, r in enumerate(lines)))
    config = TrainConfig(
        str(made / "model"),
        str(sft),
        str(made / "corpus"),
        str(made / "train"),
        test=str(sft),
        area="1-3",
        pairs=4,
        steps=2,
        batch_size=4,
        learning_rate=1e-3,
        device="cpu",
    )
    run_train(config, [].append)
    return made / "train"


def test_a_sweep_is_repeated_to_the_last_bit(home, capsys):
    assert main(["repeat", str(home / "run")]) == 0
    printed = capsys.readouterr().out
    assert "the same to the last bit" in printed
    assert "activations: 3 files" in printed and "tables: 3 files" in printed
    again = home / "run-repeat" / "activations" / "es-00000.safetensors"
    assert again.read_bytes() == (home / "run/activations/es-00000.safetensors").read_bytes()
    assert main(["repeat", str(home / "run")]) == 2
    assert "holds a finished run" in capsys.readouterr().err


def test_a_discarded_repetition_leaves_nothing(home, capsys):
    before = sorted(home.rglob("*"))
    found = repeat_run(home / "run", discard=True)
    assert found.same and not found.out.exists()
    assert sorted(home.rglob("*")) == before
    with pytest.raises(ShiftlensError, match="takes no --out"):
        repeat_run(home / "run", home / "other", discard=True)


def test_a_tampered_table_and_activation_are_found_with_their_size(home, capsys):
    table = pd.read_csv(home / "run" / "sweep.csv")
    table.loc[2, "value"] += 0.25
    table.to_csv(home / "run" / "sweep.csv", index=False)
    shard = home / "run" / "activations" / "fi-00000.safetensors"
    tensors = load_file(shard)
    tensors["layer.02"][3, 5] += 0.5
    save_file(tensors, shard)
    assert main(["repeat", str(home / "run"), "--discard"]) == 1
    printed = capsys.readouterr().out
    assert "1 of 3; activations/fi-00000.safetensors: 1 of 6 tensors differ by up to 0.5" in printed
    assert "1 of 3; sweep.csv: columns value differ by up to 0.25" in printed
    assert "a file was changed after the run" in printed


def test_other_versions_are_told(home, capsys):
    config = home / "run" / "config.yaml"
    config.write_text(config.read_text().replace("numpy " + np.__version__, "numpy 1.0.0"))
    assert main(["repeat", str(home / "run"), "--discard"]) == 0
    assert f"numpy is {np.__version__} here, and the run was made with 1.0.0" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize("changed", ["corpus", "model"])
def test_changed_inputs_are_refused_before_anything_runs(home, changed, monkeypatch, capsys):
    if changed == "corpus":
        text = home / "corpus" / "es.txt"
        text.write_text(text.read_text().replace("i", "j", 1))
    else:
        weights = home / "model" / "model.safetensors"
        tensors = load_file(weights)
        tensors["model.layers.1.mlp.down_proj.weight"][0, 0] += 1e-3
        save_file(tensors, weights, {"format": "pt"})
    monkeypatch.setattr("shiftlens.repeat.run_sweep", lambda *_: pytest.fail("it ran"))
    assert main(["repeat", str(home / "run"), "--out", str(home / "again")]) == 2
    assert f"its {changed} {home / changed} has changed since" in capsys.readouterr().err
    assert not (home / "again").exists()


def test_a_training_is_repeated_to_the_last_bit(training, capsys):
    found = repeat_run(training, discard=True)
    assert found.same
    files = {kind.kind: kind.files for kind in found.compared}
    assert files == {
        "activations": 9,
        "weights": 1,
        "shift": 2,
        "tables": 3,
        "results": 1,
        "log": 1,
        "area": 1,
    }


@pytest.mark.parametrize("content", ["{}", '{"model": 1, "unembedding": "a"}'])
def test_a_training_that_does_not_say_what_it_was_made_of_is_not_repeated(
    training, tmp_path, capsys, content
):
    other = tmp_path / "other"
    shutil.copytree(training, other)
    (other / "inputs.json").write_text(content)
    assert main(["repeat", str(other), "--discard"]) == 2
    line = capsys.readouterr().err
    assert "its model" in line and "has changed since" in line and line.count("\n") == 1


def test_a_changed_test_file_is_refused(training, tmp_path, monkeypatch, capsys):
    records = tmp_path / "test.jsonl"
    records.write_bytes((training.parent / "sft.jsonl").read_bytes())
    out = tmp_path / "train"
    shutil.copytree(training, out)
    config = read_settings(out / "config.yaml", TrainConfig) | {"test": str(records)}
    config = TrainConfig(**{**config, "out": str(out)})
    (out / "config.yaml").write_text(to_yaml(config))
    records.write_text(records.read_text().replace("0 ok", "0 no"))
    monkeypatch.setattr("shiftlens.repeat.run_train", lambda *_: pytest.fail("it ran"))
    assert main(["repeat", str(out), "--discard"]) == 2
    assert f"its test {records} has changed since" in capsys.readouterr().err
    with pytest.raises(ShiftlensError, match="a training with another test"):
        run_train(config, [].append)
    inputs = json.loads((out / "inputs.json").read_text())
    hashes = {"test": records_sha256(load_records(str(records)))}
    check_same(replace(config, test=str(training.parent / "sft.jsonl")), {**inputs, **hashes})
    del inputs["test"]
    (out / "inputs.json").write_text(json.dumps(inputs))
    check_same(config, {**inputs, **hashes})


def test_a_changed_weight_or_result_of_a_training_is_found(training, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(training, other)
    weights = other / "model" / "model.safetensors"
    tensors = load_file(weights)
    tensors["model.norm.weight"][0] += 2.0
    save_file(tensors, weights, {"format": "pt"})
    results = pd.read_csv(other / "results.csv")
    results["language"] = results["language"].replace("fi", "sv")
    results.to_csv(other / "results.csv", index=False)
    (other / "area.json").unlink()
    log = pd.read_csv(other / "log.csv")
    log["train_runtime"] += 7
    log.to_csv(other / "log.csv", index=False)
    found = {kind.kind: kind for kind in compare_folders(training, other)}
    assert found["weights"].differences[0].largest == pytest.approx(2.0, rel=1e-5)
    assert found["results"].differences[0].what == "columns language"
    assert found["area"].differences[0].what == "not in the repetition"
    assert found["log"].same and found["activations"].same


def test_a_folder_that_cannot_be_repeated_is_named(tmp_path, capsys):
    assert main(["repeat", str(tmp_path / "nowhere")]) == 2
    assert "nowhere does not exist" in capsys.readouterr().err
