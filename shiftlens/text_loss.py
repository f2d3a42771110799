"""How well a causal model predicts texts: nats per token of each."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from shiftlens.errors import ShiftlensError
from shiftlens.fitting import fitting_batch
from shiftlens.lens.reading import chunk_rows
from shiftlens.models import LanguageModel
from shiftlens.tokens import token_batches


def text_losses(
    model: LanguageModel, ids: Sequence[Sequence[int]], batch_tokens: int = 4096
) -> np.ndarray:
    r"""Mean negative log-probability of each text's tokens, the first one given.

    .. math:: \ell(x) = -\frac{1}{T - 1} \sum_{t=2}^{T} \log p(x_t \mid x_{<t})

    Whatever hooks the model has count; the perplexity is :math:`e^{\ell}`.

    Args:
        model: A causal language model.
        ids: Token ids of each text, special tokens included.
        batch_tokens: Most padded tokens in a batch.

    Returns:
        Nats per token, ``(texts,)``, float64.

    Raises:
        ShiftlensError: The model is no causal one, or of a text (named by its place, from 1) there
            are fewer than two tokens or the loss is NaN or infinite.
    """
    if not model.hf.can_generate():
        raise ShiftlensError(
            f"{type(model.hf).__name__} has no perplexity: it does not predict the next token; "
            "give a causal language model"
        )
    if short := [row for row, tokens in enumerate(ids) if len(tokens) < 2]:
        raise ShiftlensError(f"text {short[0] + 1} has fewer than two tokens: nothing to predict")
    losses = np.empty(len(ids))
    rows = [list(tokens) for tokens in ids]
    order = sorted(range(len(rows)), key=lambda row: -len(rows[row]))
    for batch in token_batches(order, rows, batch_tokens):
        inputs = model.pad([rows[row] for row in batch])
        mask = inputs["attention_mask"][:, 1:].cpu()
        with fitting_batch(inputs["input_ids"].shape, batch_tokens):
            chosen = _log_probabilities(model, inputs)
        losses[batch] = (-(chosen * mask).sum(1) / mask.sum(1)).numpy()
    if len(bad := np.flatnonzero(~np.isfinite(losses))):
        raise ShiftlensError(
            f"text {bad[0] + 1}: the loss is NaN or infinite; a float16 model may need --dtype "
            "bfloat16 or float32"
        )
    return losses


@torch.no_grad()
def _log_probabilities(model: LanguageModel, inputs: dict[str, Tensor]) -> Tensor:
    """Those of the tokens of a batch but the first of each text, ``(batch, pos - 1)``, float64.

    The model's logits are in its own dtype; float32 is made of some positions at a time.
    """
    ids, rows = inputs["input_ids"], chunk_rows(model)
    logits = model.hf(**inputs).logits.flatten(0, 1)
    following = ids.roll(-1, dims=1).flatten().to(logits.device)
    parts = []
    for own, wanted in zip(logits.split(rows), following.split(rows), strict=True):
        wide = own.float()
        parts.append(wide.gather(1, wanted[:, None])[:, 0] - wide.logsumexp(-1))
    return torch.cat(parts).cpu().double().view(ids.shape)[:, :-1]
