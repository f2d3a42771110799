"""A trained model on disk: a plain Hugging Face directory, with its shift beside the weights."""

from pathlib import Path
from typing import Any

from shiftlens.asked import MODEL
from shiftlens.errors import ShiftlensError
from shiftlens.files import make_folder, saving
from shiftlens.loading import load_model, quietly
from shiftlens.models import LanguageModel
from shiftlens.shift import Shift
from shiftlens.store import STORE, ActivationStore


def save_model(model: LanguageModel, shift: Shift | None, folder: Path) -> None:
    """Write a plain Hugging Face directory, with the shift beside the weights.

    Args:
        model: The trained model.
        shift: Its shift, or None.
        folder: The directory.

    Raises:
        ShiftlensError: It cannot be written to, or the disk is full.
    """
    make_folder(folder)
    with saving(folder), quietly():
        model.hf.save_pretrained(folder)
        model.tokenizer.save_pretrained(folder)
    for name in ("shift.json", "shift.safetensors"):
        (folder / name).unlink(missing_ok=True)
    if shift is not None:
        shift.save(folder)


def load_trained(folder: str | Path, **options: Any) -> tuple[LanguageModel, Shift | None]:
    """Load what a training saved.

    Args:
        folder: The ``model`` directory of a run.
        **options: Those of :func:`shiftlens.load_model`.

    Returns:
        The model, and its shift or None.

    Raises:
        ShiftlensError: There is no model, or its shift is damaged.
    """
    model = load_model(folder, **options)
    shift = Shift.load(folder) if (Path(folder) / "shift.json").exists() else None
    return model, shift


def check_weights(run: Path, model: LanguageModel) -> None:
    """Hold a run's model against the one whose states the run collected after the training.

    Args:
        run: The run folder.
        model: What was loaded from its ``model/``, in float32.

    Raises:
        ShiftlensError: It is another, or its file is damaged.
    """
    after = run / "after" / STORE
    if after.is_dir() and model.sha256 != ActivationStore.open(after).manifest["model"]["sha256"]:
        raise ShiftlensError(
            f"{run / MODEL} is not the model that the run trained: its weights have changed since; "
            "give the command of the training again, which writes them from the last checkpoint"
        )
