"""One pass over a corpus: every layer's sentence vectors, from the model into the store."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from shiftlens import ranks
from shiftlens.background import Background
from shiftlens.bridge import bridged
from shiftlens.corpora import Corpus
from shiftlens.errors import ShiftlensError
from shiftlens.files import writing
from shiftlens.fitting import fitting_batch
from shiftlens.memory import large_tensors_returned, return_gaps
from shiftlens.models import LanguageModel, without_cache
from shiftlens.plan import CollectionPlan, plan_collection, shard_language
from shiftlens.pooling import masked_mean
from shiftlens.residual import hook_names
from shiftlens.shift import RowShift
from shiftlens.store import ActivationStore
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
    the pooled positions, in float32. Batches are those of
    :func:`shiftlens.tokens.token_batches`, and the unembedding is not computed. A run that was
    killed goes on where it stopped and ends with the bytes of an undisturbed one. Started by a
    launcher, the processes divide the shards among themselves, and the bytes are those of one
    process with as many threads.

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
    with ranks.held_by_first(writing(path)):
        store = ranks.from_first(lambda: ActivationStore.create(path, plan.manifest))
        if missing := ranks.from_first(store.missing):
            with (
                progress_bar(plan, missing, progress) as bar,
                layer_reader(model, masked_mean) as reader,
                Background(model.device) as background,
            ):

                def run(file: str) -> None:
                    states = _shard_states(model, plan, file, reader, bar)
                    background.do(partial(_write, store, corpus, plan, file, states))

                run_missing(plan, missing, bar, run)
                with ranks.together():
                    background.finish()
    return store


def run_missing(
    plan: CollectionPlan, missing: Sequence[str], bar: tqdm, run: Callable[[str], None]
) -> None:
    """Run each missing shard in one of the processes, shards of like length side by side.

    What is in a shard, and the batches it is made of, is the plan's: whichever process runs it,
    and however many there are, its bytes are the same.

    Args:
        plan: The plan that has the shards.
        missing: The shards to run.
        bar: Counts the sentences of all processes.
        run: Runs one shard in this process and counts its sentences.

    Raises:
        ShiftlensError: That of the first process that has one; all of them raise it.
    """
    lengths = {file: plan.shard_tokens(file) for file in missing}
    order = sorted(missing, key=lambda file: -lengths[file]) if ranks.count() > 1 else missing
    for start in range(0, len(order), ranks.count()):
        turn = order[start : start + ranks.count()]
        own = turn[ranks.number() : ranks.number() + 1]
        with ranks.together():
            for file in own:
                run(file)
        bar.update(sum(len(plan.rows[file]) for file in turn if file not in own))


def _shard_states(
    model: LanguageModel,
    plan: CollectionPlan,
    file: str,
    reader: "LayerReader",
    bar: tqdm,
) -> "DeviceStates":
    manifest = plan.manifest
    shape = (len(manifest["layers"]), len(plan.rows[file]), manifest["model"]["d_model"])
    states = DeviceStates(shape, model.device)
    run_shard(model, plan, file, reader, bar, lambda _, pooled: states.add(pooled))
    return states


class DeviceStates:
    """A shard's states on their way from a device, which is not waited for until they are read."""

    def __init__(self, shape: tuple[int, int, int], device: torch.device):
        self.cuda = device.type == "cuda"
        self._states = torch.empty(shape, pin_memory=self.cuda)
        self._filled = 0
        self._copied: dict[torch.device, torch.cuda.Event] = {}

    def add(self, pooled: list[Tensor]) -> None:
        """Take the states of a batch, ``(batch, d_model)`` a layer."""
        rows = slice(self._filled, self._filled + len(pooled[0]))
        self._filled = rows.stop
        for own, means in zip(self._states, pooled, strict=True):
            own[rows].copy_(means, non_blocking=self.cuda)
        for device in {means.device for means in pooled if means.is_cuda}:
            event = self._copied[device] = torch.cuda.Event()
            event.record(torch.cuda.current_stream(device))

    def read(self) -> np.ndarray:
        """The states, ``(L + 1, n, d_model)``, when the last has come."""
        for event in self._copied.values():
            event.synchronize()
        return self._states.numpy()


def _write(
    store: ActivationStore, corpus: Corpus, plan: CollectionPlan, file: str, states: DeviceStates
) -> None:
    rows, found = np.array(plan.rows[file]), states.read().swapaxes(0, 1)
    if not np.isfinite([found.min(), found.max()]).all():
        row, layer = np.argwhere(~np.isfinite(found).all(axis=-1))[0]
        raise not_finite(shard_language(file), corpus.ids[rows[row]], layer)
    store.write(file, rows, found)


def not_finite(language: str, sentence: str, layer: int) -> ShiftlensError:
    """The error that names where an activation is NaN or infinite."""
    return ShiftlensError(
        f"language {language}, sentence {sentence}, layer {layer}: the activation is "
        "NaN or infinite; a float16 model may need --dtype bfloat16 or float32"
    )


def progress_bar(plan: CollectionPlan, missing: list[str], progress: bool) -> tqdm:
    """A bar on stderr over all texts of a plan, those of its missing shards still to come."""
    total = sum(map(len, plan.rows.values()))
    done = total - sum(len(plan.rows[file]) for file in missing)
    return tqdm(
        total=total,
        initial=done,
        unit="texts",
        desc="collect",
        disable=not (progress and ranks.is_first()) or None,
    )


@contextlib.contextmanager
def layer_reader(
    model: LanguageModel, pool: Callable[[Tensor, Tensor], Tensor]
) -> Iterator["LayerReader"]:
    """Hook layers 0..L of the bridged model, without gradients.

    Args:
        model: The model; its plain form comes back unchanged.
        pool: From a layer's residual stream ``(batch, pos, d_model)`` and the mask of the
            positions to pool to what is kept of it.

    Yields:
        What runs batches.
    """
    with (
        large_tensors_returned(),
        bridged(model, blocks_only=True) as bridge,
        torch.no_grad(),
    ):
        names = hook_names(model.n_layers)
        if missing := [name for name in names if name not in bridge.hook_dict]:
            raise ShiftlensError(f"the bridge of {model.name!r} has no hook {missing[0]}")
        reader = LayerReader({name: layer for layer, name in enumerate(names)}, pool)
        with bridge.hooks(fwd_hooks=[(name, reader.record) for name in names]):
            yield reader


class LayerReader:
    """Shifts and pools each layer's residual stream while the forward pass runs."""

    def __init__(self, layer_of: dict[str, int], pool: Callable[[Tensor, Tensor], Tensor]):
        self.layer_of = layer_of
        self.pool = pool
        self.mask = torch.empty(0)
        self.shift: RowShift | None = None
        self.pooled: dict[int, Tensor] = {}

    def record(self, stream: Tensor, hook: Any) -> Tensor | None:
        """The hook of every layer."""
        layer = self.layer_of[hook.name]
        moved = self.shift(layer, stream) if self.shift else None
        seen = stream if moved is None else moved
        self.pooled[layer] = self.pool(seen, self.mask.to(seen.device))
        if seen.device.type == "cpu":
            return_gaps()
        return moved

    def run(self, model: LanguageModel, inputs: dict[str, Tensor], mask: Tensor) -> list[Tensor]:
        """What is pooled of layers 0..L of one padded batch."""
        self.mask = mask
        model.hf.base_model(**inputs, **without_cache(model.hf))
        return [self.pooled[layer] for layer in sorted(self.pooled)]


def run_shard(
    model: LanguageModel,
    plan: CollectionPlan,
    file: str,
    reader: LayerReader,
    bar: tqdm,
    keep: Callable[[list[int], list[Tensor]], None],
) -> None:
    """Run the sentences of one shard, batch by batch.

    Args:
        model: The model that the reader reads.
        plan: The plan that has the shard.
        file: The shard.
        reader: From :func:`layer_reader`.
        bar: Counts the sentences.
        keep: Called after each batch with its sentence numbers and what was pooled of each layer.

    Raises:
        ShiftlensError: A batch does not fit the memory.
    """
    language = shard_language(file)
    reader.shift = plan.shift.action([language]) if plan.shift else None
    tokenized = plan.tokens[language]
    side = plan.manifest["batching"]["padding_side"]
    for rows in token_batches(plan.rows[file], tokenized.ids, plan.batch_tokens):
        inputs = model.pad([tokenized.ids[row] for row in rows], side)
        mask = pooled_mask(inputs["attention_mask"], [tokenized.pooled[row] for row in rows])
        with fitting_batch(inputs["input_ids"].shape, plan.batch_tokens):
            keep(rows, reader.run(model, inputs, mask))
        bar.update(len(rows))
