"""What README.md and docs/ say can be done, is tried."""

import importlib
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tyro

from shiftlens.cli import COMMANDS
from shiftlens.config import SweepConfig, TrainConfig
from shiftlens.corpora import load_corpus
from shiftlens.demo.files import demo_model_path
from shiftlens.export import export_run
from shiftlens.runs import run_sweep
from shiftlens.settings import with_settings_files
from shiftlens.train import run_train

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in PAGES}
FENCE = re.compile(r"(<!-- needs: (?:hub|gpu) -->\n)?^```(\w*)\n(.*?)^```$", re.M | re.S)


def fences(language):
    """Page, comment above and text of every fenced block in a language."""
    return [
        (page, needs, code)
        for page, text in TEXTS.items()
        for needs, name, code in FENCE.findall(text)
        if name == language
    ]


def shiftlens_commands():
    """Every fenced command that runs shiftlens, as page and words."""
    lines = [
        (page, shlex.split(line, comments=True))
        for page, _, code in fences("")
        for line in code.replace("\\\n", " ").splitlines()
    ]
    found = []
    for page, words in lines:
        while words and "=" in words[0]:
            words = words[1:]
        if words[:1] == ["shiftlens"]:
            found.append((page, [word for word in words[1:] if word != "&"]))
    return found


CALLS = shiftlens_commands()
BLOCKS = fences("python")


def named(cases):
    return [f"{page}-{number}" for number, (page, *_) in enumerate(cases)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where a reader would stand: DIR, PATH_OR_HUB_ID, runs/first, runs/train and exported."""
    place = tmp_path_factory.mktemp("docs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        texts = load_corpus("demo").head(40).texts
        Path("DIR").mkdir()
        for code, sentences in {**texts, "fr": texts["es"]}.items():
            Path(f"DIR/{code}.txt").write_text("\n".join(sentences) + "\n", encoding="utf-8")
        shutil.copytree(demo_model_path(), "PATH_OR_HUB_ID")
        say = [].append
        run_sweep(SweepConfig("demo", "demo", "runs/first", sentences=40, device="cpu"), say)
        settings = {"area": "2-5", "steps": 2, "batch_size": 4, "pairs": 4, "device": "cpu"}
        run_train(TrainConfig("demo", "demo:train", "DIR", "runs/train", **settings), say)
        export_run("runs/train", "exported", say=say)
    return place


@pytest.mark.parametrize("page, words", CALLS, ids=named(CALLS))
def test_a_command_is_one_that_shiftlens_takes(folder, monkeypatch, page, words):
    monkeypatch.chdir(folder)
    name, *rest = words
    settings, _ = COMMANDS[name]
    if "--config" in rest:
        run = "runs/first" if name == "sweep" else "runs/train"
        rest[rest.index("--config") + 1] = f"{run}/config.yaml"
    if settings is None:
        assert (name, rest) == ("metrics", [])
    else:
        tyro.cli(settings, args=with_settings_files(rest, settings))


def test_a_command_that_shiftlens_does_not_take_would_be_found():
    with pytest.raises(SystemExit):
        tyro.cli(SweepConfig, args=["--model", "demo", "--no-such-option", "3"])
    assert len(CALLS) > 30
    assert {words[0] for _, words in CALLS} >= COMMANDS.keys() - {"demo"}


@pytest.mark.parametrize("page", TEXTS)
def test_a_command_within_a_line_is_one_there_is(page):
    prose = FENCE.sub("", TEXTS[page])
    assert set(re.findall(r"`shiftlens (\w+)", prose)) <= COMMANDS.keys()


@pytest.mark.parametrize("page, needs, code", BLOCKS, ids=named(BLOCKS))
def test_a_python_example_runs(folder, monkeypatch, page, needs, code):
    monkeypatch.chdir(folder)
    program = compile(code, page, "exec")
    if not needs:
        exec(program, {"__name__": "example"})


@pytest.mark.parametrize("page", TEXTS)
def test_a_script_or_figure_named_is_there(page):
    names = re.findall(r"\b(?:analyses|benchmarks|figures)/\w+\.\w+", TEXTS[page])
    assert [name for name in names if not (ROOT / name).is_file()] == []


def anchors(path):
    """The headings of a page as the ends of links to them."""
    heads = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", TEXTS)
def test_a_link_or_image_leads_somewhere(page):
    links = re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", FENCE.sub("", TEXTS[page]))
    for link in links:
        if re.match(r"https?:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize(
    "module",
    ["shiftlens", "shiftlens.geometry", "shiftlens.plots", "shiftlens.patching", "shiftlens.lens"],
)
def test_every_public_name_is_in_the_reference(module):
    pages = [path.read_text(encoding="utf-8") for path in (ROOT / "docs/api").glob("*.md")]
    kinds = r"\.\. (?:autoclass|autofunction|py:data):: "
    documented = re.findall(kinds + r"(\S+)", "\n".join(pages))
    assert len(documented) == len(set(documented))
    public = set(importlib.import_module(module).__all__) - {"__version__"}
    patching = {"patch", "patched_answer", "PatchResult"} if module == "shiftlens" else set()
    listed = {name.rpartition(".")[2] for name in documented if name.rpartition(".")[0] == module}
    assert listed == public - patching


@pytest.mark.slow
def test_the_documentation_builds_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-E", str(ROOT / "docs")]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "affine_invariant" in (tmp_path / "api/geometry.html").read_text(encoding="utf-8")
