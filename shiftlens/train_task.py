"""What a training is made of, read and checked before anything is written."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transformers

from shiftlens.adapters import add_adapters
from shiftlens.area import MINIMUM_BLOCKS, parse_area
from shiftlens.asked import check_training
from shiftlens.config import TrainConfig
from shiftlens.corpora import Corpus, load_corpus
from shiftlens.errors import ShiftlensError
from shiftlens.files import check_folder
from shiftlens.languages import language_code
from shiftlens.loading import load_model
from shiftlens.models import LanguageModel
from shiftlens.pooling import Pooling
from shiftlens.sft import SftRecord, load_records, records_sha256
from shiftlens.shift import check_area
from shiftlens.train_checks import check_same
from shiftlens.training.arguments import training_arguments
from shiftlens.training.objective import objective_of
from shiftlens.training.trainer import ShifConTrainer
from shiftlens.whose import check_run_folder

CHECKPOINTS = "checkpoints"
FIRST_AREA = (1, 2)
"""Area of the trainer until the sweep has chosen one."""


@dataclass(frozen=True)
class TrainTask:
    """What a training is made of, looked at and ready."""

    model: LanguageModel
    parallel: Corpus
    records: list[SftRecord]
    test: list[SftRecord] | None
    inputs: dict[str, str]
    area: tuple[int, int] | None
    adapters: Any
    trainer: ShifConTrainer


def prepare(config: TrainConfig) -> TrainTask:
    """Look at everything that the user gave, and make of it what trains; nothing is written.

    Raises:
        ShiftlensError: Something in the settings or data is not usable, or the folder holds a
            training with other settings.
    """
    check_folder(Path(config.out))
    check_run_folder(config)
    config.dominant = language_code(config.dominant)
    check_training(config)
    parallel = load_corpus(config.parallel)
    records = load_records(config.sft)
    test = load_records(config.test) if config.test else None
    model = load_model(config.model, device=config.device)
    inputs = {"model": model.sha256, "parallel": parallel.sha256, "sft": records_sha256(records)}
    if test is not None:
        inputs["test"] = records_sha256(test)
    check_same(config, inputs)
    area = _asked_area(config, model.n_layers)
    transformers.set_seed(config.seed)
    adapters = _adapters(model, config)
    out = Path(config.out)
    trainer = _trainer(model, records, parallel, config, area or FIRST_AREA, out, adapters)
    return TrainTask(model, parallel, records, test, inputs, area, adapters, trainer)


def _asked_area(config: TrainConfig, n_layers: int) -> tuple[int, int] | None:
    """The area given, or None for the one that the sweep will choose."""
    if config.area == "auto":
        if n_layers < MINIMUM_BLOCKS:
            raise ShiftlensError(f"a model of {n_layers} blocks has no layer area")
        return None
    area = parse_area(config.area)
    check_area(area, n_layers)
    return area


def _trainer(
    model: LanguageModel,
    records: list[SftRecord],
    parallel: Corpus,
    config: TrainConfig,
    area: tuple[int, int],
    out: Path,
    adapters: Any,
) -> ShifConTrainer:
    transformers.set_seed(config.seed)
    return ShifConTrainer(
        model,
        records,
        parallel,
        objective_of(config, area),
        training_arguments(config, out / CHECKPOINTS),
        Pooling(config.special_tokens, config.skip_first),
        adapters=adapters,
    )


def _adapters(model: LanguageModel, config: TrainConfig) -> Any:
    """LoRA's matrices in the model, where the settings ask for them."""
    if not config.lora_rank:
        return None
    return add_adapters(model, config.lora_rank, config.lora_alpha, config.lora_targets)
