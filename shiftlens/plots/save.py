"""Writing figures: the only part of the room that touches the disk."""

import hashlib
import html
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from matplotlib.figure import Figure

from shiftlens.config import RECORDED
from shiftlens.errors import ShiftlensError
from shiftlens.files import make_folder, write_atomic
from shiftlens.plots.style import shared_style
from shiftlens.written import write_json

PNG_DPI = 200
FORMATS = {
    "png": ("Software",),
    "svg": ("Date", "Creator"),
    "pdf": ("Creator", "Producer", "CreationDate"),
}
"""What figures are written as, and what is left out of each file's metadata."""
PAGE_CONFIG = {
    "displaylogo": False,
    "modeBarButtonsToRemove": ["select2d", "lasso2d"],
    "plotlyServerURL": "",
    "responsive": True,
    "showSendToCloud": False,
    "toImageButtonOptions": {"format": "svg"},
}
"""Settings of every plotly page: without them plotly offers to send the chart to its cloud."""


def save_figure(figure: Figure, stem: Path, formats: Sequence[str] = ("png", "svg")) -> list[Path]:
    """Write a matplotlib figure, with the same bytes for the same figure.

    No file carries a date or the name of the software that wrote it.

    Args:
        figure: The figure to write.
        stem: Path without an extension; its folder is made where it is missing.
        formats: Any of :data:`FORMATS`.

    Returns:
        The files written, one a format.

    Raises:
        ShiftlensError: A format is not one of these, or a file cannot be written.
    """
    if unknown := [name for name in formats if name not in FORMATS]:
        raise ShiftlensError(
            f"figures are not written as {unknown[0]!r}; choose from {', '.join(FORMATS)}"
        )
    make_folder(stem.parent)
    files = [stem.with_name(f"{stem.name}.{name}") for name in formats]
    with shared_style():
        for file, name in zip(files, formats, strict=True):
            content = BytesIO()
            facts = dict.fromkeys(FORMATS[name])
            figure.savefig(content, format=name, dpi=PNG_DPI, metadata=facts)
            write_atomic(file, content.getvalue())
    return files


def save_answer(figure: Figure, stem: Path, analysis: str, facts: Mapping[str, Any]) -> list[Path]:
    """Write the figure of an analysis, and beside it the JSON that says what it shows.

    Args:
        figure: The figure.
        stem: Path without an extension; the figure's name is its last part.
        analysis: The script, such as "analyses/layer_distance.py".
        facts: ``command``, ``model``, ``corpus``, ``seed``, ``result`` and whatever else is
            needed to know what the figure shows.

    Returns:
        The files written: PNG, SVG and JSON.
    """
    versions = {name: version(name) for name in RECORDED}
    sidecar = {"analysis": analysis, **facts, "versions": versions}
    files = [*save_figure(figure, stem), stem.with_suffix(".json")]
    write_json(files[-1], sidecar)
    return files


def save_html(figure: go.Figure, path: Path) -> Path:
    """Write a plotly figure as one HTML page that carries its own script and asks no host.

    Args:
        figure: The figure to write.
        path: File to write; its folder is made where it is missing.

    Returns:
        The file written.
    """
    page = figure.to_html(
        config=PAGE_CONFIG,
        include_plotlyjs=True,
        include_mathjax=False,
        div_id="shiftlens-" + hashlib.sha256(figure.to_json().encode()).hexdigest()[:12],
    )
    title = html.escape(figure.layout.title.text or path.stem)
    page = page.replace("<head>", f"<head><title>{title}</title>", 1)
    make_folder(path.parent)
    write_atomic(path, page.encode())
    return path
