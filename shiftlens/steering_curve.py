"""What steering does to answers, by strength: their language, their quality, their likelihood."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd
from scipy import stats
from tqdm import tqdm

from shiftlens.answers import Records, completion_log_probs, generate_answers
from shiftlens.errors import ShiftlensError
from shiftlens.fitting import fitting
from shiftlens.models import LanguageModel
from shiftlens.reports.score_tables import wilson
from shiftlens.sft import SftRecord, encode_completions
from shiftlens.steering import Steering

NO_LANGUAGE = "none"
"""Where an answer is counted that is known in no language."""
OTHER = "other"
"""Languages other than source and target, together."""

Row = dict[str, float | str]


def steering_curve(
    model: LanguageModel,
    records: Records,
    source: str,
    target: str,
    steering: Steering,
    strengths: Sequence[float],
    batch_size: int = 128,
    keep: Callable[[str, Callable[[], pd.DataFrame]], pd.DataFrame] | None = None,
) -> pd.DataFrame:
    r"""Steer the answers to the source's prompts, at each strength.

    Measures, of the n items that have a record in both languages:

    - ``language``: share of answers in each language. An answer is in a language if it is one of
      the completions or choices of its records; a text known in several languages counts in each,
      one known in none in ``none``.
    - ``other_language``: share of answers known in some language, and in neither the source nor the
      target (``other``).
    - ``exact_match``: share of answers that are the item's answer in the source's, and in the
      target's, words. Wilson's 95% intervals, as for the shares above.
    - ``perplexity`` of the item's answer in either language after the source's prompt,
      :math:`\exp(\sum_i \ell_i / \sum_i m_i)` with the loss l_i over m_i tokens and EOS; the 95%
      interval is that of the ratio over items, linearised.

    Args:
        model: A causal language model.
        records: Held-out records in both languages, and in others whose answers may turn up.
        source: Language of the prompts.
        target: Language steered to.
        steering: What is applied to prompt and generated tokens.
        strengths: The strengths; at 0 the model is as it is.
        batch_size: Prompts in a batch.
        keep: Called with a name for each strength and what makes its part of the table.

    Returns:
        Tidy: ``strength, measure, language, value, low, high, n``.

    Raises:
        ShiftlensError: No item has records in both languages, or as
            :func:`shiftlens.answers.generate_answers`.
    """
    asked, counterparts = check_items(records, source, target)
    known: dict[str, set[str]] = defaultdict(set)
    for record in records:
        known[record.language] |= {t.strip() for t in (record.completion, *record.choices)}
    sides = {source: [r.completion for r in asked], target: [r.completion for r in counterparts]}
    longest = max(map(len, encode_completions(model, [t for own in known.values() for t in own])))

    def at(strength: float) -> pd.DataFrame:
        advice = f"lower batch_size (now {batch_size}), or give a narrower dtype"
        fits = fitting(f"a batch of {batch_size} prompts", advice)
        with fits, steering.applied(model, strength):
            answers = generate_answers(model, asked, None, batch_size, longest)
            texts = list(zip(*sides.values(), strict=True))
            scores = completion_log_probs(model, asked, texts, None, 2 * batch_size)
        own = [*_languages(answers, known, (source, target)), *_matches(answers, sides)]
        own += _perplexities(model, sides, np.array(scores))
        return pd.DataFrame([{"strength": strength, **row} for row in own])

    tables = [
        keep(f"answers-{strength}", partial(at, strength)) if keep else at(strength)
        for strength in tqdm(strengths, desc="strengths", unit="strength", disable=None)
    ]
    return pd.concat(tables, ignore_index=True)


def check_items(
    records: Records, source: str, target: str
) -> tuple[list[SftRecord], list[SftRecord]]:
    """The records of the items asked in both languages, row by row.

    Raises:
        ShiftlensError: Source and target are one language, or no item is asked in both.
    """
    if source == target:
        raise ShiftlensError(f"source and target are both {source!r}; give two languages")
    by_item = {
        code: {record.item: record for record in records if record.language == code}
        for code in (source, target)
    }
    for code, own in by_item.items():
        if not own:
            there = ", ".join(dict.fromkeys(record.language for record in records))
            raise ShiftlensError(f"there are no records in language {code!r} (there: {there})")
    shared = [item for item in by_item[source] if item in by_item[target]]
    if not shared:
        raise ShiftlensError(
            f"no item has a record in both {source!r} and {target!r}; give them ids ITEM.LANGUAGE"
        )
    asked, counterparts = ([by_item[code][item] for item in shared] for code in (source, target))
    return asked, counterparts


def _languages(
    answers: Sequence[str], known: dict[str, set[str]], two: tuple[str, str]
) -> Iterator[Row]:
    for code, texts in known.items():
        yield _share("language", code, [answer in texts for answer in answers])
    everywhere = set().union(*known.values())
    other = everywhere.difference(*(known[code] for code in two))
    yield _share("other_language", OTHER, [answer in other for answer in answers])
    yield _share("language", NO_LANGUAGE, [answer not in everywhere for answer in answers])


def _matches(answers: Sequence[str], sides: dict[str, list[str]]) -> Iterator[Row]:
    for code, texts in sides.items():
        right = [answer == text.strip() for answer, text in zip(answers, texts, strict=True)]
        yield _share("exact_match", code, right)


def _share(measure: str, language: str, flags: Sequence[bool]) -> Row:
    share, n = float(np.mean(flags)), len(flags)
    low, high = wilson(share, n)
    return _row(measure, language, share, low, high, n)


def _perplexities(
    model: LanguageModel, sides: dict[str, list[str]], scores: np.ndarray
) -> Iterator[Row]:
    for (code, texts), own in zip(sides.items(), -scores.T, strict=True):
        tokens = np.array([len(ids) for ids in encode_completions(model, texts)])
        rate, half = ratio_interval(own, tokens)
        value, low, high = np.exp([rate, rate - half, rate + half]).tolist()
        yield _row("perplexity", code, value, low, high, len(texts))


def _row(measure: str, language: str, value: float, low: float, high: float, n: int) -> Row:
    return {
        **{"measure": measure, "language": language},
        **{"value": value, "low": low, "high": high, "n": n},
    }


def ratio_interval(losses: np.ndarray, tokens: np.ndarray) -> tuple[float, float]:
    r"""Loss a token over items, and half its 95% t-interval, linearised.

    .. math::
        r = \frac{\sum_i \ell_i}{\sum_i m_i}, \qquad
        \operatorname{se}^2 = \frac{n}{n - 1} \frac{\sum_i (\ell_i - r m_i)^2}{(\sum_i m_i)^2}

    Args:
        losses: ``(n,)``, summed over each item's tokens.
        tokens: ``(n,)``, how many there are.

    Returns:
        r and the half width; NaN for one item.

    Source:
        Cochran, "Sampling Techniques", 1977, section 6.3.
    """
    rate, n = float(losses.sum() / tokens.sum()), len(losses)
    if n < 2:
        return rate, float("nan")
    error = np.sqrt(n / (n - 1) * ((losses - rate * tokens) ** 2).sum()) / tokens.sum()
    return rate, float(stats.t.ppf(0.975, n - 1) * error)
