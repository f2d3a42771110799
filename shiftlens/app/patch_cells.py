"""The cells of a heatmap: which patch each stands for."""

import re
from dataclasses import dataclass
from typing import Any

from shiftlens.errors import ShiftlensError
from shiftlens.patching import PatchResult

ALL_HEADS = -1
"""In place of a head: all of them, at the last site."""

_CELL = re.compile(r"(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?")


@dataclass(frozen=True)
class Cell:
    """One cell of the heatmap.

    Attributes:
        layer: Its layer or block.
        site: Its site.
        head: Its head, or None.
    """

    layer: int
    site: int
    head: int | None = None

    @classmethod
    def read(cls, text: str) -> "Cell":
        """Read what ``str`` wrote.

        Raises:
            ShiftlensError: It is no cell.
        """
        found = _CELL.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise ShiftlensError(f"{str(text)[:40]!r} is no cell; give layer.site")
        layer, site, head = found.groups()
        return cls(int(layer), int(site), None if head is None else int(head))

    def __str__(self) -> str:
        return ".".join(str(n) for n in (self.layer, self.site, self.head) if n is not None)


def has_cell(result: PatchResult, cell: Cell) -> bool:
    """Whether a result holds the patch that a cell stands for."""
    table = result.table[result.table["layer"] == cell.layer]
    table = table[table["site"] == cell.site]
    heads = table["head"]
    return bool(heads.isna().any() if cell.head is None else (heads == cell.head).any())


def drawn(result: PatchResult, head: int) -> dict[str, Any]:
    """What of a result is drawn: of heads one, or all of them at the last site.

    Where both runs have the same value there is no effect, and the values themselves are drawn.
    """
    options: dict[str, Any] = {}
    if result.table["effect"].isna().all():
        options["column"] = "value"
    if result.component == "head" and head != ALL_HEADS:
        options["head"] = head
    return options


def cell_of(point: dict[str, Any], result: PatchResult, options: dict[str, Any]) -> Cell:
    """The cell of a point of the figure, which counts sites, or heads, and layers."""
    layer, column = int(point["y"]), int(point["x"])
    if result.component == "head" and "head" not in options:
        return Cell(layer, len(result.sites) - 1, column)
    return Cell(layer, column, options.get("head"))


def outline(
    cell: Cell | None, result: PatchResult, options: dict[str, Any]
) -> list[dict[str, Any]]:
    """A frame around a cell, where the figure shows it."""
    if cell is None:
        return []
    x = cell.site
    if "head" in options and cell.head != options["head"]:
        return []
    if result.component == "head" and "head" not in options:
        if cell.head is None or cell.site != len(result.sites) - 1:
            return []
        x = cell.head
    frame = {"x0": x - 0.5, "x1": x + 0.5, "y0": cell.layer - 0.5, "y1": cell.layer + 0.5}
    return [{"type": "rect", "line": {"color": "#1f2328", "width": 2}, **frame}]
