"""Manifests of stores: what a sound one holds, and how two of them differ."""

import json
from pathlib import Path
from typing import Any

from shiftlens.errors import ShiftlensError
from shiftlens.forms import is_code, misfit

SHARD = ".safetensors"
LONGEST_NAME = 200
_FORM = {
    "model": {"d_model": int},
    "corpus": {"languages": [str], "sentences": int},
    "layers": [int],
    "pooling": {"special_tokens": bool, "skip_first": bool},
    "shards": [{"file": str, "language": str, "rows": int}],
}


def wrong_manifest(manifest: dict[str, Any]) -> str:
    """What is wrong with a manifest that matches its hash; empty where nothing is."""
    if wrong := misfit(manifest, _FORM, "manifest"):
        return wrong
    languages, layers = manifest["corpus"]["languages"], manifest["layers"]
    if not languages or not all(map(is_code, languages)):
        return "its languages are no codes"
    if not layers or layers != list(range(len(layers))):
        return "its layers are not 0..L"
    for shard in manifest["shards"]:
        name = shard["file"]
        if Path(name).name != name or not name.endswith(SHARD) or not name.isprintable():
            return f"shard {name!r} is no name of a shard in it"
        if len(name.encode()) > LONGEST_NAME:
            return f"shard {name!r} has too long a name"
        if shard["language"] not in languages:
            return f"shard {shard['file']!r} is of a language that it does not have"
    return ""


def refuse_mixing(path: Path, there: dict[str, Any], asked: dict[str, Any]) -> None:
    """Say what differs between the store that is there and the one asked for.

    Raises:
        ShiftlensError: Anything does.
    """
    asked = json.loads(json.dumps(asked))
    differing = [key for key in sorted({*there, *asked}) if there.get(key) != asked.get(key)]
    if differing:
        what = "; ".join(_difference(key, there.get(key), asked.get(key)) for key in differing)
        raise ShiftlensError(
            f"{path} holds other states, which are not mixed ({what}); choose another folder, "
            "or delete this one"
        )


def _difference(key: str, there: Any, asked: Any) -> str:
    if isinstance(there, dict) and isinstance(asked, dict):
        parts = [name for name in {*there, *asked} if there.get(name) != asked.get(name)]
        return f"another {key}: {', '.join(sorted(parts))}"
    return f"other {key}"
