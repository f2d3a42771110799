"""What README.md and docs/ say can be done, is tried."""

import importlib
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from itertools import dropwhile
from pathlib import Path

import pytest
import tyro

from shiftlens.cli import COMMANDS, main
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
FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.M | re.S)
NEEDS = re.compile(
    r"--device cuda|--lm-eval|(url-nlp|xcopa|meta-llama|Qwen|facebook|bigscience)/|llama-2-7b"
    r"|\.jsonl|\.tsv|runs/(qwen|bloom)"
)
"""What no test has: a GPU, the hub, or a file of the reader's."""
SMALLER = {
    "sweep": "--sentences 40",
    "train": "--steps 2 --batch-size 4 --pairs 4 --device cpu",
    "steer": "--strengths 0,1",
    "eval": "--device cpu",
    "lens": "--sentences 20",
    "neurons": "--sentences 120 --draws 2",
}
"""What is added to a command, for it to end in seconds."""


def fences(language):
    """Page and text of every fenced block in a language."""
    return [
        (page, code)
        for page, text in TEXTS.items()
        for name, code in FENCE.findall(text)
        if name == language
    ]


def shell_commands():
    """Every fenced command line, cut at && and &, as page, program and words."""
    found = []
    for page, code in fences(""):
        for line in code.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            cuts = [i for i, word in enumerate(words) if word in ("&&", "&")]
            for start, stop in zip([0, *(i + 1 for i in cuts)], [*cuts, None], strict=True):
                command = list(dropwhile(lambda word: "=" in word, words[start:stop]))
                if command[:1] in (["accelerate"], ["torchrun"]):
                    command = command[command.index("-m") + 1 :]
                if command:
                    found.append((page, Path(command[0]).name, command[1:]))
    return found


SHELL = shell_commands()
CALLS = [(page, words) for page, program, words in SHELL if program == "shiftlens"]
RUN = [
    pytest.param(
        [*words, *SMALLER.get(words[0], "").split()],
        marks=[pytest.mark.slow] if words[0] == "train" else [],
        id=" ".join(words),
    )
    for words in dict.fromkeys(tuple(words) for _, words in CALLS)
    if words[0] not in ("demo", "serve") and not NEEDS.search(" ".join(words))
]
"""Of the commands those that the demo suffices for; the tests of these two start them."""
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
        for code, sentences in {**texts, "fr": texts["es"], "sw": texts["fi"]}.items():
            Path(f"DIR/{code}.txt").write_text("\n".join(sentences) + "\n", encoding="utf-8")
        for name in ("PATH_OR_HUB_ID", "MODEL"):
            shutil.copytree(demo_model_path(), name)
        say = [].append
        for out in ("runs/first", "runs/second"):
            run_sweep(SweepConfig("demo", "demo", out, sentences=40, device="cpu"), say)
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


@pytest.mark.parametrize("words", RUN)
def test_a_command_of_the_demo_runs(folder, tmp_path, monkeypatch, words):
    monkeypatch.chdir(folder)
    if "--out" in words:
        place = words.index("--out") + 1
        words[place] = str(tmp_path / Path(words[place]).name)
    assert main(words) == 0


def test_every_other_program_is_one_that_installs_or_tests():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = extras["optional-dependencies"]
    for page, program, words in SHELL:
        if program == "pip":
            asked = re.findall(r"\[([^\]]+)\]", " ".join(words))
            assert words[0] == "install" and set(asked) <= extras.keys(), page
        elif program == "python":
            assert (ROOT / words[0]).exists(), page
        else:
            assert program in {"shiftlens", "python3", "pytest", "sphinx-build", "wait"}, page


def test_every_fenced_block_is_read_by_one_of_these_tests():
    names = {name for text in TEXTS.values() for name, _ in FENCE.findall(text)}
    assert names == {"", "python", "text", "{toctree}"}, "text is what a command prints"


def test_a_command_that_shiftlens_does_not_take_would_be_found():
    with pytest.raises(SystemExit):
        tyro.cli(SweepConfig, args=["--model", "demo", "--no-such-option", "3"])
    assert len(CALLS) > 30
    assert {words[0] for _, words in CALLS} >= COMMANDS.keys()


@pytest.mark.parametrize("page", TEXTS)
def test_a_command_within_a_line_is_one_there_is(page):
    prose = FENCE.sub("", TEXTS[page])
    assert set(re.findall(r"`shiftlens (\w+)", prose)) <= COMMANDS.keys()


@pytest.mark.parametrize("page, code", BLOCKS, ids=named(BLOCKS))
def test_a_python_example_runs(folder, monkeypatch, page, code):
    monkeypatch.chdir(folder)
    exec(compile(code, page, "exec"), {"__name__": "example"})


@pytest.mark.parametrize("page", TEXTS)
def test_a_script_or_figure_named_is_there(page):
    names = re.findall(r"\b(?:analyses|benchmarks|figures)/\w+\.\w+", TEXTS[page])
    assert [name for name in names if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("page", TEXTS)
def test_an_option_of_a_script_is_one_it_has(page):
    shared = (ROOT / "analyses/_shared.py").read_text(encoding="utf-8")
    for script, given in re.findall(
        r"`python ((?:analyses|benchmarks)/\w+\.py)([^`]*)", TEXTS[page]
    ):
        source = (ROOT / script).read_text(encoding="utf-8") + shared
        for option in re.findall(r"--([\w-]+)", given):
            assert re.search(rf'"(--)?{option}"', source), f"{script} --{option}"


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
    [f"shiftlens{room}" for room in ("", ".geometry", ".plots", ".patching", ".lens", ".neurons")],
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
    pages = {path.stem for path in (tmp_path / "analyses").glob("*.html")} - {"index"}
    assert pages == {path.stem for path in (ROOT / "analyses").glob("[!_]*.py")}
    assert "layers 3-4" in (tmp_path / "analyses/layer_distance.html").read_text(encoding="utf-8")


def test_what_the_pages_import_is_there():
    lines = {
        found
        for page in (ROOT / "shiftlens/templates").glob("*.html")
        for found in re.findall(r"^from (shiftlens[\w.]*) import (\w+)$", page.read_text(), re.M)
    }
    assert lines
    for module, name in lines:
        assert hasattr(importlib.import_module(module), name)
