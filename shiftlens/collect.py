"""One pass over a corpus: every layer's sentence vectors, from the model into the store."""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from shiftlens.corpora import Corpus
from shiftlens.errors import ShiftlensError
from shiftlens.models import LanguageModel, bridged, hook_names
from shiftlens.pooling import Pooling, masked_mean
from shiftlens.store import ActivationStore, writing
from shiftlens.tokens import TokenizedLanguage, pooled_mask, token_batches, tokenize

SHARD_BYTES = 64 * 2**20
SHARD_ROWS = 512


@dataclass(frozen=True)
class CollectionPlan:
    """What a collection will do: known before the model runs.

    Attributes:
        manifest: The manifest of the store that it fills.
        tokens: The tokens of each language.
        rows: Shard file to its sentence numbers, longest sentence first.
        batch_tokens: Most tokens, padding included, in one forward pass.
    """

    manifest: dict[str, Any]
    tokens: dict[str, TokenizedLanguage]
    rows: dict[str, list[int]]
    batch_tokens: int

    @property
    def disk_bytes(self) -> int:
        """Size of the states on disk."""
        sentences = sum(map(len, self.rows.values()))
        return sentences * len(self.manifest["layers"]) * self.manifest["model"]["d_model"] * 4


def plan_collection(
    model: LanguageModel,
    corpus: Corpus,
    *,
    pooling: Pooling | None = None,
    batch_tokens: int = 4096,
    max_length: int = 512,
    padding_side: str = "right",
    shard_rows: int | None = None,
) -> CollectionPlan:
    """Tokenise a corpus and lay out the batches and shards.

    Args:
        model: The model that will run.
        corpus: The sentences.
        pooling: Which positions enter the sentence vectors.
        batch_tokens: Most tokens, padding included, in one forward pass.
        max_length: Longest sequence in tokens; longer ones are cut, and counted.
        padding_side: ``right`` or ``left``.
        shard_rows: Sentences a shard; by default what 64 MiB hold, at most 512.

    Returns:
        The plan.

    Raises:
        ShiftlensError: A sentence has nothing to pool, or a setting is not usable.
    """
    if padding_side not in ("right", "left"):
        raise ShiftlensError(f"unknown padding side {padding_side!r}; choose right or left")
    sizes = {"batch_tokens": batch_tokens, "max_length": max_length, "shard_rows": shard_rows}
    for name, size in sizes.items():
        if size is not None and size < 1:
            raise ShiftlensError(f"{name} is {size}; give at least 1")
    pooling = pooling or Pooling()
    tokens = tokenize(model, corpus, pooling, max_length)
    row_bytes = (model.n_layers + 1) * model.d_model * 4
    rows = _shard_plan(tokens, shard_rows or max(1, min(SHARD_ROWS, SHARD_BYTES // row_bytes)))
    manifest = {
        "model": _model_facts(model),
        "corpus": {
            "sha256": corpus.sha256,
            "languages": list(corpus.languages),
            "sentences": len(corpus),
        },
        "layers": list(range(model.n_layers + 1)),
        "pooling": asdict(pooling),
        "batching": {
            "batch_tokens": batch_tokens,
            "max_length": max_length,
            "padding_side": padding_side,
        },
        "tokens": {language: tokenized.report() for language, tokenized in tokens.items()},
        "tokens_sha256": _tokens_sha256(tokens),
        "dtype": "float32",
        "shards": [
            {"file": file, "language": _language(file), "rows": len(numbers)}
            for file, numbers in rows.items()
        ],
    }
    return CollectionPlan(manifest, tokens, rows, batch_tokens)


def _model_facts(model: LanguageModel) -> dict[str, Any]:
    return {
        "sha256": model.sha256,
        "architecture": type(model.hf).__name__,
        "n_layers": model.n_layers,
        "d_model": model.d_model,
        "dtype": str(model.hf.dtype).removeprefix("torch."),
    }


def _shard_plan(tokens: dict[str, TokenizedLanguage], shard_rows: int) -> dict[str, list[int]]:
    """Shard file to sentence numbers: each language's sentences, longest first, cut in shards."""
    plan = {}
    for language, tokenized in tokens.items():
        lengths = [len(ids) for ids in tokenized.ids]
        order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
        for number, start in enumerate(range(0, len(order), shard_rows)):
            plan[f"{language}-{number:05d}.safetensors"] = order[start : start + shard_rows]
    return plan


def _language(file: str) -> str:
    return file.rsplit("-", 1)[0]


def _tokens_sha256(tokens: dict[str, TokenizedLanguage]) -> str:
    digest = hashlib.sha256()
    for language, tokenized in tokens.items():
        digest.update(json.dumps([language, tokenized.ids]).encode())
    return digest.hexdigest()


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
    """Pools each layer's residual stream while the forward pass runs."""

    def __init__(self, layer_of: dict[str, int]):
        self.layer_of = layer_of
        self.mask = torch.empty(0)
        self.pooled: dict[int, Tensor] = {}

    def record(self, stream: Tensor, hook: Any) -> None:
        self.pooled[self.layer_of[hook.name]] = masked_mean(stream, self.mask.to(stream.device))

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
    language = _language(file)
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
