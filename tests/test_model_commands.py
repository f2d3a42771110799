import json

import pandas as pd
import pytest
import yaml
from test_export import training

from shiftlens import load_model
from shiftlens.cli import main
from shiftlens.evaluate import evaluate
from shiftlens.harness import write_tasks
from shiftlens.sft import load_records
from shiftlens.trained import load_trained


@pytest.fixture
def run(tmp_path):
    training(tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def records(tmp_path):
    rows = [
        {"language": code, "prompt": f"say {n}", "completion": f" {n}a"}
        for code in ("en", "sw")
        for n in range(3)
    ]
    path = tmp_path / "records.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_export_writes_what_transformers_reads(run, tmp_path, capfd):
    assert (
        main(["export", str(run), "--language", "sw", "--bake", "--out", str(tmp_path / "sw")]) == 0
    )
    said = capfd.readouterr()
    assert "how to load it" in said.out and said.err == ""
    assert load_model(tmp_path / "sw").hf.config.mlp_bias
    assert main(["export", str(run), "--out", str(tmp_path / "sw")]) == 2
    assert "exists" in capfd.readouterr().err


@pytest.mark.parametrize("option", ["--shift", "--no-shift"])
def test_eval_of_records_is_evaluate_with_the_shift_or_without(
    run, records, tmp_path, option, capsys
):
    out = tmp_path / "new" / "table.csv"
    assert main(["eval", str(run), "--records", str(records), option, "--out", str(out)]) == 0
    model, shift = load_trained(run / "model", device="cpu")
    expected = evaluate(model, load_records(records), shift if option == "--shift" else None)
    pd.testing.assert_frame_equal(pd.read_csv(out), expected)
    said = capsys.readouterr().out
    assert f"{run / 'model'}, its shift {'on' if option == '--shift' else 'off'}\n" in said
    assert f"{records}: 6 in en, sw\n" in said and said.endswith(f"\n{out}\n")
    names = set(expected.columns) - {"language"}
    assert names == {line.split()[0] for line in said.split("\n\n")[2].splitlines()}


def test_eval_runs_the_harness_on_tasks_of_a_folder(run, records, tmp_path, capfd):
    model, _ = load_trained(run / "model", device="cpu")
    [_, task] = write_tasks(model, load_records(records), tmp_path / "tasks", "mine")
    where = ["--lm-eval", task, "--tasks", str(tmp_path / "tasks")]
    assert yaml.safe_load((tmp_path / "tasks" / f"{task}.yaml").read_text())["task"] == task
    assert main(["eval", str(run), *where, "--language", "sw"]) == 0
    said = capfd.readouterr()
    assert "exact_match" in said.out and said.err == ""
    assert main(["eval", str(run), *where]) == 2
    assert "needs the tasks' language" in capfd.readouterr().err


def test_eval_is_told_what_to_run(run, capsys):
    assert main(["eval", str(run)]) == 2
    assert "either --records FILE or --lm-eval TASKS" in capsys.readouterr().err


def test_eval_scores_texts_where_it_is_asked_to(run, records, tmp_path):
    out = tmp_path / "table.csv"
    assert main(["eval", str(run), "--records", str(records), "--texts", "--out", str(out)]) == 0
    assert {"chrf", "bleu"} <= set(pd.read_csv(out).columns)
