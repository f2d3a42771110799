"""The arguments of the Hugging Face Trainer for a run."""

from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from shiftlens.config import TrainConfig
from shiftlens.errors import ShiftlensError


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
