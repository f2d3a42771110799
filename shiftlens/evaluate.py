"""What a model answers, per language: accuracy, perplexity, language fidelity and retrieval."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import compress

import numpy as np
import pandas as pd

from shiftlens.answers import Records, completion_log_probs, generate_answers
from shiftlens.errors import ShiftlensError
from shiftlens.languages import DOMINANT
from shiftlens.models import LanguageModel
from shiftlens.numerals import last_number, whole_number
from shiftlens.sft import encode_completions
from shiftlens.shift import Shift
from shiftlens.text_scores import text_scores


def exact_match(
    model: LanguageModel,
    records: Records,
    shift: Shift | None = None,
    batch_size: int = 128,
    max_new_tokens: int | None = None,
) -> list[bool]:
    """Tell for each record whether the greedy answer is the completion, surrounding space aside.

    Arguments and errors are those of :func:`generate_answers`.
    """
    answers = generate_answers(model, records, shift, batch_size, max_new_tokens)
    return _matches(records, answers)


def number_match(records: Records, answers: Sequence[str]) -> list[bool]:
    """Tell for each record whether the last number of its answer is the completion's number.

    Numbers are read by :func:`shiftlens.numerals.last_number`, so a chain of thought may come
    before it. A record whose completion is no whole number counts as wrong.

    Args:
        records: What was asked.
        answers: The generated answer to each.

    Returns:
        One flag a record.
    """
    golds = [whole_number(record.completion) for record in records]
    return [
        gold is not None and last_number(answer) == gold
        for gold, answer in zip(golds, answers, strict=True)
    ]


def language_fidelity(records: Records, answers: Sequence[str]) -> list[bool]:
    """Tell for each record whether its answer is in the language asked for.

    An answer counts if it is one of the language's own known answers: the completions and choices
    of all records in that language. A text known in several languages counts in each of them; any
    other text, a right answer in other words included, counts in none.

    Args:
        records: What was asked.
        answers: The generated answer to each.

    Returns:
        One flag a record; the fidelity is their mean.
    """
    known: dict[str, set[str]] = {}
    for record in records:
        texts = (record.completion, *record.choices)
        known.setdefault(record.language, set()).update(text.strip() for text in texts)
    return [
        answer.strip() in known[record.language]
        for record, answer in zip(records, answers, strict=True)
    ]


def choice_accuracy(
    model: LanguageModel, records: Records, shift: Shift | None = None, batch_size: int = 512
) -> list[bool]:
    """Tell for each record whether its completion is likelier than each of its other choices.

    Choices are ranked by :func:`completion_log_probs`, EOS included and length not divided out; a
    tie is no success.

    Raises:
        ShiftlensError: A record's choices lack its completion, or as :func:`generate_answers`.
    """
    for record in records:
        if record.completion not in record.choices:
            raise ShiftlensError(
                f"record {record.id!r} ({record.language}): the choices lack the completion; add it"
            )
    choices = [record.choices for record in records]
    scores = completion_log_probs(model, records, choices, shift, batch_size)
    correct = []
    for record, row in zip(records, scores, strict=True):
        right = record.choices.index(record.completion)
        correct.append(all(row[right] > other for other in row[:right] + row[right + 1 :]))
    return correct


def perplexity(
    model: LanguageModel, records: Records, shift: Shift | None = None, batch_size: int = 512
) -> dict[str, float]:
    r"""Perplexity of the completions of each language.

    .. math:: \exp\left(-\frac{\sum_x \log p(y_x \mid x)}{\sum_x (m_x + 1)}\right)

    over the records x of a language, whose completions y_x have m_x tokens and an EOS.

    Raises:
        ShiftlensError: As :func:`generate_answers`.
    """
    completions = [record.completion for record in records]
    scores = completion_log_probs(
        model, records, [[text] for text in completions], shift, batch_size
    )
    sums: dict[str, float] = defaultdict(float)
    tokens: Counter[str] = Counter()
    encoded = encode_completions(model, completions)
    for record, [score], ids in zip(records, scores, encoded, strict=True):
        sums[record.language] -= score
        tokens[record.language] += len(ids)
    return {code: float(np.exp(sums[code] / tokens[code])) for code in tokens}


def retrieval(
    states: Mapping[str, np.ndarray], dominant: str = DOMINANT
) -> dict[str, tuple[float, float]]:
    r"""Precision at 1 of finding a sentence's translation by cosine, to the dominant side and back.

    .. math:: P@1 = \frac{1}{n} \sum_i [\arg\max_j \cos(s_i, t_j) = i]

    Chance is 1 / n.

    Args:
        states: Sentence vectors of each language, ``(n, d_model)``, row i the same sentence.
        dominant: The language on the other side.

    Returns:
        For every other language, P@1 from it to the dominant language and from the dominant
        language to it.

    Raises:
        ShiftlensError: The dominant language is not there, or a language's shape differs from it.
    """
    if dominant not in states:
        raise ShiftlensError(f"no states of {dominant!r}, the dominant language; add them")
    for language, array in states.items():
        if array.ndim != 2 or not len(array) or array.shape != states[dominant].shape:
            raise ShiftlensError(
                f"the states of {language!r} are {array.shape} and those of {dominant!r} "
                f"{states[dominant].shape}; give both the same sentences, (n, d_model)"
            )
    unit = {language: _unit_rows(array) for language, array in states.items()}
    found = {}
    for language in states:
        if language != dominant:
            cosines = unit[language] @ unit[dominant].T
            there, back = (cosines.argmax(axis) == np.arange(len(cosines)) for axis in (1, 0))
            found[language] = (float(there.mean()), float(back.mean()))
    return found


def evaluate(
    model: LanguageModel,
    records: Records,
    shift: Shift | None = None,
    dominant: str = DOMINANT,
    choices: bool = True,
    texts: bool = False,
    max_new_tokens: int | None = None,
) -> pd.DataFrame:
    """Measure every language of the records.

    Args:
        model: A causal language model.
        records: Held-out instructions.
        shift: Applied throughout; None for the model as it is.
        dominant: The language whose row comes first.
        choices: Rank choices too, of the records that have them.
        texts: Score the answers as texts too, as for translations.
        max_new_tokens: As :func:`generate_answers`.

    Returns:
        One row a language: ``language``, ``n``, ``exact_match``, ``number_match`` (of the records
        whose completion is a whole number), ``choice_accuracy`` (of those with choices) and the
        ``chance`` that one choice at random is right, ``fidelity``, ``perplexity`` and, with texts,
        ``chrf`` and ``bleu`` in 0..100; shares in 0..1. A language without such records has NaN; if
        none has any, there is no such column.

    Raises:
        ShiftlensError: As :func:`generate_answers` and :func:`choice_accuracy`.
    """
    answers = generate_answers(model, records, shift, max_new_tokens=max_new_tokens)
    counted = [whole_number(record.completion) is not None for record in records]
    ranked = [record for record in records if record.choices] if choices else []
    columns = {"exact_match": _means(records, _matches(records, answers))}
    if any(counted):
        pairs = compress(zip(records, answers, strict=True), counted)
        numbered, said = zip(*pairs, strict=True)
        columns["number_match"] = _means(numbered, number_match(numbered, said))
    if ranked:
        columns["choice_accuracy"] = _means(ranked, choice_accuracy(model, ranked, shift))
        columns["chance"] = _means(ranked, [1 / len(record.choices) for record in ranked])
    columns["fidelity"] = _means(records, language_fidelity(records, answers))
    columns["perplexity"] = perplexity(model, records, shift)
    if texts:
        columns |= _text_columns(records, answers)
    counts = Counter(record.language for record in records)
    return pd.DataFrame(
        {
            "language": language,
            "n": counts[language],
            **{name: values.get(language, math.nan) for name, values in columns.items()},
        }
        for language in sorted(counts, key=lambda code: code != dominant)
    )


def _text_columns(records: Records, answers: Sequence[str]) -> dict[str, dict[str, float]]:
    """ChrF and BLEU of each language."""
    sides: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for record, answer in zip(records, answers, strict=True):
        sides[record.language].append((answer, record.completion.strip()))
    scores = {code: text_scores(code, *zip(*pairs, strict=True)) for code, pairs in sides.items()}
    return {name: {code: own[name] for code, own in scores.items()} for name in ("chrf", "bleu")}


def _matches(records: Records, answers: Sequence[str]) -> list[bool]:
    pairs = zip(records, answers, strict=True)
    return [answer == record.completion.strip() for record, answer in pairs]


def _means(records: Records, values: Sequence[float]) -> dict[str, float]:
    """Mean of the values of each language's records; of flags the share that is true."""
    of_language: dict[str, list[float]] = {}
    for record, value in zip(records, values, strict=True):
        of_language.setdefault(record.language, []).append(value)
    return {language: sum(group) / len(group) for language, group in of_language.items()}


def _unit_rows(array: np.ndarray) -> np.ndarray:
    """Rows ``(n, d_model)`` at length 1 in float64; zero rows stay zero."""
    wide = np.asarray(array, dtype=np.float64)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    return wide / np.maximum(norms, np.finfo(np.float64).tiny)
