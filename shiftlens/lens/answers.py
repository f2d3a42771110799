"""How likely each language's answer is at every layer, prompt by prompt."""

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from shiftlens.effects import t_interval
from shiftlens.errors import ShiftlensError
from shiftlens.fitting import fitting_batch
from shiftlens.lens.head import LensHead
from shiftlens.lens.leader import leader
from shiftlens.lens.reading import check_finite, read_layers, shifting
from shiftlens.models import LanguageModel
from shiftlens.sft import SftRecord, encode_completions, encode_prompts, with_template
from shiftlens.shift import Shift
from shiftlens.tokens import token_batches

SUMMARY = ["language", "layer", "answer", "quantity", "mean", "low", "high", "n"]
"""Columns of :func:`answer_summary`."""


def answer_lens(
    model: LanguageModel,
    records: Sequence[SftRecord],
    *,
    shift: Shift | None = None,
    batch_tokens: int = 1024,
    progress: bool = True,
) -> pd.DataFrame:
    r"""Read, after every prompt and at every layer, the answer in each language.

    Records of the same :attr:`~shiftlens.sft.SftRecord.item` are one question in several languages;
    their completions are its answers. At the prompt's last token, layer l finds the first token t
    of an answer

    .. math:: p_l(t) = \mathrm{softmax}(z(h_l))_t, \qquad
              \mathrm{rank}_l(t) = 1 + |\{u : z_u > z_t\}|

    Args:
        model: A causal language model.
        records: The items, each in one language or more.
        shift: Read with this shift on, each prompt moved as its language is.
        batch_tokens: Most tokens, padding included, in one forward pass.
        progress: Show a progress bar on stderr.

    Returns:
        Tidy: ``item, language`` of the prompt, ``layer, answer`` (the language of the answer),
        ``probability, rank`` (1 is the model's first choice) and ``shared``: whether the item's
        answer in another language begins with the same token, so that the two cannot be told
        apart.

    Raises:
        ShiftlensError: There are no records, an item occurs twice in a language, a prompt is longer
            than the model reads, the model is an encoder or its head is not known, a language has
            no vectors in the shift, or what is read is NaN or infinite.

    Source:
        Wendler, Veselovsky, Monea and West, "Do Llamas Work in English?", ACL 2024,
        arXiv:2402.10588.
    """
    found = answer_tables(model, records, shift=shift, batch_tokens=batch_tokens, progress=progress)
    return pd.concat([table for _, table in found], ignore_index=True)


def answer_tables(
    model: LanguageModel,
    records: Sequence[SftRecord],
    languages: Collection[str] | None = None,
    *,
    shift: Shift | None = None,
    batch_tokens: int = 1024,
    progress: bool = True,
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Read the prompts of one language after the other, as :func:`answer_lens` does.

    Args:
        model: A causal language model.
        records: All records, for the answers.
        languages: Read only the prompts in these languages.
        shift: Read with this shift on.
        batch_tokens: Most tokens, padding included, in one forward pass.
        progress: Show a progress bar on stderr.

    Yields:
        The language of the prompts, and their rows.

    Raises:
        ShiftlensError: As :func:`answer_lens`.
    """
    if not records:
        raise ShiftlensError("there are no records to read; give at least one")
    head = LensHead.of(model)
    records = with_template(model, records)
    firsts = _first_tokens(model, records)
    prompts = encode_prompts(model, [record.prompt for record in records])
    _check_lengths(model, records, prompts)
    rows_of: dict[str, list[int]] = {}
    for row, record in enumerate(records):
        if languages is None or record.language in languages:
            rows_of.setdefault(record.language, []).append(row)
    total = sum(map(len, rows_of.values()))
    with tqdm(total=total, unit="prompts", desc="answers", disable=not progress or None) as bar:
        for language, rows in rows_of.items():
            order = sorted(rows, key=lambda row: -len(prompts[row]))
            parts = {}
            with shifting(model, shift, language):
                for batch in token_batches(order, prompts, batch_tokens):
                    targets = [list(firsts[records[row].item].values()) for row in batch]
                    inputs = model.pad([prompts[row] for row in batch])
                    with fitting_batch(inputs["input_ids"].shape, batch_tokens):
                        values = _read(model, head, inputs, targets)
                    for row, own in zip(batch, values, strict=True):
                        check_finite(own, f"record {records[row].id!r} ({language})")
                        parts[row] = _table(records[row], firsts[records[row].item], own)
                    bar.update(len(batch))
            yield language, pd.concat([parts[row] for row in rows], ignore_index=True)


def answer_summary(table: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Means over items, with t-intervals, of the answers that can be told apart.

    Args:
        table: That of :func:`answer_lens`.
        level: Coverage of the intervals.

    Returns:
        Tidy: ``language, layer, answer, quantity, mean, low, high, n``; ``quantity`` is
        ``probability``, a mean, or ``rank``, a geometric mean. Where every item's answer is shared
        with another language's there is no row: a tokenizer that begins every word with a token of
        its own for the space leaves nothing to tell apart.
    """
    told = table[~table["shared"]]
    rows = []
    for keys, part in told.groupby(["language", "layer", "answer"], sort=False):
        probability = t_interval(part["probability"], level)
        rank = t_interval(np.log(part["rank"]), level)
        row = dict(zip(["language", "layer", "answer"], keys, strict=True))
        for quantity, found in (("probability", probability), ("rank", rank)):
            bounds = {name: found[name] for name in ("mean", "low", "high")}
            if quantity == "rank":
                bounds = {name: float(np.exp(value)) for name, value in bounds.items()}
            rows.append(row | {"quantity": quantity} | bounds | {"n": len(part)})
    return pd.DataFrame(rows, columns=SUMMARY)


def answer_pivots(table: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """The language whose answer is likeliest at every layer, and how clearly.

    Args:
        table: That of :func:`answer_lens`.
        level: Coverage of the intervals.

    Returns:
        Tidy: ``language, layer`` and what :func:`~shiftlens.lens.leader` says, over the items that
        have an answer in every language and all answers told apart; empty where there is none.
    """
    told = table[~table["shared"]]
    rows = []
    for (language, layer), part in told.groupby(["language", "layer"], sort=False):
        wide = part.pivot(index="item", columns="answer", values="probability")
        whole = wide[list(part["answer"].unique())].dropna()
        if len(whole) and whole.shape[1] > 1:
            rows.append({"language": language, "layer": layer, **leader(whole, level)})
    return pd.DataFrame(rows)


def _first_tokens(model: LanguageModel, records: Sequence[SftRecord]) -> dict[str, dict[str, int]]:
    """For every item the first token of its answer in each language."""
    encoded = encode_completions(model, [record.completion for record in records])
    firsts: dict[str, dict[str, int]] = {}
    for record, ids in zip(records, encoded, strict=True):
        own = firsts.setdefault(record.item, {})
        if record.language in own:
            raise ShiftlensError(
                f"record {record.id!r}: item {record.item!r} occurs twice in {record.language}; "
                "give each item once in each language"
            )
        own[record.language] = ids[0]
    return firsts


def _check_lengths(
    model: LanguageModel, records: Sequence[SftRecord], prompts: Sequence[list[int]]
) -> None:
    limit = model.max_positions
    for record, ids in zip(records, prompts, strict=True):
        if limit is not None and len(ids) > limit:
            raise ShiftlensError(
                f"the prompt of record {record.id!r} ({record.language}) has {len(ids)} tokens but "
                f"the model has {limit} positions; shorten it or leave it out"
            )


def _read(
    model: LanguageModel, head: LensHead, inputs: dict[str, Tensor], targets: list[list[int]]
) -> list[Tensor]:
    """Probability and rank of each prompt's targets, ``(L + 1, targets, 2)`` each."""
    mask = inputs["attention_mask"]
    last = mask.bool() & (mask.flip(1).cumsum(1).flip(1) == 1)
    width = max(map(len, targets))
    padded = torch.tensor([[*row, *[row[0]] * (width - len(row))] for row in targets])

    def measure(logits: Tensor, rows: slice) -> Tensor:
        wanted = padded[rows].to(logits.device)
        found = logits.gather(1, wanted)
        above = [(logits > each[:, None]).sum(-1) for each in found.unbind(1)]
        probability = (found - logits.logsumexp(-1, keepdim=True)).exp()
        return torch.cat([probability, 1 + torch.stack(above, dim=1)], dim=1)

    values = read_layers(model, head, inputs, last, measure)
    pairs = values.unflatten(-1, (2, width)).transpose(-1, -2)
    return [pairs[:, row, : len(own)] for row, own in enumerate(targets)]


def _table(record: SftRecord, firsts: dict[str, int], values: Tensor) -> pd.DataFrame:
    tokens = list(firsts.values())
    layers, answers, _ = values.shape
    flat = values.reshape(-1, 2).numpy()
    return pd.DataFrame(
        {
            "item": record.item,
            "language": record.language,
            "layer": np.repeat(np.arange(layers), answers),
            "answer": np.tile(list(firsts), layers),
            "probability": flat[:, 0],
            "rank": flat[:, 1].astype(int),
            "shared": np.tile([tokens.count(token) > 1 for token in tokens], layers),
        }
    )
