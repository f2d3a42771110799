"""What the view of the neurons asks for: checked, computed, and as Python."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from shiftlens.answers import generate_answers
from shiftlens.app.session import Session
from shiftlens.app.texts import chosen, in_range, typed_text
from shiftlens.app.worker import Job
from shiftlens.models import LanguageModel
from shiftlens.neurons.counts import activation_probabilities
from shiftlens.neurons.entropy import activation_entropy, language_specific
from shiftlens.neurons.hooks import scaling
from shiftlens.patching import Continuation
from shiftlens.patching.prompts import token_text
from shiftlens.sft import SftRecord, encode_prompts

FILTER = BAR = 0.95
SHARES = (0.01, 0.02, 0.05, 0.1)
"""Shares of all neurons, those of lowest entropy, that can be kept."""

STRONGEST = 3.0
_NEW = 12
_TOP = 5


@dataclass(frozen=True)
class NeuronsFound:
    """Which neurons are of which language.

    Attributes:
        share: The share of all neurons that was kept.
        languages: The codes.
        probabilities: Share of tokens at which each is active, ``(blocks, neurons, languages)``.
        own: Which are a language's, of that shape.
    """

    share: float
    languages: tuple[str, ...]
    probabilities: NDArray[np.float64]
    own: NDArray[np.bool_]

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many each block has of each language, ``(blocks, languages)``."""
        return self.own.sum(axis=1)

    @property
    def overlap(self) -> NDArray[np.int64]:
        """How many neurons two languages share, ``(languages, languages)``."""
        flat = self.own.reshape(-1, len(self.languages)).astype(np.int64)
        return flat.T @ flat

    def of(self, language: str) -> dict[int, torch.Tensor]:
        """A language's neurons by block, counted from 0."""
        column = self.own[:, :, self.languages.index(language)]
        return {block: torch.from_numpy(np.flatnonzero(row)) for block, row in enumerate(column)}

    def table(self) -> pd.DataFrame:
        """One row a neuron that is of some language, with how often it is active in each."""
        blocks, neurons = np.nonzero(self.own.any(axis=-1))
        entropy = activation_entropy(self.probabilities)
        owners = [
            " ".join(code for code, is_own in zip(self.languages, row, strict=True) if is_own)
            for row in self.own[blocks, neurons]
        ]
        facts = {"block": blocks + 1, "neuron": neurons, "languages": owners}
        facts["entropy"] = entropy[blocks, neurons]
        active = dict(zip(self.languages, self.probabilities[blocks, neurons].T, strict=True))
        return pd.DataFrame({**facts, **active})


@dataclass(frozen=True)
class ScaleRequest:
    """A text to continue with a language's neurons scaled.

    Attributes:
        text: The text.
        language: Whose neurons.
        scale: The factor: 0 ablates, 1 leaves, more amplifies.
    """

    text: str
    language: str
    scale: float


@dataclass(frozen=True)
class ScaledAnswer:
    """How a text goes on.

    Attributes:
        plain: With the neurons as they are.
        scaled: With them scaled.
        neurons: How many were scaled.
    """

    plain: Continuation
    scaled: Continuation
    neurons: int


def check_share(share: float) -> float:
    """Check what the page sent.

    Raises:
        ShiftlensError: There is no such choice.
    """
    return chosen(share, SHARES, "share")


def check_scale(session: Session, text: str, language: str, scale: float) -> ScaleRequest:
    """Check what the page sent.

    Raises:
        ShiftlensError: A choice that there is not, or a text that cannot be taken.
    """
    chosen(language, session.languages, "language")
    in_range(scale, 0, STRONGEST, "the scale")
    return ScaleRequest(typed_text(text, "the text"), language, scale)


def count_active(session: Session, job: Job) -> NDArray[np.float64]:
    """How often each neuron is active on each language's tokens.

    Raises:
        ShiftlensError: There is no corpus, or the model's neurons cannot be read.
        Stopped: The job was cancelled.
    """
    job.begin("reading the sentences, to count how often each neuron is active")
    with session.stoppable(job):
        return activation_probabilities(session.model, session.corpus)


def find_neurons(
    languages: tuple[str, ...], probabilities: NDArray[np.float64], share: float
) -> NeuronsFound:
    """Choose each language's neurons."""
    own = language_specific(probabilities, FILTER, share, BAR)
    return NeuronsFound(share, languages, probabilities, own)


def answer_scaled(
    session: Session, found: NeuronsFound, request: ScaleRequest, job: Job
) -> ScaledAnswer:
    """Let the model go on with a text, its neurons as they are and scaled.

    Raises:
        ShiftlensError: As :func:`shiftlens.answers.generate_answers`.
        Stopped: The job was cancelled.
    """
    chosen = found.of(request.language)
    with session.stoppable(job):
        plain = _continued(session.model, request)
        with scaling(session.model, chosen, request.scale):
            scaled = _continued(session.model, request)
    return ScaledAnswer(plain, scaled, sum(map(len, chosen.values())))


def _continued(model: LanguageModel, request: ScaleRequest) -> Continuation:
    """The likeliest next tokens, and the greedy continuation."""
    record = SftRecord("the text", request.language, request.text, "")
    [text] = generate_answers(model, [record], max_new_tokens=_NEW)
    with torch.no_grad():
        logits = model.hf(**model.pad(encode_prompts(model, [request.text]))).logits[0, -1]
    likely = logits.double().softmax(-1).topk(min(_TOP, len(logits)))
    names = [token_text(model, token) for token in likely.indices.tolist()]
    return Continuation(tuple(zip(names, likely.values.tolist(), strict=True)), text)


def code(session: Session, found: NeuronsFound, request: ScaleRequest | None) -> str:
    """The lines of Python that repeat a search, and an answer."""
    corpus = session.corpus_code
    pandas = "import pandas as pd\n" if "pd." in corpus else ""
    lines = f"""{pandas}import torch

import shiftlens as sl
from shiftlens.answers import generate_answers
from shiftlens.neurons.counts import activation_probabilities
from shiftlens.neurons.entropy import language_specific
from shiftlens.neurons.hooks import scaling
from shiftlens.sft import SftRecord

{session.load_code}
{corpus}
probabilities = activation_probabilities(model, corpus)
own = language_specific(probabilities, {FILTER}, {found.share}, {BAR})
print(dict(zip(corpus.languages, own.sum(axis=(0, 1)))))"""
    if request is None:
        return lines
    return f"""{lines}

column = own[:, :, corpus.languages.index({request.language!r})]
neurons = {{block: torch.from_numpy(row.nonzero()[0]) for block, row in enumerate(column)}}
records = [SftRecord("text", {request.language!r}, {request.text!r}, "")]
plain = generate_answers(model, records, max_new_tokens={_NEW})
with scaling(model, neurons, {request.scale}):
    scaled = generate_answers(model, records, max_new_tokens={_NEW})
print(plain, scaled)"""
