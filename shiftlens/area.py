"""Choosing the layer area [a, b]: where to shift toward the dominant subspace, and where back."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import fsum, nan

import numpy as np

from shiftlens.errors import ShiftlensError

MINIMUM_BLOCKS = 3
"""An area is two layers or more of 1..L-1."""


@dataclass(frozen=True)
class LayerArea:
    """The layers between shift and shift back.

    Attributes:
        start: Layer a, where the shift toward the dominant language is applied.
        stop: Layer b > a, where the shift back is applied.
        share: The share beta of layers that was asked for.
        lowest: The layers of lowest distance (highest similarity), in layer order; as many as the
            area is wide.
        contiguous: Whether these layers lie side by side and so are the area. If not, the area is
            the window of that width with the smallest mean distance.
        tied: Layers that were left out though as near as one that was taken: where there are any,
            the choice is arbitrary.
    """

    start: int
    stop: int
    share: float
    lowest: tuple[int, ...]
    contiguous: bool
    tied: tuple[int, ...] = ()

    def __str__(self) -> str:
        how = (
            "the closest layers"
            if self.contiguous
            else f"closest window; the closest layers {list(self.lowest)} are not adjacent"
        )
        tie = f"; as near are {list(self.tied)}: arbitrary" if self.tied else ""
        return f"layers {self.start}-{self.stop} ({how}{tie})"


def check_share(share: float) -> None:
    """Refuse a share of the layers that no area could take.

    Raises:
        ShiftlensError: The share lies outside (0, 1).
    """
    if not 0 < share < 1:
        raise ShiftlensError(f"the share of layers must lie between 0 and 1, not {share}")


def choose_area(distance: Mapping[int, float], share: float = 0.3) -> LayerArea:
    r"""The low-distance layer area of ShifCon.

    Of the layers 1..L-1 the :math:`w = \max(2, \mathrm{round}(\beta L))` of lowest distance
    (halves round to even) are the area [a, b]. Where they are not contiguous, the area is the
    contiguous window of width w with the smallest mean distance. Ties go to the earlier layer,
    and are told.

    Args:
        distance: Distance of every layer 0..L, averaged over the non-dominant languages.
        share: The share :math:`\beta` of the L layers, in (0, 1).

    Returns:
        The area; layer 0 and layer L are never in it.

    Raises:
        ShiftlensError: Fewer than 3 blocks, a share outside (0, 1), or a NaN distance.

    Source:
        Zhang et al., "ShifCon", ACL 2025, arXiv:2410.19453; the minimum width, the window and the
        excluded ends are shiftlens's.
    """
    n_layers = max(distance, default=0)
    if n_layers < MINIMUM_BLOCKS:
        raise ShiftlensError(
            f"a model of {n_layers} blocks has no layer area; it takes {MINIMUM_BLOCKS} or more"
        )
    check_share(share)
    inner = np.array([distance.get(layer, nan) for layer in range(1, n_layers)])
    if not np.isfinite(inner).all():
        bad = int(np.argmin(np.isfinite(inner))) + 1
        raise ShiftlensError(f"layer {bad}: the distance is not a finite number")
    width = min(max(2, round(share * n_layers)), n_layers - 1)
    order = np.argsort(inner, kind="stable")
    lowest = tuple(sorted(int(i) + 1 for i in order[:width]))
    tied = tuple(int(i) + 1 for i in order[width:] if inner[i] == inner[order[width - 1]])
    contiguous = lowest[-1] - lowest[0] == width - 1
    totals = [fsum(inner[i : i + width]) for i in range(n_layers - width)]
    start = lowest[0] if contiguous else int(np.argmin(totals)) + 1
    return LayerArea(start, start + width - 1, share, lowest, contiguous, tied)


def parse_area(text: str) -> tuple[int, int]:
    """The two layers of an area written as "2-5".

    Raises:
        ShiftlensError: It is not written so, or the second layer is not above the first.
    """
    try:
        a, b = map(int, text.split("-"))
    except ValueError:
        raise ShiftlensError(f"area {text!r} is not two layers such as 2-5 (nor auto)") from None
    if not 1 <= a < b:
        raise ShiftlensError(f"area {text} is not two layers a < b, from layer 1 on, such as 2-5")
    return a, b
