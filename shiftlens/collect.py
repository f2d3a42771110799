"""One pass over a corpus: every layer's sentence vectors, from the model into the store."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from shiftlens.corpora import Corpus
from shiftlens.errors import ShiftlensError
from shiftlens.models import LanguageModel, bridged, hook_names
from shiftlens.plan import CollectionPlan, plan_collection, shard_language
from shiftlens.pooling import masked_mean
from shiftlens.shift import RowShift
from shiftlens.store import ActivationStore, writing
from shiftlens.tokens import pooled_mask, token_batches


def collect_states(
    model: LanguageModel,
    corpus: Corpus,
    path: str | Path,
    *,
    progress: bool = True,
    plan: CollectionPlan | None = None,
    **options: Any,
) -> ActivationStore:
    """Run a corpus through a model once and store every layer's sentence vectors.

    The sentence vector of text x at layer l is the mean of the residual stream after block l over
    the pooled positions, in float32. Batches are filled by token count from sentences of like
    length, and the unembedding is not computed. A run that was killed goes on where it stopped
    and ends with the bytes of an undisturbed one.

    With the option ``shift`` the states are those of the model with that shift on, each text moved
    as its language is: layers a..b-1 lie in the dominant language's subspace, and layer b and
    later follow the shift back. A store of shifted states is never mixed with an unshifted one.

    Args:
        model: The model; its plain form comes back unchanged.
        corpus: The sentences.
        path: Folder of the store.
        progress: Show a progress bar on stderr.
        plan: From :func:`plan_collection`; made here from ``options`` otherwise.
        **options: Those of :func:`plan_collection`.

    Returns:
        The complete store.

    Raises:
        ShiftlensError: The folder holds other states, another process is writing to it, a batch
            does not fit the memory, or an activation is NaN or infinite (language, sentence and
            layer named).
    """
    plan = plan or plan_collection(model, corpus, **options)
    with writing(path):
        store = ActivationStore.create(path, plan.manifest)
        missing = store.missing()
        total = sum(map(len, plan.rows.values()))
        done = total - sum(len(plan.rows[file]) for file in missing)
        if not missing:
            return store
        bar = tqdm(
            total=total, initial=done, unit="texts", desc="collect", disable=not progress or None
        )
        with bar, torch.no_grad(), _layer_means(model) as means:
            for file in missing:
                states = _shard_states(model, corpus, plan, file, means, bar)
                store.write(file, np.array(plan.rows[file]), states)
    return store


@contextlib.contextmanager
def _layer_means(model: LanguageModel) -> Iterator["_LayerMeans"]:
    """Hook layers 0..L of the bridged model."""
    with bridged(model, blocks_only=True) as bridge:
        names = hook_names(model.n_layers)
        if missing := [name for name in names if name not in bridge.hook_dict]:
            raise ShiftlensError(f"the bridge of {model.name!r} has no hook {missing[0]}")
        means = _LayerMeans({name: layer for layer, name in enumerate(names)})
        with bridge.hooks(fwd_hooks=[(name, means.record) for name in names]):
            yield means


class _LayerMeans:
    """Shifts and pools each layer's residual stream while the forward pass runs."""

    def __init__(self, layer_of: dict[str, int]):
        self.layer_of = layer_of
        self.mask = torch.empty(0)
        self.shift: RowShift | None = None
        self.pooled: dict[int, Tensor] = {}

    def record(self, stream: Tensor, hook: Any) -> Tensor | None:
        layer = self.layer_of[hook.name]
        moved = self.shift(layer, stream) if self.shift else None
        seen = stream if moved is None else moved
        self.pooled[layer] = masked_mean(seen, self.mask.to(seen.device))
        return moved

    def run(self, model: LanguageModel, inputs: dict[str, Tensor], mask: Tensor) -> np.ndarray:
        """Sentence vectors ``(batch, L + 1, d_model)`` of one padded batch."""
        self.mask = mask
        model.hf.base_model(**inputs, **_no_cache(model))
        device = self.pooled[0].device
        layers = [self.pooled[layer].to(device) for layer in sorted(self.pooled)]
        return torch.stack(layers, dim=1).cpu().numpy()


def _no_cache(model: LanguageModel) -> dict[str, bool]:
    return {"use_cache": False} if hasattr(model.hf.config, "use_cache") else {}


def _shard_states(
    model: LanguageModel,
    corpus: Corpus,
    plan: CollectionPlan,
    file: str,
    means: _LayerMeans,
    bar: tqdm,
) -> np.ndarray:
    language = shard_language(file)
    means.shift = plan.shift.action([language]) if plan.shift else None
    tokenized = plan.tokens[language]
    side = plan.manifest["batching"]["padding_side"]
    parts = []
    for rows in token_batches(plan.rows[file], tokenized.ids, plan.batch_tokens):
        inputs = model.pad([tokenized.ids[row] for row in rows], side)
        mask = pooled_mask(inputs["attention_mask"], [tokenized.pooled[row] for row in rows])
        try:
            states = means.run(model, inputs, mask)
        except torch.OutOfMemoryError as error:
            raise ShiftlensError(
                f"out of memory in a batch of {len(rows)} x {inputs['input_ids'].shape[1]} tokens; "
                f"lower batch_tokens (now {plan.batch_tokens}) and begin a new run folder"
            ) from error
        _check_finite(states, language, [corpus.ids[row] for row in rows])
        parts.append(states)
        bar.update(len(rows))
    return np.concatenate(parts)


def _check_finite(states: np.ndarray, language: str, sentences: list[str]) -> None:
    bad = np.argwhere(~np.isfinite(states).all(axis=-1))
    if len(bad):
        row, layer = bad[0]
        raise ShiftlensError(
            f"language {language}, sentence {sentences[row]}, layer {layer}: the activation is "
            "NaN or infinite; a float16 model may need --dtype bfloat16 or float32"
        )
