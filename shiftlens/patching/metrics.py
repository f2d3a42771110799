"""What is read off the next token's logits."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from shiftlens.errors import ShiftlensError


@dataclass(frozen=True)
class Metric:
    """One number of a distribution over the next token.

    Attributes:
        words: What it is, for axes and menus.
        answers: How many answers it needs at least.
        value: From logits ``(rows, vocabulary)``, the clean run's logits ``(1, vocabulary)`` and
            the answers' first tokens to ``(rows,)``, float64.
    """

    words: str
    answers: int
    value: Callable[[Tensor, Tensor, list[int]], Tensor]


def _logit_difference(logits: Tensor, clean: Tensor, answers: list[int]) -> Tensor:
    return logits[:, answers[0]].double() - logits[:, answers[1]].double()


def _probability(logits: Tensor, clean: Tensor, answers: list[int]) -> Tensor:
    return logits.double().softmax(-1)[:, answers[0]]


def _kl(logits: Tensor, clean: Tensor, answers: list[int]) -> Tensor:
    expected = clean.double().log_softmax(-1)
    return (expected.exp() * (expected - logits.double().log_softmax(-1))).sum(-1)


def _rank(logits: Tensor, clean: Tensor, answers: list[int]) -> Tensor:
    return 1 + (logits > logits[:, answers[:1]]).sum(-1).double()


def _language(logits: Tensor, clean: Tensor, answers: list[int]) -> Tensor:
    return logits[:, answers].double().softmax(-1)[:, 0]


METRICS = {
    "logit_difference": Metric("logit of the first answer minus the second", 2, _logit_difference),
    "probability": Metric("probability of the first answer", 1, _probability),
    "kl": Metric("KL divergence from the clean run, in nats", 0, _kl),
    "rank": Metric("rank of the first answer", 1, _rank),
    "language": Metric("the first language's share of the answers' probability", 2, _language),
}
"""Metrics by name. Of an answer its first token counts; rank 1 is the most probable token."""


def check_metric(metric: str, answers: int) -> Metric:
    """Find a metric that so many answers are enough for.

    Raises:
        ShiftlensError: No such metric, or too few answers.
    """
    if not isinstance(metric, str) or metric not in METRICS:
        raise ShiftlensError(f"unknown metric {metric!r}; choose one of {', '.join(METRICS)}")
    found = METRICS[metric]
    if answers < found.answers:
        raise ShiftlensError(
            f"metric {metric!r} needs {found.answers} answers, {answers} given; add some, or "
            "choose 'kl', which needs none"
        )
    return found


def check_finite(logits: Tensor, run: str) -> Tensor:
    """Logits in float32, or wider, on the CPU.

    Raises:
        ShiftlensError: They hold NaN or infinity.
    """
    logits = logits.cpu()
    logits = logits if logits.dtype == torch.float64 else logits.float()
    if not torch.isfinite(logits.sum(dtype=torch.float64)):
        raise ShiftlensError(
            f"the {run} run gives logits that are not finite; load the model in a wider dtype"
        )
    return logits
