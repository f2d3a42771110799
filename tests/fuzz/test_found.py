"""Inputs that fuzzing found: each once ended in a traceback, a hang or megabytes of text."""

import json
import shutil

import pytest
import yaml
from finished_runs import files, trained  # noqa: F401
from fuzz_page import page_checks, session
from fuzz_run import time_bound
from fuzz_targets import a_store, seal_manifest

from shiftlens.app.patch_cells import Cell
from shiftlens.benchmarks import benchmark_rows
from shiftlens.errors import LONGEST, ShiftlensError
from shiftlens.folders.opening import open_run_folder
from shiftlens.reports.cautions import cautions
from shiftlens.settings import read_settings, yaml_arguments
from shiftlens.sft import load_records
from shiftlens.shift import Shift
from shiftlens.store import MANIFEST, ActivationStore


@pytest.mark.parametrize("answer", ["1[" + "[" * 20_000, "x" * 200_000])
def test_a_giant_cell_is_not_repeated_in_the_message(tmp_path, answer):
    (tmp_path / "mgsm_en.tsv").write_text(f"How many?\t{answer}\n")
    with pytest.raises(ShiftlensError, match="is no whole number") as told:
        list(benchmark_rows(tmp_path))
    assert len(str(told.value)) < LONGEST + 20


@pytest.mark.parametrize(
    "text",
    [
        *("seed: 2020-99-99", "seed: !!int abc", "seed: !!int ''", "seed: !!timestamp x"),
        *("seed: !!bool x", "share: !!float x", "seed: " + "9" * 5000, "seed: " + "[" * 20_000),
        "model: &a [x]\ncorpus: *a\n",
        "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nmodel: *c\n",
        *("model: {a: b}", "model: [[a]]", "model: !!binary aGk=", "model: !!set {a}"),
        "model: !!python/object/apply:os.system [true]",
    ],
)
def test_a_setting_that_yaml_cannot_make_is_refused(tmp_path, text):
    (tmp_path / "s.yaml").write_text(text + "\n")
    for read in (read_settings, yaml_arguments):
        with pytest.raises(ShiftlensError, match=r"s\.yaml"):
            read(tmp_path / "s.yaml")


def change_manifest(folder, change):
    """Change a manifest and give it the hash that fits."""
    path = folder / MANIFEST
    tree = json.loads(path.read_text())
    change(tree)
    path.write_bytes(seal_manifest(json.dumps(tree).encode()))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("shards", value) for value in ([], None, [[]], ["x"], [{"file": ["a"]}], {})),
        *(("layers", value) for value in ([], [0, "1"], [{}], 3, [1, 2], [0, True])),
        *(("corpus", value) for value in ({}, [], {"languages": [], "sentences": 5})),
        ("corpus", {"languages": ["en", "../es"], "sentences": 5}),
        ("corpus", {"languages": ["en", "es"], "sentences": 10**12}),
        ("corpus", {"languages": ["en", "es"], "sentences": "5"}),
        ("shards", [{"file": "x" * 5000 + ".safetensors", "language": "en", "rows": 5}]),
        *(("model", value) for value in ({}, {"d_model": "4"}, {"d_model": 5}, None)),
        *(("pooling", value) for value in ({}, {"special_tokens": 1, "skip_first": False})),
    ],
)
def test_a_manifest_of_another_form_is_refused(tmp_path, key, value):
    a_store(tmp_path / "store")
    change_manifest(tmp_path / "store", lambda tree: tree.update({key: value}))
    with pytest.raises(ShiftlensError):
        ActivationStore.open(tmp_path / "store").states("en", 0)


def test_a_manifest_nested_too_deep_is_refused(tmp_path):
    a_store(tmp_path / "store")
    (tmp_path / "store" / MANIFEST).write_text('{"format": 1, "a": ' + "[" * 100_000)
    with pytest.raises(ShiftlensError, match="damaged"):
        ActivationStore.open(tmp_path / "store")


@pytest.mark.parametrize(
    "text",
    [
        *("[" * 100_000, "[]", "3", "{}", '{"area": 3, "dominant": "en", "target": null}'),
        '{"area": [1, 2], "dominant": ["en"], "target": null}',
        '{"area": [1, 2], "dominant": "en", "target": {}}',
        '{"area": [1, 2, 3], "dominant": "en", "target": null}',
        '{"area": ["1", 2], "dominant": "en", "target": null}',
    ],
)
def test_a_shift_of_another_form_is_refused(trained, tmp_path, text):  # noqa: F811
    shutil.copytree(trained / "model", tmp_path / "model")
    (tmp_path / "model" / "shift.json").write_text(text)
    with pytest.raises(ShiftlensError, match="shift"):
        Shift.load(tmp_path / "model")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("sweep.csv", "mean_distance,", "mean_ean_distance,"),
        ("sweep.csv", ",mean_distance,", ",,"),
        ("sweep.csv", "\n0,", "\nx,"),
        ("sweep.csv", ",es,", ",../es,"),
        ("sweep.csv", ",fi,", ",sv,"),
        ("tokens.csv", ",truncated", ",trunca"),
        ("tokens.csv", ",0,0\n", ",x,0\n"),
        ("tokens.csv", "\nfi,", "\nes,"),
        ("area.json", '"dominant": "en"', '"dominant": 3'),
        ("area.json", '"areas": {', '"areas": "x", "y": {'),
        ("area.json", '"start": ', '"start": "x", "begin": '),
        ("config.yaml", "model: demo", "model: 3"),
        ("config.yaml", "model: demo\n", ""),
        ("config.yaml", "seed: 0", "seed: many"),
        ("config.yaml", "states: sentences", "states: [a]"),
    ],
)
def test_a_table_or_area_of_another_form_is_named(swept, tmp_path, name, old, new):
    shutil.copytree(swept, tmp_path / "run")
    text = (tmp_path / "run" / name).read_text()
    assert old in text
    (tmp_path / "run" / name).write_text(text.replace(old, new))
    with pytest.raises(ShiftlensError, match=r"damaged|unknown setting"):
        cautions(open_run_folder(tmp_path / "run"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layers", list(range(9))),
        ("tokens", {}),
        ("tokens", {"en": {"truncated": "0", "unknown_rate": 0.0}}),
        ("model", {"d_model": 64}),
        ("corpus", {"languages": ["en"], "sentences": 60, "sha256": "c"}),
    ],
)
def test_a_store_of_another_sweep_is_named(swept, tmp_path, key, value):
    shutil.copytree(swept, tmp_path / "run")
    change_manifest(tmp_path / "run" / "activations", lambda tree: tree.update({key: value}))
    with pytest.raises(ShiftlensError, match="manifest"):
        cautions(open_run_folder(tmp_path / "run"))


@pytest.mark.parametrize(
    ("old", "new"),
    [(",exact_match", ",exact"), ("when,", "then,"), ("after,es", "after,en"), ("after,", ",")],
)
def test_results_of_another_form_are_named(trained, tmp_path, old, new):  # noqa: F811
    shutil.copytree(trained, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
    path = tmp_path / "run" / "results.csv"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ShiftlensError, match=r"results\.csv is damaged"):
        open_run_folder(tmp_path / "run")


def test_a_giant_language_is_refused_at_once(tmp_path):
    record = {"language": "e" * 200_000, "prompt": "a", "completion": "b"}
    (tmp_path / "data.jsonl").write_text(json.dumps(record) + "\n")
    with time_bound(5), pytest.raises(ShiftlensError, match="line 1"):
        load_records(tmp_path / "data.jsonl")


@pytest.mark.parametrize("value", [[], {}, None, 3, "x", "1-2", [1], [2, 4, 5], [2, "4"]])
def test_an_area_that_no_slider_sends_is_refused(value):
    check, sent = page_checks()["shift"]
    with pytest.raises(ShiftlensError, match="area"):
        check(*sent[:3], value, sent[4])


@pytest.mark.parametrize("value", [[], {}, None, "2", True, float("nan"), 10**400, -1])
def test_a_number_that_no_slider_sends_is_refused(value):
    for name, place in (("shift", 4), ("neurons", 2)):
        check, sent = page_checks()[name]
        with pytest.raises(ShiftlensError, match="give 0 to"):
            check(*sent[:place], value, *sent[place + 1 :])


@pytest.mark.parametrize("value", [[], {}, None, 3, True, ["es"]])
def test_a_choice_that_no_list_sends_is_refused(value):
    for name, places in (
        ("shift", (0, 1)),
        ("lens", (1, 2)),
        ("neurons", (1,)),
        ("patch", (3, 4, 5)),
    ):
        check, sent = page_checks()[name]
        for place in places:
            with pytest.raises(ShiftlensError, match="choose one"):
                check(*sent[:place], value, *sent[place + 1 :])
    with pytest.raises(ShiftlensError, match="is no cell"):
        Cell.read(value)


def test_what_the_page_offers_is_taken():
    assert session().languages
    for check, sent in page_checks().values():
        check(*sent)


def test_settings_are_still_read(tmp_path):
    """What is refused above is not refused for being YAML."""
    given = {"model": "m", "corpus": "c", "languages": ["en", "no"], "seed": 3}
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(given))
    assert read_settings(tmp_path / "s.yaml") == given
