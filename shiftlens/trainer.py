"""ShifCon in place, on ``transformers.Trainer``: checkpoints, resume, accumulation are its own."""

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from transformers import (
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerCallback,
    TrainerState,
    TrainingArguments,
)

from shiftlens import ranks
from shiftlens.arms import Arm, arm_named
from shiftlens.batches import collator, example, translations
from shiftlens.config import TrainConfig
from shiftlens.contrastive import FORMS, PairBatch, PairSampler, contrastive_loss
from shiftlens.corpora import Corpus
from shiftlens.errors import ShiftlensError
from shiftlens.files import file_hashes, saving, write_atomic
from shiftlens.forms import misfit
from shiftlens.languages import DOMINANT
from shiftlens.loading import quietly
from shiftlens.loss_sums import LossSums
from shiftlens.models import LanguageModel
from shiftlens.parallel import gathered, own_part, shared_loss, weighted_loss, within_forward
from shiftlens.pooling import Pooling
from shiftlens.progress import LossBar
from shiftlens.sft import SftRecord, with_template
from shiftlens.shift import LanguageVectors, Shift, check_area
from shiftlens.tokens import tokenize

T = TypeVar("T")

SAMPLER_FILE = "contrast.json"


@dataclass(frozen=True)
class Objective:
    r"""What is minimised: :math:`L = w_{gen} L_{LM} + w_{con} L_{MCL}`.

    Attributes:
        arm: Which parts are on.
        area: Layers (a, b).
        dominant: The dominant language.
        w_gen: Weight of the language-model loss on completions, through the shifted pass.
        w_con: Weight of the contrastive loss; for ``parallel_lm``, of the loss on the marked
            translations.
        temperature: Of the contrastive loss.
        pairs: Parallel pairs in a contrastive batch.
        reestimate: Steps between estimates of the language vectors as the model moves.
        vector_sentences: Parallel sentences that each estimate averages.
        third: Target of the ``third`` arm.
        seed: Of the pairs and of random vectors.

    Source:
        Zhang et al., "ShifCon", ACL 2025, arXiv:2410.19453.
    """

    arm: Arm
    area: tuple[int, int]
    dominant: str = DOMINANT
    w_gen: float = 1.0
    w_con: float = 0.3
    temperature: float = 0.2
    pairs: int = 32
    reestimate: int = 50
    vector_sentences: int = 256
    third: str | None = None
    seed: int = 0


class ShifConTrainer(Trainer):
    """A ``transformers.Trainer`` whose loss is ShifCon's.

    With accumulation the loss of a step is the mean of its batches' losses.

    Args:
        model: The plain model; trained in place.
        records: Instruction data.
        parallel: Parallel texts, for the language vectors and the contrast.
        objective: What to minimise.
        args: Hugging Face's own settings: steps, rate, precision, saving, logging.
        pooling: Which positions make a sentence vector.
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
        _check(model, records, parallel, objective)
        _check_place(model)
        self.language_model = model
        self.parallel = parallel
        self.objective: Objective = objective
        self.pooling = pooling or Pooling()
        self.sampler = self._new_sampler() if self.needs_pairs else None
        self.shift: Shift | None = None
        self.parts: dict[str, Tensor] = {}
        self.losses = LossSums()
        caches = model.hf.config.use_cache
        super().__init__(
            model=model.hf if adapters is None else adapters,
            args=args,
            train_dataset=[example(model, record, parallel.languages) for record in records],
            data_collator=collator(model),
            callbacks=[*(callbacks or []), _Reestimate(self)],
        )
        for theirs in (ProgressCallback, PrinterCallback):
            self.remove_callback(theirs)
        if not args.disable_tqdm:
            self.add_callback(LossBar())
        model.hf.config.use_cache = caches  # the Trainer turns it off, and it would be saved so
        self.model_accepts_loss_kwargs = False
        self._check_launch(adapters)

    def _check_launch(self, adapters: Any) -> None:
        """Refuse what launchers offer and this training is not made for."""
        if self.is_deepspeed_enabled:
            raise ShiftlensError("training is not made for DeepSpeed; launch it with DDP or FSDP 2")
        if self.is_fsdp_enabled:
            plugin = self.accelerator.state.fsdp_plugin
            if plugin.fsdp_version != 2:
                raise ShiftlensError("training takes FSDP 2; add --fsdp_version 2 to the launcher")
            if adapters is not None:
                raise ShiftlensError("LoRA is trained without FSDP; launch it with DDP")
            plugin.set_state_dict_type("FULL_STATE_DICT")

    @property
    def sharded(self) -> bool:
        """Whether FSDP has cut the weights, so that the model is whole in checkpoints only."""
        return any(isinstance(weight, DTensor) for weight in self.language_model.hf.parameters())

    @property
    def needs_pairs(self) -> bool:
        """Whether this arm trains on parallel pairs."""
        return self.objective.arm.contrast is not None or self.objective.arm.parallel_lm

    def _new_sampler(self) -> PairSampler:
        objective = self.objective
        whole_texts = objective.arm.contrast is None
        return PairSampler(
            tokenize(
                self.language_model, self.parallel, Pooling() if whole_texts else self.pooling
            ),
            objective.dominant,
            objective.pairs,
            objective.seed,
            one_language=objective.arm.contrast == "recentred",
        )

    @property
    def needs_vectors(self) -> bool:
        """Whether this arm shifts."""
        return self.objective.arm.shift

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
            target = objective.third or _third(self.parallel, objective.dominant)
        return Shift(vectors, objective.area, objective.dominant, target)

    def _vectors(self, corpus: Corpus) -> LanguageVectors:
        """Language vectors without the autocast that a wrapped model's forward turns on."""
        with torch.autocast(self.args.device.type, enabled=False):
            return LanguageVectors.from_model(self.language_model, corpus, self.pooling)

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

        def passes(forward: Callable[..., Any]) -> tuple[Tensor, Any]:
            output = self._forward(forward, inputs, languages)
            own = weighted_loss(output.loss, share)
            loss = self.objective.w_gen * own
            self.parts = {"lm": own.detach()}
            if self.sampler is not None:
                extra = self._pair_loss(forward, next(self.sampler))
                self.parts["pairs"] = extra.detach()
                loss = loss + self.objective.w_con * extra
            return loss, output

        loss, output = self._within(model, passes)
        if not torch.isfinite(loss):
            step = self.state.global_step
            raise ranks.SharedError(
                f"step {step}: the loss is {loss.item()} "
                f"({', '.join(f'{k} {v.item():.3g}' for k, v in self.parts.items())}); training "
                "stopped, the last checkpoint is kept; take a lower learning rate or w_con, and "
                "another folder"
            )
        return (loss, output) if return_outputs else loss

    def _within(self, model: torch.nn.Module, passes: Callable[[Callable[..., Any]], T]) -> T:
        """Give passes what they call for a forward of the whole model."""
        if ranks.count() == 1:
            return passes(model)
        hf = self.language_model.hf
        return within_forward(model, hf, lambda: passes(hf.forward))

    def _forward(
        self, forward: Callable[..., Any], inputs: dict[str, Any], languages: Sequence[str]
    ) -> Any:
        if self.shift is None:
            return forward(**inputs, use_cache=False)
        with self.shift.applied(self.language_model, languages):
            return forward(**inputs, use_cache=False)

    def _pair_loss(self, forward: Callable[..., Any], batch: PairBatch) -> Tensor:
        objective = self.objective
        if objective.arm.contrast is None:
            inputs, share = translations(self.language_model, batch)
            return weighted_loss(forward(**inputs, use_cache=False).loss, share)
        part = own_part(len(batch))
        own = batch.part(part)
        shift = self.shift.action(own.languages) if self.shift is not None else None
        with torch.autocast(self.args.device.type, torch.bfloat16, enabled=self.args.bf16):
            loss = contrastive_loss(
                self.language_model,
                own,
                objective.area,
                objective.arm.contrast,
                shift,
                objective.temperature,
                lambda rows: gathered(rows, part, len(batch)),
            )
        return shared_loss(loss)

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        """Forward and backward; the loss is kept for the log."""
        loss = super().training_step(*args, **kwargs)
        self.losses.add(loss)
        return loss

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log the parts of the loss beside the whole, which is that of an undisturbed training."""
        step = self.state.global_step
        if "loss" in logs:
            parts = {f"loss_{name}": round(value.item(), 4) for name, value in self.parts.items()}
            logs = {**logs, "loss": self.losses.of_row(step), **parts}
        if "train_loss" in logs:
            logs = {**logs, "train_loss": self.losses.of_all(step)}
        super().log(logs, *args, **kwargs)

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """A checkpoint is complete once ``contrast.json``, written last, is in it.

        It holds the hash of every other file, so that a damaged checkpoint is passed over.

        Broken weights are not saved: a loss that is finite can have a gradient that is not.
        """
        step = self.state.global_step
        with ranks.together():
            for name, weight in self.language_model.hf.named_parameters():
                if not torch.isfinite(weight).all():
                    raise ShiftlensError(
                        f"step {step}: weight {name} is NaN or infinite; training stopped, the "
                        "last checkpoint is kept; take a lower learning rate or w_con, and "
                        "another folder"
                    )
        folder = Path(str(self.args.output_dir)) / f"checkpoint-{step}"
        with ranks.together(), saving(folder), quietly():
            super()._save_checkpoint(*args, **kwargs)
        losses = self.losses.saved()
        ranks.from_first(lambda: self._complete(folder, losses))

    def _complete(self, folder: Path, losses: dict[str, float]) -> None:
        with saving(folder):
            self.language_model.tokenizer.save_pretrained(folder)
        if self.shift is not None:
            self.shift.save(folder)
        step = self.sampler.step if self.sampler else 0
        files = file_hashes(folder, SAMPLER_FILE)
        state = {"sampler_step": step, "losses": losses, "files": files}
        write_atomic(folder / SAMPLER_FILE, json.dumps(state).encode())

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
        if self.is_fsdp_enabled:
            hf: Any = self.language_model.hf
            hf.load_state_dict(type(hf).from_pretrained(checkpoint).state_dict())
            self._restore_own(checkpoint)
        else:
            self._load_from_checkpoint(str(checkpoint))
        self.state = state
        whole = self.losses.of_all(state.global_step)  # logged after the last checkpoint is written
        self.log({"total_flos": state.total_flos, "train_loss": whole})
        if self.needs_vectors:
            self.shift = self.estimate_shift()
        return False

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

    def _load_from_checkpoint(self, resume_from_checkpoint: str, *args: Any, **kwargs: Any) -> None:
        folder = Path(resume_from_checkpoint)
        with ranks.together(), _restoring(folder):
            super()._load_from_checkpoint(resume_from_checkpoint, *args, **kwargs)
        self._restore_own(folder)
        if self.needs_vectors:
            self.shift = Shift.load(folder)

    def _restore_own(self, folder: Path) -> None:
        """Restore what the Trainer does not keep: where the pairs are, and the sums of losses."""
        own = json.loads((folder / SAMPLER_FILE).read_text(encoding="utf-8"))
        if self.sampler is not None:
            self.sampler.step = own["sampler_step"]
        self.losses = LossSums.restored(own.get("losses"), int(folder.name.rsplit("-", 1)[1]))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        with ranks.together(), _restoring(checkpoint):
            super()._load_optimizer_and_scheduler(checkpoint)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        with ranks.together(), _restoring(checkpoint):
            super()._load_rng_state(checkpoint)


@contextlib.contextmanager
def _restoring(checkpoint: str | Path | None) -> Iterator[None]:
    """Say in one line that a checkpoint cannot be read, or holds code, which is not run."""
    try:
        yield
    except Exception as error:  # a damaged file can make torch raise anything
        words = " ".join(str(error).split())[:300]
        raise ShiftlensError(
            f"checkpoint {checkpoint} cannot be read ({words}); delete it, and the training goes "
            "on from the one before it"
        ) from error


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


def training_arguments(config: TrainConfig, folder: str | Path, **overrides: Any) -> Any:
    """Hugging Face's settings for a run: AdamW, cosine after a warm-up, no trackers.

    bfloat16 is autocast: weights and optimizer stay float32, or steps of a small learning rate
    would be rounded away.

    Raises:
        ShiftlensError: The number type is not one to train in.
    """
    if config.dtype not in ("float32", "bfloat16"):
        raise ShiftlensError(f"training in {config.dtype} is not possible; take bfloat16")
    arguments = TrainingArguments(
        **{
            "output_dir": str(folder),
            "max_steps": config.steps or -1,
            "num_train_epochs": config.epochs,
            "per_device_train_batch_size": config.batch_size,
            "gradient_accumulation_steps": config.accumulation,
            "learning_rate": config.learning_rate,
            "weight_decay": config.weight_decay,
            "warmup_steps": config.warmup,
            "lr_scheduler_type": "cosine",
            "save_steps": config.save_every,
            "save_total_limit": 2,
            "logging_steps": 10,
            "disable_tqdm": False,
            "report_to": "none",
            "remove_unused_columns": False,
            "seed": config.seed,
            "use_cpu": config.device == "cpu",
            "bf16": config.dtype == "bfloat16",
            "dataloader_pin_memory": False,
            "ddp_find_unused_parameters": False,
            "ddp_broadcast_buffers": False,
            **overrides,
        }
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def objective_of(config: TrainConfig, area: tuple[int, int]) -> Objective:
    """The objective that a configuration asks for.

    Raises:
        ShiftlensError: There is no such arm.
    """
    return Objective(
        arm=arm_named(config.arm),
        area=area,
        dominant=config.dominant,
        w_gen=config.w_gen,
        w_con=config.w_con,
        temperature=config.temperature,
        pairs=config.pairs,
        reestimate=config.reestimate,
        vector_sentences=config.vector_sentences,
        third=config.third,
        seed=config.seed,
    )


def last_checkpoint(folder: str | Path) -> Path | None:
    """The newest checkpoint in a folder that is complete and undamaged, or None."""
    complete = [path.parent for path in Path(folder).glob(f"checkpoint-*[0-9]/{SAMPLER_FILE}")]
    complete.sort(key=lambda path: int(path.name.rsplit("-", 1)[1]), reverse=True)
    return next(filter(_is_sound, complete), None)


def _is_sound(checkpoint: Path) -> bool:
    """Whether the files of a checkpoint match the hashes that it states."""
    try:
        state = json.loads((checkpoint / SAMPLER_FILE).read_text(encoding="utf-8"))
        stated = state.get("files")  # a checkpoint of an earlier version states none
        wrong = misfit(state, {"sampler_step": int}) or LossSums.misfit(state.get("losses"))
        return not wrong and stated in (None, file_hashes(checkpoint, SAMPLER_FILE))
    except (OSError, ValueError, AttributeError, RecursionError):
        return False


def _check(
    model: LanguageModel, records: Sequence[SftRecord], parallel: Corpus, objective: Objective
) -> None:
    check_area(objective.area, model.n_layers)
    for language in dict.fromkeys([objective.dominant, *(record.language for record in records)]):
        if language not in parallel.languages:
            raise ShiftlensError(
                f"language {language!r} has instruction data but no parallel text, so it has no "
                f"language vector (parallel: {', '.join(parallel.languages)})"
            )
    third = objective.third if objective.arm.vectors == "third" else None
    if third is not None and third not in parallel.languages:
        raise ShiftlensError(
            f"third is {third!r}, which has no parallel text (parallel: "
            f"{', '.join(parallel.languages)})"
        )
    if len(parallel.languages) < 2:
        raise ShiftlensError("ShifCon takes the dominant language and at least one more")
    if not model.hf.can_generate():
        raise ShiftlensError(f"{model.name!r} is no causal language model; ShifCon trains those")
    form = objective.arm.contrast
    if form is not None and form not in FORMS:
        raise ShiftlensError(f"unknown contrastive form {form!r}; choose from {', '.join(FORMS)}")
    if not records:
        raise ShiftlensError("there are no instruction records to train on")
    if (form or objective.arm.parallel_lm) and objective.pairs < ranks.count():
        raise ShiftlensError(
            f"a batch of {objective.pairs} pairs is too few for {ranks.count()} "
            "processes; give each at least one"
        )


def _check_place(model: LanguageModel) -> None:
    places = set((getattr(model.hf, "hf_device_map", None) or {}).values())
    if len(places) > 1 or any(weight.is_meta for weight in model.hf.parameters()):
        raise ShiftlensError(
            f"{model.name!r} is spread over devices, memory or disk; load it on one device to "
            "train it"
        )


def _third(parallel: Corpus, dominant: str) -> str:
    others = [code for code in parallel.languages if code != dominant]
    if len(others) < 2:
        raise ShiftlensError("shifting to a third language takes three languages")
    return others[0]
