"""What the view of the lens draws and says of what was read."""

from typing import Any

import plotly.graph_objects as go

from shiftlens.app.lens_request import LensRequest
from shiftlens.app.widgets import empty_figure, fit
from shiftlens.languages import language_name
from shiftlens.lens import TextLens
from shiftlens.plots.lens import language_mass_lines, text_lens_heatmap


def seen_colour(lens: TextLens, colour: str) -> str:
    """The colour asked for; where it is a language's mass and none is known, the probability."""
    return "probability" if colour not in ("entropy", "rank", *lens.table) else colour


def draw_heatmap(
    request: LensRequest, lens: TextLens, colour: str, position: int
) -> tuple[go.Figure, dict[str, str]]:
    """The heatmap, and the room that it takes on the page."""
    title = "What every layer would say next"
    if request.area:
        a, b = request.area
        title += f", with the shift of {language_name(request.language)} between layers {a} and {b}"
    figure = text_lens_heatmap(lens, colour, title)
    tall, wide = figure.layout.height, figure.layout.meta["minwidth"]
    fit(figure).update_layout(shapes=framed(lens, position), dragmode=False, height=None)
    return figure, {"height": f"max(470px, {tall}px)", "minWidth": f"{wide}px"}


def draw_lines(lens: TextLens, position: int) -> go.Figure:
    """The masses by layer after one token, where they are known."""
    return fit(language_mass_lines(lens, position)) if lens.tokens else empty_figure()


def framed(lens: TextLens, position: int) -> list[dict[str, Any]]:
    """A frame around the column whose languages are drawn below."""
    if not lens.tokens:
        return []
    top = int(lens.table["layer"].max()) + 0.5
    frame = {"x0": position - 0.5, "x1": position + 0.5, "y0": -0.5, "y1": top}
    return [{"type": "rect", "line": {"color": "#1f2328", "width": 2}, **frame}]


def summary(lens: TextLens) -> str:
    """What there is to see, and how to go on."""
    last = lens.table["layer"].max()
    more = " Click a column for the languages after that token." if lens.tokens else ""
    return f"{len(lens.prompt)} tokens; what layer {last} says is what the model says.{more}"
