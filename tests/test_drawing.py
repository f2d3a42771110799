"""`shiftlens plot`: which files a run gives, of what, and what is said where it gives none."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from finished_runs import copied, files, trained  # noqa: F401

from shiftlens.drawing.draw import draw_run
from shiftlens.drawing.kinds import FIGURES, pair_table, projections, sentence_labels
from shiftlens.drawing.needs import Subject
from shiftlens.errors import ShiftlensError
from shiftlens.folders.opening import open_run_folder


def drawn(run, out, **options):
    """Names of the files below the folder, and what was said."""
    said = []
    found = draw_run(run, out, progress=False, say=said.append, **options)
    assert all(path.stat().st_size > 0 for path in found)
    assert sorted(found) == sorted(path for path in out.rglob("*.*"))
    return {path.relative_to(out).as_posix() for path in found}, said


@pytest.fixture(scope="module")
def of_sweep(swept, tmp_path_factory):
    out = tmp_path_factory.mktemp("figures")
    return out, *drawn(swept, out)


def stems(names):
    return {name.rpartition(".")[0] for name in names}


def test_a_sweep_gives_its_figures_for_paper_and_screen(of_sweep):
    _, names, said = of_sweep
    for stem in ("layer_distance", "pairs"):
        assert {f"{stem}.png", f"{stem}.svg", f"{stem}.html"} <= names
    assert {"geometry.png", "geometry.svg"} <= names
    assert {f"geometry_{way}.html" for way in ("lda", "pca", "pca-3d")} <= names
    assert said == [
        "left out alignment: none of retrieval, retrieval_back, mexa, csls, csls_back was swept"
    ]


def test_the_distance_is_the_very_figure_that_the_sweep_drew(swept, of_sweep):
    out, *_ = of_sweep
    for ending in ("png", "svg", "html"):
        name = f"layer_distance.{ending}"
        assert (out / name).read_bytes() == (swept / name).read_bytes()


def test_the_same_run_gives_the_same_bytes(swept, of_sweep, tmp_path):
    out, *_ = of_sweep
    names, _ = drawn(swept, tmp_path, only=["pairs", "geometry"], pages=False)
    assert names == {"pairs.png", "pairs.svg", "geometry.png", "geometry.svg"}
    for name in names:
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes()


def test_a_training_gives_its_own_figures_and_those_of_its_sweeps(trained, tmp_path):  # noqa: F811
    names, said = drawn(trained, tmp_path, formats=["svg"], pages=False)
    own = {"geometry_before_after", "layer_distance_before_after", "training_curves", "scores"}
    of_states = {"layer_distance", "pairs", "geometry"}
    stages = {f"{stage}/{stem}" for stage in ("before", "after") for stem in of_states}
    assert stems(names) == own | stages
    assert {line.split(":")[0] for line in said} == {
        "left out before/alignment",
        "left out after/alignment",
    }
    kept = (trained / "layer_distance_before_after.svg").read_bytes()
    assert (tmp_path / "layer_distance_before_after.svg").read_bytes() == kept
    assert (tmp_path / "geometry_before_after.svg").read_bytes() == (
        trained / "geometry.svg"
    ).read_bytes()


def test_a_demo_gives_a_folder_a_run(swept, trained, tmp_path):  # noqa: F811
    copied(swept, tmp_path / "demo" / "sweep")
    copied(trained, tmp_path / "demo" / "shifcon")
    names, _ = drawn(
        tmp_path / "demo",
        tmp_path / "out",
        only=["layer_distance", "scores"],
        formats=["svg"],
        pages=False,
    )
    assert names == {
        "sweep/layer_distance.svg",
        "shifcon/before/layer_distance.svg",
        "shifcon/after/layer_distance.svg",
        "shifcon/scores.svg",
    }


def test_figures_go_into_the_run_folder_unless_told_otherwise(swept, tmp_path):
    copy = copied(swept, tmp_path / "run")
    found = draw_run(copy, None, ["layer_distance"], ["pdf"], pages=False, progress=False)
    assert found == [copy / "figures" / "layer_distance.pdf"]
    assert found[0].read_bytes().startswith(b"%PDF")


def test_metric_and_layer_are_those_asked_for(swept, tmp_path):
    run = open_run_folder(swept)
    subject = Subject(run, run.first, metric="debiased_cka", layer=3)
    assert set(pair_table(subject, [3])["metric"]) == {"debiased_cka"}
    assert subject.layers == [3]
    by_default = Subject(run, run.first)
    assert by_default.pair_metric == "affine_invariant"
    assert by_default.layers == sorted({0, *run.area, 6})
    drawn(swept, tmp_path, only=["layer_distance"], metric="shifcon", formats=["svg"], pages=False)
    assert "ShifCon subspace distance" in (tmp_path / "layer_distance.svg").read_text()


def test_pairs_with_the_dominant_language_are_the_sweeps_own(swept):
    run = open_run_folder(swept)
    table = pair_table(Subject(run, run.first), [2])
    pairs = table[table["other"] == "en"].set_index("language")["value"]
    rows = run.first.sweep.table.query("metric == 'affine_invariant' and layer == 2")
    own = rows.set_index("language")["value"]
    np.testing.assert_allclose(pairs[own.index], own, rtol=1e-9)


def test_labels_come_from_the_file_or_are_the_demos_tasks(swept, tmp_path):
    run = open_run_folder(swept)
    topics = tmp_path / "topics.txt"
    topics.write_text("\n".join("abc"[n % 3] for n in range(60)) + "\n")
    subject = Subject(run, run.first, labels=topics)
    assert sentence_labels(subject) == tuple("abc"[n % 3] for n in range(60))
    assert list(projections(subject)) == ["lda", "pca", "lda-labels"]
    corpus = replace(run, settings={**run.settings, "corpus": "other"})
    assert sentence_labels(Subject(corpus, run.first)) is None
    assert list(projections(Subject(corpus, run.first))) == ["lda", "pca"]
    names, _ = drawn(swept, tmp_path / "out", only=["geometry"], formats=[], labels=topics)
    assert "geometry_lda-labels.html" in names


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"only": ["pears"]}, "no figure 'pears'; choose from layer_distance, pairs"),
        ({"formats": ["bmp"]}, "no format 'bmp'; choose from png, svg, pdf"),
        ({"metric": "euclid"}, "euclid"),
        ({"metric": "mexa,shifcon"}, "one at a time"),
        ({"layer": 7}, r"layer 7 is not in .* \(0..6\)"),
        ({"only": ["scores"]}, "scores cannot be drawn: a sweep has none; it needs a training"),
        ({"only": ["alignment"]}, "alignment cannot be drawn: none of retrieval"),
        ({"only": ["layer_distance"], "metric": "mexa"}, "metric mexa was not swept"),
        ({"only": ["pairs"], "metric": "anisotropy"}, "anisotropy is of a single language"),
        ({"only": ["geometry"], "labels": "nowhere.txt"}, "nowhere.txt: cannot be read"),
    ],
)
def test_what_cannot_be_drawn_says_why(swept, tmp_path, options, words):
    with pytest.raises(ShiftlensError, match=words):
        draw_run(swept, tmp_path / "out", progress=False, **options)
    assert not [path for path in tmp_path.rglob("*.*") if path.is_file()]


def test_what_a_run_lacks_is_said_in_a_line_each(trained, tmp_path):  # noqa: F811
    copy = copied(trained, tmp_path / "run", arm=("arm: shifcon", "arm: base"))
    config = re.sub(r"(?m)^test: .*$", "test: null", (copy / "config.yaml").read_text())
    (copy / "config.yaml").write_text(config)
    run = open_run_folder(copy)
    subject = Subject(run, run.first)
    assert FIGURES["training_curves"].lacks(subject) == "the arm base is not trained"
    assert FIGURES["scores"].lacks(subject) == "the training had no --test"
    short = replace(run, log=pd.DataFrame({"step": [2], "train_loss": [1.0]}))
    words = FIGURES["training_curves"].lacks(Subject(short, run.first))
    assert words == "the training was too short to log a loss"
