"""Mean curves of two sweeps side by side, and how alike they order layers and languages."""

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from shiftlens.layer_sweep import LayerSweep


def rank_correlation(first: pd.Series, second: pd.Series) -> float:
    """Spearman's rank correlation over what both have; NaN of fewer than three, or of no order."""
    both = pd.concat([first, second], axis=1, join="inner").dropna()
    if len(both) < 3 or (both.nunique() == 1).any():
        return float("nan")
    return float(spearmanr(both.iloc[:, 0], both.iloc[:, 1]).statistic)


def shared_metrics(first: LayerSweep, second: LayerSweep) -> list[str]:
    """The metrics that both sweeps measured, in the first one's order."""
    there = set(second.table["metric"])
    return [metric for metric in first.table["metric"].unique() if metric in there]


def shared_languages(first: LayerSweep, second: LayerSweep) -> list[str]:
    """The languages that both sweeps measured and that are the dominant one of neither."""
    there = set(second.table["language"]) - {first.dominant, second.dominant}
    return [code for code in first.table["language"].unique() if code in there]


def side_by_side(first: LayerSweep, second: LayerSweep, metric: str) -> pd.DataFrame:
    """The mean curve of one metric over the languages that both sweeps have.

    Args:
        first: A sweep.
        second: Another.
        metric: One that both measured.

    Returns:
        Index layer, over the layers of either: ``first, second, difference`` (second minus first).
    """
    languages = shared_languages(first, second)
    curves = [
        _rows(sweep, metric, languages).groupby("layer")["value"].mean()
        for sweep in (first, second)
    ]
    table = pd.concat(curves, axis=1, keys=["first", "second"]).rename_axis("layer")
    return table.assign(difference=table["second"] - table["first"])


def agreement(first: LayerSweep, second: LayerSweep) -> pd.DataFrame:
    """How alike two sweeps order the layers, and the languages.

    Args:
        first: A sweep.
        second: Another.

    Returns:
        Index metric: Spearman's rank correlation of the mean curves over the ``layers`` (NaN
        where the models have not as many), that of the ``languages``' means over the layers, and
        the ``largest`` difference of the mean curves.
    """
    languages = shared_languages(first, second)
    rows = {}
    for metric in shared_metrics(first, second):
        curves = side_by_side(first, second, metric)
        means = [
            _rows(sweep, metric, languages).groupby("language")["value"].mean()
            for sweep in (first, second)
        ]
        whole = not curves.isna().any().any()
        rows[metric] = {
            "layers": rank_correlation(curves["first"], curves["second"]) if whole else np.nan,
            "languages": rank_correlation(*means),
            "largest": float(curves["difference"].abs().max()),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("metric")


def _rows(sweep: LayerSweep, metric: str, languages: list[str]) -> pd.DataFrame:
    table = sweep.table
    return table[(table["metric"] == metric) & table["language"].isin(languages)]
