"""Running patches: many in one forward pass that computes nothing twice.

A patch at position p leaves everything before p as it was, and everything below its layer. So the
patches from p on are run on the suffix p..T-1 alone, over the keys and values of the unpatched
prefix; and the batch grows on the way up: at each layer it gains a row for every patch at
this layer, which begins as the unpatched run's stream there.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor
from transformers import Cache, DynamicCache

from shiftlens.generation import cache_argument
from shiftlens.models import LanguageModel
from shiftlens.patching.alignment import Site
from shiftlens.patching.components import n_heads, projections
from shiftlens.patching.growing import GROWING, every_row_alike, prefix_cache
from shiftlens.patching.metrics import check_finite
from shiftlens.residual import residual_hooks


@dataclass(frozen=True)
class Patch:
    """One patch: where the clean states go.

    Attributes:
        layer: Layer of ``resid``, or block from 1.
        site: Positions.
        head: Which head, or None.
    """

    layer: int
    site: Site
    head: int | None = None

    @property
    def start(self) -> int:
        """The first position that changes."""
        return min(self.site.corrupt)


class Patcher:
    """The runs of a pair of texts, ready to be patched.

    Args:
        model: A causal language model.
        clean: Token ids of the clean text.
        corrupt: Token ids of the corrupt text.
        component: What is patched.
        layers: At which layers.
        bases: Layer to orthonormal basis ``(d_model, r)``; empty for whole states.
        part: ``inside`` or ``outside`` the basis; ``whole`` without one.

    Attributes:
        clean_logits: Next-token logits of the clean run, ``(1, vocabulary)``.
        corrupt_logits: The same of the corrupt run.
        clean_cache: Keys and values of the clean run.
        corrupt_cache: Keys and values of the corrupt run.
    """

    def __init__(
        self,
        model: LanguageModel,
        clean: Sequence[int],
        corrupt: Sequence[int],
        component: str,
        layers: Sequence[int],
        bases: dict[int, Tensor],
        part: str = "whole",
    ):
        self.model, self.component, self.bases, self.part = model, component, bases, part
        self.ids = torch.tensor([corrupt], device=model.device)
        self.entry = 0 if component == "resid" else 1  # block b is entered at layer b - 1
        self.modules = [] if component == "resid" else projections(model, component)
        self.clean_cache, self.corrupt_cache = DynamicCache(), DynamicCache()
        self._states: dict[int, Tensor] = {}
        self._streams: dict[int, Tensor] = {}
        with self._reading(layers):
            logits = self.forward(torch.tensor([clean], device=model.device), self.clean_cache)
        self.clean_logits = check_finite(logits, "clean")
        streams = [layer - self.entry for layer in layers]
        with residual_hooks(model, self._streams.__setitem__, streams):
            logits = self.forward(self.ids, self.corrupt_cache)
        self.corrupt_logits = check_finite(logits, "corrupt")

    @torch.no_grad()
    def forward(self, ids: Tensor, cache: Cache, seen: int = 0) -> Tensor:
        """Next-token logits, ``(rows, vocabulary)``.

        Args:
            ids: Tokens to read, ``(rows, positions)``.
            cache: What was read before them, to which they are added.
            seen: How many positions that is.
        """
        hf = self.model.hf
        mask = ids.new_ones(len(ids), seen + ids.shape[1])
        training = hf.training
        hf.eval()
        try:
            output = hf(
                input_ids=ids,
                attention_mask=mask,
                **cache_argument(hf, cache),
                use_cache=True,
                logits_to_keep=1,
            )
        finally:
            hf.train(training)
        return output.logits[:, -1]

    def run(self, patches: Sequence[Patch], grow: bool | None = None) -> Tensor:
        """Run patches in one forward pass.

        Args:
            patches: In rising order of layers.
            grow: Whether the batch grows from layer to layer; by default where the model can.

        Returns:
            Next-token logits ``(patches, vocabulary)``.
        """
        if grow is None:
            grow = self.model.hf.config.model_type in GROWING
        start = min(patch.start for patch in patches)
        ids = self.ids[:, start:]
        rows = ids if grow else ids.expand(len(patches), -1)
        with self._patching(patches, start, grow):
            logits = self.forward(rows, prefix_cache(self.corrupt_cache, start), start)
        return check_finite(logits, "patched")

    def read(self, patch: Patch) -> tuple[Tensor, DynamicCache]:
        """Read the whole corrupt text with one patch.

        Returns:
            Next-token logits ``(1, vocabulary)``, and keys and values.
        """
        cache = DynamicCache()
        with self._patching([patch], 0, grow=False):
            logits = self.forward(self.ids, cache)
        return check_finite(logits, "patched"), cache

    @contextlib.contextmanager
    def _reading(self, layers: Sequence[int]) -> Iterator[None]:
        """Keep the states of the one row that is read."""

        def keep(layer: int, states: Tensor) -> None:
            self._states[layer] = states.reshape(-1, states.shape[-1])

        with contextlib.ExitStack() as stack:
            if self.component == "resid":
                stack.enter_context(residual_hooks(self.model, keep, layers))
            for layer in layers if self.modules else ():
                stack.enter_context(self._at_projection(layer, keep))
            yield

    @contextlib.contextmanager
    def _patching(self, patches: Sequence[Patch], start: int, grow: bool) -> Iterator[None]:
        """Patch one row after another, in the order of the patches."""
        groups = {layer: list(group) for layer, group in groupby(patches, lambda p: p.layer)}
        first = {layer: patches.index(group[0]) for layer, group in groups.items()}
        length = self.ids.shape[1] - start

        def put(layer: int, states: Tensor) -> Tensor:
            shaped = states.reshape(-1, length, states.shape[-1]).clone()
            for row, patch in enumerate(groups[layer], first[layer]):
                self._put(shaped[row], patch, start)
            return shaped.view(states.shape)

        def entering(layer: int, stream: Tensor) -> Tensor:
            patched = layer + self.entry
            if grow:
                new = self._streams[layer][:, start:].expand(len(groups[patched]), -1, -1)
                stream = torch.cat([stream[: first[patched]], new])
            return put(patched, stream) if self.component == "resid" else stream

        with contextlib.ExitStack() as stack:
            streams = [layer - self.entry for layer in groups]
            stack.enter_context(residual_hooks(self.model, entering, streams))
            for layer in groups if self.modules else ():
                stack.enter_context(self._at_projection(layer, put))
            if grow:
                stack.enter_context(every_row_alike(self.model.blocks))
            yield

    def _put(self, states: Tensor, patch: Patch, start: int) -> None:
        """Patch one row, ``(positions, width)``, in place."""
        at = [position - start for position in patch.site.corrupt]
        new = self._states[patch.layer][list(patch.site.clean)]
        if patch.head is not None:
            width = states.shape[-1] // n_heads(self.model)
            part = slice(patch.head * width, (patch.head + 1) * width)
            states[at, part] = new[:, part]
        elif patch.layer in self.bases:
            basis, old = self.bases[patch.layer], states[at].float()
            step = new.float() - old
            inside = (step @ basis) @ basis.T
            new = old + (inside if self.part == "inside" else step - inside)
            states[at] = new.to(states.dtype)
        else:
            states[at] = new

    @contextlib.contextmanager
    def _at_projection(
        self, layer: int, action: Callable[[int, Tensor], Tensor | None]
    ) -> Iterator[None]:
        """Call ``action(layer, states)`` where a block's component is; what it returns counts."""
        module = self.modules[layer - 1]
        if self.component == "head":
            handle = module.register_forward_pre_hook(lambda _, args: action(layer, args[0]))
        else:
            handle = module.register_forward_hook(lambda _, __, output: action(layer, output))
        try:
            yield
        finally:
            handle.remove()
