"""Batches of a training: instruction records and translations, and this process's part of each."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from shiftlens.models import LanguageModel
from shiftlens.sft import IGNORED, SftRecord, encode_prompts, encode_record, eos_token
from shiftlens.training.parallel import own_part
from shiftlens.training.sampling import PairBatch

TRANSLATION_MARK = "Translation: "


def example(model: LanguageModel, record: SftRecord, languages: Sequence[str]) -> dict[str, Any]:
    """A record as ids, labels and the number of its language."""
    ids, labels = encode_record(model, record)
    return {"ids": ids, "labels": labels, "language": languages.index(record.language)}


def _labels(rows: Sequence[Sequence[int]], width: int) -> Tensor:
    return torch.tensor([[*row, *[IGNORED] * (width - len(row))] for row in rows])


def collator(model: LanguageModel) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
    """Make this process's part of a batch, and say which share of the loss is of it."""

    def collate(examples: list[dict[str, Any]]) -> dict[str, Any]:
        own = examples[own_part(len(examples))]
        share = _learned(own) / _learned(examples)
        own = own or examples[:1]
        inputs = model.pad([example["ids"] for example in own])
        inputs["labels"] = _labels([e["labels"] for e in own], inputs["input_ids"].shape[1])
        inputs["language"] = torch.tensor([example["language"] for example in own])
        return {"share": share, **{key: value.cpu() for key, value in inputs.items()}}

    return collate


def _learned(examples: Sequence[dict[str, Any]]) -> int:
    """How many tokens of the examples the loss is a mean over."""
    return sum(label != IGNORED for example in examples for label in example["labels"][1:])


def translations(model: LanguageModel, batch: PairBatch) -> tuple[dict[str, Tensor], float]:
    """This process's part of the pairs as language-model data, and its share of their loss.

    A row is mark, dominant text, translation, end. The mark comes first, so that the model sees
    from the first token that this is a translation and no question to answer. Of the texts the
    pooled tokens, which are their own, are taken.
    """
    [mark] = encode_prompts(model, [TRANSLATION_MARK])
    end = eos_token(model)
    texts = [
        [token for token, keep in zip(ids, pooled, strict=True) if keep]
        for ids, pooled in zip(batch.ids, batch.pooled, strict=True)
    ]
    n = len(batch)
    rows = [[*mark, *texts[i], *texts[n + i], end][: model.max_positions] for i in range(n)]
    own = rows[own_part(n)]
    inputs = model.pad(own)
    inputs["labels"] = _labels(own, inputs["input_ids"].shape[1]).to(model.device)
    return inputs, sum(len(row) - 1 for row in own) / sum(len(row) - 1 for row in rows)
