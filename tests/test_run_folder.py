"""Opening run folders: what is in them comes back as it was, and what is not there is named."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from finished_runs import copied, files, trained  # noqa: F401
from test_before_after import TEXTS

from shiftlens.corpora import Corpus
from shiftlens.demo import demo_corpus
from shiftlens.errors import ShiftlensError
from shiftlens.folders.files import read_corpus, read_table
from shiftlens.folders.opening import open_run_folder
from shiftlens.folders.runs import DemoFolder, SweepFolder, TrainFolder


def contents(folder):
    return {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def test_a_sweep_comes_back_as_it_was(swept):
    before = contents(swept)
    run = open_run_folder(swept)
    assert isinstance(run, SweepFolder) and run.kind == "sweep"
    expected = pd.read_parquet(swept / "sweep.parquet")
    pd.testing.assert_frame_equal(run.first.sweep.table, expected, check_exact=True)
    facts = json.loads((swept / "area.json").read_text())
    assert run.area == (facts["area"]["start"], facts["area"]["stop"])
    assert list(run.first.sweep.areas) == list(facts["areas"])
    assert str(run.first.sweep.area).startswith(f"layers {run.area[0]}-{run.area[1]}")
    assert run.settings["sentences"] == 60 and run.settings["metric"].startswith("affine")
    assert "torch" in run.versions and run.projected is None
    assert (run.model.name, run.model.n_layers, run.model.d_model) == ("demo", 6, 64)
    world = demo_corpus()
    assert run.corpus.ids == world.ids[:60]
    assert run.corpus.texts["fi"] == world.texts["fi"][:60]
    assert list(run.tokens["dropped"]) == [0] * 9
    assert contents(swept) == before


def test_a_training_comes_back_as_it_was(trained):  # noqa: F811
    run = open_run_folder(trained)
    assert isinstance(run, TrainFolder) and run.trained_area == (1, 3)
    assert list(run.states) == ["before", "after", "shifted"]
    for stage in run.states:
        table = pd.read_csv(trained / stage / "sweep.csv")
        values = run.states[stage].sweep.table["value"]
        np.testing.assert_allclose(values, table["value"], rtol=1e-12)
        assert run.states[stage].store.path == trained / stage / "activations"
    assert run.before.area is not None and run.after.areas is None
    assert set(run.results["when"]) == {"before", "after"}
    assert {"loss_lm", "loss_pairs"} <= set(run.log.columns)
    assert {code: list(side) for code, side in run.corpus.texts.items()} == TEXTS


def test_an_arm_without_a_shift_has_no_shifted_states(trained, tmp_path):  # noqa: F811
    copy = copied(trained, tmp_path / "run", arm=("arm: shifcon", "arm: mcl-only"))
    run = open_run_folder(copy)
    assert list(run.states) == ["before", "after"] and run.shifted is None


def test_a_demo_is_a_sweep_and_trainings(swept, trained, tmp_path):  # noqa: F811
    copied(swept, tmp_path / "sweep")
    copied(trained, tmp_path / "shifcon")
    demo = open_run_folder(tmp_path)
    assert isinstance(demo, DemoFolder)
    assert demo.sweep.out == tmp_path / "sweep" and list(demo.trainings) == ["shifcon"]


SWEEP_FILES = ("config.yaml", "sweep.csv", "area.json", "tokens.csv")
TRAIN_FILES = ("area.json", "before/sweep.csv", "after/sweep.csv", "results.csv", "log.csv")


@pytest.mark.parametrize("name", SWEEP_FILES)
def test_an_unfinished_sweep_is_named_with_what_to_do(swept, tmp_path, name):
    copy = copied(swept, tmp_path / "run")
    (copy / name).unlink()
    with pytest.raises(ShiftlensError, match=f"{name} is missing; give the command") as told:
        open_run_folder(copy)
    assert str(copy) in str(told.value)


@pytest.mark.parametrize("name", TRAIN_FILES)
def test_an_unfinished_training_is_named_with_what_to_do(trained, tmp_path, name):  # noqa: F811
    copy = copied(trained, tmp_path / "run")
    (copy / name).unlink()
    with pytest.raises(ShiftlensError, match="is missing; give the command") as told:
        open_run_folder(copy)
    assert str((copy / name).parent) in str(told.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("area.json", b"{"),
        ("area.json", b'{"dominant": "en"}'),
        ("area.json", b"\xff"),
        ("sweep.csv", b""),
        ("sweep.csv", b"\xff\xfe"),
        ("sweep.csv", b"layer,metric\n1,shifcon\n"),
        ("tokens.csv", b""),
        ("sentences.parquet", b"PAR1"),
    ],
)
def test_a_damaged_file_is_named(swept, tmp_path, name, content):
    copy = copied(swept, tmp_path / "run")
    (copy / name).write_bytes(content)
    with pytest.raises(ShiftlensError, match=f"{name} is damaged"):
        len(open_run_folder(copy).corpus)


def test_settings_of_another_run_than_the_table_are_refused(swept, tmp_path):
    copy = copied(swept, tmp_path / "run", rule=("shrinkage: ledoit-wolf", "shrinkage: oas"))
    with pytest.raises(ShiftlensError, match="its shrinkage is ledoit-wolf, that of config"):
        open_run_folder(copy)


def test_a_manifest_that_is_damaged_is_refused(swept, tmp_path):
    copy = copied(swept, tmp_path / "run")
    (copy / "activations" / "manifest.json").write_text("{}")
    with pytest.raises(ShiftlensError, match="manifest"):
        open_run_folder(copy)


def test_what_is_no_run_says_so(swept, tmp_path):
    with pytest.raises(ShiftlensError, match="nowhere does not exist"):
        open_run_folder(tmp_path / "nowhere")
    with pytest.raises(ShiftlensError, match="is no run folder: it has no config"):
        open_run_folder(tmp_path)
    copied(swept, tmp_path / "first")
    with pytest.raises(ShiftlensError, match=f"there are runs in it: {tmp_path / 'first'}"):
        open_run_folder(tmp_path)


def test_texts_that_have_changed_since_are_refused(trained, tmp_path):  # noqa: F811
    parallel = trained.parent / "changed"
    parallel.mkdir()
    for code, lines in TEXTS.items():
        (parallel / f"{code}.txt").write_text("\n".join(["new", *lines[1:]]) + "\n")
    copy = copied(trained, tmp_path / "run")
    config = (copy / "config.yaml").read_text().splitlines()
    changed = [f"parallel: {parallel}" if x.startswith("parallel:") else x for x in config]
    (copy / "config.yaml").write_text("\n".join(changed))
    (copy / "sentences.parquet").unlink()
    run = open_run_folder(copy)
    with pytest.raises(ShiftlensError, match="no longer holds the sentences"):
        len(run.corpus)


def test_a_folder_of_an_older_version_opens(swept, tmp_path):
    copy = copied(swept, tmp_path / "run", seed=("seed: 0\n", ""))
    facts = json.loads((copy / "area.json").read_text())
    for area in facts["areas"].values():
        del area["tied"]
    (copy / "area.json").write_text(json.dumps(facts))
    tokens = pd.read_csv(copy / "tokens.csv").drop(columns="dropped")
    tokens.to_csv(copy / "tokens.csv", index=False)
    table = pd.read_csv(copy / "sweep.csv").drop(columns=["low", "high", "reference"])
    table.to_csv(copy / "sweep.csv", index=False)
    shutil.rmtree(copy / "figures", ignore_errors=True)
    run = open_run_folder(copy)
    assert run.first.sweep.area.tied == () and run.settings["seed"] == 0


def test_nauru_is_a_language_and_no_gap(tmp_path):
    (tmp_path / "t.csv").write_text("language,value\nna,0.1\nen,\n")
    table = read_table(tmp_path / "t.csv")
    assert list(table["language"]) == ["na", "en"] and np.isnan(table["value"][1])


def test_indonesian_is_not_taken_for_the_ids(tmp_path):
    texts = {code: [f"{code} {n}" for n in range(3)] for code in ("id", "en")}
    corpus = Corpus.from_texts(texts, ["a", "b", "c"])
    corpus.table().to_parquet(tmp_path / "sentences.parquet")
    store = SimpleNamespace(languages=("id", "en"), n_sentences=3)
    assert read_corpus(tmp_path, store) == corpus
