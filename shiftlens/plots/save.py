"""Writing figures: the only part of the room that touches the disk."""

import hashlib
import html
from pathlib import Path

import plotly.graph_objects as go
from matplotlib.figure import Figure

from shiftlens.plots.style import shared_style

PNG_DPI = 200
PAGE_CONFIG = {
    "displaylogo": False,
    "modeBarButtonsToRemove": ["select2d", "lasso2d"],
    "plotlyServerURL": "",
    "responsive": True,
    "showSendToCloud": False,
    "toImageButtonOptions": {"format": "svg"},
}
"""Settings of every plotly page: without them plotly offers to send the chart to its cloud."""


def save_figure(figure: Figure, stem: Path) -> list[Path]:
    """Write a matplotlib figure as PNG and SVG, with the same bytes for the same figure.

    Neither file carries a date or the name of the software that wrote it.

    Args:
        figure: The figure to write.
        stem: Path without an extension; its folder is made where it is missing.

    Returns:
        The two files written, PNG first.
    """
    png, svg = (stem.with_name(stem.name + ending) for ending in (".png", ".svg"))
    stem.parent.mkdir(parents=True, exist_ok=True)
    with shared_style():
        figure.savefig(png, dpi=PNG_DPI, metadata={"Software": None})
        figure.savefig(svg, metadata={"Date": None, "Creator": None})
    return [png, svg]


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
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8", newline="\n")
    return path
