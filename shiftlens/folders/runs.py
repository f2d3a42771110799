"""What a run folder holds: that of a sweep, of a training, or of a demo with both in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from shiftlens.corpora import Corpus
from shiftlens.folders.files import read_corpus
from shiftlens.layer_sweep import LayerSweep
from shiftlens.store import ActivationStore
from shiftlens.token_moments import TokenMoments


@dataclass(frozen=True)
class States:
    """The states of one model on parallel text, and their sweep.

    Attributes:
        store: The states.
        sweep: Their sweep; with areas only where it was to choose one.
    """

    store: ActivationStore | TokenMoments
    sweep: LayerSweep

    @property
    def tokens(self) -> pd.DataFrame:
        """What the tokenizer made of each language, a row a language."""
        reports = self.store.manifest["tokens"]
        rows = [{"language": code, **reports[code]} for code in self.store.languages]
        return pd.DataFrame(rows)


@dataclass(frozen=True)
class ModelFacts:
    """Which model a run looked at.

    Attributes:
        name: What its settings call it.
        architecture: The class that runs it.
        n_layers: Its blocks.
        d_model: Its width.
        dtype: Its number type.
        sha256: Hash of its weights and architecture.
    """

    name: str
    architecture: str
    n_layers: int
    d_model: int
    dtype: str
    sha256: str


@dataclass(frozen=True)
class RunFolder:
    """What the folder of a sweep and that of a training have in common.

    Attributes:
        out: The folder.
        settings: Those of its ``config.yaml``.
        versions: What it ran with.
        states: Of a sweep ``sweep``; of a training ``before``, ``after`` and, where it shifts,
            ``shifted``.
        area: The layer area, chosen or trained in; None where there is none.
    """

    kind: ClassVar[str]
    corpus_setting: ClassVar[str]
    """Which setting names the parallel text."""

    out: Path
    settings: Mapping[str, Any]
    versions: str
    states: Mapping[str, States]
    area: tuple[int, int] | None

    @property
    def first(self) -> States:
        """The states of the model as it came."""
        return next(iter(self.states.values()))

    @property
    def dominant(self) -> str:
        """The dominant language."""
        return self.first.sweep.dominant

    @property
    def name(self) -> str:
        """What titles call the model."""
        return Path(self.settings["model"]).name

    @property
    def model(self) -> ModelFacts:
        """The model as it came."""
        return ModelFacts(self.settings["model"], **self.first.store.manifest["model"])

    @cached_property
    def corpus(self) -> Corpus:
        """The sentences behind the rows of the states.

        Raises:
            ShiftlensError: They are not there any more, or are others.
        """
        return read_corpus(self.out, self.first.store)


@dataclass(frozen=True)
class SweepFolder(RunFolder):
    """What ``shiftlens sweep`` leaves.

    Attributes:
        projected: The sweep's table after the projection; None without one.
        tokens: What the tokenizer made of each language, a row a language.
    """

    kind = "sweep"
    corpus_setting = "corpus"

    projected: pd.DataFrame | None
    tokens: pd.DataFrame


@dataclass(frozen=True)
class TrainFolder(RunFolder):
    """What ``shiftlens train`` leaves.

    Attributes:
        results: Test results before and after, a row a language; None without a test.
        log: What the trainer logged; None for an arm that is not trained.
    """

    kind = "train"
    corpus_setting = "parallel"

    results: pd.DataFrame | None
    log: pd.DataFrame | None

    @property
    def trained_area(self) -> tuple[int, int]:
        """The layers (a, b) trained in."""
        assert self.area is not None, "a training has an area"
        return self.area

    @property
    def before(self) -> LayerSweep:
        """The sweep of the model as it came."""
        return self.states["before"].sweep

    @property
    def after(self) -> LayerSweep:
        """The sweep of the trained model, its states not shifted."""
        return self.states["after"].sweep

    @property
    def shifted(self) -> LayerSweep | None:
        """The sweep of the trained model with its shift on; None without a shift."""
        return self.states["shifted"].sweep if "shifted" in self.states else None


@dataclass(frozen=True)
class DemoFolder:
    """What ``shiftlens demo`` leaves: run folders in a folder.

    Attributes:
        out: The folder.
        sweep: The sweep in it.
        trainings: Name of a folder in it to the training there.
    """

    kind: ClassVar[str] = "demo"

    out: Path
    sweep: SweepFolder
    trainings: Mapping[str, TrainFolder]
