"""A grid of trainings resumes, repeats and loses nothing."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import tiny

from shiftlens import experiment
from shiftlens.config import TrainConfig
from shiftlens.errors import ShiftlensError
from shiftlens.experiment import run_cell, run_grid

WORDS = {"en": "zero one two three", "fi": "nolla yksi kaksi kolme"}


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    """A cell of a tiny model on a world of two languages and two tasks."""
    folder = tmp_path_factory.mktemp("world")
    tiny.tiny_model("llama").save_pretrained(folder / "model")
    tiny.tiny_tokenizer().save_pretrained(folder / "model")
    (folder / "parallel").mkdir()
    rows = []
    for language, words in WORDS.items():
        names = words.split()
        text = "".join(f"after {name}\n" for name in names)
        (folder / "parallel" / f"{language}.txt").write_text(text)
        rows += [
            {"id": f"{task}-{n}.{language}", "language": language, "prompt": f"{task} {a}",
             "completion": f" {b}"}
            for task in ("next", "later")
            for n, (a, b) in enumerate(pairwise(names))
        ]  # fmt: skip
    (folder / "sft.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = str(folder / "sft.jsonl")
    return TrainConfig(
        str(folder / "model"), data, str(folder / "parallel"), "", data, area="1-2", steps=3,
        batch_size=4, pairs=2, vector_sentences=2, learning_rate=1e-3, device="cpu",
    )  # fmt: skip


def test_a_cell_is_determined_by_its_settings(cell):
    first, again, other = (run_cell(replace(cell, seed=seed)) for seed in (1, 1, 2))
    for result in (first, again, other):
        result.pop("seconds")
    assert first == again
    assert first["losses"] != other["losses"]
    assert set(first["losses"]) == {"lm", "pairs"}
    assert set(first["records"]["correct"]) <= {0, 1}


def test_training_a_cell_to_the_end_answers_its_own_records(cell):
    settings = {"arm": "msft", "steps": 120, "learning_rate": 1e-2, "batch_size": 12}
    trained, base = (run_cell(replace(cell, **s)) for s in (settings, {"arm": "base"}))
    assert base["losses"] == {}
    assert sum(base["records"]["correct"]) == 0
    assert np.mean(trained["records"]["correct"]) > 0.8


def test_a_stopped_grid_goes_on_and_a_failed_cell_loses_no_other(cell, tmp_path):
    cells = [replace(cell, arm=arm) for arm in ("base", "msft")]
    run_grid(cells[:1], tmp_path, workers=1, progress=False)
    [kept] = tmp_path.glob("*.json")
    born = kept.stat().st_mtime_ns
    broken = replace(cell, arm="shift-only", area="2-9")
    with pytest.raises(ShiftlensError, match=r"1 of 3 cells failed.*shift-only, area 2-9, seed 0"):
        run_grid([*cells, broken], tmp_path, workers=1, progress=False)
    assert len(list(tmp_path.glob("*.json"))) == 2
    assert kept.stat().st_mtime_ns == born
    [msft] = tmp_path.glob("msft-*.json")
    alone = run_cell(cells[1])
    assert json.loads(msft.read_text())["records"] == alone["records"]


def test_a_finished_grid_computes_nothing_and_gives_the_tidy_table(cell, tmp_path, monkeypatch):
    results = {"base": [1, 0, 0, 1, 1, 1] * 2, "msft": [1] * 12}
    ids = [f"{task}-{n}.{code}" for code in WORDS for task in ("next", "later") for n in range(3)]
    languages = [code for code in WORDS for _ in range(6)]
    cells = [replace(cell, arm=arm, seed=4, out=f"ignored/{arm}") for arm in results]
    inputs = experiment._fingerprint(cell.model, cell.parallel, cell.sft, str(cell.test))
    for one in cells:
        records = {"id": ids, "language": languages, "correct": results[one.arm]}
        made = {"settings": experiment._settings(one), "losses": {}, "seconds": 2.0}
        file = tmp_path / experiment._file_name(replace(one, out="elsewhere"), inputs)
        file.write_text(json.dumps({**made, "records": records}))
    monkeypatch.setattr(experiment, "_work", None)
    table = run_grid(cells, tmp_path, workers=1, progress=False)
    assert len(table) == 2 * 2 * 2
    row = table.set_index(["arm", "language", "task"]).loc[("base", "fi", "next")]
    assert (row["n"], row["correct"], row["seed"], row["area"]) == (3, 1, 4, "1-2")
    assert table["correct"].sum() == sum(map(sum, results.values()))


def test_a_cell_of_another_model_or_other_settings_is_another_file(cell):
    inputs = experiment._fingerprint(cell.model, cell.parallel, cell.sft, str(cell.test))
    name = experiment._file_name(cell, inputs)
    assert experiment._file_name(replace(cell, w_con=0.5), inputs) != name
    assert experiment._file_name(cell, ["another model", *inputs[1:]]) != name
    assert experiment._file_name(replace(cell, out="x", save_every=1), inputs) == name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([], "no cells"),
        ([{"area": "auto"}], "area 'auto' is not two layers"),
        ([{"arm": "shiftcon"}], "unknown arm 'shiftcon'"),
        ([{"test": None}], "no records to test on"),
        ([{}, {"w_con": 1.0}], "two cells are shifcon, area 1-2, seed 0"),
    ],
)
def test_a_grid_that_cannot_be_is_refused_before_anything_runs(cell, tmp_path, changes, message):
    with pytest.raises(ShiftlensError, match=message):
        run_grid([replace(cell, **change) for change in changes], tmp_path / "out")
    assert not (tmp_path / "out").exists()
