"""The ShifCon step: a shifted pass over instructions, one over translations, one loss of both."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import TrainingArguments

from shiftlens.models import LanguageModel
from shiftlens.shift import Shift
from shiftlens.training.batches import translations
from shiftlens.training.contrastive import contrastive_loss
from shiftlens.training.objective import Objective
from shiftlens.training.parallel import gathered, own_part, shared_loss, weighted_loss
from shiftlens.training.sampling import PairBatch


@dataclass(frozen=True)
class ShifConStep:
    r"""The loss of one step, through the model and the shift as they are now.

    .. math:: L = w_{gen} L_{LM} + w_{con} L_{MCL}

    In several processes each has a part of the batch and of the pairs; a loss is that of the
    whole of either, as one process has it.

    Attributes:
        forward: The forward of the whole model, with the model's own loss.
        model: The plain model.
        objective: The weights, the area and the form of the contrast.
        shift: The shift; None for an arm without one, whose passes are plain.
        args: Hugging Face's settings: device and number type of the contrastive pass, which
            goes round ``forward`` and its autocast.

    Source:
        Zhang et al., "ShifCon", ACL 2025, arXiv:2410.19453.
    """

    forward: Callable[..., Any]
    model: LanguageModel
    objective: Objective
    shift: Shift | None
    args: TrainingArguments

    def loss(
        self,
        inputs: dict[str, Tensor],
        languages: Sequence[str],
        share: float,
        pairs: PairBatch | None,
    ) -> tuple[Tensor, dict[str, Tensor], Any]:
        """Both passes.

        Args:
            inputs: Ids, mask and labels of this process's instructions, each ``(batch, pos)``.
            languages: The language of each row.
            share: Of all tokens that are learned, those of these rows.
            pairs: The pairs of all processes, or None for an arm that trains on none.

        Returns:
            The loss, a scalar with its graph; its parts ``lm`` and ``pairs``, without weights;
            and the output of the pass over the instructions.
        """
        own, output = self._instructions(inputs, languages, share)
        whole, parts = self.objective.w_gen * own, {"lm": own.detach()}
        if pairs is not None:
            extra = self._pairs(pairs)
            whole, parts["pairs"] = whole + self.objective.w_con * extra, extra.detach()
        return whole, parts, output

    def _instructions(
        self, inputs: dict[str, Tensor], languages: Sequence[str], share: float
    ) -> tuple[Tensor, Any]:
        """The language-model loss on completions: shifted in the area, back behind it."""
        if self.shift is None:
            output = self.forward(**inputs, use_cache=False)
        else:
            with self.shift.applied(self.model, languages):
                output = self.forward(**inputs, use_cache=False)
        return weighted_loss(output.loss, share), output

    def _pairs(self, batch: PairBatch) -> Tensor:
        """The contrast of the pairs, or the language-model loss of an arm that only reads them."""
        if self.objective.arm.contrast is None:
            inputs, share = translations(self.model, batch)
            return weighted_loss(self.forward(**inputs, use_cache=False).loss, share)
        return self._contrast(batch, self.objective.arm.contrast)

    def _contrast(self, batch: PairBatch, form: str) -> Tensor:
        """Of this process's pairs against those of all: the others' are its negatives too."""
        part = own_part(len(batch))
        own = batch.part(part)
        with torch.autocast(self.args.device.type, torch.bfloat16, enabled=self.args.bf16):
            loss = contrastive_loss(
                self.model,
                own,
                self.objective.area,
                form,
                self.shift.action(own.languages) if self.shift is not None else None,
                self.objective.temperature,
                gather=lambda rows: gathered(rows, part, len(batch)),
            )
        return shared_loss(loss)
