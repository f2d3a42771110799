"""What scaling a language's neurons does to each language's loss, beside other neurons."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from shiftlens.corpora import Corpus
from shiftlens.effects import t_interval
from shiftlens.errors import ShiftlensError
from shiftlens.models import LanguageModel
from shiftlens.neurons.controls import matched_neurons, random_neurons
from shiftlens.neurons.counts import Keep, made_anew
from shiftlens.neurons.found import NeuronsFound
from shiftlens.neurons.passes import LossPasses
from shiftlens.pooling import Pooling
from shiftlens.tokens import tokenize

RANDOM, MATCHED = "random", "as active"
"""What the controls are called where the others are called by their language."""

Row = dict[str, str | float]

_CLAIM = ["language", "neurons", "more_than", "difference", "low", "high", "over", "n", "holds"]


@dataclass(frozen=True)
class NeuronEffects:
    """Losses with the neurons as they are, with a language's scaled, and with others scaled.

    Attributes:
        languages: The codes.
        factor: What the neurons' activations were multiplied by; 0 ablates.
        neurons: How many were scaled of each language, ``(languages,)``.
        plain: Nats per token of each held-out text, ``(languages, texts)``.
        scaled: The same with one language's neurons scaled,
            ``(whose neurons, languages, texts)``.
        random: Of each language, with random neurons scaled, as many in each block as its own,
            ``(draws, languages, texts)``.
        matched: Of each language, with as many others scaled that are about as active in it,
            ``(languages, texts)``.
    """

    languages: tuple[str, ...]
    factor: float
    neurons: NDArray[np.int64]
    plain: NDArray[np.float64]
    scaled: NDArray[np.float64]
    random: NDArray[np.float64]
    matched: NDArray[np.float64]

    def table(self) -> pd.DataFrame:
        r"""How each language's loss changes, with 95% t-intervals.

        The change is the mean over texts of the paired difference, in nats per token: the log of
        the ratio of perplexities :math:`e^{\bar\ell}`. The intervals are over texts; those of the
        random control are over draws.

        Returns:
            Tidy: ``neurons`` (whose, or ``random`` or ``as active``), ``language``, ``change``,
            ``low``, ``high``, ``perplexity``, ``perplexity_plain``, ``over``, ``n``.
        """
        rows = [
            self._row(whose, k, self.scaled[j, k] - self.plain[k], "texts")
            for j, whose in enumerate(self.languages)
            for k in range(len(self.languages))
        ]
        changes = (self.random - self.plain).mean(axis=-1)
        for k in range(len(self.languages)):
            rows.append(self._row(RANDOM, k, changes[:, k], "draws"))
            rows.append(self._row(MATCHED, k, self.matched[k] - self.plain[k], "texts"))
        return pd.DataFrame(rows)

    def claims(self) -> pd.DataFrame:
        """Whether scaling a language's neurons hurts it, and more than what.

        Six differences of changes, in nats per token, for each language that has neurons: from
        the model as it is (``itself``); from the mean of the other languages (``others``) and from
        the one most hurt (``most hurt``), text by text, which are translations; from the mean of
        the random draws, over texts (``random``) and over the draws (``random draws``); and from
        the neurons that are about as active (``as active``).

        Returns:
            Tidy: ``language``, ``neurons``, ``more_than``, ``difference``, ``low``, ``high``,
            ``over``, ``n``, ``holds`` (the 95% interval is above 0).
        """
        having = np.flatnonzero(self.neurons)
        rows = [row for k in having for row in self._claims(int(k))]
        return pd.DataFrame(rows, columns=_CLAIM)

    def _claims(self, k: int) -> Iterator[Row]:
        changes = self.scaled[k] - self.plain
        own, others = changes[k], np.delete(changes, k, axis=0)
        control = self.random[:, k] - self.plain[k]
        compared = {
            "itself": (own, "texts"),
            "others": (own - others.mean(axis=0), "texts"),
            "most hurt": (own - others[others.mean(axis=1).argmax()], "texts"),
            RANDOM: (own - control.mean(axis=0), "texts"),
            "random draws": (own.mean() - control.mean(axis=1), "draws"),
            MATCHED: (own - (self.matched[k] - self.plain[k]), "texts"),
        }
        for name, (values, over) in compared.items():
            found = _interval(values, "difference")
            yield {
                **{"language": self.languages[k], "neurons": int(self.neurons[k])},
                **{"more_than": name, **found, "over": over, "n": len(values)},
                "holds": bool(found["low"] > 0),
            }

    def _row(self, whose: str, k: int, values: np.ndarray, over: str) -> Row:
        found, plain = _interval(values, "change"), self.plain[k].mean()
        return {
            **{"neurons": whose, "language": self.languages[k], **found},
            **{"perplexity": float(np.exp(plain + found["change"]))},
            **{"perplexity_plain": float(np.exp(plain)), "over": over, "n": len(values)},
        }


def measure_effects(
    model: LanguageModel,
    found: NeuronsFound,
    held_out: Corpus,
    factor: float = 0.0,
    *,
    draws: int = 10,
    seed: int = 0,
    batch_tokens: int = 4096,
    max_length: int = 512,
    progress: bool = True,
    keep: Keep = made_anew,
) -> NeuronEffects:
    """Scale the neurons of each language and measure every language's loss on held-out text.

    Two controls take the place of a language's neurons: random ones
    (:func:`~shiftlens.neurons.random_neurons`), and ones that are about as active in it
    (:func:`~shiftlens.neurons.matched_neurons`), since the neurons found are among the most active
    and what is often active matters more. Costs 2 + languages + draws passes over the text.

    Args:
        model: A causal language model.
        found: Its neurons.
        held_out: Parallel texts that the neurons were not found on.
        factor: 0 ablates, more than 1 amplifies.
        draws: Sets of random neurons, drawn anew for each language from the neurons of the same
            block that are not its own.
        seed: Of the draws.
        batch_tokens: Most tokens, padding included, in one forward pass.
        max_length: Longest text in tokens; longer ones are cut.
        progress: Show a progress bar on stderr.
        keep: Called with a name for each pass, ``(languages, texts)``, and what makes it.

    Raises:
        ShiftlensError: The model is no causal one, a language has no held-out text, a block has
            too few neurons to draw from, a loss is NaN, or as :func:`check_scaling`.
    """
    check_scaling(factor, draws)
    if missing := [code for code in found.languages if code not in held_out.texts]:
        raise ShiftlensError(f"the held-out text lacks {', '.join(missing)}; give it, or leave out")
    tokenized = tokenize(model, held_out, Pooling(special_tokens=True), max_length)
    ids = {code: tokenized[code].ids for code in found.languages}
    draw_sets = [random_neurons(found, seed, draw) for draw in range(draws)]
    matched = matched_neurons(found)
    total = (2 + len(ids) + draws) * len(ids) * len(held_out)
    with tqdm(total=total, unit="texts", desc="losses", disable=not progress or None) as bar:
        passes = LossPasses(model, ids, factor, batch_tokens, keep, bar)
        plain = passes.losses("plain", {code: {} for code in ids})
        scaled = [passes.losses(f"scaled-{c}", dict.fromkeys(ids, found.of(c))) for c in ids]
        random = [passes.losses(f"random-{n}", drawn) for n, drawn in enumerate(draw_sets)]
        alike = passes.losses("as-active", matched)
    counts = found.counts.sum(axis=0)
    return NeuronEffects(
        found.languages, factor, counts, plain, np.array(scaled), np.array(random), alike
    )


def check_scaling(factor: float, draws: int) -> None:
    """Check what neurons are to be scaled by and compared with.

    Raises:
        ShiftlensError: The factor is no finite number, or there are fewer than two draws.
    """
    if not np.isfinite(factor):
        raise ShiftlensError(f"the factor is {factor}; give a number: 0 ablates, 2 doubles")
    if draws < 2:
        raise ShiftlensError(f"{draws} draws of random neurons give no interval; ask for 2 or more")


def _interval(values: ArrayLike, name: str) -> dict[str, float]:
    found = t_interval(values)
    return {name: found["mean"], "low": found["low"], "high": found["high"]}
