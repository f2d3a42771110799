"""The pages of the analyses: run where that takes seconds, labelled where not, broken aloud."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from docutils.core import publish_doctree
from sphinx.errors import ExtensionError

ROOT = Path(__file__).parents[1]
ANALYSES = sorted((ROOT / "analyses").glob("[!_]*.py"))
SOUND = '''"""How much is six times seven?

Question: what is the product of six and the --factor?
Command:  python analyses/sound.py --figure sound
Cost:     seconds.
Figure:   figures/sound.png, .svg and .json
"""

# %% Settings, with --factor
from _shared import answer, parser
from matplotlib.figure import Figure

options = parser(__file__, __doc__)
options.add_argument("--factor", type=int, default=7)

# %% Product
if __name__ == "__main__":
    settings = options.parse_args()
    print("the product is", 6 * settings.factor)
    figure = Figure(figsize=(3, 2))
    figure.subplots().plot([0, 6 * settings.factor])
    answer(options, settings, figure, {"first line": __doc__.splitlines()[0]})
'''
LONG = SOUND.replace("sound", "long").replace("seconds.", "an hour.").replace("six", "many")
BROKEN = SOUND.replace("sound", "broken").replace("6 * settings", "1 / 0 * settings")


@pytest.fixture(scope="module")
def gallery():
    """How sphinx-gallery reads the analyses."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "docs"))
        import gallery

        yield gallery


def site(folder, **scripts):
    """Documentation of a few analyses alone, each with a kept figure."""
    for kept in ("docs/_static", "docs/conf.py", "docs/gallery.py", "analyses/_shared.py",
                 "analyses/__main__.py", "analyses/GALLERY_HEADER.rst"):  # fmt: skip
        copy = shutil.copytree if (ROOT / kept).is_dir() else shutil.copy
        (folder / kept).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / kept, folder / kept)
    (folder / "docs/index.md").write_text("# Some\n\n```{toctree}\nanalyses/index\n```\n")
    (folder / "figures").mkdir()
    for name, source in scripts.items():
        (folder / f"analyses/{name}.py").write_text(source)
        shutil.copy(ROOT / "figures/coverage.png", folder / f"figures/{name}.png")
        command = f"python analyses/{name}.py --factor 70 --figure {name}"
        facts = {"analysis": f"analyses/{name}.py", "command": command}
        (folder / f"figures/{name}.json").write_text(json.dumps(facts))
    return folder


def built(folder):
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "docs", "html"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A site with an analysis of seconds and one of an hour."""
    folder = site(tmp_path_factory.mktemp("site"), sound=SOUND, long=LONG)
    done = built(folder)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def test_an_analysis_of_seconds_shows_its_code_what_it_prints_and_its_new_figure(pages):
    page = (pages / "html/analyses/sound.html").read_text(encoding="utf-8")
    assert "the product is 420" in page
    assert "of a run while this page was built" in page
    assert "add_argument" in page and ">Product<" in page
    assert 'with <code class="docutils literal notranslate"><span class="pre">--factor' in page
    drawn = pages / "html/_images/sphx_glr_sound_001.png"
    assert drawn.read_bytes()[:4] == b"\x89PNG"
    assert drawn.read_bytes() != (pages / "figures/sound.png").read_bytes()
    facts = json.loads((pages / "docs/analyses/drawn/sound.json").read_text())
    assert facts["analysis"] == "analyses/sound.py"
    assert facts["first line"] == "How much is six times seven?"


def test_an_analysis_of_hours_is_not_run_and_says_so_beside_its_kept_figure(pages):
    page = (pages / "html/analyses/long.html").read_text(encoding="utf-8")
    assert "Not run while this page was built" in page
    assert "the product is 4" not in page
    assert "python analyses/long.py --factor 70 --figure long" in page
    kept = (pages / "figures/long.png").read_bytes()
    assert (pages / "html/_images/long.png").read_bytes() == kept


def test_a_notebook_downloaded_runs_beside_the_scripts(pages):
    (notebook,) = (pages / "html/_downloads").rglob("sound.ipynb")
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=pages / "analyses", capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.startswith("the product is 42\n")
    assert (pages / "analyses/mine.png").exists()


def test_a_broken_analysis_fails_the_build(tmp_path):
    done = built(site(tmp_path, broken=BROKEN))
    assert done.returncode != 0
    assert "broken.py" in done.stderr and "ZeroDivisionError" in done.stderr


def test_seconds_promised_without_a_figure_to_draw_are_refused(gallery, tmp_path, monkeypatch):
    folder = site(tmp_path, sound=SOUND)
    monkeypatch.setattr(gallery, "ROOT", folder)
    script = folder / "analyses/sound.py"
    assert gallery.drawn(script).name == "sound"
    facts = {"analysis": "analyses/sound.py", "command": "python analyses/sound.py --corpus news"}
    (folder / "figures/sound.json").write_text(json.dumps(facts))
    with pytest.raises(ExtensionError, match=r"sound.py says that it costs seconds, but no figure"):
        gallery.drawn(script)


@pytest.mark.parametrize("script", ANALYSES, ids=lambda path: path.stem)
def test_every_analysis_is_read_as_a_page(gallery, script):
    _, blocks = gallery.blocks_of(script)
    text = "\n".join(block.content for block in blocks if block.type == "text")
    page = publish_doctree(text, settings_overrides={"report_level": 1, "halt_level": 2})
    assert page["title"] == script.read_text(encoding="utf-8").split('"""')[1].splitlines()[0]
    facts = [node.astext() for node in page.findall(lambda node: node.tagname == "strong")]
    assert facts == ["Question:", "Command:", "Cost:", "Figure:"]
    images = {Path(node["uri"]).stem for node in page.findall(lambda node: node.tagname == "image")}
    ran = {gallery.drawn(script).name} if gallery.is_run(script) else set()
    assert images | ran == {figure.name for figure in gallery.kept(script)}
    assert ("Not run while" in text) == (not ran)


def test_some_analyses_are_run_and_some_are_not(gallery):
    assert {gallery.is_run(script) for script in ANALYSES} == {True, False}
