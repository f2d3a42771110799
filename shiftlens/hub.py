"""Rows of a dataset of the Hugging Face hub, by id and pinned revision."""

import re
from typing import Any

from shiftlens.errors import ShiftlensError

PREFIX = "hf:"
_NAME = re.compile(
    r"(?P<path>[^@#:]+)(@(?P<revision>[^@#:]+))?(#(?P<name>[^@#:]+))?(:(?P<split>[^@#:]+))?"
)


def hub_rows(source: str) -> list[tuple[int, dict[str, Any]]]:
    """Load a split of a dataset.

    Args:
        source: ``hf:OWNER/NAME@REVISION#CONFIG:SPLIT``; all but the name may be left out, the
            split is then ``train``. A local directory stands for itself.

    Returns:
        Each row's number from 1, and the row.

    Raises:
        ShiftlensError: The name is not of this form, a dataset of the hub has no revision, or it
            cannot be had.
    """
    found = _NAME.fullmatch(source.removeprefix(PREFIX))
    if found is None:
        raise ShiftlensError(
            f"{source!r} names no dataset; write hf:OWNER/NAME@REVISION#CONFIG:SPLIT"
        )
    wanted = found.groupdict()
    if re.fullmatch(r"[\w.-]+/[\w.-]+", wanted["path"]) and wanted["revision"] is None:
        raise ShiftlensError(
            f"{source!r} has no revision, so another day it may be other data; write "
            f"hf:{wanted['path']}@COMMIT with a commit or tag of the dataset"
        )
    from datasets import load_dataset

    wanted["split"] = wanted["split"] or "train"
    try:
        rows = load_dataset(**wanted)
    except Exception as error:  # a builder can raise anything
        reason = " ".join(str(error).split())
        raise ShiftlensError(f"dataset {source!r} cannot be had: {reason}") from error
    return [(number, dict(row)) for number, row in enumerate(rows, 1)]
