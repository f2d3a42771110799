"""Two runs against each other: what differs is said, and what does not is not."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from finished_runs import copied, files, trained  # noqa: F401

from shiftlens.config import SweepConfig
from shiftlens.corpora import Corpus
from shiftlens.errors import ShiftlensError
from shiftlens.folders.opening import open_run_folder
from shiftlens.folders.runs import States
from shiftlens.layer_sweep import LayerSweep
from shiftlens.reports.compare import compare_runs, open_comparable
from shiftlens.reports.compare_page import comparison_text, page_of, write_comparison
from shiftlens.reports.curve_tables import agreement, rank_correlation, side_by_side
from shiftlens.runs import run_sweep


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    """A sweep of fewer sentences and languages, by another rule."""
    out = tmp_path_factory.mktemp("second") / "run"
    options = {"languages": "en,es,fi,ko", "shrinkage": "oas", "sentences": 40, "device": "cpu"}
    run_sweep(SweepConfig("demo", "demo", str(out), **options), lambda _: None)
    return open_run_folder(out)


@pytest.fixture(scope="module")
def first(swept):
    return open_run_folder(swept)


def test_a_run_differs_from_itself_in_nothing(first, trained, tmp_path):  # noqa: F811
    for run in (first, open_run_folder(trained)):
        found = compare_runs(run, run)
        assert not found.differs and found.settings == {}
        assert found.same_model and found.same_corpus
        for curves in found.curves:
            assert curves.warnings == ()
            assert (curves.agreement["largest"] == 0).all()
            np.testing.assert_allclose(curves.agreement["layers"], 1)
        assert comparison_text(found).endswith("nothing differs")
        page = write_comparison(found, tmp_path / "same.html").read_text()
        assert "Nothing differs" in page and "Settings that differ" not in page


def test_what_makes_distances_incomparable_is_told(first, second):
    found = compare_runs(first, second)
    assert found.differs and found.same_model and not found.same_corpus
    assert found.settings["shrinkage"] == ("ledoit-wolf", "oas")
    assert set(found.settings) == {"languages", "shrinkage", "sentences"}
    (curves,) = found.curves
    assert curves.warnings == (
        "n differs: 30 and 20",
        "shrinkage differs: ledoit-wolf and oas",
    )
    text = comparison_text(found)
    assert "the same model, text in different languages" in text
    assert "  languages  not set      en,es,fi,ko" in text
    for line in curves.warnings:
        assert f"! {line}: distances are not comparable" in text


def test_curves_are_means_over_the_languages_of_both(first, second):
    (curves,) = compare_runs(first, second).curves
    table = curves.tables["mean_distance"]
    for column, run in (("first", first), ("second", second)):
        rows = run.first.sweep.table.query("metric == 'mean_distance' and layer == 3")
        values = rows.set_index("language")["value"]
        assert table.loc[3, column] == pytest.approx(sum(values[["es", "fi", "ko"]]) / 3)
    np.testing.assert_allclose(table["difference"], table["second"] - table["first"])
    assert curves.agreement.loc["mean_distance", "largest"] == table["difference"].abs().max()


def test_languages_of_one_run_only_are_named_with_it(first, second):
    extra = "de, ru, ja, tr, fa"
    for one, other, side in ((first, second, "first"), (second, first, "second")):
        found = compare_runs(one, other)
        (curves,) = found.curves
        assert curves.languages == ("es", "fi", "ko")
        lines = comparison_text(found).splitlines()
        assert [x for x in lines if "left out" in x] == [f"  left out: {extra} ({side} run only)"]
        assert any(line.endswith("mean over es, fi, ko") for line in lines)


def test_both_lack_a_language_of_the_other(first, second):
    fewer = first.first.sweep.table.query("language != 'ko'")
    states = {"sweep": States(first.first.store, LayerSweep(fewer, {}, "en"))}
    text = comparison_text(compare_runs(second, replace(first, states=states)))
    assert "  left out: ko (first run only); de, ru, ja, tr, fa (second run only)\n" in text


def test_long_settings_are_cut_where_they_part(first):
    path = "/somewhere" * 9
    one, other = (
        replace(first, settings={**first.settings, "model": f"{path}/{name}/weights"})
        for name in ("base", "tuned")
    )
    line = next(x for x in comparison_text(compare_runs(one, other)).splitlines() if "model " in x)
    assert line.split() == ["model", *(f"…{path[-19:]}/{x}/weights" for x in ("base", "tuned"))]


def test_sentences_of_their_own_are_told_by_language(first, second):
    english = list(second.corpus.texts["en"])
    texts = {**second.corpus.texts, "en": ["a sentence of its own", *english[1:]]}
    other = replace(second)
    other.__dict__["corpus"] = Corpus.from_texts(texts)
    [curves] = compare_runs(first, other).curves
    assert curves.warnings[-1] == "the sentences differ in en"


def test_without_a_name_no_page_of_other_runs_is_replaced(first, second, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evil = "a&<b>"
    one, other, elsewhere = (replace(first, out=tmp_path / n) for n in (evil, "b", f"c/{evil}"))
    found = compare_runs(one, replace(second, out=other.out))
    path = write_comparison(found, page_of(found))
    assert path.name == "compare-a&<b>-b.html"
    assert page_of(found) == path
    absolute = (replace(run, out=run.out.resolve()) for run in found.runs)
    assert page_of(compare_runs(*absolute)) == path
    with pytest.raises(ShiftlensError, match="is not of these two runs; give --out PAGE"):
        page_of(compare_runs(elsewhere, replace(second, out=other.out)))


def a_sweep(values, metric="shifcon", dominant="en"):
    """A sweep from language to its values by layer."""
    rows = [
        {"layer": layer, "language": code, "metric": metric, "value": value}
        for code, curve in values.items()
        for layer, value in enumerate(curve)
    ]
    return LayerSweep(pd.DataFrame(rows), {}, dominant)


ONE = {"en": [0, 0, 0], "es": [1, 2, 3], "fi": [2, 3, 4], "ko": [5, 7, 9]}


def test_rank_correlations_are_those_counted_by_hand():
    other = {"en": [9, 9, 9], "es": [9, 9, 5], "fi": [3, 1, 3], "ko": [9, 5, 1]}
    table = side_by_side(a_sweep(ONE), a_sweep(other), "shifcon")
    assert list(table["first"]) == pytest.approx([8 / 3, 4, 16 / 3])
    assert list(table["second"]) == pytest.approx([7, 5, 3])
    found = agreement(a_sweep(ONE), a_sweep(other)).loc["shifcon"]
    assert found["layers"] == pytest.approx(-1)
    # means over the layers: es 2, fi 3, ko 7 and es 23/3, fi 7/3, ko 5: ranks 1 2 3 and 3 1 2
    assert found["languages"] == pytest.approx(1 - 6 * (4 + 1 + 1) / (3 * 8))
    assert found["largest"] == pytest.approx(13 / 3)


def test_no_order_gives_no_correlation():
    flat, rising = pd.Series([1.0, 1, 1]), pd.Series([1.0, 2, 3])
    assert np.isnan(rank_correlation(flat, rising))
    assert np.isnan(rank_correlation(rising[:2], rising[:2]))
    deeper = {code: [*curve, 9] for code, curve in ONE.items()}
    assert np.isnan(agreement(a_sweep(ONE), a_sweep(deeper)).loc["shifcon", "layers"])


def test_trainings_are_compared_before_with_before_and_after_with_after(trained, tmp_path):  # noqa: F811
    copy = copied(trained, tmp_path / "other", rate=("learning_rate: 0.001", "learning_rate: 0.1"))
    results = pd.read_csv(copy / "results.csv")
    results["exact_match"] = [0.0, 0.0, 0.25, 0.5]
    results.to_csv(copy / "results.csv", index=False)
    found = compare_runs(open_run_folder(trained), open_run_folder(copy))
    assert found.settings == {"learning_rate": (0.001, 0.1)}
    ends = [tuple(name.rpartition(", ")[2] for name in curves.names) for curves in found.curves]
    assert ends == [("before", "before"), ("after", "after"), ("shifted", "shifted")]
    assert found.same_questions and list(found.scores.index) == ["en", "es"]
    assert list(found.scores["second"]) == [0.25, 0.5]
    assert found.mean["mean"] == pytest.approx(found.scores.loc["es", "difference"])
    assert "right answers after training" in comparison_text(found)
    assert "left out" not in comparison_text(found)
    more = results.replace({"language": {"es": "zh-Hant"}})
    more.to_csv(copy / "results.csv", index=False)
    fewer = compare_runs(open_run_folder(trained), open_run_folder(copy))
    missing = "left out: es (first run only); zh-Hant (second run only)"
    assert f"\n  {missing}" in comparison_text(fewer)
    assert missing in write_comparison(fewer, tmp_path / "fewer.html").read_text()
    others = results.assign(n=5)
    others.to_csv(copy / "results.csv", index=False)
    again = compare_runs(open_run_folder(trained), open_run_folder(copy))
    assert not again.same_questions
    assert "! the questions are not the same" in comparison_text(again)


def test_a_sweep_is_compared_with_a_training_before_and_after(first, trained):  # noqa: F811
    training = open_run_folder(trained)
    found = compare_runs(training, first)
    assert [curves.names[0].rpartition(", ")[2] for curves in found.curves] == ["before", "after"]
    assert found.scores is None and not found.same_model
    warned = found.curves[0].warnings
    assert "d differs: 32 and 64" in warned and "layers differs: 0..4 and 0..6" in warned
    assert np.isnan(found.curves[0].agreement["layers"]).all()


def test_runs_without_a_language_in_common_are_refused(first):
    renamed = first.first.sweep.table.replace({"language": {"es": "xx"}}).query(
        "language in ('en', 'xx')"
    )
    other = replace(
        first, states={"sweep": States(first.first.store, LayerSweep(renamed, {}, "en"))}
    )
    with pytest.raises(ShiftlensError, match="share no language besides the dominant one"):
        compare_runs(first, other)


def test_a_demo_is_several_runs(swept, trained, tmp_path):  # noqa: F811
    copied(swept, tmp_path / "sweep")
    copied(trained, tmp_path / "shifcon")
    with pytest.raises(ShiftlensError, match=r"several runs; compare two of .*shifcon"):
        open_comparable(tmp_path)
    assert open_comparable(tmp_path / "sweep").kind == "sweep"


def test_the_page_is_small_escaped_and_the_same_bytes(first, second, tmp_path):
    evil = "<script>alert(1)</script>"
    named = replace(first, settings={**first.settings, "corpus": evil})
    page = write_comparison(compare_runs(named, second), tmp_path / "a.html")
    text = page.read_text()
    assert evil not in text and "&lt;script&gt;alert(1)" in text
    assert page.stat().st_size < 12e6 and text.count("plotly.js v") == 1
    again = write_comparison(compare_runs(named, second), tmp_path / "b.html")
    assert again.read_bytes() == page.read_bytes()
