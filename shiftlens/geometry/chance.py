"""What a metric is between languages that have nothing to do with each other.

Each is a function of the number of states n, their width d and the rank p of the subspaces.
"""

import numpy as np

from shiftlens.geometry import grassmann


def random_geodesic(n: int, d: int, rank: int) -> float:
    """Mean geodesic distance of two random subspaces of one rank."""
    return float(np.linalg.norm(grassmann.random_angles(rank, d), axis=1).mean())


def random_angle(n: int, d: int, rank: int) -> float:
    """Mean principal angle of two random subspaces of one rank, in radians."""
    return float(grassmann.random_angles(rank, d).mean())


def random_chordal(n: int, d: int, rank: int) -> float:
    """Root mean square of the chordal distance of two random subspaces of one rank."""
    return float(np.sqrt(grassmann.random_subspaces(rank, rank, d).squared_chordal))


def random_projection(n: int, d: int, rank: int) -> float:
    """Root mean square of the distance of two random subspaces' projectors."""
    return float(np.sqrt(grassmann.random_subspaces(rank, rank, d).squared_projection))


def one_in_n(n: int, d: int, rank: int) -> float:
    """Share of sentences that find their translation by drawing one of n."""
    return 1 / n


def one_pair_in_n(n: int, d: int, rank: int) -> float:
    """Share of n translation pairs that are each the best of the 2n - 1 in its row and column."""
    return 1 / (2 * n - 1)


def half(n: int, d: int, rank: int) -> float:
    """Accuracy of telling two languages of one size apart by tossing a coin."""
    return 0.5


def zero(n: int, d: int, rank: int) -> float:
    """Of a measure that is centred on nothing in common."""
    return 0.0
