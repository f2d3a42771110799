"""The page of one run: it says what the run's files say, in one small file, always the same."""

import re
import shlex
from dataclasses import replace

import pandas as pd
import pytest
from finished_runs import copied, files, trained  # noqa: F401
from test_report import parsed

from shiftlens.config import SweepConfig, TrainConfig
from shiftlens.folders.opening import open_run_folder
from shiftlens.reports.cautions import cautions
from shiftlens.reports.parts import command_line
from shiftlens.reports.run import _areas, curves_by_layer, write_run_report
from shiftlens.reports.score_tables import wilson
from shiftlens.reports.training import shift_norms
from shiftlens.shift import Shift


@pytest.fixture(scope="module")
def of_sweep(swept, tmp_path_factory):
    run = open_run_folder(swept)
    return run, write_run_report(run, tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture(scope="module")
def of_training(trained, tmp_path_factory):  # noqa: F811
    run = open_run_folder(trained)
    return run, write_run_report(run, tmp_path_factory.mktemp("page") / "report.html")


@pytest.mark.parametrize("page", ["of_sweep", "of_training"])
def test_a_page_is_one_small_file_that_carries_all_it_shows(page, request, tmp_path):
    run, path = request.getfixturevalue(page)
    text = path.read_text()
    assert path.stat().st_size < 12e6 and text.count("plotly.js v") == 1
    parts = parsed(path)
    assert "link" not in parts.tags
    assert all(load.startswith("data:") for load in parts.loads)
    for warning in cautions(run):
        assert warning in text
    for fact in (run.model.sha256, run.first.store.manifest["corpus"]["sha256"], run.versions):
        assert fact in text
    again = write_run_report(run, tmp_path / "again.html")
    assert again.read_bytes() == path.read_bytes()


def rows_of(path, section):
    """The cells of every table row in a section of the page, spaces put right."""
    text = path.read_text()
    part = text[text.index(f'<section id="{section}"') :]
    rows = re.findall(r"<tr.*?</tr>", part[: part.index("</section>")], re.S)
    cells = [re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row, re.S) for row in rows]
    marked = ["chosen" in row.split(">")[0] for row in rows]
    return [[" ".join(cell.split()) for cell in row] for row in cells], marked


def test_the_curves_by_layer_are_the_sweeps_with_the_area_marked(of_sweep):
    run, path = of_sweep
    rows, marked = rows_of(path, "area")
    table = rows[-7:]
    for layer, row in enumerate(table):
        expected = [run.first.sweep.mean_curve(m)[layer] for m in run.first.sweep.areas]
        assert row[0] == str(layer)
        assert [float(row[1]), *map(float, row[3:])] == pytest.approx(expected, rel=1e-3)
    start, stop = run.area
    assert marked[-7:] == [start <= layer <= stop for layer in range(7)]
    floor = run.first.sweep.table.query("metric == 'affine_invariant' and language == 'en'")
    assert list(curves_by_layer(run.first.sweep).iloc[:, 1]) == list(floor["value"])


def test_areas_of_other_measures_are_held_against_the_first(of_sweep):
    run, _ = of_sweep
    first, *others = _areas(run.first.sweep)
    assert first["metric"] == "affine_invariant" and first["rho"] == pytest.approx(1)
    assert first["shared"] == first["width"] == 2
    curves = curves_by_layer(run.first.sweep).loc[1:5]
    for row in others:
        expected = curves["affine_invariant"].rank().corr(curves[row["metric"]].rank())
        assert row["rho"] == pytest.approx(expected)


def test_the_command_shown_makes_the_same_run(of_sweep, of_training):
    import tyro

    for (run, path), config in ((of_sweep, SweepConfig), (of_training, TrainConfig)):
        shown = command_line(run.kind, run.settings, config)
        program, command, *arguments = shlex.split(shown)
        assert (program, command) == ("shiftlens", run.kind)
        said = tyro.cli(config, args=arguments)
        assert vars(said) == run.settings
        again = f"shiftlens {run.kind} --config {run.out}/config.yaml"
        assert again in path.read_text()


def test_a_switch_is_written_as_the_command_line_takes_it():
    line = command_line("sweep", {"model": "a b", "skip_first": True}, SweepConfig)
    assert line == "shiftlens sweep --model 'a b' --skip-first"


def test_the_training_shows_scores_with_wilsons_intervals(of_training):
    run, path = of_training
    rows, _ = rows_of(path, "scores")
    results = run.results.set_index(["when", "language"])
    assert rows[0] == ["language", "questions", "before", "after", "difference"]
    for row in rows[1:]:
        code = re.search(r"\((.*)\)", row[0])[1]
        for cell, when in ((row[2], "before"), (row[3], "after")):
            share = results.loc[(when, code), "exact_match"]
            low, high = wilson(share, 4)
            assert cell == f"{100 * share:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
        assert row[1] == "4"


def test_the_shifts_lengths_are_those_of_its_vectors(of_training):
    run, path = of_training
    shift = Shift.load(run.out / "model")
    table = shift_norms(run)
    assert list(table.columns) == ["layer 1", "layer 3"] and list(table.index) == ["es", "fi"]
    for layer in (1, 3):
        apart = shift.vectors["en"][layer] - shift.vectors["fi"][layer]
        assert table.loc["fi", f"layer {layer}"] == pytest.approx(float(apart.norm()), rel=1e-5)
    rows, _ = rows_of(path, "shift")
    assert [float(x) for x in rows[-1][1:]] == pytest.approx(list(table.loc["fi"]), rel=1e-3)


def test_sections_of_a_training_are_there_and_in_no_sweep(of_sweep, of_training):
    names = {
        kind: re.findall(r'<section id="([\w-]+)"', path.read_text())
        for kind, (_, path) in (("sweep", of_sweep), ("train", of_training))
    }
    assert names["sweep"] == ["warnings", "run", "area", "geometry", "tokens", "repeat"]
    extra = {"scores", "distances", "before-after", "training", "shift", "geometry-after"}
    assert set(names["train"]) == {*names["sweep"], *extra}


def test_what_users_type_is_escaped(of_sweep, tmp_path):
    run, _ = of_sweep
    evil = "<img src=x onerror=alert(1)>"
    named = replace(run, settings={**run.settings, "model": evil}, versions=evil)
    text = write_run_report(named, tmp_path / "page.html").read_text()
    assert evil not in text and text.count("&lt;img src=x") >= 4


def test_without_the_sentences_the_page_says_what_is_lacking(trained, tmp_path):  # noqa: F811
    copy = copied(trained, tmp_path / "run")
    config = (copy / "config.yaml").read_text()
    text = re.sub(r"(?m)^parallel: .*$", "parallel: nowhere", config)
    (copy / "config.yaml").write_text(text)
    (copy / "sentences.parquet").unlink()
    page = write_run_report(open_run_folder(copy)).read_text()
    assert page.count("are those of &#39;nowhere&#39;, and they cannot be read") == 2
    assert "figure-before-after" not in page and "figure-first-pairs" in page


def test_the_tokens_are_those_of_the_run(of_sweep):
    run, path = of_sweep
    rows, _ = rows_of(path, "tokens")
    kept = pd.read_csv(run.out / "tokens.csv")
    assert [row[0] for row in rows[1:3]] == ["English (en)", "Spanish (es)"]
    assert float(rows[2][2]) == pytest.approx(kept["tokens_per_sentence"][1], rel=1e-3)
