"""Which language a model is about to speak at every layer, sentence by sentence."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from shiftlens.asked import check_positions
from shiftlens.corpora import Corpus
from shiftlens.effects import t_interval
from shiftlens.fitting import fitting_batch
from shiftlens.lens.head import LensHead
from shiftlens.lens.leader import leader
from shiftlens.lens.reading import check_finite, entropy, read_layers, shifting
from shiftlens.lens.token_languages import TokenLanguages
from shiftlens.models import LanguageModel
from shiftlens.pooling import Pooling
from shiftlens.shift import Shift
from shiftlens.tokens import TokenizedLanguage, pooled_mask, token_batches, tokenize

Positions = Literal["all", "last"]


@dataclass(frozen=True)
class LanguageLens:
    """What every layer is about to say, by language.

    Attributes:
        table: One row a sentence and layer: ``language, layer, sentence``, the probability mass of
            each group of tokens (see :class:`TokenLanguages`) in a column of its name, and
            ``entropy`` in nats; each the mean over the sentence's positions.
        tokens: The groups.
    """

    table: pd.DataFrame
    tokens: TokenLanguages

    def summary(self, level: float = 0.95) -> pd.DataFrame:
        """Means over sentences, with t-intervals.

        Args:
            level: Coverage of the intervals.

        Returns:
            Tidy: ``language, layer, group, mean, low, high, n``; ``group`` is a group of tokens or
            ``entropy``.
        """
        rows = []
        for (language, layer), part in self.table.groupby(["language", "layer"], sort=False):
            for group in (*self.tokens.groups, "entropy"):
                found = t_interval(part[group], level)
                bounds = {name: found[name] for name in ("mean", "low", "high")}
                row = {"language": language, "layer": layer, "group": group}
                rows.append(row | bounds | {"n": len(part)})
        return pd.DataFrame(rows)

    def pivots(self, level: float = 0.95) -> pd.DataFrame:
        """The language that has most of the mass at every layer, and how clearly.

        Ambiguous and unseen tokens do not compete.

        Args:
            level: Coverage of the intervals.

        Returns:
            Tidy: ``language, layer`` and what :func:`~shiftlens.lens.leader` says.
        """
        languages = list(self.tokens.languages)
        return pd.DataFrame(
            {"language": language, "layer": layer, **leader(part[languages], level)}
            for (language, layer), part in self.table.groupby(["language", "layer"], sort=False)
        )


def language_lens(
    model: LanguageModel,
    corpus: Corpus,
    tokens: TokenLanguages | None = None,
    *,
    shift: Shift | None = None,
    positions: Positions = "all",
    batch_tokens: int = 1024,
    max_length: int = 512,
    progress: bool = True,
) -> LanguageLens:
    r"""Read the next token's language at every layer.

    At a position of a text and a layer l the logit lens gives a distribution over the next token,
    :math:`p_l = \mathrm{softmax}(z(h_l))`; what is kept of it is the mass of each group of tokens,

    .. math:: P_l(g) = \sum_{t \in g} p_l(t)

    and its entropy, both averaged over the text's own positions (special tokens are not read).

    Args:
        model: A causal language model.
        corpus: The texts to read.
        tokens: Which tokens are of which language; by default as this corpus has them.
        shift: Read with this shift on, each text moved as its language is.
        positions: ``all`` of the text's own tokens, or its ``last`` one.
        batch_tokens: Most tokens, padding included, in one forward pass.
        max_length: Longest text in tokens; longer ones are cut.
        progress: Show a progress bar on stderr.

    Returns:
        The masses and entropies of every sentence.

    Raises:
        ShiftlensError: The model is an encoder or its head is not known, ``positions`` is neither,
            a language has no vectors in the shift, or what is read is NaN or infinite (language,
            layer and sentence named).

    Source:
        Wendler, Veselovsky, Monea and West, "Do Llamas Work in English?", ACL 2024,
        arXiv:2402.10588; there the tokens are those of one word and its translations.
    """
    tokens = tokens or TokenLanguages.of_corpus(model, corpus)
    found = language_tables(
        model,
        corpus,
        tokens,
        shift=shift,
        positions=positions,
        batch_tokens=batch_tokens,
        max_length=max_length,
        progress=progress,
    )
    return LanguageLens(pd.concat([table for _, table in found], ignore_index=True), tokens)


def language_tables(
    model: LanguageModel,
    corpus: Corpus,
    tokens: TokenLanguages,
    *,
    shift: Shift | None = None,
    positions: Positions = "all",
    batch_tokens: int = 1024,
    max_length: int = 512,
    progress: bool = True,
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Read one language of texts after the other, as :func:`language_lens` does.

    Yields:
        The language, and its rows of :attr:`LanguageLens.table`.

    Raises:
        ShiftlensError: As :func:`language_lens`.
    """
    check_positions(positions)
    head = LensHead.of(model)
    texts = tokenize(model, corpus, Pooling(), max_length)
    total = len(corpus) * len(corpus.languages)
    with tqdm(total=total, unit="texts", desc="lens", disable=not progress or None) as bar:
        for language, tokenized in texts.items():
            with shifting(model, shift, language):
                values = _read_language(
                    model, head, tokens, tokenized, positions, batch_tokens, bar
                )
            for sentence, own in zip(corpus.ids, values, strict=True):
                check_finite(own, f"language {language}, sentence {sentence}")
            yield language, _table(language, corpus.ids, tokens, values.numpy())


def _read_language(
    model: LanguageModel,
    head: LensHead,
    tokens: TokenLanguages,
    texts: TokenizedLanguage,
    positions: str,
    batch_tokens: int,
    bar: tqdm,
) -> Tensor:
    """Masses and entropy of every sentence and layer, ``(n, L + 1, groups + 1)``."""
    columns = len(tokens.groups) + 1
    means = torch.zeros(len(texts.ids), model.n_layers + 1, columns, dtype=torch.float64)

    def measure(logits: Tensor, _: slice) -> Tensor:
        probabilities = logits.softmax(-1)
        return torch.cat([tokens.mass(probabilities), entropy(probabilities)[:, None]], dim=1)

    order = sorted(range(len(texts.ids)), key=lambda row: -len(texts.ids[row]))
    for rows in token_batches(order, texts.ids, batch_tokens):
        inputs = model.pad([texts.ids[row] for row in rows])
        mask = pooled_mask(inputs["attention_mask"], [texts.pooled[row] for row in rows])
        if positions == "last":
            mask = mask & (mask.long().flip(1).cumsum(1).flip(1) == 1)
        with fitting_batch(inputs["input_ids"].shape, batch_tokens):
            values = read_layers(model, head, inputs, mask, measure)
        owner = torch.tensor(rows)[mask.nonzero()[:, 0].cpu()]
        means.index_add_(0, owner, values.transpose(0, 1))
        means[rows] /= mask.sum(1).cpu()[:, None, None]
        bar.update(len(rows))
    return means


def _table(
    language: str, sentences: Sequence[str], tokens: TokenLanguages, values: np.ndarray
) -> pd.DataFrame:
    n, layers, columns = values.shape
    table = pd.DataFrame(values.reshape(-1, columns), columns=[*tokens.groups, "entropy"])
    table.insert(0, "language", language)
    table.insert(1, "layer", np.tile(np.arange(layers), n))
    table.insert(2, "sentence", np.repeat(list(sentences), layers))
    return table
