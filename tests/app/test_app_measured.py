"""What a run folder gives the page, and which folders it will not take."""

import shutil
import threading

import numpy as np
import pandas as pd
import pytest
from test_before_after import TEXTS, config_of, files, quiet  # noqa: F401

import shiftlens as sl
from shiftlens.app.measured import measure_demo, open_run
from shiftlens.app.session import Session
from shiftlens.app.shift_request import check_request, code, compare, default_area
from shiftlens.app.worker import Worker
from shiftlens.config import SweepConfig, TrainConfig
from shiftlens.errors import ShiftlensError
from shiftlens.settings import read_settings


@pytest.fixture(scope="module")
def runs(files, tmp_path_factory):  # noqa: F811
    """A sweep and a training of the same tiny model."""
    folder = tmp_path_factory.mktemp("runs")
    model, parallel = str(files / "base"), str(files / "parallel")
    settings = {"model": model, "corpus": parallel, "device": "cpu"}
    sl.run_sweep(SweepConfig(out=str(folder / "sweep"), **settings), lambda line: None)
    tokens = str(folder / "tokens")
    sl.run_sweep(SweepConfig(out=tokens, states="tokens", **settings), lambda line: None)
    quiet(config_of(files, folder / "train"))
    return folder


@pytest.fixture(scope="module")
def base(files):  # noqa: F811
    return sl.load_model(files / "base", device="cpu")


def session_of(model, measured, tmp_path):
    return Session(model, "float32", measured, tmp_path, Worker())


def finished(job):
    assert job.finished.wait(30)
    return job


def test_a_sweep_gives_its_states_table_area_and_sentences(runs, base):
    measured = open_run(runs / "sweep", base)
    expected = pd.read_parquet(runs / "sweep" / "sweep.parquet")
    np.testing.assert_allclose(measured.table["value"], expected["value"], rtol=1e-12)
    assert {code: tuple(side) for code, side in measured.texts.items()} == {
        code: tuple(side) for code, side in TEXTS.items()
    }
    assert measured.dominant == "en" and measured.trained is None and not measured.demo
    assert measured.area is not None and measured.area[0] < measured.area[1]
    means = measured.store.states("fi", 2).astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(measured.vectors["fi"][2], means, rtol=1e-5)


def test_a_training_gives_the_states_of_the_model_that_is_served(runs, base):
    trained = sl.load_model(runs / "train" / "model", device="cpu")
    after, before = open_run(runs / "train", trained), open_run(runs / "train", base)
    assert after.store.path.parent.name == "after" and before.store.path.parent.name == "before"
    assert before.trained is None and before.area == after.area == (1, 3)
    saved = sl.Shift.load(runs / "train" / "model")
    assert after.trained.area == saved.area
    np.testing.assert_array_equal(after.vectors["es"], saved.vectors["es"])
    assert list(after.texts["fi"]) == TEXTS["fi"]


@pytest.mark.parametrize("run", ["sweep", "train"])
def test_the_lines_shown_open_the_same_things(runs, base, run):
    measured = open_run(runs / run, base)
    space = {"sl": sl, "pd": pd}
    exec(f"{measured.code}\n{measured.texts_code}", space)
    assert space["store"].manifest == measured.store.manifest
    pd.testing.assert_frame_equal(space["table"], measured.table)
    assert all(space["texts"]["fi"][n] == TEXTS["fi"][n] for n in range(12))


@pytest.mark.parametrize(("run", "served"), [("sweep", "base"), ("train", "trained")])
def test_the_shift_that_is_shown_is_the_one_that_was_computed(runs, base, tmp_path, run, served):
    model = base if served == "base" else sl.load_model(runs / "train" / "model", device="cpu")
    session = session_of(model, open_run(runs / run, model), tmp_path)
    request = check_request(session, "own", "fi", "3 kissaa", list(default_area(session)), 0.75)
    job = finished(session.worker.submit(lambda job: compare(session, request, job)))
    assert job.error == ""
    space = {}
    exec(code(session, request, "fi").replace(".show()", ""), space)
    pd.testing.assert_frame_equal(space["comparison"].table, job.result.table)


def test_a_language_whose_code_reads_as_missing_is_kept_by_the_lines_shown(runs, base, tmp_path):
    run = shutil.copytree(runs / "sweep", tmp_path / "run")
    table = pd.read_csv(run / "sweep.csv").replace({"language": {"fi": "nan"}})
    table.to_csv(run / "sweep.csv", index=False)
    measured = open_run(run, base)
    space = {"sl": sl, "pd": pd}
    exec(measured.code, space)
    assert (space["table"]["language"] == "nan").any()
    pd.testing.assert_frame_equal(space["table"], measured.table)


def test_a_trainings_sentences_are_those_it_kept_else_those_of_its_corpus(
    runs, tmp_path, monkeypatch
):
    run = shutil.copytree(runs / "train", tmp_path / "run")
    trained = sl.load_model(run / "model", device="cpu")
    (run / "sentences.parquet").unlink(missing_ok=True)
    settings = (run / "config.yaml").read_text(encoding="utf-8")
    parallel = read_settings(run / "config.yaml", TrainConfig)["parallel"]
    (run / "config.yaml").write_text(settings.replace(parallel, "data/lines"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ShiftlensError) as error:
        open_run(run, trained)
    assert "run it again" not in str(error.value)
    words = f"'data/lines', and they cannot be read from {tmp_path}"
    assert words in str(error.value) and "serve from the directory" in str(error.value)
    shutil.copytree(parallel, tmp_path / "data" / "lines")
    assert list(open_run(run, trained).texts["fi"]) == TEXTS["fi"]
    shutil.rmtree(tmp_path / "data")
    pd.DataFrame(TEXTS).to_parquet(run / "sentences.parquet")
    assert list(open_run(run, trained).texts["fi"]) == TEXTS["fi"]


def test_runs_that_cannot_be_served_say_why(runs, base, tmp_path):
    other = sl.load_model("demo")
    with pytest.raises(ShiftlensError, match="of another model than demo"):
        open_run(runs / "sweep", other)
    with pytest.raises(ShiftlensError, match="moments of tokens"):
        open_run(runs / "tokens", base)
    unfinished = shutil.copytree(runs / "sweep", tmp_path / "unfinished")
    (unfinished / "area.json").unlink()
    with pytest.raises(ShiftlensError, match="not a finished run"):
        open_run(unfinished, base)
    damaged = shutil.copytree(runs / "sweep", tmp_path / "damaged")
    (damaged / "sentences.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(ShiftlensError, match="not a finished run"):
        open_run(damaged, base)
    short = shutil.copytree(runs / "sweep", tmp_path / "short")
    pd.DataFrame({code: side[:5] for code, side in TEXTS.items()}).to_parquet(
        short / "sentences.parquet"
    )
    with pytest.raises(ShiftlensError, match="not as many as the states"):
        open_run(short, base)


def test_a_model_without_a_run_says_what_it_lacks(base, tmp_path):
    session = session_of(base, None, tmp_path)
    assert "shiftlens sweep --model" in session.missing and session.languages == ()
    job = finished(session.worker.submit(session.measured))
    assert job.state == "failed" and job.error == session.missing


def test_measuring_the_demo_can_be_stopped_and_goes_on_where_it_was(tmp_path):
    worker = Worker()
    model = sl.load_model("demo")
    reached = threading.Event()

    def work(job):
        report = job.report

        def watched(done, total):
            report(done, total)
            if total and done > 0.3 * total:
                reached.set()

        job.report = watched
        return measure_demo(model, tmp_path, job)

    job = worker.submit(work)
    assert reached.wait(60)
    worker.cancel(job.id)
    assert finished(job).state == "cancelled"
    shards = len(list((tmp_path / "activations").glob("*.safetensors")))
    again = worker.submit(lambda job: measure_demo(model, tmp_path, job))
    assert again.finished.wait(60) and again.error == ""
    assert again.result.store.missing() == [] and again.result.demo
    assert 0 < shards < len(again.result.store.manifest["shards"])
