"""Multilingual contrastive learning on parallel texts, inside the layer area."""

import contextlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from shiftlens.models import LanguageModel
from shiftlens.pooling import masked_mean
from shiftlens.residual import residual_hooks
from shiftlens.shift import RowShift
from shiftlens.tokens import pooled_mask
from shiftlens.training.sampling import PairBatch


def infonce(dominant: Tensor, other: Tensor, temperature: float = 0.2) -> Tensor:
    r"""ShifCon's contrastive loss at one layer.

    With unit-normalised rows :math:`e_j, t_j` and :math:`Z = E T^\top / \tau`,

    .. math:: \tfrac12 \big( \mathrm{CE}(Z, \mathrm{diag}) + \mathrm{CE}(Z^\top, \mathrm{diag})\big)

    so that translations attract each other and the other sentences of the batch repel.

    Args:
        dominant: Sentence vectors of the dominant texts, ``(N, d)``.
        other: Sentence vectors of their translations, row for row, ``(N, d)``.
        temperature: :math:`\tau`; the withdrawn code's is 1, the paper's is not known.

    Returns:
        A scalar; its chance level is log N.

    Source:
        Zhang et al., "ShifCon", ACL 2025, arXiv:2410.19453; the symmetric form is that of CLIP,
        Radford et al. 2021, arXiv:2103.00020.
    """
    logits = F.normalize(dominant, dim=-1) @ F.normalize(other, dim=-1).T / temperature
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def recentred_infonce(dominant: Tensor, other: Tensor, temperature: float = 1.0) -> Tensor:
    r"""The withdrawn code's variant, for comparison.

    It takes states of an *unshifted* forward pass and moves the other side by the difference of
    the two batch means, :math:`t_j \leftarrow t_j - \bar t + \bar e`, before :func:`infonce`. The
    other side is of one language: a mean over several would leave each its own offset.

    Args:
        dominant: Sentence vectors of the dominant texts, ``(N, d)``.
        other: Unshifted sentence vectors of their translations, ``(N, d)``.
        temperature: The withdrawn code's is 1.

    Returns:
        A scalar.
    """
    return infonce(dominant, other - other.mean(0) + dominant.mean(0), temperature)


def detached_l2(dominant: Tensor, other: Tensor) -> Tensor:
    r"""Squared distance to the dominant states as a share of their spread; beyond the paper.

    .. math:: \frac{\sum_j \| t_j - e_j \|^2}{\sum_j \| e_j - \bar e \|^2}

    No gradient flows into the dominant side, which stays where it is.

    Args:
        dominant: States of the dominant texts, ``(N, d)``, N >= 2.
        other: States of their translations, ``(N, d)``.

    Returns:
        A scalar; 0 where translations coincide.
    """
    anchor = dominant.detach()
    spread = (anchor - anchor.mean(0)).square().sum().clamp_min(1e-12)
    return (other - anchor).square().sum() / spread


FORMS = ("infonce", "recentred", "l2", "anchored")
"""The paper's loss, the withdrawn code's, and two beyond the paper.

``l2`` (:func:`detached_l2`) and ``anchored`` (:func:`infonce` with the dominant side detached, so
that the others come to it and it stays where it is) compare mean states and last-token states.
"""


class _Reached(Exception):
    """The forward pass has come as far as it is needed."""


def contrast_states(
    model: LanguageModel, batch: PairBatch, layers: Sequence[int], shift: RowShift | None
) -> list[tuple[Tensor, Tensor]]:
    """States of both sides at the contrasted layers, in one forward pass that ends there.

    Args:
        model: The plain model.
        batch: The pairs; both sides run as one padded batch.
        layers: The layers wanted, rising.
        shift: Applied before the states are read, or None.

    Returns:
        For each layer the mean states ``(2 N, d)`` over the pooled positions and the states
        ``(2 N, d)`` of each text's last token, float32, with their graph.
    """
    inputs = model.pad(batch.ids)
    mask = pooled_mask(inputs["attention_mask"], batch.pooled)
    last = inputs["attention_mask"].sum(dim=1) - 1
    rows = torch.arange(len(last), device=last.device)
    seen: dict[int, tuple[Tensor, Tensor]] = {}

    def read(layer: int, stream: Tensor) -> Tensor | None:
        shifted = shift(layer, stream) if shift is not None else None
        stream = stream if shifted is None else shifted
        if layer in layers:
            pooled = masked_mean(stream, mask.to(stream.device))
            seen[layer] = pooled, stream[rows, last].float()
        if layer == layers[-1]:
            raise _Reached
        return shifted

    hooked = sorted({*layers, *(shift.shift.area[:1] if shift is not None else ())})
    with contextlib.suppress(_Reached), residual_hooks(model, read, hooked):
        model.hf.base_model(**inputs, use_cache=False)
    return [seen[layer] for layer in layers]


def contrastive_loss(
    model: LanguageModel,
    batch: PairBatch,
    area: tuple[int, int],
    form: str = "infonce",
    shift: RowShift | None = None,
    temperature: float = 0.2,
    gather: Callable[[Tensor], Tensor] = lambda rows: rows,
) -> Tensor:
    r"""The contrastive loss of a batch: mean over the layers a..b-1 of the area.

    The shift layer a is included, after the shift; the shift-back layer b is not.

    .. math:: L_{MCL} = \frac{1}{b - a} \sum_{i=a}^{b-1} \mathrm{loss}_i

    Args:
        model: The plain model.
        batch: The pairs.
        area: Layers (a, b).
        form: One of ``FORMS``; ``recentred`` is on unshifted states, whatever ``shift`` is.
        shift: The batch's shift; None for an unshifted pass.
        temperature: :math:`\tau` of every form but ``l2``.
        gather: From one side's states of these pairs ``(N, d)`` to those of a larger batch that
            they are part of, whose other pairs then are negatives too.

    Returns:
        A scalar.

    Source:
        Zhang et al., "ShifCon", ACL 2025, arXiv:2410.19453.
    """
    n = len(batch)
    states = contrast_states(model, batch, range(*area), None if form == "recentred" else shift)
    losses = []
    for pooled, last in states:
        for side in (pooled, last) if form in ("l2", "anchored") else (pooled,):
            dominant, other = gather(side[:n]), gather(side[n:])
            if form == "l2":
                losses.append(detached_l2(dominant, other))
            elif form == "anchored":
                losses.append(infonce(dominant.detach(), other, temperature))
            elif form == "recentred":
                losses.append(recentred_infonce(dominant, other, temperature))
            else:
                losses.append(infonce(dominant, other, temperature))
    return torch.stack(losses).mean()
