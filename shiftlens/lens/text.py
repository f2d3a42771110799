"""What every layer would say after every token of one text."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from shiftlens.errors import ShiftlensError
from shiftlens.lens.head import LensHead
from shiftlens.lens.reading import check_finite, entropy, read_layers, shifting
from shiftlens.lens.token_languages import TokenLanguages
from shiftlens.models import LanguageModel
from shiftlens.patching.prompts import Prompt, read_prompt, token_text
from shiftlens.shift import Shift


@dataclass(frozen=True)
class TextLens:
    """The lens over one text.

    Attributes:
        prompt: The text's tokens.
        table: One row a layer and position: ``layer, position, token, top`` (the likeliest next
            tokens), ``probabilities`` (theirs), ``entropy`` in nats, ``next`` (the token that the
            text goes on with), ``next_rank`` and ``next_probability`` (1 is the first choice; None
            and NaN at the last position), and, where the tokens' languages are known, the mass of
            each group in a column of its name.
        tokens: Which tokens are of which language, or None.
    """

    prompt: Prompt
    table: pd.DataFrame
    tokens: TokenLanguages | None


def text_lens(
    model: LanguageModel,
    text: str,
    tokens: TokenLanguages | None = None,
    *,
    shift: Shift | None = None,
    language: str | None = None,
    top: int = 5,
) -> TextLens:
    r"""Read every layer of one text at every position.

    Args:
        model: A causal language model with a fast tokenizer.
        text: The text.
        tokens: Which tokens are of which language, for the masses; see :class:`TokenLanguages`.
        shift: Read with this shift on.
        language: The text's language; needed for a shift alone.
        top: How many of the likeliest next tokens to keep.

    Returns:
        The lens over the text; layer L is the model's own prediction.

    Raises:
        ShiftlensError: The text is empty or too long, the model is an encoder or its head is not
            known, a shift is given without a language, or what is read is NaN or infinite.

    Source:
        nostalgebraist, "interpreting GPT: the logit lens", LessWrong, 2020.
    """
    if top < 1:
        raise ShiftlensError(f"top is {top}; give 1 or more")
    if shift is not None and language is None:
        raise ShiftlensError("a shift moves a text as its language is; give the language")
    head = LensHead.of(model)
    prompt = read_prompt(model, text)
    inputs = model.pad([prompt.ids])
    following = torch.tensor([*prompt.ids[1:], prompt.ids[-1]], device=model.device)

    def measure(logits: Tensor, rows: slice) -> Tensor:
        probabilities = logits.softmax(-1)
        likely = probabilities.topk(min(top, logits.shape[-1]))
        wanted = following[rows, None].to(logits.device)
        rank = 1 + (logits > logits.gather(1, wanted)).sum(-1, keepdim=True)
        columns = [likely.indices, likely.values, rank, probabilities.gather(1, wanted)]
        columns.append(entropy(probabilities)[:, None])
        if tokens is not None:
            columns.append(tokens.mass(probabilities))
        return torch.cat([column.cpu().double() for column in columns], dim=1)

    with shifting(model, shift, language or ""):
        values = read_layers(model, head, inputs, inputs["attention_mask"].bool(), measure)
    check_finite(values, "the text")
    return TextLens(prompt, _table(model, prompt, values.numpy(), tokens), tokens)


def _table(
    model: LanguageModel, prompt: Prompt, values: np.ndarray, tokens: TokenLanguages | None
) -> pd.DataFrame:
    groups = tokens.groups if tokens else ()
    kept = (values.shape[-1] - 3 - len(groups)) // 2
    names: dict[int, str] = {}
    rows = []
    for layer, position in np.ndindex(values.shape[:2]):
        ids, likely, rest = np.split(values[layer, position], [kept, 2 * kept])
        shown = [names.setdefault(int(t), token_text(model, int(t))) for t in ids]
        last = position == len(prompt) - 1
        rows.append(
            {
                "layer": layer,
                "position": position,
                "token": prompt.tokens[position],
                "top": tuple(shown),
                "probabilities": tuple(likely.tolist()),
                "entropy": rest[2],
                "next": None if last else prompt.tokens[position + 1],
                "next_rank": None if last else int(rest[0]),
                "next_probability": np.nan if last else rest[1],
                **dict(zip(groups, rest[3:].tolist(), strict=True)),
            }
        )
    return pd.DataFrame(rows)
