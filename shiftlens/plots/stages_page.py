"""Mean distance to the dominant language by layer, of several models at once, for the screen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from shiftlens.languages import language_name
from shiftlens.plots.curves import Curves, check_area, curves
from shiftlens.plots.labels import LAYER_AXIS, area_text, floor_text, layer_step, metric_label
from shiftlens.plots.page import lay_out
from shiftlens.plots.style import AREA_COLOUR, FLOOR_COLOUR


@dataclass(frozen=True)
class Stage:
    """One model, before or after training, shifted or not.

    Attributes:
        name: Its name in the legend.
        table: Its tidy sweep table.
        colour: Hex colour of its line.
        dash: Plotly's name of the line's dash.
    """

    name: str
    table: pd.DataFrame
    colour: str
    dash: str = "solid"


def layer_distance_stages(
    stages: Sequence[Stage],
    area: tuple[int, int],
    dominant: str = "en",
    metric: str = "affine_invariant",
) -> go.Figure:
    """Draw the mean distance over the other languages, a line a stage, with a menu of metrics.

    Args:
        stages: What to compare; the floor is the first one's.
        area: Shift-toward and shift-back layer, shaded.
        dominant: Code of the language whose rows are the split-half floor.
        metric: Metric shown first.

    Returns:
        The figure.

    Raises:
        ShiftlensError: A table cannot give the figure; the message says why.
    """
    first = stages[0].table
    check_area(first, area)
    metrics = [metric, *(name for name in first["metric"].unique() if name != metric)]
    lines = {name: [curves(stage.table, name, dominant) for stage in stages] for name in metrics}
    pairs = zip(stages, lines[metric], strict=True)
    figure = go.Figure([_stage_line(stage, of_stage) for stage, of_stage in pairs])
    figure.add_scatter(
        name=floor_text(dominant),
        x=lines[metric][0].floor.index,
        y=lines[metric][0].floor.to_list(),
        mode="lines",
        line={"color": FLOOR_COLOUR, "width": 2, "dash": "dash"},
    )
    buttons = [_button(name, of_stage) for name, of_stage in lines.items()]
    step = layer_step(int(first["layer"].max()))
    lay_out(
        figure,
        f"Distance to {language_name(dominant)}, mean over the other languages",
        updatemenus=[{"buttons": buttons, "showactive": True}],
        xaxis={"title_text": LAYER_AXIS, "tick0": 0, "dtick": step},
        yaxis_title_text=_axis_text(metric),
        hovermode="x unified",
    )
    figure.add_vrect(*area, fillcolor=AREA_COLOUR, line_width=0, layer="below")
    figure.add_annotation(
        text=area_text(area),
        x=sum(area) / 2,
        y=1,
        yref="paper",
        yanchor="bottom",
        showarrow=False,
    )
    return figure


def _stage_line(stage: Stage, lines: Curves) -> go.Scatter:
    return go.Scatter(
        name=stage.name,
        x=lines.mean.index,
        y=lines.mean.to_list(),
        mode="lines+markers",
        line={"color": stage.colour, "width": 2.5, "dash": stage.dash},
        hovertemplate="%{y:.4g}",
    )


def _button(metric: str, lines: Sequence[Curves]) -> dict[str, Any]:
    values = [*(of_stage.mean.to_list() for of_stage in lines), lines[0].floor.to_list()]
    return {
        "label": metric_label(metric).words,
        "method": "update",
        "args": [{"y": values}, {"yaxis.title.text": _axis_text(metric)}],
    }


def _axis_text(metric: str) -> str:
    label = metric_label(metric)
    return f"{label.words}  {label.markup}".strip()
