"""The analyses as pages: how sphinx-gallery reads the scripts, runs them and finds their figures.

An analysis whose header says ``Cost: seconds`` is run while the pages are built, by the command of
the first of its figures that needs nothing but the package. The others are shown as they are, with
a note that says so. Figures that no run has drawn anew are shown as they are kept.
"""

import ast
import json
import os
import re
import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

from sphinx.errors import ExtensionError
from sphinx_gallery import py_source_parser
from sphinx_gallery.py_source_parser import Block
from sphinx_gallery.scrapers import figure_rst

ROOT = Path(__file__).parents[1]
ANALYSES = ROOT / "analyses"
PAGES = ROOT / "docs" / "analyses"
DRAWN = PAGES / "drawn"

FIRST_CELL = """\
# Run this notebook in the folder analyses/ of a checkout. The analysis's options stand here.
import sys
from pathlib import Path

__doc__, __file__ = "An analysis as a notebook", str(Path("notebook.py").resolve())
sys.argv = [__file__, "--figure", "mine", "--folder", "."]"""

sys.path.append(str(ANALYSES))
_task = runpy.run_path(str(ANALYSES / "__main__.py"), run_name="redraw")["task"]
_split = py_source_parser.split_code_and_text_blocks


def docstring_of(script: Path) -> str:
    """The header of an analysis."""
    return ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""


def is_run(script: Path) -> bool:
    """Whether an analysis is run while the pages are built."""
    return bool(re.search(r"^Cost: +seconds", docstring_of(script), re.M))


def pattern() -> str:
    """What sphinx-gallery's ``filename_pattern`` matches the analyses by that are run."""
    names = [path.name for path in sorted(ANALYSES.glob("[!_]*.py")) if is_run(path)]
    return "|".join(re.escape(os.sep + name) + "$" for name in names) or "$."


def kept(script: Path) -> list[Any]:
    """The figures of an analysis as tasks of ``python analyses``, first what needs nothing."""
    own = [
        path
        for path in sorted((ROOT / "figures").glob("*.json"))
        if json.loads(path.read_text(encoding="utf-8"))["analysis"] == f"analyses/{script.name}"
    ]
    return sorted((_task(path, None) for path in own), key=lambda figure: bool(figure.needs))


def drawn(script: Path) -> Any:
    """The figure that an analysis draws while the pages are built."""
    for figure in kept(script):
        if not (figure.needs or figure.run):
            return figure
    raise ExtensionError(f"{script.name} says that it costs seconds, but no figure in figures/ is "
                         "drawn by it without other data: draw one, or name its cost")  # fmt: skip


def arguments(gallery_conf: dict[str, Any], script_vars: dict[str, Any]) -> list[str]:
    """Sphinx-gallery's ``reset_argv``: what a script is given, and what else it knows of itself."""
    script = Path(script_vars["src_file"])
    script_vars["example_globals"] |= {"__file__": str(script), "__doc__": docstring_of(script)}
    return [*drawn(script).words[2:], "--folder", os.path.relpath(DRAWN, ANALYSES)]


def figures(block: Block, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Sphinx-gallery's scraper: the pictures that a cell has written."""
    names = block_vars["image_path_iterator"]
    images = [shutil.move(path, next(names)) for path in sorted(DRAWN.glob("*.png"))]
    return figure_rst(images, gallery_conf["src_dir"]) if images else ""


def blocks_of(source: Path, return_node: bool = False) -> tuple[Any, ...]:
    """The blocks of a script: its header, each cell under its title, and the figures kept of it."""
    script = ANALYSES / Path(source).name
    settings, blocks, node = _split(script, return_node=True)
    lines = script.read_text(encoding="utf-8").splitlines()
    ran = drawn(script) if is_run(script) else None
    shown = [Block("text", _header(docstring_of(script)) + _how(ran), 1)]
    for block in blocks[1:]:
        if title := re.match(r"# %% (\S.*)", lines[block.lineno - 2]):
            shown.append(Block("text", _under(_prose(title[1]), "-"), block.lineno - 1))
        shown.append(block)
    if others := [figure for figure in kept(script) if figure != ran]:
        shown.append(Block("text", _under("Kept figures", "-") + _gallery(others), len(lines)))
        if not ran:
            settings |= {"thumbnail_path": f"../figures/{others[0].name}.png"}
    return (settings, shown, node) if return_node else (settings, shown)


def _under(title: str, line: str) -> str:
    return f"{title}\n{line * len(title)}\n\n"


def _code(lines: str) -> str:
    return ".. code-block:: text\n\n" + re.sub(r"^", "    ", lines, flags=re.M) + "\n\n"


def _prose(text: str) -> str:
    """Plain text as reStructuredText, where a star or a double hyphen would mean something."""
    escaped = re.sub(r"([*_|\\])", r"\\\1", text)
    return re.sub(r"`([^`]+)`|(?<!\S)(--[\w-]+)", lambda word: f"``{word[1] or word[2]}``", escaped)


def _header(docstring: str) -> str:
    """A header's title, its question, command, cost and figure, and what it says besides."""
    title, facts, *rest = docstring.split("\n\n")
    parts = [_under(_prose(title), "=")]
    for name, text in re.findall(r"^(\w+): +(.*(?:\n +.*)*)", facts, re.M):
        said = [line.strip() for line in text.splitlines()]
        commands = [line for line in said if line.startswith("python ")]
        prose = _prose(" ".join(line for line in said if line not in commands))
        given = [f"**{name}:**\n", _code("\n".join(commands)) + prose] if commands else []
        parts.append("\n".join(given or [f"**{name}:** {prose}"]) + "\n\n")
    return "".join([*parts, *(f"{_prose(paragraph)}\n\n" for paragraph in rest)])


def _how(ran: Any) -> str:
    """Whether the page shows a run, and of which command."""
    if ran:
        command = f"python {' '.join(ran.words[1:])}"
        said = "Output and figure are of a run while this page was built, by\n\n" + _code(command)
    else:
        said = "Not run while this page was built; the figures are those kept with the software.\n"
    return ".. note::\n\n" + re.sub(r"^(?=.)", "    ", said, flags=re.M)


def _gallery(shown: list[Any]) -> str:
    """Kept figures, each below the command that draws it."""
    return "".join(
        _code(f"python {' '.join(figure.words[1:])}")
        + f".. image:: ../../figures/{figure.name}.png\n    :alt: {figure.name}\n\n"
        for figure in shown
    )
