"""A figure that is still to be drawn, for paper and for the screen, and its files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure

from shiftlens.plots import layer_distance, layer_distance_interactive, save_figure, save_html


@dataclass(frozen=True)
class Drawing:
    """A figure under its name.

    Attributes:
        stem: Where its files go in a folder, without an ending.
        figure: Draws it for paper; None where it is for the screen alone.
        page: Draws it for the screen; None where it is for paper alone.
    """

    stem: str
    figure: Callable[[], Figure] | None = None
    page: Callable[[], go.Figure] | None = None

    def save(
        self, out: Path, formats: Sequence[str] = ("png", "svg"), pages: bool = True
    ) -> list[Path]:
        """Draw and write it.

        Args:
            out: The folder.
            formats: For paper, any of :data:`shiftlens.plots.save.FORMATS`.
            pages: Whether to write the HTML page too.

        Returns:
            The files written.

        Raises:
            ShiftlensError: It cannot be drawn of its data.
        """
        path = out / self.stem
        files = save_figure(self.figure(), path, formats) if self.figure and formats else []
        if self.page and pages:
            files.append(save_html(self.page(), path.with_name(f"{path.name}.html")))
        return files


def distance_drawing(
    table: pd.DataFrame,
    area: tuple[int, int] | None,
    dominant: str,
    metric: str,
    model: str,
    projection: str = "",
) -> Drawing:
    """The distance by layer of a sweep, under the name ``layer_distance``.

    Args:
        table: The sweep's tidy table.
        area: The layer area, shaded.
        dominant: The dominant language.
        metric: The metric on paper, and shown first on the screen.
        model: What the title calls the model.
        projection: What was taken out of the states before the sweep, if anything.

    Returns:
        The figure.
    """
    after = f" after {projection}" if projection else ""
    first = table.iloc[0]
    facts = f"n = {spelled_range(table['n'])}, d = {first['d']}, {first['shrinkage']}"
    title = f"{model}{after}: {facts}"
    return Drawing(
        f"layer_distance_{projection}" if projection else "layer_distance",
        lambda: layer_distance(table, area, dominant, metric, title),
        lambda: layer_distance_interactive(table, area, dominant, metric, title),
    )


def spelled_range(column: pd.Series) -> str:
    """The one value of a column, or its lowest and highest, such as "80 to 120"."""
    low, high = column.min(), column.max()
    return f"{low}" if low == high else f"{low} to {high}"
