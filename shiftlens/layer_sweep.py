"""What a sweep found: the table of distances, its curves and the areas that they choose."""

from dataclasses import dataclass, replace

import pandas as pd

from shiftlens.area import LayerArea, choose_area
from shiftlens.errors import ShiftlensError
from shiftlens.geometry import METRICS, Metric

COLUMNS = [
    "layer",
    "language",
    "metric",
    "value",
    "low",
    "high",
    "reference",
    "n",
    "d",
    "rank",
    "shrinkage",
    "alpha",
]


@dataclass(frozen=True)
class LayerSweep:
    """The result of a sweep.

    Attributes:
        table: Tidy, one row a layer, language and metric: ``layer, language, metric, value, low,
            high, reference, n, d, rank, shrinkage, alpha``. The dominant language's rows are the
            split-half floor (of a paired metric: D against other sentences of D). ``low`` and
            ``high`` bound the 95% interval, and are NaN without one, as where a share is 0 or 1
            with and without every group. ``reference`` is the value of
            languages that have nothing to do with each other (chance, random subspaces), NaN where
            there is none. The rank is that of the covariance, and in rows of a metric that requires
            one the rank compared; n, rank and alpha are those of the row's language. n counts
            sentences, or tokens of the smaller half, and d what a projection leaves.
        areas: For each metric but those of a single language the area that it would choose; the
            first one is *the* area. None for a model too shallow to have one.
        dominant: The dominant language.
    """

    table: pd.DataFrame
    areas: dict[str, LayerArea] | None
    dominant: str

    @property
    def metric(self) -> str:
        """The first metric."""
        return str(self.table["metric"].iloc[0])

    @property
    def area(self) -> LayerArea | None:
        """The layer area to shift: that of the first metric that has one."""
        return next(iter(self.areas.values()), None) if self.areas else None

    def mean_curve(self, metric: str) -> dict[int, float]:
        """Mean over the non-dominant languages, by layer."""
        rows = self.table[
            (self.table["metric"] == metric) & (self.table["language"] != self.dominant)
        ]
        means = rows.groupby("layer", as_index=False)["value"].mean()
        return dict(zip(means["layer"].tolist(), means["value"].tolist(), strict=True))

    def curves(self, metric: str) -> pd.DataFrame:
        """Layers by languages for one metric, with the mean and the dominant language beside.

        Raises:
            ShiftlensError: The metric was not swept.
        """
        if metric not in (known := list(self.table["metric"].unique())):
            raise ShiftlensError(f"metric {metric!r} was not swept; there is {', '.join(known)}")
        rows = self.table[self.table["metric"] == metric]
        wide = rows.pivot(index="layer", columns="language", values="value")
        wide = wide[[c for c in rows["language"].unique() if c != self.dominant]]
        wide["mean"] = pd.Series(self.mean_curve(metric))
        own = rows[rows["language"] == self.dominant].set_index("layer")["value"]
        single = METRICS[metric].kind == "single"
        wide[self.dominant if single else f"{self.dominant} floor"] = own
        return wide.rename_axis(columns=None)

    def without(self, language: str) -> "LayerSweep":
        """The sweep with one language left out of its means, and the areas that it then chooses.

        Args:
            language: Not the dominant one.

        Raises:
            ShiftlensError: The language was not swept, or no other is left.
        """
        others = [code for code in self.table["language"].unique() if code != self.dominant]
        if language not in others or len(others) == 1:
            raise ShiftlensError(
                f"language {language!r} cannot be left out: the languages compared with "
                f"{self.dominant!r} are {', '.join(others)}, and one must stay"
            )
        left = replace(self, table=self.table[self.table["language"] != language])
        if not self.areas:
            return left
        chosen = {name: area_by(left, METRICS[name], own.share) for name, own in self.areas.items()}
        return replace(left, areas=chosen)


def area_by(sweep: LayerSweep, metric: Metric, share: float) -> LayerArea:
    """The area that a metric chooses: the layers of lowest distance, or of highest similarity.

    Args:
        sweep: What was measured.
        metric: One of its metrics, not of a single language.
        share: The share of the layers that the area takes.

    Raises:
        ShiftlensError: Fewer than 3 blocks, a share outside (0, 1), or a NaN distance.
    """
    sign = -1 if metric.kind == "similarity" else 1
    curve = {layer: sign * value for layer, value in sweep.mean_curve(metric.name).items()}
    return choose_area(curve, share)
