"""Turn what callers hold (arrays, tensors, lists) into checked float64 arrays."""

from typing import Any

import numpy as np
import numpy.typing as npt

from shiftlens.errors import ShiftlensError

FloatArray = npt.NDArray[np.float64]
_LARGEST = 1e70


def as_floats(values: Any, name: str = "states") -> npt.NDArray[np.floating]:
    """Return `values` as a finite matrix: float32 as it is, all else in float64.

    Args:
        values: anything of shape (n, d): an array, nested lists, or a torch tensor of any dtype
            on any device (it is detached and brought to the CPU).
        name: what the values are called in error messages.

    Returns:
        An array of shape (n, d).

    Raises:
        ShiftlensError: if the values are not two-dimensional, are empty along d, or hold NaN or
            infinity (the message names the first such row), or if the largest is beyond 1e70 or
            below 1e-70 in magnitude and not zero.
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu().double().numpy()
    narrow = getattr(values, "dtype", None) == np.float32
    matrix: npt.NDArray[np.floating] = np.asarray(values, np.float32 if narrow else np.float64)
    if matrix.ndim != 2 or matrix.shape[1] == 0:
        raise ShiftlensError(
            f"{name}: expected a matrix of shape (n, d) with d >= 1, got shape {matrix.shape}; "
            "give one row per sentence (or token)."
        )
    lowest, highest = float(matrix.min(initial=0.0)), float(matrix.max(initial=0.0))
    if not np.isfinite([lowest, highest]).all():
        broken = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
        raise ShiftlensError(
            f"{name}: {broken.size} of {len(matrix)} rows hold NaN or infinity, the first is row "
            f"{broken[0]}; remove those rows or recompute them in a wider dtype."
        )
    largest = max(highest, -lowest)
    if largest > _LARGEST or 0 < largest < 1 / _LARGEST:
        raise ShiftlensError(
            f"{name}: the largest value is {largest:.1e} in magnitude, whose fourth power leaves "
            "float64; rescale the values (by one number for all languages)."
        )
    return matrix


def as_matrix(values: Any, name: str = "states") -> FloatArray:
    """Return `values` as a finite float64 matrix.

    Args:
        values: as of `as_floats`.
        name: what the values are called in error messages.

    Returns:
        A float64 array of shape (n, d).

    Raises:
        ShiftlensError: as `as_floats`.
    """
    return as_floats(values, name).astype(np.float64, copy=False)


def as_states(states: Any) -> FloatArray:
    """Return `states` as a finite float64 matrix of at least two rows.

    Args:
        states: (n, d), one row per sentence (or token); see `as_matrix`.

    Returns:
        A float64 array of shape (n, d), n >= 2.

    Raises:
        ShiftlensError: as `as_matrix`, and if n < 2.
    """
    matrix = as_matrix(states)
    check_enough(matrix)
    return matrix


def check_enough(states: npt.NDArray[np.floating]) -> None:
    """Refuse a matrix of fewer than two states.

    Raises:
        ShiftlensError: if n < 2.
    """
    if len(states) < 2:
        raise ShiftlensError(
            f"states: {len(states)} sentence(s) given, at least 2 are needed for a covariance; "
            "add sentences of this language."
        )


def check_same_width(first: int, second: int) -> None:
    """Refuse to compare states of two different widths.

    Args:
        first: d of the first argument.
        second: d of the second.

    Raises:
        ShiftlensError: if the two differ.
    """
    if first != second:
        raise ShiftlensError(
            f"cannot compare states of width {first} with states of width {second}; "
            "both must come from the same layer of the same model."
        )
