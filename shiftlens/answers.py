"""What a model answers, and how likely it finds an answer, shifted or not."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm import tqdm
from transformers import DynamicCache, GenerationConfig

from shiftlens.errors import ShiftlensError
from shiftlens.generation import cache_argument
from shiftlens.models import LanguageModel
from shiftlens.sft import (
    SftRecord,
    encode_completions,
    encode_prompts,
    eos_token,
    with_template,
)
from shiftlens.shift import Shift

Records = Sequence[SftRecord]


def generate_answers(
    model: LanguageModel,
    records: Records,
    shift: Shift | None = None,
    batch_size: int = 128,
    max_new_tokens: int | None = None,
) -> list[str]:
    """Answer every prompt by greedy decoding, each in its own language's shift.

    Args:
        model: A causal language model; its own generation settings do not enter.
        records: The prompts. Batches mix languages and are padded on the left.
        shift: Applied to prompt and generated tokens.
        batch_size: Prompts in a batch.
        max_new_tokens: Longest answer; by default the longest completion in tokens, and EOS.

    Returns:
        The text of each answer up to EOS, without surrounding space, in the records' order.

    Raises:
        ShiftlensError: No records, a model that cannot generate or has no EOS token, a language
            without vectors, or a record too long for the model.
    """
    records = with_template(model, records)
    answers = [""] * len(records)
    with _evaluating(model, records, shift):
        eos = eos_token(model)
        prompts = encode_prompts(model, [record.prompt for record in records])
        if max_new_tokens is None:
            completions = encode_completions(model, [record.completion for record in records])
            max_new_tokens = max(map(len, completions))
        lengths = [len(prompt) + max_new_tokens - 1 for prompt in prompts]
        _check_lengths(model, records, lengths)
        for batch in _batches(lengths, [1] * len(records), batch_size, "answers"):
            inputs = model.pad([prompts[n] for n in batch], side="left")
            with shifted(model, shift, [records[n].language for n in batch]):
                tokens = _greedy(model, inputs, max_new_tokens, eos)
            for n, row in zip(batch, tokens.tolist(), strict=True):
                text = row[: row.index(eos)] if eos in row else row
                answers[n] = _decode(model, text).strip()
    return answers


def completion_log_probs(
    model: LanguageModel,
    records: Records,
    texts: Sequence[Sequence[str]],
    shift: Shift | None = None,
    batch_size: int = 512,
) -> list[list[float]]:
    r"""Log-probabilities of completions given their record's prompt.

    .. math:: \log p(y \mid x) = \sum_{i=1}^{m+1} \log p(y_i \mid x, y_{<i})

    over the m tokens of y and EOS, y_{m+1}. Each prompt is read once for all its completions.

    Args:
        model: A causal language model.
        records: The prompts.
        texts: The completions to score, some for each record.
        shift: Applied to prompt and completion.
        batch_size: Completions in a batch; one record's are not parted.

    Returns:
        One number a completion.

    Raises:
        ShiftlensError: As :func:`generate_answers`.
    """
    records = with_template(model, records)
    scores: list[list[float]] = [[] for _ in records]
    with _evaluating(model, records, shift):
        prompts = encode_prompts(model, [record.prompt for record in records])
        endings = _endings(model, texts)
        lengths = [
            len(ids) + max(map(len, group)) - 1 for ids, group in zip(prompts, endings, strict=True)
        ]
        _check_lengths(model, records, lengths)
        for batch in _batches(lengths, list(map(len, texts)), batch_size, "scores"):
            sides = ([prompts[n] for n in batch], [endings[n] for n in batch])
            flat = _score(model, *sides, shift, [records[n].language for n in batch])
            for n, part in zip(batch, flat.split([len(texts[n]) for n in batch]), strict=True):
                scores[n] = part.tolist()
    return scores


def _decode(model: LanguageModel, ids: list[int]) -> str:
    """Text of token ids, special tokens in the midst of it included."""
    return str(model.tokenizer.decode(ids, clean_up_tokenization_spaces=False))


def _endings(model: LanguageModel, texts: Sequence[Sequence[str]]) -> list[list[list[int]]]:
    """Token ids of completions with EOS; a text that many records share is tokenised once."""
    unique = list(dict.fromkeys(text for group in texts for text in group))
    tokens = dict(zip(unique, encode_completions(model, unique), strict=True))
    return [[tokens[text] for text in group] for group in texts]


@contextlib.contextmanager
def _evaluating(model: LanguageModel, records: Records, shift: Shift | None) -> Iterator[None]:
    """Check what was given; inside, no gradients and no dropout."""
    if not records:
        raise ShiftlensError("there are no records to evaluate; give at least one")
    if not model.hf.can_generate():
        name = type(model.hf).__name__
        raise ShiftlensError(f"model {model.name} ({name}) cannot generate; give a causal model")
    for language in dict.fromkeys(record.language for record in records):
        if shift is not None and language not in shift.vectors.vectors:
            known = ", ".join(shift.vectors.vectors)
            raise ShiftlensError(
                f"records are in language {language!r}, which has no vectors in the shift (there: "
                f"{known}); measure its vectors or leave its records out"
            )
    training = model.hf.training
    model.hf.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.hf.train(training)


def _check_lengths(model: LanguageModel, records: Records, lengths: Sequence[int]) -> None:
    """Refuse what the position table does not hold."""
    limit = model.max_positions
    for record, length in zip(records, lengths, strict=True):
        if limit is not None and length > limit:
            raise ShiftlensError(
                f"record {record.id!r} ({record.language}) needs {length} positions for prompt and "
                f"answer but the model has {limit}; shorten it or leave it out"
            )


def shifted(
    model: LanguageModel, shift: Shift | None, languages: str | Sequence[str]
) -> contextlib.AbstractContextManager[None]:
    """The shift applied, or nothing where there is none."""
    return contextlib.nullcontext() if shift is None else shift.applied(model, languages)


def _batches(
    lengths: Sequence[int], rows: Sequence[int], batch_size: int, label: str
) -> Iterator[list[int]]:
    """Cut records, longest first, into batches of at most ``batch_size`` rows, with a bar."""
    order = sorted(range(len(lengths)), key=lambda n: -lengths[n])
    batch: list[int] = []
    filled = 0
    with tqdm(total=len(order), desc=label, unit="records", disable=None) as bar:
        for n in order:
            if batch and filled + rows[n] > batch_size:
                yield batch
                bar.update(len(batch))
                batch, filled = [], 0
            batch.append(n)
            filled += rows[n]
        yield batch
        bar.update(len(batch))


def _greedy(
    model: LanguageModel, inputs: dict[str, Tensor], max_new_tokens: int, eos: int
) -> Tensor:
    """New tokens ``(batch, pos)``, whatever sampling or penalties the model's own settings hold."""
    settings = GenerationConfig(
        do_sample=False,
        num_beams=1,
        max_new_tokens=max_new_tokens,
        pad_token_id=eos,
        eos_token_id=eos,
    )
    own = model.hf.generation_config
    model.hf.generation_config = GenerationConfig()
    try:
        tokens = cast(Any, model.hf).generate(**inputs, generation_config=settings)
    finally:
        model.hf.generation_config = own
    return tokens[:, inputs["input_ids"].shape[1] :]


def _score(
    model: LanguageModel,
    prompts: Sequence[list[int]],
    endings: Sequence[Sequence[list[int]]],
    shift: Shift | None,
    languages: Sequence[str],
) -> Tensor:
    """Log-probability of each ending after its prompt, flat: ``(endings,)``, float64.

    The prompts are read once, padded on the left; their cache, a row for each ending, is
    continued with the endings, padded on the right.
    """
    owners = [n for n, group in enumerate(endings) for _ in group]
    targets = model.pad([ending for group in endings for ending in group])
    inputs = model.pad(prompts, side="left")
    cache = DynamicCache(config=model.hf.config)
    cached = cache_argument(model.hf, cache)
    with shifted(model, shift, languages):
        first = model.hf(**inputs, **cached, use_cache=True, logits_to_keep=1).logits
    rows = torch.tensor(owners, device=model.device)
    cache.batch_select_indices(rows)
    # The last target is predicted, never read.
    ids, mask = targets["input_ids"][:, :-1], targets["attention_mask"][:, 1:]
    whole = torch.cat([inputs["attention_mask"][rows], mask], dim=1)
    following = {"input_ids": ids, "attention_mask": whole}
    if "position_ids" in inputs:
        following["position_ids"] = (whole.cumsum(dim=1) - 1)[:, -ids.shape[1] :]
    with shifted(model, shift, [languages[n] for n in owners]):
        logits = model.hf(**following, **cached).logits
    own = targets["attention_mask"].bool()
    predicted = torch.cat([first[rows], logits], dim=1)[own].float()
    losses = torch.zeros(own.shape, dtype=torch.float64)
    losses[own.cpu()] = (
        cross_entropy(predicted, targets["input_ids"][own], reduction="none").cpu().double()
    )
    return -losses.sum(dim=1)
