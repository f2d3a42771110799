"""Small panels side by side: how many in a row, on paper and on screen alike."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

_WIDTH = {1: 3.3, 2: 6.8, 3: 6.8}


def panel_columns(count: int) -> int:
    """Return how many panels stand in a row.

    Args:
        count: How many panels there are.

    Returns:
        At most 3; 2 of four panels.
    """
    return 2 if count == 4 else min(count, 3)


def panel_grid(count: int, panel_height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure with so many panels, row by row.

    Args:
        count: How many panels.
        panel_height: Inches of a row.

    Returns:
        The figure, one page column (3.3 in) wide of one panel and two (6.8 in) of more, and its
        panels.
    """
    columns = panel_columns(count)
    rows = -(-count // columns)
    figure = Figure(figsize=(_WIDTH[columns], panel_height * rows))
    panels = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for axes in panels[count:]:
        axes.remove()
    return figure, panels[:count]
