"""Checkpoints: sealed when complete, passed over when damaged, and read without running code.

A checkpoint is complete once ``contrast.json``, written last, is in it. That file holds the hash
of every other one.
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shiftlens.errors import ShiftlensError
from shiftlens.files import file_hashes, write_atomic
from shiftlens.forms import misfit
from shiftlens.training.loss_sums import LossSums

SAMPLER_FILE = "contrast.json"


def seal(checkpoint: Path, kept: dict[str, Any]) -> None:
    """Make a checkpoint whose files are all written a complete one.

    Args:
        checkpoint: Its folder.
        kept: ``sampler_step`` and ``losses``, which the seal holds beside the hashes.
    """
    state = {**kept, "files": file_hashes(checkpoint, SAMPLER_FILE)}
    write_atomic(checkpoint / SAMPLER_FILE, json.dumps(state).encode())


def read_seal(checkpoint: Path) -> dict[str, Any]:
    """What :func:`seal` kept."""
    kept: dict[str, Any] = json.loads((checkpoint / SAMPLER_FILE).read_text(encoding="utf-8"))
    return kept


def step_of(checkpoint: Path) -> int:
    """The step at which a checkpoint was saved."""
    return int(checkpoint.name.rsplit("-", 1)[1])


def last_checkpoint(folder: str | Path) -> Path | None:
    """The newest checkpoint in a folder that is complete and undamaged, or None."""
    complete = [path.parent for path in Path(folder).glob(f"checkpoint-*[0-9]/{SAMPLER_FILE}")]
    complete.sort(key=step_of, reverse=True)
    return next(filter(_is_sound, complete), None)


def _is_sound(checkpoint: Path) -> bool:
    """Whether the files of a checkpoint match the hashes that it states."""
    try:
        state = read_seal(checkpoint)
        stated = state.get("files")  # a checkpoint of an earlier version states none
        wrong = misfit(state, {"sampler_step": int}) or LossSums.misfit(state.get("losses"))
        return not wrong and stated in (None, file_hashes(checkpoint, SAMPLER_FILE))
    except (OSError, ValueError, AttributeError, RecursionError):
        return False


@contextlib.contextmanager
def restoring(checkpoint: str | Path | None) -> Iterator[None]:
    """Say in one line that a checkpoint cannot be read, or holds code, which is not run.

    Raises:
        ShiftlensError: Reading it raised anything.
    """
    try:
        yield
    except Exception as error:  # a damaged file can make torch raise anything
        words = " ".join(str(error).split())[:300]
        raise ShiftlensError(
            f"checkpoint {checkpoint} cannot be read ({words}); delete it, and the training goes "
            "on from the one before it"
        ) from error
