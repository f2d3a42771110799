"""Language vectors: the mean state of every language at every layer."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from shiftlens.corpora import Corpus
from shiftlens.errors import ShiftlensError
from shiftlens.files import write_atomic
from shiftlens.forms import is_code, misfit
from shiftlens.models import LanguageModel
from shiftlens.pooling import Pooling, masked_mean
from shiftlens.residual import residual_hooks
from shiftlens.store import DAMAGE, ActivationStore, array_sha256
from shiftlens.tokens import pooled_mask, token_batches, tokenize


@dataclass(frozen=True)
class LanguageVectors:
    r"""The mean state of every language at every layer.

    .. math:: v(k, l) = \frac{1}{n} \sum_{x} s(l, x)

    over the n texts x of language k, s the sentence vector: a mean of raw states, never a running
    sum and never of unit-normalised vectors.

    Attributes:
        vectors: Language to ``(L + 1, d_model)``, float32.
        n: How many sentences each is the mean of.
        pooling: Which positions entered the sentence vectors.

    Source:
        Zhang et al., "ShifCon", ACL 2025, arXiv:2410.19453, section 3.
    """

    vectors: Mapping[str, Tensor]
    n: int
    pooling: Pooling

    @property
    def n_layers(self) -> int:
        """Number of blocks L."""
        return next(iter(self.vectors.values())).shape[0] - 1

    def __getitem__(self, language: str) -> Tensor:
        """Vectors of one language, ``(L + 1, d_model)``.

        Raises:
            ShiftlensError: The language has none.
        """
        if language not in self.vectors:
            known = ", ".join(self.vectors)
            raise ShiftlensError(f"language {language!r} has no vectors (there: {known})")
        return self.vectors[language]

    @classmethod
    def from_store(cls, store: ActivationStore) -> "LanguageVectors":
        """Average the sentence vectors of a store, in float64."""
        vectors = {
            language: torch.from_numpy(
                np.stack(
                    [
                        store.states(language, layer).mean(0, dtype=np.float64)
                        for layer in store.layers
                    ]
                ).astype(np.float32)
            )
            for language in store.languages
        }
        return cls(vectors, store.n_sentences, Pooling(**store.manifest["pooling"]))

    @classmethod
    def from_model(
        cls,
        model: LanguageModel,
        corpus: Corpus,
        pooling: Pooling | None = None,
        batch_tokens: int = 4096,
    ) -> "LanguageVectors":
        """Average over one pass of the plain model; sums in float64."""
        pooling = pooling or Pooling()
        tokens = tokenize(model, corpus, pooling)
        layers = range(model.n_layers + 1)
        vectors = {}
        for language, tokenized in tokens.items():
            total = torch.zeros(len(layers), model.d_model, dtype=torch.float64)
            order = sorted(range(len(corpus)), key=lambda row: -len(tokenized.ids[row]))
            for rows in token_batches(order, tokenized.ids, batch_tokens):
                inputs = model.pad([tokenized.ids[row] for row in rows])
                mask = pooled_mask(inputs["attention_mask"], [tokenized.pooled[r] for r in rows])

                def add(
                    layer: int, stream: Tensor, mask: Tensor = mask, total: Tensor = total
                ) -> None:
                    means = masked_mean(stream, mask.to(stream.device))
                    total[layer] += means.cpu().double().sum(0)

                with torch.no_grad(), residual_hooks(model, add, layers):
                    model.hf.base_model(**inputs)
            vectors[language] = (total / len(corpus)).float()
        return cls(vectors, len(corpus), pooling)

    def randomised(self, dominant: str, seed: int) -> "LanguageVectors":
        """Control: each language as far from the dominant one as it is, in a random direction.

        Args:
            dominant: The language whose vectors stay.
            seed: Of the directions.

        Returns:
            Vectors with ``||v(k, l) - v(D, l)||`` as before and directions drawn at random.
        """
        generator = torch.Generator().manual_seed(seed)
        base = self[dominant]
        moved = {dominant: base}
        for language, vectors in self.vectors.items():
            if language != dominant:
                direction = torch.randn(base.shape, generator=generator)
                direction /= direction.norm(dim=-1, keepdim=True)
                moved[language] = base + direction * (vectors - base).norm(dim=-1, keepdim=True)
        return replace(self, vectors=moved)

    def save(self, path: str | Path, **facts: Any) -> None:
        """Write one safetensors file; ``n``, the pooling and ``facts`` stand in its header."""
        tensors = {code: vector.contiguous() for code, vector in self.vectors.items()}
        hashes = {code: array_sha256(tensor.numpy()) for code, tensor in tensors.items()}
        header = {"n": self.n, "pooling": asdict(self.pooling), "sha256": hashes, **facts}
        metadata = {"shiftlens": json.dumps(header, sort_keys=True)}
        write_atomic(Path(path), save(tensors, metadata=metadata))

    @classmethod
    def load(cls, path: str | Path) -> "LanguageVectors":
        """Read what :meth:`save` wrote.

        Raises:
            ShiftlensError: The file is not there, damaged, or not of language vectors.
        """
        try:
            with safe_open(path, framework="np") as file:
                header = json.loads(file.metadata()["shiftlens"])
                arrays = {code: file.get_tensor(code) for code in sorted(file.keys())}
            if wrong := misfit(header, _HEADER, "header") or _wrong_vectors(arrays, header):
                raise ValueError(wrong)
            vectors = {code: torch.from_numpy(array) for code, array in arrays.items()}
            return cls(vectors, header["n"], Pooling(**header["pooling"]))
        except DAMAGE as error:
            raise ShiftlensError(f"{path} does not hold language vectors ({error})") from error


_HEADER = {"n": int, "pooling": {"special_tokens": bool, "skip_first": bool}}


def _wrong_vectors(arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]) -> str:
    """What is wrong with tensors read from a file; empty where nothing is."""
    if not arrays or not all(map(is_code, arrays)):
        return "its tensors are not named by language codes"
    forms = {(array.dtype, array.shape) for array in arrays.values()}
    if len(forms) > 1 or any(a.dtype != np.float32 or a.ndim != 2 for a in arrays.values()):
        return "its tensors are not float32 of one shape (L + 1, d_model)"
    stated = header.get("sha256", {})  # files of earlier versions state none
    for code, array in arrays.items():
        if stated and array_sha256(array) != stated.get(code):
            return f"the vectors of {code!r} do not match their hash"
    return ""
