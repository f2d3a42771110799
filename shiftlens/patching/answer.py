"""What the model says after one patch, beside what it says without."""

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache

from shiftlens.errors import ShiftlensError
from shiftlens.models import LanguageModel
from shiftlens.patching.alignment import Align, Site, find_sites
from shiftlens.patching.components import heads_of, layers_of, n_heads, whole_numbers
from shiftlens.patching.engine import Patch, Patcher
from shiftlens.patching.prompts import read_pair, token_text
from shiftlens.patching.subspace import Subspace, check_mapping, check_subspace


@dataclass(frozen=True)
class Continuation:
    """How a model goes on.

    Attributes:
        top: The most probable next tokens with their probabilities, in falling order.
        text: The greedy continuation, up to EOS.
    """

    top: tuple[tuple[str, float], ...]
    text: str


@dataclass(frozen=True)
class PatchedAnswer:
    """One patch: how three runs go on.

    Attributes:
        clean: The clean text's own run.
        corrupt: The corrupt text's own run.
        patched: The corrupt text's run with the clean states put in.
        layer: At which layer (``resid``) or block.
        site: Where.
        head: Which head, or None.
    """

    clean: Continuation
    corrupt: Continuation
    patched: Continuation
    layer: int
    site: Site
    head: int | None


def patched_answer(
    model: LanguageModel,
    clean: str,
    corrupt: str,
    *,
    layer: int,
    site: int,
    component: str = "resid",
    head: int | None = None,
    align: Align = "auto",
    subspace: Subspace | None = None,
    part: str = "whole",
    top: int = 5,
    max_new_tokens: int = 8,
) -> PatchedAnswer:
    """Let the model answer with one patch, and without.

    The states are put into the reading of the text alone; what is generated then attends to them.

    Args:
        model: A causal language model.
        clean: The text whose states are taken.
        corrupt: The text into whose run they are put.
        layer: Layer 0..L of ``resid``, block 1..L of the other components.
        site: Number of the site, from 0; negative ones count from the end.
        component: A key of :data:`COMPONENTS`.
        head: Which head (from 0), where the component is ``head``.
        align: As :func:`patch`.
        subspace: As :func:`patch`.
        part: As :func:`patch`.
        top: How many of the most probable tokens to return.
        max_new_tokens: Longest continuation.

    Returns:
        The three runs.

    Raises:
        ShiftlensError: As :func:`patch`; no such layer, site or head, or less than one token asked
            for.
    """
    pair = read_pair(model, clean, corrupt)
    sites = find_sites(*pair, align)
    [layer] = layers_of(model, component, [layer])
    whole_numbers(site=site, top=top, max_new_tokens=max_new_tokens)
    _check_place(model, component, len(sites), site, head)
    for name, number in (("top", top), ("max_new_tokens", max_new_tokens)):
        if number < 1:
            raise ShiftlensError(f"{name} is {number}; give 1 or more")
    patch = Patch(layer, sites[site], head)
    check_mapping(subspace)
    bases = check_subspace(model, component, [layer], subspace, part)
    patcher = Patcher(model, pair[0].ids, pair[1].ids, component, [layer], bases, part)
    own, unpatched, patched = (
        _continue(patcher, *run, top, max_new_tokens)
        for run in (
            (patcher.clean_logits, patcher.clean_cache),
            (patcher.corrupt_logits, patcher.corrupt_cache),
            patcher.read(patch),
        )
    )
    return PatchedAnswer(own, unpatched, patched, layer, sites[site], head)


def _check_place(
    model: LanguageModel, component: str, sites: int, site: int, head: int | None
) -> None:
    if not -sites <= site < sites:
        raise ShiftlensError(f"there is no site {site}; the texts have sites 0..{sites - 1}")
    if head not in heads_of(model, component):
        found = f"heads 0..{n_heads(model) - 1}" if component == "head" else "no heads"
        raise ShiftlensError(f"there is no head {head}: component {component!r} has {found}")


def _continue(
    patcher: Patcher, logits: Tensor, cache: DynamicCache, top: int, max_new_tokens: int
) -> Continuation:
    """Go on greedily from the next-token logits ``(1, vocabulary)`` of a text that was read."""
    model, seen = patcher.model, cache.get_seq_length()
    likely = logits[0].cpu().double().softmax(-1).topk(min(top, logits.shape[-1]))
    shown = [token_text(model, token) for token in likely.indices.tolist()]
    room = max_new_tokens if model.max_positions is None else model.max_positions - seen + 1
    tokens: list[int] = []
    for read in range(min(max_new_tokens, room)):
        if tokens:
            ids = torch.tensor([tokens[-1:]], device=model.device)
            logits = patcher.forward(ids, cache, seen + read - 1)
        token = int(logits[0].argmax())
        if token == model.tokenizer.eos_token_id:
            break
        tokens.append(token)
    text = str(model.tokenizer.decode(tokens))
    return Continuation(tuple(zip(shown, likely.values.tolist(), strict=True)), text)
