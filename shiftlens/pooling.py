"""From the states of a text to one vector, and the record of which positions were pooled."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Pooling:
    """Which positions of a text enter its sentence vector (their mean).

    Padding is always out. The choice is recorded with every result.

    Attributes:
        special_tokens: Keep the tokens that the tokenizer adds around the text (BOS, EOS, CLS,
            SEP). Out by default.
        skip_first: Leave out the first token of the text itself. Models without BOS (BLOOM, Qwen)
            make it an attention sink with a huge norm.
    """

    special_tokens: bool = False
    skip_first: bool = False

    def positions(self, special: list[int]) -> list[bool]:
        """Which tokens of one text are pooled.

        Args:
            special: 1 where the tokenizer added the token, 0 where it is of the text.

        Returns:
            One flag a token.
        """
        keep = [self.special_tokens or not flag for flag in special]
        if self.skip_first and 0 in special:
            keep[special.index(0)] = False
        return keep


def masked_mean(states: Tensor, mask: Tensor) -> Tensor:
    r"""Mean of the states at the pooled positions, in float32 whatever the model's dtype.

    .. math:: s = \frac{1}{|P|} \sum_{t \in P} h_t

    Args:
        states: Residual stream ``(batch, pos, d_model)``.
        mask: True at the positions P to pool, ``(batch, pos)``; what the others hold, NaN
            included, does not enter.

    Returns:
        Sentence vectors ``(batch, d_model)``, float32.
    """
    kept = torch.where(mask.unsqueeze(-1), states.float(), 0.0)
    return kept.sum(dim=1) / mask.sum(dim=1, keepdim=True)
