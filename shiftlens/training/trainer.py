"""ShifCon in place, on ``transformers.Trainer``: its checkpoints and accumulation serve as is."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from transformers import TrainerCallback, TrainingArguments

from shiftlens import ranks
from shiftlens.corpora import Corpus
from shiftlens.language_vectors import LanguageVectors
from shiftlens.models import LanguageModel
from shiftlens.pooling import Pooling
from shiftlens.sft import SftRecord, with_template
from shiftlens.shift import Shift
from shiftlens.tokens import tokenize
from shiftlens.training.batches import collator, example
from shiftlens.training.broken import check_loss
from shiftlens.training.objective import Objective, third_language
from shiftlens.training.parallel import within_forward
from shiftlens.training.resumable import ResumableTrainer
from shiftlens.training.sampling import PairSampler
from shiftlens.training.step import ShifConStep
from shiftlens.training.trainable import check_launch, check_trainable

T = TypeVar("T")


class ShifConTrainer(ResumableTrainer):
    """A ``transformers.Trainer`` whose loss is ShifCon's.

    With accumulation the loss of a step is the mean of its batches' losses.

    Args:
        model: The plain model; trained in place.
        records: Instruction data.
        parallel: Parallel texts, for the language vectors and the contrast.
        objective: What to minimise.
        args: Hugging Face's own settings: steps, rate, precision, saving, logging.
        pooling: Which positions make a sentence vector.
        callbacks: Hugging Face's own, or None.
        adapters: What :func:`shiftlens.adapters.add_adapters` returned, where LoRA is trained and
            not the weights; a checkpoint then holds the adapters alone.

    Raises:
        ShiftlensError: A record's language or the dominant one has no parallel texts, the area is
            not inside the model, the model is not on one device, or the objective asks for what
            the data cannot give.
    """

    def __init__(
        self,
        model: LanguageModel,
        records: Sequence[SftRecord],
        parallel: Corpus,
        objective: Objective,
        args: TrainingArguments,
        pooling: Pooling | None = None,
        callbacks: list[TrainerCallback] | None = None,
        adapters: Any = None,
    ):
        records = with_template(model, records)
        check_trainable(model, records, parallel, objective)
        self.parallel = parallel
        self.objective: Objective = objective
        self.pooling = pooling or Pooling()
        self.sampler = self._new_sampler(model) if objective.needs_pairs else None
        self.shift: Shift | None = None
        self.parts: dict[str, Tensor] = {}
        super().__init__(
            model,
            model=model.hf if adapters is None else adapters,
            args=args,
            train_dataset=[example(model, record, parallel.languages) for record in records],
            data_collator=collator(model),
            callbacks=[*(callbacks or []), _Reestimate(self)],
        )
        check_launch(self, adapters)

    def _new_sampler(self, model: LanguageModel) -> PairSampler:
        objective = self.objective
        whole_texts = objective.arm.contrast is None
        return PairSampler(
            tokenize(model, self.parallel, Pooling() if whole_texts else self.pooling),
            objective.dominant,
            objective.pairs,
            objective.seed,
            one_language=objective.arm.contrast == "recentred",
        )

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The language-model loss on completions, plus the contrast of the next pairs.

        In several processes each has a part of the batch and of the pairs; the loss is that of
        the whole of both, as one process has it.
        """
        languages = [self.parallel.languages[i] for i in inputs.pop("language").tolist()]
        share = inputs.pop("share")
        pairs = next(self.sampler) if self.sampler is not None else None

        def passes(forward: Callable[..., Any]) -> tuple[Tensor, dict[str, Tensor], Any]:
            step = ShifConStep(forward, self.language_model, self.objective, self.shift, self.args)
            return step.loss(inputs, languages, share, pairs)

        loss, self.parts, output = self._within(model, passes)
        check_loss(loss, self.parts, self.state.global_step)
        return (loss, output) if return_outputs else loss

    def estimate_shift(self) -> Shift:
        """The shift with vectors of the model as it is now."""
        objective = self.objective
        corpus = self.parallel.head(min(objective.vector_sentences, len(self.parallel)))
        training = self.language_model.hf.training
        self.language_model.hf.eval()
        with torch.no_grad():
            vectors = self._within(self.model_wrapped, lambda _: self._vectors(corpus))
        vectors = ranks.from_first(lambda: vectors)
        self.language_model.hf.train(training)
        target = None
        if objective.arm.vectors == "random":
            vectors = vectors.randomised(objective.dominant, objective.seed)
        elif objective.arm.vectors == "third":
            target = third_language(objective, self.parallel.languages)
        return Shift(vectors, objective.area, objective.dominant, target)

    def _vectors(self, corpus: Corpus) -> LanguageVectors:
        """Language vectors without the autocast that a wrapped model's forward turns on."""
        with torch.autocast(self.args.device.type, enabled=False):
            return LanguageVectors.from_model(self.language_model, corpus, self.pooling)

    @property
    def needs_vectors(self) -> bool:
        """Whether this arm shifts."""
        return self.objective.arm.shift

    @property
    def sharded(self) -> bool:
        """Whether FSDP has cut the weights, so that the model is whole in checkpoints only."""
        return any(isinstance(weight, DTensor) for weight in self.language_model.hf.parameters())

    def _within(self, model: torch.nn.Module, passes: Callable[[Callable[..., Any]], T]) -> T:
        """Give passes what they call for a forward of the whole model."""
        if ranks.count() == 1:
            return passes(model)
        hf = self.language_model.hf
        return within_forward(model, hf, lambda: passes(hf.forward))

    def get_train_dataloader(self) -> Any:
        """The batches of one process in every process; the collator takes its part of each."""
        loader: Any = super().get_train_dataloader()
        if ranks.count() > 1:
            sharded = loader.batch_sampler
            sharded.num_processes, sharded.process_index, sharded.even_batches = 1, 0, False
        return loader

    def get_total_train_batch_size(self, args: TrainingArguments) -> int:
        """Records a step, of all processes together."""
        return self._train_batch_size * args.gradient_accumulation_steps

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log the parts of the loss beside the whole, which is that of an undisturbed training."""
        if "loss" in logs:
            parts = {f"loss_{name}": round(value.item(), 4) for name, value in self.parts.items()}
            logs = {**logs, **parts}
        super().log(logs, *args, **kwargs)

    def keep(self, folder: Path) -> dict[str, Any]:
        """Save the shift into a checkpoint; its seal keeps where the pairs are."""
        if self.shift is not None:
            self.shift.save(folder)
        return {"sampler_step": self.sampler.step if self.sampler else 0}

    def restore(self, folder: Path, kept: dict[str, Any]) -> None:
        """Take up the pairs and the shift of a checkpoint."""
        if self.sampler is not None:
            self.sampler.step = kept["sampler_step"]
        if self.needs_vectors:
            self.shift = Shift.load(folder)

    def fit(self) -> bool:
        """Train, going on from the last complete checkpoint in the output folder.

        Returns:
            Whether there was anything left to do; a training that had come to its end is
            restored as it was.
        """
        trained = super().fit()
        if not trained and self.needs_vectors:
            self.shift = self.estimate_shift()
        return trained


class _Reestimate(TrainerCallback):
    """Language vectors follow the model: estimated at the start, every k steps and at the end."""

    def __init__(self, trainer: ShifConTrainer):
        self.trainer = trainer

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        due = (
            self.trainer.shift is None or state.global_step % self.trainer.objective.reestimate == 0
        )
        if self.trainer.needs_vectors and due:
            self.trainer.shift = self.trainer.estimate_shift()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.trainer.needs_vectors:
            self.trainer.shift = self.trainer.estimate_shift()
