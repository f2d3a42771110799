"""The layer-distance sweep: how far each language lies from the dominant one, layer by layer."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from tqdm import tqdm

from shiftlens.area import MINIMUM_BLOCKS, LayerArea, check_share, choose_area
from shiftlens.errors import ShiftlensError
from shiftlens.geometry import (
    METRICS,
    LanguageSummary,
    Metric,
    parse_shrinkage,
    summarise,
    variance_rank,
)
from shiftlens.languages import DOMINANT
from shiftlens.store import ActivationStore

DEFAULT_METRICS = ("affine_invariant", "mean_distance", "mean_distance_rms", "shifcon")
COLUMNS = ["layer", "language", "metric", "value", "n", "d", "rank", "shrinkage", "alpha"]
Halves = tuple[LanguageSummary, LanguageSummary]


@dataclass(frozen=True)
class LayerSweep:
    """The result of a sweep.

    Attributes:
        table: Tidy, one row a layer, language and metric: ``layer, language, metric, value, n, d,
            rank, shrinkage, alpha``. The dominant language's rows are the split-half floor. The
            rank is that of the covariance, and in rows of ``fixed_rank`` the one compared; rank and
            alpha are those of the row's language, the dominant one's stand in its own rows.
        areas: For each metric the area that it would choose; the first metric's is *the* area.
            None for a model too shallow to have one.
        dominant: The dominant language.
    """

    table: pd.DataFrame
    areas: dict[str, LayerArea] | None
    dominant: str

    @property
    def metric(self) -> str:
        """The metric that chooses the area."""
        return str(self.table["metric"].iloc[0])

    @property
    def area(self) -> LayerArea | None:
        """The layer area to shift."""
        return self.areas[self.metric] if self.areas else None

    def mean_curve(self, metric: str) -> dict[int, float]:
        """Mean distance over the non-dominant languages, by layer."""
        rows = self.table[
            (self.table["metric"] == metric) & (self.table["language"] != self.dominant)
        ]
        means = rows.groupby("layer", as_index=False)["value"].mean()
        return dict(zip(means["layer"].tolist(), means["value"].tolist(), strict=True))

    def curves(self, metric: str) -> pd.DataFrame:
        """Layers by languages for one metric, with the floor and the mean beside them."""
        rows = self.table[self.table["metric"] == metric]
        wide = rows.pivot(index="layer", columns="language", values="value")
        wide = wide[[c for c in rows["language"].unique() if c != self.dominant]]
        wide["mean"] = pd.Series(self.mean_curve(metric))
        floor = rows[rows["language"] == self.dominant].set_index("layer")["value"]
        wide[f"{self.dominant} floor"] = floor
        return wide.rename_axis(columns=None)


def check_sweep_options(
    languages: Sequence[str],
    dominant: str,
    metrics: str | Sequence[str],
    shrinkage: str | float,
    n_sentences: int,
    share: float = 0.3,
    seed: int = 0,
) -> list[Metric]:
    """Refuse what a sweep could not do, before any model runs.

    Returns:
        The metrics asked for.

    Raises:
        ShiftlensError: One language only, the dominant language missing, too few sentences to
            halve, no metric or an unknown one, an unknown shrinkage rule, a share of the layers
            outside (0, 1), or a negative seed.
    """
    if dominant not in languages:
        raise ShiftlensError(
            f"the dominant language {dominant!r} is not among the languages {', '.join(languages)}"
        )
    if len(languages) < 2:
        raise ShiftlensError(
            f"a sweep compares languages: it takes {dominant!r} and at least one more"
        )
    if n_sentences < 4:
        raise ShiftlensError(f"{n_sentences} sentences cannot be halved; a sweep takes 4 or more")
    names = metrics.split(",") if isinstance(metrics, str) else metrics
    names = list(dict.fromkeys(name.strip() for name in names))
    for name in names:
        if name not in METRICS:
            raise ShiftlensError(f"unknown metric {name!r}; choose from {', '.join(METRICS)}")
    if not names:
        raise ShiftlensError(f"no metric given; choose from {', '.join(METRICS)}")
    parse_shrinkage(str(shrinkage))
    check_share(share)
    if seed < 0:
        raise ShiftlensError(f"the seed must be 0 or more, not {seed}")
    return [METRICS[name] for name in names]


def sweep_layers(
    store: ActivationStore,
    dominant: str = DOMINANT,
    metrics: str | Sequence[str] = DEFAULT_METRICS,
    *,
    shrinkage: str | float = "ledoit-wolf",
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
    at this n, by the very estimator that measures the others.

    Args:
        store: A complete activation store.
        dominant: The dominant language D.
        metrics: Names from :data:`shiftlens.geometry.METRICS`; the first chooses the area.
        shrinkage: ``ledoit-wolf``, ``oas`` or a fixed alpha in [0, 1], for all covariances.
        share: The share of the layers that the area takes.
        seed: Of the halving.
        progress: Show a progress bar on stderr.

    Returns:
        The tidy table and the areas.

    Raises:
        ShiftlensError: An option is not possible, the store is incomplete or damaged, or a
            covariance is singular without shrinkage (language, layer, n, d and rank named).

    Source:
        Zhang et al., "ShifCon", ACL 2025, arXiv:2410.19453, for the distance; the halving is
        shiftlens's.
    """
    chosen = check_sweep_options(
        store.languages, dominant, metrics, shrinkage, store.n_sentences, share, seed
    )
    shrinkage = str(shrinkage)
    halves = _halves(store.n_sentences, seed)
    rank = None
    if any(metric.requires == "rank" for metric in chosen):
        rank = _common_rank(store, dominant, halves)
    languages = [dominant, *(code for code in store.languages if code != dominant)]
    rows: list[dict[str, object]] = []
    with tqdm(
        total=len(store.layers) * len(languages),
        unit="fits",
        desc="sweep",
        disable=not progress or None,
    ) as bar:
        for layer in store.layers:
            fitted: dict[str, Halves] = {}
            for language in languages:
                fitted[language] = _fit(store, language, layer, halves, shrinkage, rank)
                rows += [
                    _row(metric, layer, language, fitted[language], fitted[dominant])
                    for metric in chosen
                ]
                bar.update()
    table = pd.DataFrame(rows).assign(shrinkage=shrinkage)[COLUMNS]
    place = {name: i for i, name in enumerate([*(m.name for m in chosen), *languages])}
    table = table.sort_values(
        ["metric", "language", "layer"], key=lambda c: c if c.name == "layer" else c.map(place)
    )
    result = LayerSweep(table.reset_index(drop=True), None, dominant)
    if store.layers[-1] < MINIMUM_BLOCKS:
        return result
    areas = {m.name: choose_area(result.mean_curve(m.name), share) for m in chosen}
    return replace(result, areas=areas)


def _halves(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.default_rng(seed).permutation(n)
    return np.sort(order[: n // 2]), np.sort(order[n // 2 : 2 * (n // 2)])


def _common_rank(store: ActivationStore, dominant: str, halves: tuple[np.ndarray, ...]) -> int:
    """The smallest rank that keeps 90% of the dominant variance at every layer."""
    ranks = []
    for layer in store.layers:
        states = store.states(dominant, layer)
        with _named(dominant, layer):
            ranks += [variance_rank(states[half], 0.9) for half in halves]
    return max(ranks)


@contextmanager
def _named(language: str, layer: int) -> Iterator[None]:
    """Say whose states an error is about."""
    try:
        yield
    except ShiftlensError as error:
        raise ShiftlensError(f"language {language}, layer {layer}: {error}") from error


def _fit(
    store: ActivationStore,
    language: str,
    layer: int,
    halves: tuple[np.ndarray, np.ndarray],
    shrinkage: str,
    rank: int | None,
) -> Halves:
    states = store.states(language, layer)
    rule = parse_shrinkage(shrinkage)
    with _named(language, layer):
        first, second = (summarise(states[half], rule, rank) for half in halves)
    return first, second


def _row(
    metric: Metric, layer: int, language: str, own: Halves, dominant: Halves
) -> dict[str, object]:
    value = (metric.function(own[0], dominant[1]) + metric.function(own[1], dominant[0])) / 2
    rank = own[0].principal_rank if metric.requires == "rank" else min(half.rank for half in own)
    return {
        "layer": layer,
        "language": language,
        "metric": metric.name,
        "value": value,
        "n": own[0].n,
        "d": own[0].d,
        "rank": rank,
        "alpha": (own[0].alpha + own[1].alpha) / 2,
    }
