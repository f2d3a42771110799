"""How far every language lies from every other one, layer by layer."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations_with_replacement, product

import numpy as np
import pandas as pd
from tqdm import tqdm

from shiftlens.errors import ShiftlensError
from shiftlens.estimate import Fitting, Sample, Samples, estimate, named, parse_rank
from shiftlens.geometry import METRICS, Metric, metrics_named
from shiftlens.halves import (
    SentenceHalves,
    Source,
    TokenHalves,
    rows_and_deletions,
    split_rows,
    take_vectors,
)
from shiftlens.languages import DOMINANT
from shiftlens.states import SentenceStates
from shiftlens.store import ActivationStore
from shiftlens.sweep_options import SweepOptions
from shiftlens.token_moments import TokenMoments

COLUMNS = ["layer", "language", "other", "metric", "value", "n", "d"]


def language_pairs(
    store: ActivationStore | SentenceStates | TokenMoments,
    metric: str = "affine_invariant",
    *,
    layers: Sequence[int] | None = None,
    dominant: str = DOMINANT,
    shrinkage: str | float = "ledoit-wolf",
    rank: str | int | float = "0.9",
    seed: int = 0,
    progress: bool = True,
) -> pd.DataFrame:
    r"""One metric between every two languages, estimated as :func:`shiftlens.sweep_layers` does.

    The value of language k and another one j at a layer is, from the halves A and B of their
    sentences,

    .. math:: \tfrac12 \big( m(k_A, j_B) + m(k_B, j_A) \big),

    and of a paired metric that of k_A with j_A and k_B with j_B. For j = k it is the language's own
    split-half floor, of a paired metric its value on unrelated sentences. The rows whose ``other``
    is the dominant language are therefore a sweep's own.

    Every language is factored once a layer, and a symmetric metric is taken once a pair. Memory
    holds what the metric looks at of every language at one layer.

    Args:
        store: A complete activation store, such states in memory, or token moments (which hold
            their own halves).
        metric: A name from :data:`shiftlens.geometry.METRICS`, not of a single language.
        layers: The layers wanted; None for all.
        dominant: The language whose variance a ``rank`` given as a share is about; it changes
            nothing else.
        shrinkage: ``ledoit-wolf``, ``oas`` or a fixed alpha in [0, 1], for all covariances.
        rank: Of the subspace metrics: a number of directions, or the share of the dominant
            language's variance that they must keep at every layer.
        seed: Of the halving.
        progress: Show a progress bar on stderr.

    Returns:
        Tidy, one row a layer and ordered pair: ``layer, language, other, metric, value, n, d``. Of
        a metric that is not symmetric, ``other`` takes the dominant language's part: retrieval is
        from ``language`` to ``other``. n counts the sentences, or tokens, of the smallest half.

    Raises:
        ShiftlensError: An option is not possible, the metric is of a single language, the store is
            incomplete or damaged, or the metric cannot be had of the states (languages and layer
            named).

    Source:
        Chang, Tu and Bergen, "The Geometry of Multilingual Language Model Representations",
        EMNLP 2022, arXiv:2205.10964, for the matrix; the halving is shiftlens's.
    """
    chosen = _comparing(metric)
    tokens = isinstance(store, TokenMoments)
    by_share = chosen.requires == "rank" and isinstance(parse_rank(str(rank)), float)
    there = by_share or dominant in store.languages
    anchor = dominant if there else min(store.languages)
    options = SweepOptions(chosen.name, shrinkage, rank, seed=seed)
    options.check(store.languages, anchor, store.n_sentences, tokens)
    source = _source(store, seed, take_vectors([chosen]))
    wanted = _layers(source, layers)
    fitting = Fitting.of([chosen], str(shrinkage), str(rank), source, anchor)
    # in this order the second of a pair is the dominant language, whatever the store's order
    languages = [anchor, *sorted(code for code in store.languages if code != anchor)]
    rows: list[dict[str, object]] = []
    with tqdm(total=len(wanted), unit="layers", desc="pairs", disable=not progress or None) as bar:
        for layer in wanted:
            rows += _layer_rows(source, layer, languages, chosen, fitting)
            bar.update()
    place = {code: number for number, code in enumerate(store.languages)}
    table = pd.DataFrame(rows).assign(metric=chosen.name)[COLUMNS]
    return table.sort_values(
        ["layer", "language", "other"],
        key=lambda column: column if column.name == "layer" else column.map(place),
        ignore_index=True,
    )


def _comparing(name: str) -> Metric:
    metric, *more = metrics_named(name)
    if more:
        raise ShiftlensError(f"{name!r} are {len(more) + 1} metrics; pairs are of one at a time")
    if metric.kind == "single":
        known = ", ".join(other.name for other in METRICS.values() if other.kind != "single")
        raise ShiftlensError(
            f"metric {metric.name!r} is of a single language and has no pairs; choose from {known}"
        )
    return metric


def _source(
    store: ActivationStore | SentenceStates | TokenMoments, seed: int, vectors: bool
) -> Source:
    if isinstance(store, TokenMoments):
        return TokenHalves(store)
    cuts = rows_and_deletions(split_rows(store.n_sentences, seed), 0)
    return SentenceHalves(store, cuts, vectors=vectors)


def _layers(source: Source, wanted: Sequence[int] | None) -> Sequence[int]:
    if wanted is None:
        return source.layers
    if unknown := [layer for layer in wanted if layer not in source.layers]:
        raise ShiftlensError(f"layer {unknown[0]} is not in the store (0..{source.layers[-1]})")
    if not wanted:
        raise ShiftlensError("no layer given; give some, or None for all")
    return sorted(set(wanted))


def _layer_rows(
    source: Source, layer: int, languages: Sequence[str], metric: Metric, fitting: Fitting
) -> Iterator[dict[str, object]]:
    """Every ordered pair of one layer."""
    samples = _all_samples(source, layer, languages, metric, fitting)
    pairs = combinations_with_replacement(languages, 2)
    for other, language in pairs if metric.symmetric else product(languages, languages):
        own, against = samples[language], samples[other]
        with named(f"{language} and {other}", layer):
            value = estimate(metric, own, against, language == other)
        facts = {
            "layer": layer,
            "value": value,
            "n": min(half.summary.n for half in (*own, *against)),
            "d": own[0].summary.d,
        }
        yield {"language": language, "other": other, **facts}
        if metric.symmetric and language != other:
            yield {"language": other, "other": language, **facts}


def _all_samples(
    source: Source, layer: int, languages: Sequence[str], metric: Metric, fitting: Fitting
) -> dict[str, Samples]:
    halves_of = source.at(layer)
    samples = {}
    for language in languages:
        with named(language, layer):
            halves = next(halves_of(language))
        with named(language, layer, halves):
            first, second = fitting.samples(halves)
        samples[language] = _seen(first, metric), _seen(second, metric)
    return samples


def _seen(half: Sample, metric: Metric) -> Sample:
    """A half without the basis of a covariance that the metric does not look at."""
    if metric.takes == "states" or metric.requires == "nothing":
        return replace(half, summary=replace(half.summary, basis=np.empty((half.summary.d, 0))))
    return half
