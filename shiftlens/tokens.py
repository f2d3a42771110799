"""Tokenising a corpus, with what a reader must know about it: truncation and unknown tokens."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from shiftlens.corpora import Corpus
from shiftlens.errors import ShiftlensError
from shiftlens.models import LanguageModel
from shiftlens.pooling import Pooling
from shiftlens.ragged import Ragged

TEXTS = 1000
"""Texts tokenised at a time; the tokenizer's own records of them take much memory."""
PASS_TOKENS = 256
"""What a forward pass costs besides its tokens, in tokens: some 20 to 130 on a processor, more on
a GPU."""


@dataclass(frozen=True)
class TokenizedLanguage:
    """The sentences of one language as token ids, in corpus order.

    Attributes:
        ids: Token ids of each sentence, with the special tokens that the tokenizer adds.
        pooled: For each sentence, which of its tokens enter the sentence vector.
        truncated: How many sentences were cut to the longest length allowed.
        unknown: Share of the text's tokens that are the unknown token.
    """

    ids: Ragged
    pooled: Ragged
    truncated: int
    unknown: float

    @property
    def mean_tokens(self) -> float:
        """Tokens a sentence, special tokens included."""
        return len(self.ids.values) / len(self.ids)

    def report(self) -> dict[str, float]:
        """The facts that belong beside every number computed from these tokens."""
        return {
            "tokens_per_sentence": round(self.mean_tokens, 3),
            "unknown_rate": round(self.unknown, 6),
            "truncated": self.truncated,
        }


def tokenize(
    model: LanguageModel, corpus: Corpus, pooling: Pooling, max_length: int = 512
) -> dict[str, TokenizedLanguage]:
    """Tokenise every sentence as the model's own tokenizer does, special tokens included.

    Args:
        model: Whose tokenizer and position table count.
        corpus: The sentences.
        pooling: Which positions will be pooled.
        max_length: Longest sequence; longer ones are cut, and counted.

    Returns:
        The tokens of each language.

    Raises:
        ShiftlensError: A sentence has no token left to pool (language and sentence named), or a
            token id lies outside the model's vocabulary.
    """
    limit = min(max_length, model.max_positions or max_length)
    return {
        language: _tokenize_language(model, language, texts, corpus.ids, pooling, limit)
        for language, texts in corpus.texts.items()
    }


def _tokenize_language(
    model: LanguageModel,
    language: str,
    texts: Sequence[str],
    sentence_ids: Sequence[str],
    pooling: Pooling,
    limit: int,
) -> TokenizedLanguage:
    ids, special, cut = _encode_all(model, texts, limit)
    pooled = Ragged((pooling.positions(flags) for flags in special), bool)
    for row, keep in enumerate(pooled):
        if not any(keep):
            raise ShiftlensError(
                f"language {language}, sentence {sentence_ids[row]}: no token is left to pool; "
                "remove the sentence or change the pooling"
            )
    if (highest := ids.values.max()) >= model.hf.get_input_embeddings().num_embeddings:
        raise ShiftlensError(
            f"language {language}: the tokenizer gives token id {highest}, which is outside the "
            "model's vocabulary; does the tokenizer belong to the model?"
        )
    return TokenizedLanguage(ids, pooled, cut, _unknown_rate(model, ids.values, special.values))


def _encode_all(
    model: LanguageModel, texts: Sequence[str], limit: int
) -> tuple[Ragged, Ragged, int]:
    """Ids and special-token flags of texts, and how many were cut, some texts at a time."""
    ids: list[Ragged] = []
    special: list[Ragged] = []
    count = 0
    for start in range(0, len(texts), TEXTS):
        some = texts[start : start + TEXTS]
        whole = _encode(model, some)
        cut = [row for row, own in enumerate(whole["input_ids"]) if len(own) > limit]
        if cut:
            shorter = _encode(model, [some[row] for row in cut], truncation=True, max_length=limit)
            for key, values in shorter.items():
                for row, value in zip(cut, values, strict=True):
                    whole[key][row] = value
        ids.append(Ragged(whole["input_ids"], np.int32))
        special.append(Ragged(whole["special_tokens_mask"], bool))
        count += len(cut)
    return Ragged(chain(*ids), np.int32), Ragged(chain(*special), bool), count


def _encode(model: LanguageModel, texts: Sequence[str], **options: object) -> dict[str, list]:
    encoded = model.tokenizer(
        list(texts),
        return_special_tokens_mask=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
        **options,
    )
    return {key: list(encoded[key]) for key in ("input_ids", "special_tokens_mask")}


def _unknown_rate(model: LanguageModel, ids: np.ndarray, special: np.ndarray) -> float:
    unknown = model.tokenizer.unk_token_id
    content = ids[~special]
    if unknown is None or not len(content):
        return 0.0
    return int((content == unknown).sum()) / len(content)


def token_batches(
    rows: list[int], ids: Sequence[list[int]], batch_tokens: int
) -> Iterator[list[int]]:
    r"""Cut rows, longest first, into the batches that cost least.

    A batch B is padded to its longest sentence, and a forward pass costs some time whatever it
    holds. Of all cuts into batches of at most ``batch_tokens`` padded tokens, this one has the
    least

    .. math:: \sum_B \big( |B| \max_{x \in B} n_x + c \big), \quad c = 256 \text{ tokens},

    so that sentences of unlike length share a batch only where another pass would cost more.

    Args:
        rows: Sentence numbers, longest sentence first.
        ids: Token ids of every sentence.
        batch_tokens: Most tokens in a batch; a longer sentence is a batch of its own.

    Yields:
        Sentence numbers of one batch.
    """
    start = 0
    for size in _batch_sizes([len(ids[row]) for row in rows], batch_tokens):
        yield rows[start : start + size]
        start += size


def _batch_sizes(lengths: list[int], batch_tokens: int) -> Iterator[int]:
    """Sizes of the batches of least cost, found from the last sentence to the first."""
    n = len(lengths)
    cost, size = np.zeros(n + 1), np.zeros(n, int)
    for start in reversed(range(n)):
        most = min(max(1, batch_tokens // lengths[start]), n - start)
        costs = lengths[start] * np.arange(1, most + 1) + cost[start + 1 : start + most + 1]
        best = int(costs.argmin())
        cost[start], size[start] = costs[best] + PASS_TOKENS, best + 1
    start = 0
    while start < n:
        yield int(size[start])
        start += size[start]


def pooled_mask(attention: Tensor, pooled: list[list[bool]]) -> Tensor:
    """Put the pooled flags of each text where its tokens lie in the padded batch.

    Args:
        attention: 1 at the texts' own tokens, ``(batch, pos)``.
        pooled: The flags of each text, as many as it has tokens.

    Returns:
        True at the positions to pool, ``(batch, pos)``.
    """
    mask = attention.bool()
    flags = [flag for row in pooled for flag in row]
    mask[mask.clone()] = torch.tensor(flags, device=mask.device)
    return mask
