"""What every page of results is made of: templates, figures and pictures in one file."""

import base64
import shlex
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import jinja2
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from shiftlens.files import write_atomic
from shiftlens.languages import language_name
from shiftlens.plots import PAGE_CONFIG

HEIGHT = 520
LAYER = "layer (residual stream after block l)"
"""The layer axis on a narrow screen."""


def write_page(path: Path, template: str, **context: Any) -> Path:
    """Fill a template and write the page, which carries its own script and asks no host.

    Args:
        path: The file.
        template: Name of one in ``templates/``.
        **context: What it shows.

    Returns:
        The file.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("shiftlens"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "language": language_name,
        "number": lambda value: "–" if value != value else f"{value:.4g}",
        "percent": lambda share: f"{100 * share:.1f}",
        "points": lambda share: "–" if share != share else f"{100 * share:+.1f}",
    }
    page = environment.get_template(template).render(plotly=get_plotlyjs(), **context)
    write_atomic(path, page.encode())
    return path


def figure_part(figure: go.Figure, name: str, height: int = HEIGHT) -> str:
    """A figure as a part of a page, under the id ``figure-NAME``; the page says what it shows."""
    top = 76 if figure.layout.updatemenus else 40
    figure.update_layout(
        title=None, height=height, font_family="system-ui, sans-serif", margin_t=top
    )
    return figure.to_html(
        config=PAGE_CONFIG,
        full_html=False,
        include_plotlyjs=False,
        include_mathjax=False,
        default_height=height,
        div_id=f"figure-{name}",
    )


def curves_part(figure: go.Figure, name: str) -> str:
    """A figure of curves with a menu, laid out for a narrow screen as well."""
    figure.update_layout(
        margin={"l": 56, "r": 12, "b": 40},
        legend={"orientation": "h", "x": 0, "yref": "container", "y": 0, "yanchor": "bottom"},
        xaxis_title_text=LAYER,
    )
    place = {"x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom", "pad": {"b": 30}}
    figure.update_layout(updatemenus=[{"bgcolor": "white", **place}])
    return figure_part(figure, name)


def picture(path: Path) -> str:
    """A PNG file as the address of an image, which holds it."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def command_line(command: str, settings: Mapping[str, Any], config: type) -> str:
    """The command that says these settings, those that are the default left out.

    Args:
        command: Such as "sweep".
        settings: Setting to value.
        config: The dataclass whose settings they are.

    Returns:
        The command, quoted for a shell.
    """
    words = ["shiftlens", command]
    for field in fields(config):
        value, option = settings.get(field.name, field.default), field.name.replace("_", "-")
        if value == field.default or value is None:
            continue
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        else:
            words += [f"--{option}", str(value)]
    return shlex.join(words)
