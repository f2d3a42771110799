"""How fast this machine is: measured where the forecast is to become a time."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch

from shiftlens.loading import DTYPES, find_device

DECOMPOSED = 512
"""Width of the matrix whose decomposition is timed."""


@dataclass(frozen=True)
class Rates:
    """Speeds in FLOP/s.

    Attributes:
        products: Of a model's matrix products.
        decompositions: Of float64 singular value decompositions on the CPU, by the count of
            :func:`shiftlens.forecast.forecast_sweep`.
    """

    products: float
    decompositions: float


def measure_rates(
    tokens: int,
    width: int,
    dtype: str = "float32",
    device: str = "auto",
    products: float | None = None,
) -> Rates:
    """Time products of the shape of a model's own, and a decomposition, for about a second.

    Args:
        tokens: Of a batch.
        width: Of the model.
        dtype: Of the model.
        device: Where it would run.
        products: The rate of the products, where it is known.

    Returns:
        The rates.

    Raises:
        ShiftlensError: The device cannot be used.
    """
    square = np.random.default_rng(0).standard_normal((DECOMPOSED, DECOMPOSED))
    taken = seconds(lambda: np.linalg.svd(square), torch.device("cpu"))
    if products is None:
        products = product_rate(tokens, width, 4 * width, DTYPES[dtype], find_device(device))
    return Rates(products, 26 * DECOMPOSED**3 / taken)


def product_rate(
    rows: int, inner: int, columns: int, dtype: torch.dtype, device: torch.device
) -> float:
    """FLOP/s of a product of a (rows, inner) with an (inner, columns) matrix."""
    left = torch.randn(rows, inner, dtype=dtype, device=device)
    right = torch.randn(inner, columns, dtype=dtype, device=device)
    return 2 * rows * inner * columns / seconds(lambda: left @ right, device)


def seconds(action: Callable[[], object], device: torch.device, budget: float = 0.4) -> float:
    """Median time of an action, repeated for some ``budget`` seconds after an unmeasured first.

    Args:
        action: What is timed.
        device: Where it works: waited for.
        budget: How long to go on, at least three times and at most a hundred.
    """
    taken: list[float] = []
    action()
    while len(taken) < 3 or (sum(taken) < budget and len(taken) < 100):
        _wait(device)
        start = time.perf_counter()
        action()
        _wait(device)
        taken.append(time.perf_counter() - start)
    return median(taken)


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
