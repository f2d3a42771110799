"""How much memory the lens takes, from a model's configuration alone."""

from dataclasses import dataclass

from transformers import PreTrainedConfig

from shiftlens.asked import check_dtype
from shiftlens.lens.head import CHECK_COPIES, PROBE, refuse_other_kinds
from shiftlens.lens.reading import CHUNK_BYTES, COPIES
from shiftlens.loading import DTYPES
from shiftlens.weightless import weightless


@dataclass(frozen=True)
class LensMemory:
    """What the lens holds at once, in bytes.

    Attributes:
        weights: The model's.
        forward: The widest block at work on a batch, and its attention's scores.
        logits: Those of the positions that are read at once, and what is made of them; which
            token is of which language; and what the check of the head takes.
    """

    weights: int
    forward: int
    logits: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.forward + self.logits


def lens_memory(
    config: PreTrainedConfig,
    dtype: str = "float32",
    batch_tokens: int = 1024,
    longest: int = 512,
    languages: int = 9,
) -> LensMemory:
    r"""Plan the lens's memory; no weight is made.

    With T tokens in a batch of texts of at most n tokens, width d, MLP width m, H heads and b bytes
    a number, a block holds at most

    .. math:: b \, T \, (8 d + 3 m) + (b + 4) \, H \, T \, n

    (residual stream, norm, queries, keys, values, outputs; gate, up and their product; the
    attention's scores, and their softmax in float32). The layers' streams are not kept, and the
    logits of a layer come a few positions at a time, so that nothing grows with the number of
    layers or of texts but the weights and the results, 8 bytes a number. Python and its libraries,
    about half a GiB, come on top.

    Args:
        config: Of a causal language model.
        dtype: ``float32``, ``bfloat16`` or ``float16``.
        batch_tokens: Most tokens in a batch.
        longest: Longest text in tokens.
        languages: How many languages tokens are told apart by.

    Returns:
        The plan.

    Raises:
        ShiftlensError: The configuration is not of a causal language model, or the dtype is none.
    """
    refuse_other_kinds(config)
    check_dtype(dtype)
    with weightless(config, dtype) as model:
        weights = sum(tensor.nbytes for tensor in model.parameters())
        vocabulary = model.get_output_embeddings().weight.shape[0]
    text = config.get_text_config()
    size, width = DTYPES[dtype].itemsize, int(text.hidden_size)
    inner = getattr(text, "intermediate_size", None) or getattr(text, "ffn_dim", None) or 4 * width
    heads = int(text.num_attention_heads)
    block = size * batch_tokens * (8 * width + 3 * int(inner))
    scores = (size + 4) * heads * batch_tokens * min(longest, batch_tokens)
    chunk = min(batch_tokens, max(1, CHUNK_BYTES // (4 * COPIES * vocabulary)))
    logits = chunk * vocabulary * (4 * COPIES + (size if size < 4 else 0))
    groups = vocabulary * (languages + 2) * 4
    checked = len(PROBE) * vocabulary * 4 * CHECK_COPIES
    return LensMemory(weights, block + scores, logits + groups + checked)
