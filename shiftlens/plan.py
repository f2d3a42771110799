"""What a collection will do, before the model runs: tokens, batches, shards and the manifest."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from shiftlens.asked import check_sizes
from shiftlens.corpora import Corpus
from shiftlens.errors import ShiftlensError
from shiftlens.models import LanguageModel
from shiftlens.pooling import Pooling
from shiftlens.shift import Shift
from shiftlens.tokens import PASS_TOKENS, TokenizedLanguage, tokenize

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
        shift: The shift that is on while the model runs; None for the model as it is.
    """

    manifest: dict[str, Any]
    tokens: dict[str, TokenizedLanguage]
    rows: dict[str, list[int]]
    batch_tokens: int
    shift: Shift | None = None

    @property
    def disk_bytes(self) -> int:
        """Size of the states on disk."""
        sentences = sum(map(len, self.rows.values()))
        layers, width = len(self.manifest["layers"]), self.manifest["model"]["d_model"]
        return state_bytes(sentences, layers, width)

    def shard_tokens(self, file: str) -> int:
        """Tokens of a shard's sentences."""
        lengths = self.tokens[shard_language(file)].ids.lengths
        return int(lengths[self.rows[file]].sum())


def state_bytes(sentences: int, layers: int, d_model: int) -> int:
    """Size of sentence vectors of all layers, float32."""
    return sentences * layers * d_model * 4


def moment_bytes(halves: int, layers: int, d_model: int) -> int:
    """Size of token moments of all layers, float64: mean, scatter, cubic and two numbers."""
    return halves * layers * (d_model**2 + 2 * d_model + 2) * 8


def rows_of_a_shard(row_bytes: int) -> int:
    """Sentences in a shard, of so many bytes each."""
    return max(1, min(SHARD_ROWS, SHARD_BYTES // row_bytes))


def plan_collection(
    model: LanguageModel,
    corpus: Corpus,
    *,
    pooling: Pooling | None = None,
    batch_tokens: int = 4096,
    max_length: int = 512,
    padding_side: str = "right",
    shard_rows: int | None = None,
    shift: Shift | None = None,
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
        shift: Collect the states of the model with this shift on: layers a..b-1 shifted, layer b
            and later after the shift back. The manifest then records it.

    Returns:
        The plan.

    Raises:
        ShiftlensError: A sentence has nothing to pool, a setting is not usable, or the shift is
            of another model or lacks a language.
    """
    if padding_side not in ("right", "left"):
        raise ShiftlensError(f"unknown padding side {padding_side!r}; choose right or left")
    check_sizes(batch_tokens=batch_tokens, max_length=max_length, shard_rows=shard_rows)
    if shift is not None:
        _check_shift(shift, model, corpus)
    pooling = pooling or Pooling()
    tokens = tokenize(model, corpus, pooling, max_length)
    row_bytes = state_bytes(1, model.n_layers + 1, model.d_model)
    rows = _shard_plan(tokens, shard_rows or rows_of_a_shard(row_bytes))
    manifest = {
        "model": _model_facts(model),
        "corpus": _corpus_facts(corpus),
        "layers": list(range(model.n_layers + 1)),
        "pooling": asdict(pooling),
        "batching": {
            "batch_tokens": batch_tokens,
            "pass_tokens": PASS_TOKENS,
            "max_length": max_length,
            "padding_side": padding_side,
        },
        "tokens": {language: tokenized.report() for language, tokenized in tokens.items()},
        "tokens_sha256": _tokens_sha256(tokens),
        "dtype": "float32",
        "shards": _shard_facts(rows),
        **({} if shift is None else {"shift": shift_facts(shift)}),
    }
    return CollectionPlan(manifest, tokens, rows, batch_tokens, shift)


def shard_language(file: str) -> str:
    """The language whose sentences a shard holds, from the shard's name."""
    return file.rsplit("-", 1)[0]


def _check_shift(shift: Shift, model: LanguageModel, corpus: Corpus) -> None:
    for language in corpus.languages:
        layers, width = shift.vectors[language].shape
        if (layers, width) != (model.n_layers + 1, model.d_model):
            raise ShiftlensError(
                f"the shift is of a model of {layers - 1} blocks and width {width}; this one has "
                f"{model.n_layers} blocks and width {model.d_model}"
            )


def shift_facts(shift: Shift) -> dict[str, Any]:
    """What tells a shift from any other."""
    digest = hashlib.sha256()
    for language, vectors in sorted(shift.vectors.vectors.items()):
        digest.update(f"{language} {vectors.dtype} {tuple(vectors.shape)}".encode())
        digest.update(vectors.detach().cpu().contiguous().numpy().data)
    return {
        "vectors_sha256": digest.hexdigest(),
        "area": list(shift.area),
        "dominant": shift.dominant,
        "target": shift.target,
    }


def _model_facts(model: LanguageModel) -> dict[str, Any]:
    return {
        "sha256": model.sha256,
        "architecture": type(model.hf).__name__,
        "n_layers": model.n_layers,
        "d_model": model.d_model,
        "dtype": str(model.hf.dtype).removeprefix("torch."),
    }


def _corpus_facts(corpus: Corpus) -> dict[str, Any]:
    return {
        "sha256": corpus.sha256,
        "languages": list(corpus.languages),
        "sentences": len(corpus),
    }


def _shard_facts(rows: dict[str, list[int]]) -> list[dict[str, Any]]:
    return [
        {"file": file, "language": shard_language(file), "rows": len(numbers)}
        for file, numbers in rows.items()
    ]


def _shard_plan(tokens: dict[str, TokenizedLanguage], shard_rows: int) -> dict[str, list[int]]:
    """Shard file to sentence numbers: each language's sentences, longest first, cut in shards."""
    plan = {}
    for language, tokenized in tokens.items():
        lengths = tokenized.ids.lengths.tolist()
        order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
        for number, start in enumerate(range(0, len(order), shard_rows)):
            plan[f"{language}-{number:05d}.safetensors"] = order[start : start + shard_rows]
    return plan


def _tokens_sha256(tokens: dict[str, TokenizedLanguage]) -> str:
    """SHA-256 of languages and ids as JSON, row by row."""
    digest = hashlib.sha256()
    for language, tokenized in tokens.items():
        digest.update(f"[{json.dumps(language)}, [".encode())
        for row, ids in enumerate(tokenized.ids):
            digest.update(f"{', ' if row else ''}{ids}".encode())
        digest.update(b"]]")
    return digest.hexdigest()
