"""A plain model's TransformerLens view: a bridge over the same weights, for analysis.

The bridge lives inside :func:`bridged`, which gives the plain model back on exit.
"""

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any

import transformers

from shiftlens.architectures import architecture_name
from shiftlens.errors import ShiftlensError
from shiftlens.models import LanguageModel


@contextlib.contextmanager
def bridged(model: LanguageModel, blocks_only: bool = False) -> Iterator[Any]:
    """View a plain model as a ``TransformerBridge``, and give the plain model back.

    Booting a bridge replaces modules of the model in place; on exit every module, parameter,
    buffer, hook and the attention implementation are what they were.

    Args:
        model: The model to view. Nothing is copied.
        blocks_only: Bridge the blocks alone, for their ``hook_in`` and ``hook_out``: what is
            inside them stays Hugging Face's own, with its faster attention.

    Yields:
        The ``transformer_lens`` bridge over the same weights.

    Raises:
        ShiftlensError: The weights were changed inside the context. Some bridges hold copies of
            fused weights, so that such a change may be lost: train the plain model instead.
    """
    from transformer_lens.model_bridge.sources import build_bridge_from_module

    restore = _snapshot(model.hf)
    attention = model.hf.config._attn_implementation
    try:
        bridge = build_bridge_from_module(
            model.hf,
            architecture_name(model.hf),
            hf_config=copy.deepcopy(model.hf.config),
            post_adapter_hook=_leave_blocks if blocks_only else None,
        )
        if blocks_only:
            model.hf.config._attn_implementation = attention
        bridge.eval()
        versions = {p: p._version for p in (*bridge.parameters(), *model.hf.parameters())}
        yield bridge
    finally:
        restore()
    if any(parameter._version != version for parameter, version in versions.items()):
        raise ShiftlensError(
            "weights were changed while the model was bridged; some bridges hold copies of fused "
            "weights, so the change may be lost: train the plain model outside of bridged()"
        )


def _leave_blocks(adapter: Any) -> None:
    """Take everything but the blocks and the embeddings around them out of a bridge's mapping."""
    mapping = adapter.component_mapping
    mapping["blocks"].submodules.clear()
    mapping["blocks"].hook_aliases = {}
    for name in set(mapping) - {"embed", "blocks", "ln_final", "unembed"}:
        del mapping[name]


def _snapshot(hf: transformers.PreTrainedModel) -> Callable[[], None]:
    """Remember the whole module tree; the function returned puts it back."""
    tree = [
        (
            module,
            dict(module.__dict__),
            {
                key: value.copy()
                for key, value in module.__dict__.items()
                if isinstance(value, dict)
            },
        )
        for module in hf.modules()
    ]
    attention = hf.config._attn_implementation

    def restore() -> None:
        for module, attributes, registries in tree:
            module.__dict__.clear()
            module.__dict__.update(attributes)
            for key, saved in registries.items():
                module.__dict__[key].clear()
                module.__dict__[key].update(saved)
        hf.config._attn_implementation = attention

    return restore
