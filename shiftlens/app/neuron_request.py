"""What the view of the neurons asks for: checked, computed, and as Python."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from shiftlens.answers import generate_answers
from shiftlens.app.session import Session
from shiftlens.app.texts import chosen, in_range, typed_text
from shiftlens.app.worker import Job
from shiftlens.models import LanguageModel
from shiftlens.neurons import NeuronsFound, activation_probabilities, scaling
from shiftlens.patching import Continuation
from shiftlens.patching.prompts import token_text
from shiftlens.sft import SftRecord, encode_prompts

SHARES = (0.01, 0.02, 0.05, 0.1)
"""Shares of all neurons, those of lowest entropy, that can be kept."""

STRONGEST = 3.0
_NEW = 12
_TOP = 5


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
    likely = logits.cpu().double().softmax(-1).topk(min(_TOP, len(logits)))
    names = [token_text(model, token) for token in likely.indices.tolist()]
    return Continuation(tuple(zip(names, likely.values.tolist(), strict=True)), text)


def code(session: Session, found: NeuronsFound, request: ScaleRequest | None) -> str:
    """The lines of Python that repeat a search, and an answer."""
    corpus = session.corpus_code
    pandas = "import pandas as pd\n\n" if "pd." in corpus else ""
    lines = f"""{pandas}import shiftlens as sl
from shiftlens.answers import generate_answers
from shiftlens.neurons import find_neurons, scaling
from shiftlens.sft import SftRecord

{session.load_code}
{corpus}
found = find_neurons(model, corpus, {found.share})
print(found.table())"""
    if request is None:
        return lines
    return f"""{lines}

records = [SftRecord("text", {request.language!r}, {request.text!r}, "")]
plain = generate_answers(model, records, max_new_tokens={_NEW})
with scaling(model, found.of({request.language!r}), {request.scale}):
    scaled = generate_answers(model, records, max_new_tokens={_NEW})
print(plain, scaled)"""
