"""The shift that language vectors make: toward the dominant subspace and back.

Layer ``l`` is the residual stream after block ``l``: a vector measured there is applied there.
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from shiftlens.errors import ShiftlensError
from shiftlens.forms import misfit
from shiftlens.generation import guarded_generate
from shiftlens.language_vectors import LanguageVectors
from shiftlens.languages import DOMINANT
from shiftlens.models import LanguageModel
from shiftlens.residual import hook_names, residual_hooks
from shiftlens.written import write_json


@dataclass(frozen=True)
class Shift:
    r"""ShifCon's shift: into the dominant language's subspace at layer a, back at layer b.

    In the forward pass of a text in language k, at every position:

    .. math::
        h_a \leftarrow h_a - v(k, a) + v(D, a), \qquad
        h_b \leftarrow h_b - v(D, b) + v(k, b)

    Texts in the dominant language pass unchanged, bit for bit.

    Attributes:
        vectors: The language vectors.
        area: Layers (a, b), 1 <= a < b <= L - 1.
        dominant: The dominant language D.
        target: Language to shift to instead of D (a control); texts in it pass unchanged too.

    Raises:
        ShiftlensError: The area is not inside 1..L-1, or a language has no vectors.

    Source:
        Zhang et al., "ShifCon", ACL 2025, arXiv:2410.19453, section 3.
    """

    vectors: LanguageVectors
    area: tuple[int, int]
    dominant: str = DOMINANT
    target: str | None = None

    def __post_init__(self) -> None:
        check_area(self.area, self.vectors.n_layers)
        self.vectors[self.dominant]
        if self.target is not None:
            self.vectors[self.target]

    def delta(self, language: str, layer: int) -> Tensor | None:
        """What is added to the residual stream of a text, ``(d_model,)``; None for nothing."""
        target = self.target or self.dominant
        own = self.vectors[language]
        if language in (self.dominant, target) or layer not in self.area:
            return None
        difference = self.vectors[target][layer] - own[layer]
        return difference if layer == self.area[0] else -difference

    def action(self, languages: Sequence[str]) -> "RowShift":
        """The shift of a batch whose rows are in these languages."""
        return RowShift(self, tuple(languages))

    @contextlib.contextmanager
    def applied(self, model: Any, languages: str | Sequence[str]) -> Iterator[None]:
        """Shift every forward pass, backward pass and ``generate`` inside the context.

        Args:
            model: A :class:`LanguageModel` (torch hooks) or a ``TransformerBridge``
                (TransformerLens hooks; generate with the plain model).
            languages: Language of each row of the batch, or one for all rows. Where ``generate``
                makes several rows of one prompt (beams, samples), each keeps its prompt's
                language.

        Yields:
            Nothing; the hooks are removed on exit, also after an error.

        Raises:
            ShiftlensError: A language has no vectors, the rows are not as many as the languages,
                or ``generate`` is called with right-padded prompts.
        """
        rows = [languages] if isinstance(languages, str) else languages
        action = self.action(rows)
        if isinstance(model, LanguageModel):
            plain = residual_hooks(model, action, self.area)
            with plain, guarded_generate(model.hf, action.repeating):
                yield
            return
        names = hook_names(self.vectors.n_layers)
        hooks = [
            (names[layer], lambda stream, hook, layer=layer: action(layer, stream))
            for layer in self.area
        ]
        with model.hooks(fwd_hooks=hooks):
            yield

    def save(self, folder: str | Path) -> None:
        """Write ``shift.safetensors`` and, last, ``shift.json`` beside a saved model."""
        folder = Path(folder)
        self.vectors.save(folder / "shift.safetensors")
        facts = {
            "layer_convention": "layer l is the residual stream after block l",
            "area": list(self.area),
            "dominant": self.dominant,
            "target": self.target,
            "languages": sorted(self.vectors.vectors),
        }
        write_json(folder / "shift.json", facts)

    @classmethod
    def load(cls, folder: str | Path) -> "Shift":
        """Read what :meth:`save` wrote.

        Raises:
            ShiftlensError: The folder holds no shift, or a damaged one.
        """
        folder = Path(folder)
        try:
            facts = json.loads((folder / "shift.json").read_text(encoding="utf-8"))
            form = {"area": [int], "dominant": str, "target": (str, type(None))}
            if wrong := misfit(facts, form, "shift"):
                raise ValueError(wrong)
            a, b = facts["area"]
            dominant, target = facts["dominant"], facts["target"]
        except (OSError, ValueError, RecursionError) as error:
            raise ShiftlensError(f"{folder} holds no readable shift.json ({error})") from error
        vectors = LanguageVectors.load(folder / "shift.safetensors")
        return cls(vectors, (a, b), dominant, target)


class RowShift:
    """The shift of one batch, each row in its own language: called at each hooked layer.

    Attributes:
        shift: What it applies.
        languages: Language of each row, or one for all.
        generating: Whether ``generate`` is running, which makes several rows of one prompt.
    """

    def __init__(self, shift: Shift, languages: tuple[str, ...]):
        self.shift = shift
        self.languages = languages
        self.generating = False
        self._deltas = {layer: self._stack(layer) for layer in shift.area}

    def _stack(self, layer: int) -> tuple[Tensor, Tensor]:
        """Deltas ``(rows, 1, d_model)`` and which rows are shifted, ``(rows, 1, 1)``."""
        deltas = [self.shift.delta(language, layer) for language in self.languages]
        zero = torch.zeros_like(self.shift.vectors[self.shift.dominant][layer])
        moved = torch.tensor([delta is not None for delta in deltas])
        stacked = torch.stack([zero if delta is None else delta for delta in deltas])
        return stacked[:, None], moved[:, None, None]

    @contextlib.contextmanager
    def repeating(self) -> Iterator[None]:
        """Inside, ``generate`` is running."""
        self.generating = True
        try:
            yield
        finally:
            self.generating = False

    def __call__(self, layer: int, stream: Tensor) -> Tensor | None:
        """The shifted stream ``(batch, pos, d_model)``; None where nothing moves."""
        if layer not in self._deltas:
            return None
        delta, moved = self._deltas[layer]
        repeats, rest = divmod(stream.shape[0], len(self.languages))
        several = len(self.languages) > 1 and not self.generating
        if rest or (several and repeats > 1):
            raise ShiftlensError(
                f"a batch of {stream.shape[0]} rows cannot be shifted by {len(self.languages)} "
                "languages; give one language, or one for each row"
            )
        if not moved.any():
            return None
        delta = delta.to(stream.device, stream.dtype).repeat_interleave(repeats, dim=0)
        if moved.all():
            return stream + delta
        return torch.where(
            moved.to(stream.device).repeat_interleave(repeats, dim=0), stream + delta, stream
        )


def check_area(area: tuple[int, int], n_layers: int) -> None:
    """Refuse an area that is not inside the model.

    Raises:
        ShiftlensError: Unless 1 <= a < b <= L - 1.
    """
    a, b = area
    if not 1 <= a < b <= n_layers - 1:
        raise ShiftlensError(
            f"area {a}-{b} is not possible: with L = {n_layers} blocks it takes two layers "
            f"a < b inside 1..{n_layers - 1}"
        )
