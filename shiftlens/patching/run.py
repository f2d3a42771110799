"""Patch every layer and site of a pair of texts."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from shiftlens.errors import ShiftlensError
from shiftlens.models import LanguageModel
from shiftlens.patching.alignment import Align, Site, find_sites
from shiftlens.patching.components import heads_of, layers_of, whole_numbers
from shiftlens.patching.engine import Patch, Patcher
from shiftlens.patching.metrics import Metric, check_metric
from shiftlens.patching.prompts import (
    Answers,
    Prompt,
    first_tokens,
    read_pair,
    same_prefix,
    token_text,
)
from shiftlens.patching.result import PatchResult
from shiftlens.patching.subspace import Subspace, check_mapping, check_subspace

COLUMNS = [
    *("component", "layer", "head", "site", "label", "positions", "clean_positions", "token"),
    *("clean_token", "metric", "value", "effect", "answer", "top"),
]
SAME = 1e-6


class Cancelled(ShiftlensError):
    """The caller asked to stop."""


def patch(
    model: LanguageModel,
    clean: str,
    corrupt: str,
    answers: Answers = (),
    *,
    component: str = "resid",
    metric: str = "logit_difference",
    align: Align = "auto",
    layers: Sequence[int] | None = None,
    subspace: Subspace | None = None,
    part: str = "whole",
    max_rows: int = 48,
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> PatchResult:
    r"""Put the clean text's states into the corrupt text's run, one layer and site at a time.

    The state h of the corrupt run becomes, at the site's positions and at one layer,

    .. math:: h' = h + P (c - h)

    with c the clean run's state and P the identity (``part="whole"``), the projector
    :math:`B B^\top` onto a subspace (``inside``) or :math:`I - B B^\top` (``outside``). All that
    comes after follows from it. The metric is read at the last position.

    Args:
        model: A causal language model.
        clean: The text whose states are taken.
        corrupt: The text into whose run they are put.
        answers: Texts that may follow, or language to such a text. ``logit_difference`` takes the
            first minus the second.
        component: A key of :data:`COMPONENTS`.
        metric: A key of :data:`METRICS`.
        align: A key of :data:`ALIGNMENTS`, pairs (clean word, corrupt word), or sites.
        layers: Which layers: of 0..L for ``resid``, of blocks 1..L for the others; all by default.
        subspace: Layer to orthonormal basis ``(d_model, r)``, or to a fitted
            :class:`shiftlens.LanguageSubspace`, whose directions are taken and whose mean is not;
            for ``resid`` and a ``part`` that is not ``whole``. Its layers are those patched
            unless ``layers`` says otherwise.
        part: ``whole``, ``inside`` or ``outside``.
        max_rows: Most rows in a batch. Memory grows with it; the values do not depend on it.
        progress: Called as ``progress(done, total)`` after every forward pass of patches.
        cancelled: Asked before every such pass; where it says True, :class:`Cancelled` is raised.

    Returns:
        The table of all patches and what is needed to label it.

    Raises:
        ShiftlensError: Texts, answers, layers, sites or a subspace that do not fit the model or
            each other, an unknown option, or a run with logits that are not finite.

    Source:
        Zhang and Nanda, "Towards Best Practices of Activation Patching in Language Models",
        ICLR 2024, arXiv:2309.16042.
    """
    pair = read_pair(model, clean, corrupt)
    sites = find_sites(*pair, align)
    tokens = first_tokens(model, corrupt, answers)
    measure = check_metric(metric, len(tokens))
    check_mapping(subspace)
    chosen = layers_of(model, component, subspace if layers is None else layers)
    bases = check_subspace(model, component, chosen, subspace, part)
    heads = heads_of(model, component)
    patches = [Patch(layer, site, head) for layer in chosen for head in heads for site in sites]
    batches = _batches(patches, same_prefix(*pair), max_rows)
    patcher = Patcher(model, pair[0].ids, pair[1].ids, component, chosen, bases, part)
    read = partial(_read, measure, patcher.clean_logits, list(tokens.values()))
    ends = read(torch.cat([patcher.clean_logits, patcher.corrupt_logits]))
    found = np.tile(ends[1], (len(patches), 1))
    for rows in _watched(batches, progress, cancelled):
        found[rows] = read(patcher.run([patches[row] for row in rows]))
    tops = [[token_text(model, int(token)) for token in side[:, 2]] for side in (ends, found)]
    table = _table(pair, sites, patches, list(tokens), found, ends[:, 0])
    return PatchResult(
        table=table.assign(component=component, metric=metric, top=tops[1])[COLUMNS],
        model=model.name,
        n_layers=model.n_layers,
        clean=pair[0],
        corrupt=pair[1],
        sites=tuple(sites),
        component=component,
        part=part,
        metric=metric,
        answers={name: token_text(model, token) for name, token in tokens.items()},
        clean_value=float(ends[0, 0]),
        corrupt_value=float(ends[1, 0]),
        clean_top=tops[0][0],
        corrupt_top=tops[0][1],
        max_rows=max_rows,
    )


def _read(metric: Metric, clean: Tensor, answers: list[int], logits: Tensor) -> np.ndarray:
    """Value, most probable answer (0 without any) and most probable token of each row."""
    value = metric.value(logits, clean, answers)
    best = logits[:, answers].argmax(-1) if answers else torch.zeros(len(logits))
    return torch.stack([value, best.double(), logits.argmax(-1).double()], dim=1).numpy()


def _batches(patches: Sequence[Patch], same: int, max_rows: int) -> list[list[int]]:
    """Numbers of the patches that share a forward pass: of neighbouring starts, in rising layers.

    Those of the first ``same`` positions with themselves change nothing and are left out.
    """
    whole_numbers(max_rows=max_rows)
    if max_rows < 1:
        raise ShiftlensError(f"max_rows is {max_rows}; a batch takes one row or more")
    moving = [
        number
        for number, each in enumerate(patches)
        if each.site.clean != each.site.corrupt or max(each.site.corrupt) >= same
    ]
    moving.sort(key=lambda number: patches[number].start)
    return [sorted(moving[n : n + max_rows]) for n in range(0, len(moving), max_rows)]


def _watched(
    batches: Sequence[list[int]],
    progress: Callable[[int, int], None] | None,
    cancelled: Callable[[], bool] | None,
) -> Iterator[list[int]]:
    """The batches, counted on a bar or by the caller, until the caller asks to stop."""
    bar = tqdm(batches, desc="patches", disable=None if progress is None else True)
    for done, rows in enumerate(bar, 1):
        if cancelled is not None and cancelled():
            raise Cancelled("patching was cancelled")
        yield rows
        if progress is not None:
            progress(done, len(batches))


def _table(
    pair: tuple[Prompt, Prompt],
    sites: Sequence[Site],
    patches: Sequence[Patch],
    answers: Sequence[str],
    found: np.ndarray,
    ends: np.ndarray,
) -> pd.DataFrame:
    """One row a patch, of what :func:`_read` found; ``ends`` are the clean and corrupt values."""
    clean, corrupt = pair
    site = [number % len(sites) for number in range(len(patches))]
    way = ends[0] - ends[1]
    differ = abs(way) > SAME * max(1, *np.abs(ends))
    return pd.DataFrame(
        {
            "layer": [each.layer for each in patches],
            "head": pd.array([each.head for each in patches], dtype="Int64"),
            "site": site,
            "label": [each.site.label for each in patches],
            "positions": [each.site.corrupt for each in patches],
            "clean_positions": [each.site.clean for each in patches],
            "token": [corrupt.shown(each.site.corrupt) for each in patches],
            "clean_token": [clean.shown(each.site.clean) for each in patches],
            "value": found[:, 0],
            "effect": (found[:, 0] - ends[1]) / way if differ else np.nan,
            "answer": [answers[int(n)] if answers else "" for n in found[:, 1]],
        }
    )
