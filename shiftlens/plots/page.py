"""The shared look of the pages about a training."""

from typing import Any

import plotly.graph_objects as go

FONT = "DejaVu Sans, Verdana, sans-serif"


def lay_out(figure: go.Figure, title: str, **layout: Any) -> None:
    """Give a page its title, fonts and axis lines.

    Args:
        figure: The figure, changed in place.
        title: Text above the panels.
        **layout: More of plotly's layout.
    """
    axis: dict[str, Any] = {"showline": True, "linecolor": "#333333", "zeroline": False}
    figure.update_xaxes(**axis, ticks="outside")
    figure.update_yaxes(**axis)
    figure.update_layout(
        template="plotly_white",
        font={"family": FONT, "size": 13, "color": "#222222"},
        title={"text": title, "x": 0, "xref": "container", "xanchor": "left", "pad": {"l": 24}},
        hoverlabel={"bgcolor": "white", "align": "left", "font_family": FONT},
        margin={"t": 110},
        **layout,
    )
