"""Proof, on the user's own model, that shiftlens reads the states it says it reads."""

import pandas as pd
import torch
from torch import Tensor

from shiftlens.bridge import bridged
from shiftlens.models import LanguageModel
from shiftlens.residual import hook_names, residual_hooks

SENTENCES = (
    "Yes.",
    "The river was higher than anyone in the village could remember.",
    "El tren sale a las ocho de la mañana.",
    "Вечером мы долго говорили о музыке.",
    "今日はとても暑いです。",
    "आज बाज़ार बंद है।",
)
TOLERANCE = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}


def check_model(model: LanguageModel) -> tuple[pd.DataFrame, bool]:
    r"""Compare the states read through TransformerLens with the model's own.

    Every figure is :math:`\max_t \| h_t - h'_t \| / \| h'_t \|` over the tokens t of six
    sentences, so that tokens of huge norm (attention sinks) hide nothing. h' is the state of the
    sentence run alone, unpadded, through the plain model: Hugging Face ``hidden_states`` for
    layers 0..L-1 and a torch hook on the last block for layer L.

    Args:
        model: The model to check.

    Returns:
        One row a layer: the blocks' hooks, which collection reads, on single texts, on
        right-padded and on left-padded batches, and the whole bridge on a right-padded batch; a
        last row with the same for the logits. And whether all lie under the tolerance (1e-4 in
        float32, 1e-2 in float16, 5e-2 in bfloat16).
    """
    whole = model.tokenizer(list(SENTENCES), verbose=False)["input_ids"]
    ids = [sentence[: model.max_positions] for sentence in whole]
    with torch.no_grad():
        reference = [_plain_states(model, sentence) for sentence in ids]
        with bridged(model, blocks_only=True) as bridge:
            single = [_bridge_states(model, bridge, [sentence])[0] for sentence in ids]
            columns = {
                "hook vs HF": single,
                "right-padded": _bridge_states(model, bridge, ids, "right"),
                "left-padded": _bridge_states(model, bridge, ids, "left"),
            }
        with bridged(model) as bridge:
            columns["whole bridge"] = _bridge_states(model, bridge, ids)
    rows = [str(layer) for layer in range(model.n_layers + 1)] + ["logits"]
    table = pd.DataFrame(
        {
            name: [
                _error([s[i] for s in states], [s[i] for s in reference]) for i in range(len(rows))
            ]
            for name, states in columns.items()
        },
        index=pd.Index(rows, name="layer"),
    )
    return table, bool((table < TOLERANCE[model.hf.dtype]).all(axis=None))


def _error(states: list[Tensor], reference: list[Tensor]) -> float:
    new, old = torch.cat(states).double(), torch.cat(reference).double()
    return ((new - old).norm(dim=-1) / old.norm(dim=-1).clamp_min(1e-12)).max().item()


def _plain_states(model: LanguageModel, ids: list[int]) -> list[Tensor]:
    """Layers 0..L and the logits of one text, each ``(pos, width)``."""
    last: list[Tensor] = []
    with residual_hooks(model, lambda _, stream: last.append(stream.clone()), [model.n_layers]):
        output = model.hf(**model.pad([ids]), output_hidden_states=True)
    states = [*output.hidden_states[: model.n_layers], *last, output.logits]
    return [state[0].float().cpu() for state in states]


def _bridge_states(
    model: LanguageModel, bridge: object, sequences: list[list[int]], side: str = "right"
) -> list[list[Tensor]]:
    """The same through the bridge for a padded batch: for each text, its states."""
    names = hook_names(model.n_layers)
    seen: dict[str, Tensor] = {}

    def keep(stream: Tensor, hook: object) -> None:
        seen[hook.name] = stream.detach()  # type: ignore[attr-defined]

    inputs = model.pad(sequences, side)
    with bridge.hooks(fwd_hooks=[(name, keep) for name in names]):  # type: ignore[attr-defined]
        logits = model.hf(**inputs).logits
    states = [*(seen[name] for name in names), logits]
    mask = inputs["attention_mask"].bool()
    return [[s[row][mask[row]].float().cpu() for s in states] for row in range(len(sequences))]
