import importlib.util
import json
import re
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SIDECARS = sorted((ROOT / "figures").glob("*.json"))
SCRIPTS = sorted((ROOT / "analyses").glob("*.py"))
ANALYSES = [path for path in SCRIPTS if not path.name.startswith("_")]
"""The others are what analyses share."""


@pytest.fixture
def redraw(monkeypatch):
    """The module behind ``python analyses``."""
    monkeypatch.syspath_prepend(str(ROOT / "analyses"))
    spec = importlib.util.spec_from_file_location("redraw", ROOT / "analyses/__main__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("sidecar", SIDECARS, ids=lambda path: path.stem)
def test_a_figure_names_its_analysis_command_model_corpus_and_versions(sidecar):
    facts = json.loads(sidecar.read_text(encoding="utf-8"))
    assert (ROOT / facts["analysis"]).is_file()
    assert facts["command"].startswith(f"python {facts['analysis']}")
    assert facts["command"].endswith(f"--figure {sidecar.stem}")
    if not facts.get("synthetic"):
        assert len(facts["model"]["sha256"]) == len(facts["corpus"]["sha256"]) == 64
    assert {"seed", "versions"} <= facts.keys()
    assert {path.suffix for path in ROOT.glob(f"figures/{sidecar.stem}.*")} == {
        ".json",
        ".png",
        ".svg",
    }


@pytest.mark.parametrize("sidecar", SIDECARS, ids=lambda path: path.stem)
def test_a_sidecar_names_no_place_on_a_machine(sidecar):
    text = sidecar.read_text(encoding="utf-8")
    assert re.findall(r"""(?:^|["'\s=:])((?:/|~/|[A-Z]:\\)\w[^"\s]*)""", text, re.M) == []


def test_every_image_has_a_sidecar_and_every_analysis_a_figure():
    images = {path.stem for path in (ROOT / "figures").iterdir() if path.suffix != ".json"}
    assert images == {path.stem for path in SIDECARS}
    analyses = {json.loads(path.read_text(encoding="utf-8"))["analysis"] for path in SIDECARS}
    assert analyses == {f"analyses/{path.name}" for path in ANALYSES}


@pytest.mark.parametrize("script", ANALYSES, ids=lambda path: path.stem)
def test_an_analysis_says_its_question_command_cost_and_figure(script):
    header = script.read_text(encoding="utf-8").split('"""')[1]
    assert re.findall(r"^(Question|Command|Cost|Figure):", header, re.M) == [
        "Question",
        "Command",
        "Cost",
        "Figure",
    ]
    assert f"python analyses/{script.name}" in header


def sidecar(folder, **facts):
    path = folder / "some.json"
    path.write_text(json.dumps(facts), encoding="utf-8")
    return path


def test_a_figure_of_parallel_text_is_drawn_where_the_text_lies_and_listed_elsewhere(
    redraw, tmp_path
):
    kept = sidecar(tmp_path, command="python analyses/a.py --corpus news --figure some")
    assert "news (--corpora" in redraw.task(kept, None).needs
    assert "news (--corpora" in redraw.task(kept, tmp_path).needs
    (tmp_path / "news").mkdir()
    found = redraw.task(kept, tmp_path)
    assert not found.needs
    assert found.words[2:4] == ["--corpus", str(tmp_path / "news")]
    demo = sidecar(tmp_path, command="python analyses/a.py --corpus demo --figure some")
    assert not redraw.task(demo, None).needs


def test_a_figure_of_a_run_is_drawn_from_the_settings_that_its_sidecar_keeps(redraw, tmp_path):
    command = "python analyses/a.py --run RUN --figure some"
    kept = sidecar(tmp_path, command=command, run={"model": "demo", "corpus": "demo", "seed": 3})
    assert redraw.task(kept, None) == (
        "some",
        command.split(),
        "",
        {"model": "demo", "corpus": "demo", "seed": 3},
    )
    assert "run folder" in redraw.task(sidecar(tmp_path, command=command), None).needs


@pytest.mark.parametrize(
    ("drawn", "outcome"), [(b"one", "same"), (b"other", "changed"), (None, "failed: Broken: no")]
)
def test_a_redrawn_figure_is_compared_with_the_one_kept(
    redraw, tmp_path, monkeypatch, drawn, outcome
):
    figures, folder = tmp_path / "figures", tmp_path / "again"
    figures.mkdir()
    folder.mkdir()
    (figures / "some.png").write_bytes(b"one")
    monkeypatch.setattr(redraw, "FIGURES", figures)
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, pathlib\n"
        "if sys.argv[1] == 'None': sys.exit('Traceback\\nBroken: no')\n"
        "folder = pathlib.Path(sys.argv[sys.argv.index('--folder') + 1])\n"
        "(folder / 'some.png').write_bytes(sys.argv[1].encode())\n"
    )
    word = drawn.decode() if drawn else "None"
    todo = redraw.Task("some", ["python", str(script), word, "--figure", "some"], "", None)
    assert redraw.draw(todo, folder) == outcome


def drawn_again(redraw, name, folder):
    path = ROOT / "figures" / f"{name}.json"
    then = json.loads(path.read_text(encoding="utf-8"))["versions"]
    if then != (now := {package: version(package) for package in then}):
        pytest.skip(f"the figure was drawn with {then}, here is {now}")
    return redraw.draw(redraw.task(path, None), folder)


def test_a_kept_figure_drawn_again_has_the_same_bytes(redraw, tmp_path):
    assert drawn_again(redraw, "before_after_demo", tmp_path) == "same"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["family_demo", "layer_distance_demo", "shifcon_demo"])
def test_every_kept_figure_of_the_demo_drawn_again_has_the_same_bytes(redraw, tmp_path, name):
    if name == "family_demo":
        pytest.importorskip("lang2vec")
    assert drawn_again(redraw, name, tmp_path) == "same"


@pytest.mark.slow
def test_the_run_behind_a_figure_is_made_before_it(redraw, tmp_path):
    pytest.importorskip("lang2vec")
    figures = tmp_path / "figures"
    shutil.copytree(ROOT / "figures", figures)
    command = "python analyses/family.py --run RUN --figure family_demo"
    run = {"model": "demo", "corpus": "demo", "metric": "mexa"}
    todo = redraw.task(sidecar(figures, command=command, run=run), None)
    todo = todo._replace(name="family_demo")
    assert redraw.draw(todo, tmp_path) == "same"


def test_one_bad_name_is_told_with_the_names_there_are(redraw, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["analyses", "no_such_figure"])
    with pytest.raises(SystemExit):
        redraw.main()
    error = capsys.readouterr().err
    assert "no figure 'no_such_figure'" in error
    assert "shifcon_demo" in error
