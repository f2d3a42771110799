import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import shiftlens

PACKAGE = Path(shiftlens.__file__).parent
LEVELS = [
    {
        "architectures",
        "arms",
        "errors",
        "background",
        "files",
        "fitting",
        "manifests",
        "memory",
        "forms",
        "config",
        "settings",
        "languages",
        "layer_sweep",
        "pooling",
        "area",
        "geometry",
        "demo",
        "effects",
        "hub",
        "steering_config",
        "ranks",
        "ragged",
        "neurons_config",
        "lens_config",
        "plan_config",
        "whose",
        "written",
        "numerals",
    },
    {
        "asked",
        "benchmarks",
        "bridge",
        "loading",
        "residual",
        "corpora",
        "corpus_files",
        "sentence_labels",
        "models",
        "model_folders",
        "states",
        "store",
        "tokens",
        "weightless",
        "sft",
        "chats",
        "generation",
    },
    {
        "collect",
        "check",
        "plan",
        "language_vectors",
        "shift",
        "bake",
        "identity",
        "token_moments",
        "trained",
        "halves",
        "patching",
        "steering",
        "text_loss",
        "neurons",
        "lens",
    },
    {
        "sweep",
        "sweep_forecast",
        "sweep_options",
        "projections",
        "pairs",
        "adapters",
        "estimate",
        "training",
        "answers",
        "evaluate",
        "experiment",
        "harness",
        "text_scores",
        "forecast",
    },
    {
        "export",
        "model_tests",
        "card",
        "plots",
        "drawing",
        "before_after",
        "steering_curve",
        "steering_run",
        "neurons_run",
        "lens_run",
        "kept_tables",
        "runs",
        "sweep_results",
        "train",
        "train_checks",
        "train_task",
        "repeat",
        "repeated_files",
        "folders",
        "reports",
    },
    {"app", "cli", "commands", "showcase", "__main__"},
]
MODULES = sorted(
    ".".join(("shiftlens", *file.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
        ".__init__"
    )
    for file in PACKAGE.rglob("*.py")
)


def level(module):
    """The level of a module, that of its package where it is in one."""
    room = module.split(".")[1]
    for number, rooms in enumerate(LEVELS):
        if room in rooms:
            return number
    raise AssertionError(
        f"{module} is in no level: add {room!r} to LEVELS, at the lowest level its imports allow"
    )


def path_of(module):
    file = PACKAGE.joinpath(*module.split(".")[1:])
    return file / "__init__.py" if file.is_dir() else file.with_suffix(".py")


def imports(module, source, modules=MODULES, homes=shiftlens._HOME):
    """The shiftlens modules that a module imports, inside functions too."""
    package = module if path_of(module).name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = parts[: len(parts) + 1 - node.level] if node.level else []
            base = ".".join([*base, *([node.module] if node.module else [])])
            for name in node.names:
                child = f"{base}.{name.name}"
                if base == "shiftlens" and name.name in homes:
                    child = f"shiftlens.{homes[name.name]}"
                found.add(child if child in modules else base)
    found = {name for name in found if name.split(".")[0] == "shiftlens"}
    return found - {"shiftlens", module}


def graph():
    return {
        module: imports(module, path_of(module).read_text(encoding="utf-8"))
        for module in MODULES
        if module != "shiftlens"
    }


def upward(edges):
    return [
        f"{module} (level {level(module)}) imports {other} (level {level(other)})"
        for module, others in edges.items()
        for other in sorted(others)
        if level(other) > level(module)
    ]


def test_no_import_runs_up_the_levels():
    edges = graph()
    assert sum(map(len, edges.values())) > 50, "the imports were not read"
    assert upward(edges) == []


def test_no_imports_run_in_a_circle():
    try:
        TopologicalSorter(graph()).prepare()
    except CycleError as error:
        pytest.fail(f"imports run in a circle: {' -> '.join(error.args[1])}")


def test_every_module_has_a_level():
    assert len(MODULES) > 20
    for module in MODULES:
        if module != "shiftlens":
            level(module)


@pytest.mark.parametrize(
    "source",
    [
        "from shiftlens.sweep import sweep_layers",
        "import shiftlens.sweep",
        "from shiftlens import sweep",
        "from shiftlens import sweep_layers",
        "from .sweep import sweep_layers",
        "from . import sweep",
        "def late():\n    from shiftlens.sweep import sweep_layers",
        "try:\n    import shiftlens.sweep as s\nexcept ImportError:\n    pass",
    ],
)
def test_an_upward_import_is_seen_in_every_form(source):
    edges = {"shiftlens.store": imports("shiftlens.store", source)}
    assert upward(edges) == ["shiftlens.store (level 1) imports shiftlens.sweep (level 3)"]


def test_a_relative_import_is_resolved_in_a_package():
    assert imports("shiftlens.plots", "from .save import save_figure") == {"shiftlens.plots.save"}
    assert imports("shiftlens.plots.save", "from . import style") == {"shiftlens.plots.style"}
    assert imports("shiftlens.plots.save", "from ..store import write_atomic") == {
        "shiftlens.store"
    }


def test_a_module_in_no_level_fails_with_what_to_do():
    with pytest.raises(AssertionError, match="add 'stray' to LEVELS"):
        upward({"shiftlens.stray": {"shiftlens.errors"}})


@pytest.mark.parametrize("module", ["shiftlens", "shiftlens.cli", "shiftlens.config"])
def test_importing_it_brings_in_nothing_heavy(module):
    heavy = (
        "torch",
        "transformers",
        "transformer_lens",
        "matplotlib",
        "plotly",
        "pandas",
        "sklearn",
    )
    code = f"import sys, {module}; print(*[n for n in {heavy} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_every_public_name_can_be_imported():
    for name in shiftlens.__all__:
        assert getattr(shiftlens, name) is not None
    assert shiftlens.choose_area.__module__ == "shiftlens.area"
    with pytest.raises(AttributeError, match="no_such_name"):
        shiftlens.no_such_name
