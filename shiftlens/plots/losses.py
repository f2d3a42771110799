"""Losses, learning rate and gradient over the steps of a training."""

from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure
from plotly.subplots import make_subplots

from shiftlens.errors import ShiftlensError
from shiftlens.plots.grid import panel_columns, panel_grid
from shiftlens.plots.page import lay_out
from shiftlens.plots.style import ENGLISH_COLOUR, MEAN_COLOUR, PALETTE, shared_style

STEP_AXIS = "step of the optimiser"
_HEIGHT = 1.75


@dataclass(frozen=True)
class _Panel:
    """How one column of the log is drawn.

    Attributes:
        words: What it is.
        unit: Its unit, in two lines.
        colour: Hex colour.
    """

    words: str
    unit: str
    colour: str


_PANELS = {
    "loss_lm": _Panel("generation loss", "nats per token,\none batch", PALETTE[0]),
    "loss_pairs": _Panel("loss of the pairs", "nats (form l2: a ratio),\none batch", PALETTE[1]),
    "loss": _Panel("objective", "weighted sum,\nmean since last point", MEAN_COLOUR),
    "learning_rate": _Panel("learning rate", "step size", ENGLISH_COLOUR),
    "grad_norm": _Panel("gradient norm", "2-norm,\nbefore clipping", ENGLISH_COLOUR),
}


def training_curves(log: pd.DataFrame, title: str | None = None) -> Figure:
    """Draw what a training logged, a panel a column of its log.

    The generation loss is that of the completions, in nats per token, and the loss of the pairs the
    contrastive one, in nats (of the form ``l2`` a ratio; of an arm that reads the pairs as text, in
    nats per token), both of the batch at that step. The objective is their weighted sum, a mean
    over the steps since the point before.

    Args:
        log: A training's ``log.csv``: ``step`` and some of ``loss_lm``, ``loss_pairs``, ``loss``,
            ``learning_rate``, ``grad_norm``. Rows without a number are passed over.
        title: Text above the panels.

    Returns:
        The figure, two page columns (6.8 in) wide, tied to no window or notebook.

    Raises:
        ShiftlensError: The log holds no step, or nothing to draw.
    """
    curves = _curves(log)
    with shared_style():
        figure, panels = panel_grid(len(curves), _HEIGHT)
        for axes, (name, values) in zip(panels, curves.items(), strict=True):
            panel = _PANELS[name]
            marker = "o" if len(values) <= 30 else None
            axes.plot(values.index, values, color=panel.colour, marker=marker)
            axes.set_ylim(0, 1.08 * values.max() or None)
            axes.set_xlim(left=0)
            axes.set_title(panel.words)
            axes.set_ylabel(panel.unit)
            axes.set_xlabel(STEP_AXIS)
        if title:
            figure.suptitle(title)
        figure.draw_without_rendering()
    return figure


def training_curves_interactive(log: pd.DataFrame, title: str | None = None) -> go.Figure:
    """Draw what :func:`training_curves` draws, for the screen; arguments and errors are the same.

    Returns:
        The figure.
    """
    curves = _curves(log)
    columns = panel_columns(len(curves))
    rows = -(-len(curves) // columns)
    words = [_PANELS[name].words for name in curves]
    figure = make_subplots(
        rows, columns, subplot_titles=words, horizontal_spacing=0.08, vertical_spacing=0.2
    )
    for number, (name, values) in enumerate(curves.items()):
        panel = _PANELS[name]
        place = {"row": number // columns + 1, "col": number % columns + 1}
        line = go.Scatter(
            x=values.index.to_list(),
            y=values.to_list(),
            name=panel.words,
            mode="lines+markers",
            line={"color": panel.colour, "width": 2},
            marker={"size": 5},
            hovertemplate=f"step %{{x}}<br>{panel.words}: %{{y:.4g}}<extra></extra>",
        )
        figure.add_trace(line, **place)
        figure.update_yaxes(title_text=panel.unit.replace("\n", "<br>"), **place)
    figure.update_xaxes(title_text=STEP_AXIS, rangemode="tozero")
    figure.update_yaxes(rangemode="tozero", exponentformat="power")
    lay_out(figure, title or "Training", height=150 + 310 * rows, showlegend=False)
    return figure


def _curves(log: pd.DataFrame) -> dict[str, pd.Series]:
    """Column of the log to its numbers, by step."""
    if "step" not in log.columns:
        raise ShiftlensError("the log has no column 'step'; give a training's log.csv")
    by_step = log.set_index("step").sort_index()
    found = {name: by_step[name].dropna() for name in _PANELS if name in log.columns}
    curves = {name: values for name, values in found.items() if len(values)}
    if not curves:
        raise ShiftlensError(f"the log has no numbers of {', '.join(_PANELS)}; nothing to draw")
    for name, values in curves.items():
        if not values.index.is_unique:
            raise ShiftlensError(f"the log gives {name!r} of a step twice; draw one training")
    return curves
