"""From the tidy table of language pairs to one matrix a layer, similar languages side by side."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from shiftlens.errors import ShiftlensError
from shiftlens.geometry import METRICS
from shiftlens.languages import language_name
from shiftlens.plots.labels import metric_label

_COLUMNS = ("layer", "language", "other", "metric", "value", "n", "d")


@dataclass(frozen=True)
class PairMatrices:
    """One metric between all languages, by layer.

    Attributes:
        metric: The metric.
        codes: The languages, in the order of every matrix's rows and columns.
        grids: Layer to its matrix: row language k, column language D.
        sizes: What was measured, such as "n = 404, d = 64".
    """

    metric: str
    codes: list[str]
    grids: dict[int, np.ndarray]
    sizes: str

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest value of all layers."""
        stack = np.stack(list(self.grids.values()))
        return float(stack.min()), float(stack.max())

    @property
    def diagonal(self) -> str:
        """What a language's cell with itself shows."""
        known = METRICS.get(self.metric)
        paired = known is not None and known.paired
        return "its own unrelated sentences" if paired else "its own split-half floor"

    @property
    def meaning(self) -> str:
        """What a larger value says; empty where that is not known."""
        known = METRICS.get(self.metric)
        if known is None:
            return ""
        return "larger = more alike" if known.kind == "similarity" else "larger = farther apart"

    @property
    def words(self) -> str:
        """The metric in words, each column's language being D."""
        words = metric_label(self.metric).words.replace("\n", " ")
        return words.replace("the dominant language", "language D")

    @property
    def caption(self) -> str:
        """What a reader has to know beside the axes."""
        return f"diagonal: each language, {self.diagonal}; {self.sizes}"

    def pair(self, language: str, other: str) -> str:
        """How a cell is called, such as "Finnish - Korean"."""
        if language == other:
            return f"{language_name(language)}, {self.diagonal}"
        known = METRICS.get(self.metric)
        joint = "-" if known is None or known.symmetric else "→"
        return f"{language_name(language)} {joint} {language_name(other)}"


def pair_matrices(table: pd.DataFrame) -> PairMatrices:
    """Take the matrices out of the table of pairs, and order their languages.

    The order is that of the leaves of a hierarchical clustering (average linkage, optimal leaf
    order) of the mean matrix over layers.

    Args:
        table: From :func:`shiftlens.language_pairs`, of one metric.

    Returns:
        The matrices, in rising order of layers.

    Raises:
        ShiftlensError: A column or a pair is missing, a value is NaN, a pair is given twice, or
            there is more than one metric or only one language.

    Source:
        Bar-Joseph, Gifford and Jaakkola, "Fast optimal leaf ordering for hierarchical clustering",
        Bioinformatics 17, 2001, doi:10.1093/bioinformatics/17.suppl_1.S22.
    """
    if missing := [name for name in _COLUMNS if name not in table.columns]:
        raise ShiftlensError(f"the table of pairs lacks the column(s) {', '.join(missing)}")
    metrics = list(table["metric"].unique())
    if len(metrics) != 1:
        raise ShiftlensError(
            f"the table of pairs has {len(metrics)} metrics ({', '.join(metrics)}); draw one"
        )
    codes = sorted(table["language"].unique())
    if len(codes) < 2:
        raise ShiftlensError("a matrix of languages takes two or more, the table of pairs has one")
    grids = {
        int(str(layer)): _grid(rows, codes, str(layer))
        for layer, rows in table.groupby("layer", sort=True)
    }
    order = _order(np.mean(list(grids.values()), axis=0), metrics[0])
    ordered = {layer: grid[np.ix_(order, order)] for layer, grid in grids.items()}
    return PairMatrices(metrics[0], [codes[place] for place in order], ordered, _sizes(table))


def _grid(rows: pd.DataFrame, codes: list[str], layer: str) -> np.ndarray:
    cells = rows.set_index(["language", "other"])["value"]
    if not cells.index.is_unique:
        raise ShiftlensError(f"the table of pairs gives a pair of layer {layer} twice")
    grid = cells.unstack("other").reindex(index=codes, columns=codes).to_numpy(dtype=np.float64)
    if absent := np.argwhere(np.isnan(grid)).tolist():
        language, other = (codes[place] for place in absent[0])
        raise ShiftlensError(
            f"the table of pairs has no value of {language!r} and {other!r} at layer {layer}"
        )
    return grid


def _sizes(table: pd.DataFrame) -> str:
    ends = {name: sorted({int(table[name].min()), int(table[name].max())}) for name in ("n", "d")}
    return ", ".join(f"{name} = {' to '.join(map(str, both))}" for name, both in ends.items())


def _order(mean: np.ndarray, metric: str) -> list[int]:
    """The leaves of a clustering of the languages by their mean matrix, floors left out."""
    both = (mean + mean.T) / 2
    known = METRICS.get(metric)
    away = -both if known is not None and known.kind == "similarity" else both
    away = away - away[~np.eye(len(away), dtype=bool)].min()
    np.fill_diagonal(away, 0)
    return leaves_list(linkage(squareform(away), "average", optimal_ordering=True)).tolist()
