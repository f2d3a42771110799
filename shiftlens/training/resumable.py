"""A trainer that goes on from its last sound checkpoint, and ends as if nothing had happened."""

import contextlib
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerState

from shiftlens import ranks
from shiftlens.errors import ShiftlensError
from shiftlens.files import saving
from shiftlens.loading import quietly
from shiftlens.models import LanguageModel
from shiftlens.training.broken import check_weights
from shiftlens.training.checkpoints import last_checkpoint, read_seal, restoring, seal, step_of
from shiftlens.training.loss_sums import LossSums
from shiftlens.training.progress import LossBar


class ResumableTrainer(Trainer):
    """A ``transformers.Trainer`` with sealed checkpoints, a log that they carry on, and a bar.

    Args:
        language_model: The plain model, with the tokenizer that is saved beside it.
        **settings: Those of ``transformers.Trainer``.
    """

    def __init__(self, language_model: LanguageModel, **settings: Any):
        self.language_model = language_model
        self.losses = LossSums()
        caches = language_model.hf.config.use_cache
        super().__init__(**settings)
        for theirs in (ProgressCallback, PrinterCallback):
            self.remove_callback(theirs)
        if not self.args.disable_tqdm:
            self.add_callback(LossBar())
        language_model.hf.config.use_cache = caches  # turned off, it would be saved so
        self.model_accepts_loss_kwargs = False

    def keep(self, folder: Path) -> dict[str, Any]:
        """Write into a checkpoint what a subclass goes on from, and give what its seal keeps."""
        raise NotImplementedError

    def restore(self, folder: Path, kept: dict[str, Any]) -> None:
        """Take up what :meth:`keep` wrote and gave."""
        raise NotImplementedError

    def fit(self) -> bool:
        """Train, going on from the last complete checkpoint in the output folder.

        Returns:
            Whether there was anything left to do; a training that had come to its end is
            restored as it was.
        """
        checkpoint = ranks.from_first(lambda: last_checkpoint(str(self.args.output_dir)))
        if checkpoint is None:
            self._train_from(None)
            return True
        state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        if state.global_step < state.max_steps:
            self._train_from(str(checkpoint))
            return True
        self._restore_finished(checkpoint, state)
        return False

    def _restore_finished(self, checkpoint: Path, state: TrainerState) -> None:
        if self.is_fsdp_enabled:
            hf: Any = self.language_model.hf
            hf.load_state_dict(type(hf).from_pretrained(checkpoint).state_dict())
            self._restore_own(checkpoint)
        else:
            self._load_from_checkpoint(str(checkpoint))
        self.state = state
        whole = self.losses.of_all(state.global_step)  # logged after the last checkpoint is written
        self.log({"total_flos": state.total_flos, "train_loss": whole})

    def _train_from(self, checkpoint: str | None) -> None:
        """Train; of a process of the data loader that died, say what to do."""
        try:
            with ranks.lost() if ranks.count() > 1 else contextlib.nullcontext():
                self.train(resume_from_checkpoint=checkpoint)
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise ShiftlensError(
                f"step {self.state.global_step}: a process that loads data died "
                f"({str(error).splitlines()[0]}); give the command of the training again, and it "
                "goes on from its last checkpoint"
            ) from error

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        """Forward and backward; the loss is kept for the log."""
        loss = super().training_step(*args, **kwargs)
        self.losses.add(loss)
        return loss

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log losses that are those of an undisturbed training."""
        step = self.state.global_step
        if "loss" in logs:
            logs = {**logs, "loss": self.losses.of_row(step)}
        if "train_loss" in logs:
            logs = {**logs, "train_loss": self.losses.of_all(step)}
        super().log(logs, *args, **kwargs)

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """Save weights that are not broken, and seal the checkpoint last."""
        step = self.state.global_step
        with ranks.together():
            check_weights(self.language_model.hf, step)
        folder = Path(str(self.args.output_dir)) / f"checkpoint-{step}"
        with ranks.together(), saving(folder), quietly():
            super()._save_checkpoint(*args, **kwargs)
        losses = self.losses.saved()
        ranks.from_first(lambda: self._complete(folder, losses))

    def _complete(self, folder: Path, losses: dict[str, float]) -> None:
        with saving(folder):
            self.language_model.tokenizer.save_pretrained(folder)
        seal(folder, {**self.keep(folder), "losses": losses})

    def _load_from_checkpoint(self, resume_from_checkpoint: str, *args: Any, **kwargs: Any) -> None:
        with ranks.together(), restoring(resume_from_checkpoint):
            super()._load_from_checkpoint(resume_from_checkpoint, *args, **kwargs)
        self._restore_own(Path(resume_from_checkpoint))

    def _restore_own(self, folder: Path) -> None:
        """Restore what the Trainer does not keep: the sums of losses, and a subclass's own."""
        kept = read_seal(folder)
        self.losses = LossSums.restored(kept.get("losses"), step_of(folder))
        self.restore(folder, kept)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        with ranks.together(), restoring(checkpoint):
            super()._load_optimizer_and_scheduler(checkpoint)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        with ranks.together(), restoring(checkpoint):
            super()._load_rng_state(checkpoint)
