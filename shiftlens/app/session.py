"""What the page serves: a model, what was measured of it, and the thread that uses both."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from shiftlens.app.measured import Measured, measure_demo
from shiftlens.app.worker import Job, Worker
from shiftlens.corpora import Corpus, load_corpus
from shiftlens.errors import ShiftlensError
from shiftlens.languages import DOMINANT
from shiftlens.models import LanguageModel
from shiftlens.residual import residual_hooks

DEMO = "demo"
NEEDS_RUN = (
    "this view needs what a sweep measures: shiftlens sweep --model {model} --corpus DIR "
    "--out RUN, then shiftlens serve --model {model} --run RUN"
)
"""What to do for the views that need a run."""


class Session:
    """One model, open in the browser.

    Args:
        model: The model; only jobs of the worker may run it.
        dtype: How it was loaded.
        measured: What a run measured of it; None where there is no run.
        folder: Where the demo's states go when there is no run.
        worker: Does the work.
    """

    def __init__(
        self,
        model: LanguageModel,
        dtype: str,
        measured: Measured | None,
        folder: Path,
        worker: Worker,
    ):
        self.model = model
        self.dtype = dtype
        self.worker = worker
        self.folder = folder
        self.known = measured

    @property
    def is_demo(self) -> bool:
        """Whether it is the embedded model."""
        return self.model.name == DEMO

    @property
    def counts(self) -> bool:
        """Whether it lives in the embedded demo's world, as the demo's model and its kin do."""
        return self.is_demo or (self.known is not None and self.known.demo)

    @property
    def can_generate(self) -> bool:
        """Whether the model writes text."""
        return bool(self.model.hf.can_generate())

    @property
    def missing(self) -> str:
        """Why there are no states to show, and what to do; empty where there are."""
        if self.known is not None or self.is_demo:
            return ""
        return NEEDS_RUN.format(model=self.model.name)

    @property
    def languages(self) -> Sequence[str]:
        """The languages of the states, the dominant one first."""
        if self.known is None:
            return load_corpus("demo").languages if self.is_demo else ()
        codes = self.known.store.languages
        return sorted(codes, key=lambda code: code != self.dominant)

    @property
    def dominant(self) -> str:
        """The dominant language."""
        return DOMINANT if self.known is None else self.known.dominant

    @property
    def load_code(self) -> str:
        """The line of Python that loads the model."""
        more = "" if self.dtype == "float32" else f', dtype="{self.dtype}"'
        return f"model = sl.load_model({self.model.name!r}{more})"

    @property
    def corpus(self) -> Corpus:
        """The parallel sentences: the run's, or the demo's.

        Raises:
            ShiftlensError: There is no run.
        """
        if self.missing:
            raise ShiftlensError(self.missing)
        return load_corpus(DEMO) if self.known is None else Corpus.from_texts(self.known.texts)

    @property
    def corpus_code(self) -> str:
        """The lines of Python that make ``corpus``."""
        if self.known is None or self.known.demo:
            return 'corpus = sl.load_corpus("demo")'
        codes = ", ".join(map(repr, self.known.texts))
        return (
            f"{self.known.texts_code}\n"
            f"corpus = sl.Corpus.from_texts({{code: texts[code] for code in [{codes}]}})"
        )

    def measured(self, job: Job) -> Measured:
        """What was measured; the demo is measured now where it was not yet.

        Raises:
            ShiftlensError: There is no run.
            Stopped: The job was cancelled.
        """
        if self.known is None:
            if self.missing:
                raise ShiftlensError(self.missing)
            self.known = measure_demo(self.model, self.folder, job)
        return self.known

    def stoppable(self, job: Job) -> AbstractContextManager[None]:
        """A context in which a cancelled job stops at the model's next forward pass."""
        return residual_hooks(self.model, lambda layer, stream: job.check(), [0])
