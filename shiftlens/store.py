"""Stores: safetensors shards beside a JSON manifest.

A store is a folder. ``manifest.json`` says what is in it and which shards make it up; it is
written once, before the first shard. A shard holds some sentences of one language at all layers;
it appears under its name only when it is whole, so a killed run leaves whole shards and nothing
else, and the next run goes on with the missing ones. Every tensor's SHA-256 stands in its shard's
header and is checked whenever the tensor is read.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from shiftlens.errors import ShiftlensError
from shiftlens.files import make_folder, write_atomic
from shiftlens.manifests import refuse_mixing, wrong_manifest

STORE = "activations"
"""Name of a store's folder in a run folder."""

MANIFEST = "manifest.json"
DAMAGE = (
    *(SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError),
    *(RecursionError, MemoryError),
)
"""What reading a damaged shard can raise."""


def array_sha256(array: np.ndarray) -> str:
    """Hash of an array's type, shape and content."""
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape} ".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def layer_key(layer: int) -> str:
    """Name of a layer's tensors in a shard."""
    return f"layer.{layer:02d}"


@dataclass(frozen=True)
class ShardStore:
    """What every store has: a manifest, and shards that are whole or missing.

    Attributes:
        path: The folder.
        manifest: What is in it: ``model``, ``corpus``, ``layers``, ``pooling``, ``batching``,
            ``tokens`` (one row a language) and ``shards`` (file, language, number of rows).
    """

    path: Path
    manifest: dict[str, Any]
    kind: ClassVar[str]
    format: ClassVar[int | str]

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open a store that exists.

        Raises:
            ShiftlensError: There is no store, or its manifest is not readable.
        """
        path = Path(path)
        try:
            manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        except OSError as error:
            raise ShiftlensError(f"no {cls.kind} in {path}: no {MANIFEST}") from error
        except (ValueError, RecursionError) as error:
            raise ShiftlensError(f"{path / MANIFEST} is damaged ({error}); collect anew") from error
        if not isinstance(manifest, dict) or manifest.get("format") != cls.format:
            raise ShiftlensError(f"{path / MANIFEST} is not of store format {cls.format}")
        stated = manifest.pop("sha256", None)
        store = cls(path, manifest)
        if stated != store.manifest_sha256:
            raise ShiftlensError(
                f"{path / MANIFEST} is damaged (it does not match its hash); collect anew"
            )
        if wrong := wrong_manifest(manifest):
            raise ShiftlensError(f"{path / MANIFEST} describes no store ({wrong}); collect anew")
        return store

    @classmethod
    def create(cls, path: str | Path, manifest: dict[str, Any]) -> Self:
        """Begin a store, or come back to the one that this very manifest began.

        Raises:
            ShiftlensError: The folder holds states of another model, corpus or setting.
        """
        path = make_folder(Path(path))
        store = cls(path, {"format": cls.format, **manifest})
        if (path / MANIFEST).exists():
            refuse_mixing(path, cls.open(path).manifest, store.manifest)
        else:
            content = {**store.manifest, "sha256": store.manifest_sha256}
            text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False)
            write_atomic(path / MANIFEST, (text + "\n").encode())
        return store

    @property
    def manifest_sha256(self) -> str:
        """SHA-256 of the manifest, which every shard states."""
        return hashlib.sha256(json.dumps(self.manifest, sort_keys=True).encode()).hexdigest()

    @property
    def languages(self) -> tuple[str, ...]:
        """Language codes, in the order they were asked for."""
        return tuple(self.manifest["corpus"]["languages"])

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers stored, 0..L."""
        return tuple(self.manifest["layers"])

    @property
    def n_sentences(self) -> int:
        """Sentences a language."""
        return int(self.manifest["corpus"]["sentences"])

    def holds(self, manifest: dict[str, Any]) -> bool:
        """Whether this is the store of a manifest, and complete."""
        asked = {"format": self.format, **manifest}
        same = json.dumps(asked, sort_keys=True) == json.dumps(self.manifest, sort_keys=True)
        return same and not self.missing()

    def missing(self) -> list[str]:
        """Names of the shards that are not there, or whose header is not of this store."""
        return [s["file"] for s in self.manifest["shards"] if self._problem(s["file"])]

    def _problem(self, file: str) -> str | None:
        """Why a shard cannot be used, judged by its header."""
        if not (self.path / file).is_file():
            return "missing"
        if (self.path / file).resolve().parent != self.path.resolve():
            return "a link to a file elsewhere"
        try:
            header = self._header(file)
            of_this_store = header["manifest"] == self.manifest_sha256
            in_its_place = header["file"] == file
        except DAMAGE as error:
            return f"damaged ({error})"
        if not of_this_store:
            return "not of this manifest"
        return None if in_its_place else "another shard under its name"

    def _header(self, file: str) -> dict[str, str]:
        with safe_open(self.path / file, framework="np") as shard:
            return json.loads(shard.metadata()["shiftlens"])

    def _write(self, file: str, tensors: dict[str, np.ndarray]) -> None:
        """Add a shard, one of the manifest's, with the hash of every tensor in its header."""
        header = {key: array_sha256(value) for key, value in tensors.items()}
        header |= {"manifest": self.manifest_sha256, "file": file}
        metadata = {"shiftlens": json.dumps(header, sort_keys=True)}
        write_atomic(self.path / file, save(tensors, metadata=metadata))

    def _read(self, file: str, keys: Sequence[str]) -> list[np.ndarray]:
        """Read tensors of a shard and hold each against its hash."""
        if problem := self._problem(file):
            raise ShiftlensError(f"shard {self.path / file} is {problem}; collect again to mend it")
        header = self._header(file)
        arrays = []
        with safe_open(self.path / file, framework="np") as shard:
            for key in keys:
                try:
                    arrays.append(shard.get_tensor(key))
                    sound = array_sha256(arrays[-1]) == header[key]
                except DAMAGE:
                    sound = False
                if not sound:
                    raise ShiftlensError(
                        f"shard {self.path / file}, {key}: content does not match its hash; "
                        "delete the shard and collect again"
                    )
        return arrays

    def _check_stored(self, language: str, layer: int) -> None:
        """Refuse a language or layer that the store does not have."""
        if language not in self.languages:
            known = ", ".join(self.languages)
            raise ShiftlensError(f"language {language!r} is not in {self.path} (there: {known})")
        if layer not in self.layers:
            raise ShiftlensError(f"layer {layer} is not in {self.path} (0..{self.layers[-1]})")


class ActivationStore(ShardStore):
    """Sentence vectors of every language at every layer, on disk."""

    kind = "activation store"
    format = 1

    def write(self, file: str, rows: np.ndarray, states: np.ndarray) -> None:
        """Add a shard.

        Args:
            file: Its name, one of the manifest's.
            rows: Sentence numbers in corpus order, ``(n,)``.
            states: Sentence vectors ``(n, L + 1, d_model)``.
        """
        tensors = {"rows": rows.astype(np.int64)}
        for position, layer in enumerate(self.layers):
            tensors[layer_key(layer)] = np.ascontiguousarray(states[:, position], dtype=np.float32)
        self._write(file, tensors)

    def states(self, language: str, layer: int) -> np.ndarray:
        """Sentence vectors of one language at one layer, in corpus order.

        Returns:
            ``(n_sentences, d_model)``, float32.

        Raises:
            ShiftlensError: The language or layer is not stored, or a shard is missing or damaged.
        """
        self._check_stored(language, layer)
        names = [s["file"] for s in self.manifest["shards"] if s["language"] == language]
        parts = [self._read(name, ("rows", layer_key(layer))) for name in names]
        order = np.concatenate([rows.reshape(-1) for rows, _ in parts]) if parts else np.empty(0)
        width = self.manifest["model"]["d_model"]
        each_once = order.dtype.kind == "i" and np.array_equal(
            np.sort(order), np.arange(min(self.n_sentences, len(order) + 1))
        )
        if not each_once or any(values.shape != (rows.size, width) for rows, values in parts):
            raise ShiftlensError(
                f"the shards of {language!r} in {self.path} do not hold each of its "
                f"{self.n_sentences} sentences once; delete the store and collect anew"
            )
        states = np.empty((self.n_sentences, width), np.float32)
        while parts:  # so that no part is in memory twice
            rows, values = parts.pop()
            states[rows.reshape(-1)] = values
        return states

    def verify(self) -> list[str]:
        """Read every shard whole.

        Returns:
            One line a problem; empty where the store is complete and sound.
        """
        problems = []
        for shard in self.manifest["shards"]:
            try:
                tensors = self._read(shard["file"], ("rows", *map(layer_key, self.layers)))
                if {len(tensor) for tensor in tensors} != {shard["rows"]}:
                    problems.append(f"shard {self.path / shard['file']}: wrong number of rows")
            except ShiftlensError as error:
                problems.append(str(error))
        return problems
