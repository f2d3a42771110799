"""The layer-distance sweep: how far each language lies from the dominant one, layer by layer."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count

import numpy as np
import pandas as pd
from tqdm import tqdm

from shiftlens.area import MINIMUM_BLOCKS
from shiftlens.estimate import Fitting, Samples, estimate, named
from shiftlens.geometry import Metric, jackknife_interval
from shiftlens.halves import (
    Halves,
    SentenceHalves,
    Source,
    TokenHalves,
    rows_and_deletions,
    split_rows,
    take_vectors,
)
from shiftlens.languages import DOMINANT
from shiftlens.layer_sweep import COLUMNS, LayerSweep, area_by
from shiftlens.states import SentenceStates
from shiftlens.store import ActivationStore
from shiftlens.sweep_options import DEFAULT_METRICS, SweepOptions
from shiftlens.token_moments import TokenMoments


def sweep_layers(
    store: ActivationStore | SentenceStates | TokenMoments,
    dominant: str = DOMINANT,
    metrics: str | Sequence[str] = DEFAULT_METRICS,
    *,
    shrinkage: str | float = "ledoit-wolf",
    rank: str | int | float = "0.9",
    groups: int = 0,
    projection: str = "none",
    held_out: bool = False,
    share: float = 0.3,
    seed: int = 0,
    progress: bool = True,
) -> LayerSweep:
    r"""Distance of every language to the dominant one at every layer, and the layer area.

    The sentences are cut at random into two halves A and B, the same for all languages. The
    distance of language k at a layer is

    .. math:: \tfrac12 \big( d(k_A, D_B) + d(k_B, D_A) \big),

    so that every comparison is between n = N // 2 sentences and as many *other* sentences. For
    k = D the same formula is the split-half floor: what a language's distance to itself looks like
    at this n, by the very estimator that measures the others. Paired metrics take k_A with D_A and
    k_B with D_B; their D row is D_A with D_B, unrelated sentences of one language.

    A projection is fitted to sentences that are in neither half: all are then cut in three, A, B
    and those, and n = N // 3.

    Intervals are of the delete-group jackknife: the halves are measured again without each of G
    runs of neighbouring sentences (:func:`shiftlens.geometry.delete_group_jackknife`).

    Args:
        store: A complete activation store, such states in memory, or token moments (which hold
            their own halves).
        dominant: The dominant language D.
        metrics: Names from :data:`shiftlens.geometry.METRICS`, or "all"; the first that is not of
            a single language chooses the area.
        shrinkage: ``ledoit-wolf``, ``oas`` or a fixed alpha in [0, 1], for all covariances.
        rank: Of the subspace metrics: a number of directions, or the share of the dominant
            language's variance that they must keep at every layer.
        groups: G of the jackknife; 0 for no intervals. The cost grows by the factor G + 1.
        projection: ``centre`` or ``lsar``, applied to the states before anything is measured; or
            ``none``.
        held_out: Cut in three without a projection too, for a sweep to compare with one after it.
        share: The share of the layers that the area takes.
        seed: Of the halving.
        progress: Show a progress bar on stderr.

    Returns:
        The tidy table and the areas.

    Raises:
        ShiftlensError: An option is not possible, the store is incomplete or damaged, or a metric
            cannot be had of the states (language, layer, and n, d and rank where they matter).

    Source:
        Zhang et al., "ShifCon", ACL 2025, arXiv:2410.19453, for the distance; the halving is
        shiftlens's.
    """
    options = SweepOptions(metrics, shrinkage, rank, groups, projection, held_out, share, seed)
    tokens = isinstance(store, TokenMoments)
    chosen = options.check(store.languages, dominant, store.n_sentences, tokens)
    source = _source(store, options, take_vectors(chosen))
    fitting = Fitting.of(chosen, str(shrinkage), str(rank), source, dominant)
    languages = [dominant, *(code for code in store.languages if code != dominant)]
    rows: list[dict[str, object]] = []
    total = len(source.layers) * len(languages)
    with tqdm(total=total, unit="fits", desc="sweep", disable=not progress or None) as bar:
        for layer in source.layers:
            for row in _layer_rows(source.at(layer), layer, languages, chosen, fitting):
                rows += row
                bar.update()
    table = _sorted(pd.DataFrame(rows).assign(shrinkage=str(shrinkage))[COLUMNS], chosen, languages)
    result = LayerSweep(table, None, dominant)
    if source.layers[-1] < MINIMUM_BLOCKS:
        return result
    compared = [metric for metric in chosen if metric.kind != "single"]
    return replace(result, areas={m.name: area_by(result, m, share) for m in compared})


def _source(
    store: ActivationStore | SentenceStates | TokenMoments, options: SweepOptions, vectors: bool
) -> Source:
    if isinstance(store, TokenMoments):
        return TokenHalves(store)
    held_out = options.held_out or options.projection != "none"
    rows = split_rows(store.n_sentences, options.seed, held_out)
    cuts = rows_and_deletions(rows, options.groups)
    return SentenceHalves(store, cuts, options.projection, vectors)


def _layer_rows(
    halves_of: Callable[[str], Iterator[Halves]],
    layer: int,
    languages: Sequence[str],
    metrics: Sequence[Metric],
    fitting: Fitting,
) -> Iterator[list[dict[str, object]]]:
    """The rows of one language after the other, the dominant one first."""
    of_dominant: list[Samples] = []
    for language in languages:
        same = language == languages[0]
        whole: Samples | None = None
        values: dict[str, list[float]] = {metric.name: [] for metric in metrics}
        cuts = halves_of(language)
        for number in count():
            with named(language, layer):
                halves = next(cuts, None)
            if halves is None:
                break
            with named(language, layer, halves):
                own = fitting.samples(halves)
                whole = whole or own
                if same:
                    of_dominant.append(own)
                for metric in metrics:
                    value = estimate(metric, own, of_dominant[number], same)
                    values[metric.name].append(value)
        assert whole is not None
        yield [
            {"layer": layer, "language": language} | _row(metric, whole, values[metric.name])
            for metric in metrics
        ]


def _row(metric: Metric, own: Samples, values: Sequence[float]) -> dict[str, object]:
    first, second = (half.summary for half in own)
    compared = first.principal_rank if metric.requires == "rank" else None
    rank = min(first.rank, second.rank) if compared is None else compared
    n = min(first.n, second.n)
    low, high = _interval(metric, values, n)
    return {
        "metric": metric.name,
        "value": values[0],
        "low": low,
        "high": high,
        "reference": metric.reference(n, first.d, rank) if metric.reference else np.nan,
        "n": n,
        "d": first.d,
        "rank": rank,
        "alpha": (first.alpha + second.alpha) / 2,
    }


def _interval(metric: Metric, values: Sequence[float], n: int) -> tuple[float, float]:
    """The ends of the jackknife's interval within the metric's bounds; NaN where it has no width.

    A share that is 0 or 1 with and without every group is no more certain for it.
    """
    value, *without = values
    if not without or min(without) == max(without):
        return np.nan, np.nan
    interval = jackknife_interval(value, without, n=n)
    return max(metric.bounds[0], interval.low), min(metric.bounds[1], interval.high)


def _sorted(
    table: pd.DataFrame, metrics: Sequence[Metric], languages: Sequence[str]
) -> pd.DataFrame:
    """By metric and language in the order asked for, then by layer."""
    place = {name: i for i, name in enumerate([*(m.name for m in metrics), *languages])}
    table = table.sort_values(
        ["metric", "language", "layer"], key=lambda c: c if c.name == "layer" else c.map(place)
    )
    return table.reset_index(drop=True)
