"""One pass over a corpus: the moments of all of a language's tokens, at every layer."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import getitem
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from tqdm import tqdm

from shiftlens import ranks
from shiftlens.collect import (
    LayerReader,
    layer_reader,
    not_finite,
    progress_bar,
    run_missing,
    run_shard,
)
from shiftlens.corpora import Corpus
from shiftlens.errors import ShiftlensError
from shiftlens.files import writing
from shiftlens.geometry import Moments
from shiftlens.models import LanguageModel
from shiftlens.plan import CollectionPlan, moment_bytes, plan_collection, shard_language
from shiftlens.store import ShardStore, layer_key
from shiftlens.tokens import TokenizedLanguage

TOKENS = "token_moments"
"""Name of the token moments' folder in a run folder."""

FIELDS = ("count", "mean", "scatter", "cubic", "quartic")


@dataclass(frozen=True)
class TokenPlan(CollectionPlan):
    """What a pass over the tokens will do; each half of a language is a shard."""

    @classmethod
    def of(cls, plan: CollectionPlan, halves: tuple[Iterable[int], Iterable[int]]) -> "TokenPlan":
        """The tokens of a plan, one by one instead of averaged into sentence vectors.

        Args:
            plan: From :func:`plan_collection`.
            halves: Sentence numbers of the first half and of the second.

        Returns:
            The plan.

        Raises:
            ShiftlensError: A sentence is in both halves or not in the corpus, or a half has fewer
                than 2 tokens (language named).
        """
        parts = [sorted(map(int, half)) for half in halves]
        _check_halves(parts, plan.manifest["corpus"]["sentences"])
        rows = {
            _shard(language, half): _longest_first(language, half, part, tokenized)
            for language, tokenized in plan.tokens.items()
            for half, part in enumerate(parts)
        }
        manifest = {
            **plan.manifest,
            "dtype": "float64",
            "halves_sha256": hashlib.sha256(json.dumps(parts).encode()).hexdigest(),
            "shards": [
                {"file": file, "language": shard_language(file), "rows": len(numbers)}
                for file, numbers in rows.items()
            ],
        }
        return cls(manifest, plan.tokens, rows, plan.batch_tokens, plan.shift)

    @property
    def disk_bytes(self) -> int:
        """Size of the moments on disk."""
        layers, width = len(self.manifest["layers"]), self.manifest["model"]["d_model"]
        return moment_bytes(len(self.rows), layers, width)


class TokenMoments(ShardStore):
    """Moments of all pooled tokens of each half of every language at every layer, on disk."""

    kind = "token moments"
    format = "token moments 1"

    def write(self, file: str, moments: Sequence[Moments]) -> None:
        """Add a shard.

        Args:
            file: Its name, one of the manifest's.
            moments: Those of layers 0..L.
        """
        tensors = {
            key: np.asarray(getattr(of_layer, field), dtype=np.float64)
            for layer, of_layer in zip(self.layers, moments, strict=True)
            for key, field in zip(_keys(layer), FIELDS, strict=True)
        }
        self._write(file, tensors)

    def moments(self, language: str, layer: int, half: int) -> Moments:
        """Moments of the tokens of one half of one language at one layer.

        Args:
            language: Its code.
            layer: 0..L.
            half: 0 or 1.

        Returns:
            The moments, of width ``d_model``.

        Raises:
            ShiftlensError: There is no such language, layer or half, or the shard is missing or
                damaged.
        """
        self._check_stored(language, layer)
        if half not in (0, 1):
            raise ShiftlensError(f"half {half} is not in {self.path} (0 and 1)")
        count, mean, scatter, cubic, quartic = self._read(_shard(language, half), _keys(layer))
        return Moments(int(count), mean, scatter, cubic, float(quartic))

    def verify(self) -> list[str]:
        """Read every shard whole.

        Returns:
            One line a damaged layer or missing shard; empty where all is complete and sound.
        """
        problems = []
        for shard in self.manifest["shards"]:
            for layer in self.layers:
                try:
                    self._read(shard["file"], _keys(layer))
                except ShiftlensError as error:
                    problems.append(str(error))
        return list(dict.fromkeys(problems))


def collect_token_moments(
    model: LanguageModel,
    corpus: Corpus,
    path: str | Path,
    *,
    halves: tuple[Iterable[int], Iterable[int]],
    progress: bool = True,
    plan: CollectionPlan | None = None,
    **options: Any,
) -> TokenMoments:
    """Run a corpus through a model once and store the moments of its token states.

    Every position that :func:`collect_states` would average into a sentence vector enters by
    itself: one row x of the residual stream after block l. The halves are kept apart, since a
    language's half is only ever compared with the *other* half of another. A run that was killed
    goes on with the halves it lacks and ends with the bytes of an undisturbed one. Of several
    processes each takes whole halves, so that what is summed, and in which order, stays the same.

    While a half runs, memory holds L + 1 matrices of d_model x d_model in float64, and three times
    as much while they are written; a batch's pooled states of all layers stay on the model's
    device.

    Args:
        model: The model; its plain form comes back unchanged.
        corpus: The sentences.
        path: Folder of the moments.
        halves: Sentence numbers of the first half and of the second, the same for all languages.
        progress: Show a progress bar on stderr.
        plan: From :func:`plan_collection`; made here from ``options`` otherwise.
        **options: Those of :func:`plan_collection`.

    Returns:
        The complete moments.

    Raises:
        ShiftlensError: The halves are not usable, the folder holds something else, another process
            is writing to it, a batch does not fit the memory, or an activation is NaN or infinite
            (language, sentence and layer named).
    """
    plan = TokenPlan.of(plan or plan_collection(model, corpus, **options), halves)
    with ranks.held_by_first(writing(path)):
        store = ranks.from_first(lambda: TokenMoments.create(path, plan.manifest))
        if missing := ranks.from_first(store.missing):
            with (
                progress_bar(plan, missing, progress) as bar,
                layer_reader(model, pool=getitem) as reader,
            ):

                def run(file: str) -> None:
                    store.write(file, _shard_moments(model, corpus, plan, file, reader, bar))

                run_missing(plan, missing, bar, run)
    return store


def _shard_moments(
    model: LanguageModel,
    corpus: Corpus,
    plan: TokenPlan,
    file: str,
    reader: LayerReader,
    bar: tqdm,
) -> list[Moments]:
    language = shard_language(file)
    pooled = plan.tokens[language].pooled
    moments = [Moments.empty(model.d_model) for _ in plan.manifest["layers"]]

    def keep(rows: list[int], states: list[Tensor]) -> None:
        for layer, (of_layer, tokens) in enumerate(zip(moments, states, strict=True)):
            bad = ~tokens.isfinite().all(dim=1)
            if bad.any():
                owners = [row for row in rows for _ in range(sum(pooled[row]))]
                raise not_finite(language, corpus.ids[owners[int(bad.int().argmax())]], layer)
            of_layer.update(tokens)

    run_shard(model, plan, file, reader, bar, keep)
    return moments


def _check_halves(parts: list[list[int]], sentences: int) -> None:
    rows = [row for part in parts for row in part]
    if len(set(rows)) < len(rows):
        raise ShiftlensError("the halves share a sentence, or one has a sentence twice")
    for row in rows:
        if not 0 <= row < sentences:
            raise ShiftlensError(f"sentence {row} of the halves is not one of 0..{sentences - 1}")


def _longest_first(
    language: str, half: int, rows: list[int], tokenized: TokenizedLanguage
) -> list[int]:
    """The rows of a half in the order in which they are run, if there are tokens enough."""
    if (tokens := sum(sum(tokenized.pooled[row]) for row in rows)) < 2:
        raise ShiftlensError(
            f"language {language}, half {half}: {tokens} token(s) in {len(rows)} sentence(s), at "
            "least 2 are needed for a covariance; take more sentences"
        )
    return sorted(rows, key=lambda row: -len(tokenized.ids[row]))


def _shard(language: str, half: int) -> str:
    return f"{language}-{half}.safetensors"


def _keys(layer: int) -> tuple[str, ...]:
    return tuple(f"{layer_key(layer)}.{field}" for field in FIELDS)
