"""Settings of the documentation: ``sphinx-build -W -q docs docs/_build``, offline."""

import re
import sys
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx_gallery import py_source_parser

import shiftlens

sys.path.append(str(Path(__file__).parent))
import gallery

project = "shiftlens"
author = "the authors of shiftlens"
version = release = shiftlens.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = ["Source"]

sphinx_gallery_conf = {
    "examples_dirs": "../analyses",
    "gallery_dirs": "analyses",
    "ignore_pattern": r"^_",
    "filename_pattern": gallery.pattern(),
    "run_stale_examples": True,
    "within_subsection_order": "FileNameSortKey",
    "reset_argv": "gallery.arguments",
    "image_scrapers": ("gallery.figures",),
    "reset_modules": (),
    "capture_repr": (),
    "first_notebook_cell": gallery.FIRST_CELL,
    "notebook_images": True,
    "download_all_examples": False,
    "write_computation_times": False,
    "show_signature": False,
}

language = "en_GB"
html_theme = "furo"
html_title = "shiftlens"
html_static_path = ["_static"]
html_css_files = ["analyses.css"]
html_copy_source = False
html_math_renderer = "mathml"


def _mathml(node: nodes.Element, as_block: bool) -> str:
    """A formula, without the sizes of its brackets, which docutils does not know."""
    return tex2mathml(re.sub(r"\\[bB]ig\b", "", node.astext()), as_block=as_block)


def _inline(translator: nodes.NodeVisitor, node: nodes.Element) -> None:
    translator.body.append(_mathml(node, as_block=False))
    raise nodes.SkipNode


def _block(translator: nodes.NodeVisitor, node: nodes.Element) -> None:
    translator.body.append(f'<div class="math">{_mathml(node, as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Formulas as MathML, which browsers draw without fetching anything; analyses as pages."""
    py_source_parser.split_code_and_text_blocks = gallery.blocks_of
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
