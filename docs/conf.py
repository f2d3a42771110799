"""Settings of the documentation: ``sphinx-build -W -q docs docs/_build``, offline."""

import re

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx

import shiftlens

project = "shiftlens"
author = "the authors of shiftlens"
version = release = shiftlens.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
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

language = "en_GB"
html_theme = "furo"
html_title = "shiftlens"
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
    """Typeset formulas as MathML, which browsers draw without fetching anything."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
