"""Every warning with a run that earns it and one that does not."""

import re
from dataclasses import replace

import pandas as pd
import pytest
from test_runs import save_model, settings, silent, write_corpus

from shiftlens.area import choose_area
from shiftlens.config import SweepConfig
from shiftlens.folders.opening import open_run_folder
from shiftlens.folders.runs import States
from shiftlens.layer_sweep import LayerSweep
from shiftlens.reports.cautions import cautions
from shiftlens.runs import run_sweep

CURVE = {0: 9.0, 1: 8.0, 2: 3.0, 3: 4.0, 4: 8.0, 5: 9.0, 6: 9.0}


@pytest.fixture(scope="module")
def run(swept):
    return open_run_folder(swept)


def a_run(run, metric="affine_invariant", curve=CURVE, floor=1.0, low=True, n=500, d=64, **tokens):
    """A run whose second language has this curve, and which is beyond reproach."""
    rows = [
        {"layer": layer, "language": code, "value": value, "low": value - 0.5, "high": value + 0.5}
        for code, values in (("en", dict.fromkeys(curve, floor)), ("fi", curve))
        for layer, value in values.items()
    ]
    table = pd.DataFrame(rows).assign(metric=metric, n=n, d=d, rank=d, shrinkage="oas")
    if not low:
        table[["low", "high"]] = float("nan")
    sweep = LayerSweep(table, {metric: choose_area(curve)}, "en")
    of_tokens = {"truncated": [0, 0], "unknown_rate": [0.0, 0.0], "dropped": [0, 0], **tokens}
    report = pd.DataFrame({"language": ["en", "fi"], **of_tokens})
    states = {"sweep": States(run.first.store, sweep)}
    return replace(run, states=states, tokens=report, area=None)


def test_a_run_beyond_reproach_has_no_warning(run):
    assert cautions(a_run(run)) == []


EARNED = [
    ({"n": 63}, "n = 63 in each half is below d = 64"),
    ({"truncated": [0, 3]}, "Texts were cut at --max-length: fi 3"),
    ({"unknown_rate": [0.01, 0.02]}, "Unknown tokens are above 1%: fi 2.0%"),
    ({"dropped": [5, 0]}, "dropped: en 5"),
    ({"curve": {**CURVE, 1: 2.5, 3: 8.0}}, "The area 1-2 reaches the edge .* beyond layer 1"),
    (
        {"curve": {**CURVE, 5: 2.5, 2: 8.0, 3: 8.0, 4: 2.6}},
        "The area 4-5 reaches the edge .* layer 5",
    ),
    ({"curve": {**CURVE, 4: 4.0}}, "arbitrary in part: layers 4 were left out"),
    (
        {"curve": {**CURVE, 5: 4.03}},
        "not clear-cut: by affine_invariant, layers 5 outside .* within 1%",
    ),
    ({"floor": 2.1}, r"Finnish is on the floor at layer 2 \(affine_invariant\): .* from English"),
    ({"low": False}, "There are no intervals: .* --groups 10"),
]


@pytest.mark.parametrize(("changes", "words"), EARNED, ids=[words[:20] for _, words in EARNED])
def test_a_fault_earns_its_warning_and_no_other(run, changes, words):
    found = cautions(a_run(run, **changes))
    assert len(found) == 1 and re.search(words, found[0]), found


@pytest.mark.parametrize(
    "changes",
    [
        {"n": 64},
        {"unknown_rate": [0.01, 0.01]},
        {"floor": 1.9},
        {"n": 10, "metric": "mean_distance"},
    ],
)
def test_a_run_just_within_the_bounds_has_none(run, changes):
    assert cautions(a_run(run, **changes)) == []


def test_without_intervals_the_values_themselves_are_held_against_the_floor(run):
    on, off = (cautions(a_run(run, floor=floor, low=False)) for floor in (3.0, 2.9))
    assert [line for line in on if "floor" in line] and not [x for x in off if "floor" in x]


def test_translations_no_nearer_than_unrelated_sentences_are_told(run):
    shares = {0: 0.3, 1: 0.5, 2: 0.9, 3: 0.8, 4: 0.4, 5: 0.3, 6: 0.3}
    nearer = a_run(run, "mexa", shares, floor=-1.0)
    assert not [line for line in cautions(nearer) if "floor" in line]
    lost = [x for x in cautions(a_run(run, "mexa", shares, floor=-0.5)) if "floor" in x]
    assert len(lost) == 1 and "layer 0, 1, 4, 5, 6 (mexa)" in lost[0]
    assert "its translations are no nearer than unrelated sentences" in lost[0]


def test_a_single_language_measure_has_no_area_and_no_floor(run):
    of_one = a_run(run, "anisotropy", floor=9.0)
    of_one.first.sweep.areas.clear()
    assert cautions(of_one) == []


def test_the_demos_sweep_of_few_sentences_earns_its_own(run):
    found = [" ".join(line.split()[:3]) for line in cautions(run)]
    assert found[0].startswith("n = ") and found[-1].startswith("There are no")
    assert set(found[1:-1]) <= {"The area 1-2", "The area is"}


@pytest.mark.parametrize(("sentences", "words"), [(20, ["n = 10 in each half"]), (128, [])])
def test_a_sweep_says_at_once_what_its_report_will(tmp_path, capsys, sentences, words):
    out = tmp_path / "run"
    config = SweepConfig("demo", "demo", str(out), languages="en,fi", sentences=sentences)
    run_sweep(config, silent)
    said = [x for x in capsys.readouterr().err.splitlines() if x.startswith("warning: ")]
    assert len(said) == len(words)
    reported = cautions(open_run_folder(out))
    for line, beginning in zip(said, words, strict=True):
        assert line.startswith(f"warning: {beginning}")
        assert line.removeprefix("warning: ") in reported
    assert [x for x in reported if x.startswith("n = ")] == [x[9:] for x in said]


def test_an_unknown_script_is_told_by_the_sweep(tmp_path, capsys):
    save_model(tmp_path / "model", num_hidden_layers=4)
    corpus = write_corpus(tmp_path / "corpus")
    lines = (corpus / "es.txt").read_text().splitlines()
    (corpus / "es.txt").write_text("".join(f"{line} ☃☃\n" for line in lines))
    run_sweep(settings(tmp_path, tmp_path / "run"), silent)
    said = [x for x in capsys.readouterr().err.splitlines() if "Unknown tokens are above 1%" in x]
    assert len(said) == 1 and said[0].startswith("warning: ") and "es " in said[0]


def test_sentences_that_were_dropped_are_kept_on_record(tmp_path):
    save_model(tmp_path / "model", num_hidden_layers=4)
    corpus = write_corpus(tmp_path / "corpus")
    texts = {code: (corpus / f"{code}.txt").read_text().splitlines() for code in ("en", "es")}
    rows = [f"{n}\t{en}\t{es if n else ''}" for n, (en, es) in enumerate(zip(*texts.values()))]
    (tmp_path / "news.tsv").write_text("\n".join(["id\ten\tes", *rows]) + "\n")
    config = settings(
        tmp_path, tmp_path / "run", corpus=str(tmp_path / "news.tsv"), keep_intersection=True
    )
    run_sweep(config, silent)
    run = open_run_folder(tmp_path / "run")
    assert dict(zip(run.tokens["language"], run.tokens["dropped"])) == {"en": 1, "es": 0}
    assert [x for x in cautions(run) if x.endswith("dropped: en 1.")]
