"""What is told when a training breaks: a loss or a weight that is no number."""

import torch
from torch import Tensor, nn

from shiftlens import ranks
from shiftlens.errors import ShiftlensError

STOPPED = (
    "training stopped, the last checkpoint is kept; take a lower learning rate or w_con, and "
    "another folder"
)


def check_loss(loss: Tensor, parts: dict[str, Tensor], step: int) -> None:
    """Refuse a loss that is NaN or infinite.

    Raises:
        ranks.SharedError: It is, in every process.
    """
    if not torch.isfinite(loss):
        values = ", ".join(f"{name} {value.item():.3g}" for name, value in parts.items())
        raise ranks.SharedError(f"step {step}: the loss is {loss.item()} ({values}); {STOPPED}")


def check_weights(model: nn.Module, step: int) -> None:
    """Refuse weights that are NaN or infinite, as a finite loss with a broken gradient makes them.

    Raises:
        ShiftlensError: One (named) is.
    """
    for name, weight in model.named_parameters():
        if not torch.isfinite(weight).all():
            raise ShiftlensError(f"step {step}: weight {name} is NaN or infinite; {STOPPED}")
