"""Where in a model's folder its transformer lies."""

import json
from pathlib import Path

from shiftlens.errors import ShiftlensError

MODULES = "modules.json"


def transformer_folder(path: str) -> str:
    """The folder of the transformer itself, also of a sentence-transformers model.

    Such a model lists its parts in ``modules.json``; the first is the transformer, which older
    models keep in a folder of its own.

    Args:
        path: A local directory, or a hub id, which is returned as it is.

    Returns:
        The directory that holds ``config.json``.

    Raises:
        ShiftlensError: The list is damaged or does not begin with a transformer.
    """
    listed = Path(path) / MODULES
    if not listed.is_file():
        return path
    try:
        first = json.loads(listed.read_text(encoding="utf-8"))[0]
        kind, folder = str(first["type"]), str(first["path"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise ShiftlensError(f"{listed} does not list a model's parts ({error})") from error
    if not kind.endswith(".Transformer"):
        raise ShiftlensError(f"{listed}: the first part is {kind}, not a transformer")
    if not (Path(path) / folder).resolve().is_relative_to(Path(path).resolve()):
        raise ShiftlensError(f"{listed}: {folder!r} lies outside the model's folder")
    return str(Path(path) / folder)


def check_model_folder(name: str) -> None:
    """Refuse a path that is no model's, and no hub id either.

    Args:
        name: A local directory, a ``config.json`` alone, or a hub id, which passes.

    Raises:
        ShiftlensError: There is nothing, or a directory without ``config.json``.
    """
    path = Path(name)
    hub_id = not (path.is_absolute() or name.startswith((".", "~")) or name.endswith(".json"))
    if not path.exists() and not (hub_id and name.count("/") < 2):
        raise ShiftlensError(f"model directory {name!r} does not exist")
    if path.is_dir() and not (path / "config.json").is_file():
        raise ShiftlensError(f"{name!r} holds no config.json: not a Hugging Face model directory")
