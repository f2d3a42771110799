"""What a run measured of the model that is served: its states, its sweep, its sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pandas as pd

from shiftlens.app.worker import Job
from shiftlens.collect import collect_states
from shiftlens.config import TrainConfig
from shiftlens.corpora import load_corpus
from shiftlens.errors import ShiftlensError
from shiftlens.folders.files import (
    CONFIG,
    SENTENCES,
    TABLE,
    read_corpus,
    read_sweep,
    read_sweep_table,
)
from shiftlens.language_vectors import LanguageVectors
from shiftlens.models import LanguageModel
from shiftlens.settings import read_settings
from shiftlens.shift import Shift
from shiftlens.store import STORE, ActivationStore
from shiftlens.sweep import sweep_layers
from shiftlens.token_moments import TOKENS

FOLDERS = (".", "after", "before")
"""Where in a run folder states are: a sweep's own, and those of a training."""


@dataclass(frozen=True)
class Measured:
    """The states of one model on parallel text, and their sweep.

    Attributes:
        store: The states.
        table: The sweep's table.
        area: The layer area, or None.
        dominant: The dominant language.
        texts: Language to the sentences behind the rows.
        code: The lines of Python that make ``store`` and ``table``.
        texts_code: The line of Python that makes ``texts``.
        trained: The shift of a training, or None.
        trained_code: The line of Python that makes ``shift`` of it.
        demo: Whether the sentences are those of the embedded demo.
    """

    store: ActivationStore
    table: pd.DataFrame
    area: tuple[int, int] | None
    dominant: str
    texts: Mapping[str, Sequence[str]]
    code: str
    texts_code: str
    trained: Shift | None
    trained_code: str
    demo: bool

    @cached_property
    def vectors(self) -> LanguageVectors:
        """The language vectors: a training's own, or the means of the states."""
        return self.trained.vectors if self.trained else LanguageVectors.from_store(self.store)

    def shift(self, area: tuple[int, int]) -> Shift:
        """The shift between two layers: a training's own moved there, or one of these vectors."""
        return replace(self.trained or Shift(self.vectors, area, self.dominant), area=area)

    def shift_code(self, area: tuple[int, int]) -> str:
        """The lines of Python that make :meth:`shift`; a training's need ``replace``."""
        if self.trained:
            return f"{self.trained_code}\nshift = replace(shift, area={area})"
        return (
            f"{self.code.splitlines()[0]}\nvectors = sl.LanguageVectors.from_store(store)\n"
            f'shift = sl.Shift(vectors, {area}, "{self.dominant}")'
        )


def open_run(run: Path, model: LanguageModel) -> Measured:
    """Open what a sweep or a training measured of a model.

    Args:
        run: The run folder.
        model: The model whose states are looked for.

    Returns:
        The states, the sweep and the sentences.

    Raises:
        ShiftlensError: The folder holds no sentence states of this model, or its files are
            missing or damaged.
    """
    folder = _folder_of(run, model)
    store = ActivationStore.open(folder / STORE)
    table = read_sweep_table(folder / TABLE)
    sweep, area = read_sweep(run, table)
    texts = read_corpus(run, store).texts
    trained = Shift.load(run / "model") if folder.name == "after" and _has_shift(run) else None
    return Measured(
        store,
        table,
        area,
        sweep.dominant,
        texts,
        f'store = sl.ActivationStore.open("{(folder / STORE).as_posix()}")\n'
        f'table = pd.read_csv("{(folder / "sweep.csv").as_posix()}", '
        'keep_default_na=False, na_values=[""])',
        _texts_code(run),
        trained,
        f'shift = sl.Shift.load("{(run / "model").as_posix()}")',
        store.manifest["corpus"]["sha256"] == load_corpus("demo").sha256,
    )


def measure_demo(model: LanguageModel, folder: Path, job: Job) -> Measured:
    """Sweep the embedded model on the embedded sentences.

    Args:
        model: The embedded model.
        folder: Where the states go; what is there already is not collected again.
        job: Is told how far it is.

    Returns:
        The states, the sweep and the sentences.

    Raises:
        Stopped: The job was cancelled.
    """
    corpus = load_corpus("demo")
    job.begin("reading the demo's sentences at every layer")
    store = collect_states(model, corpus, folder / STORE, progress=False)
    job.begin("measuring the layers")
    sweep = sweep_layers(store, progress=False)
    area = (sweep.area.start, sweep.area.stop) if sweep.area else None
    code = (
        'store = sl.collect_states(model, sl.load_corpus("demo"), "runs/page/activations")\n'
        "table = sl.sweep_layers(store).table"
    )
    texts = 'texts = sl.load_corpus("demo").texts'
    return Measured(
        store, sweep.table, area, sweep.dominant, corpus.texts, code, texts, None, "", True
    )


def _folder_of(run: Path, model: LanguageModel) -> Path:
    """The folder whose states are of this model."""
    if not run.is_dir():
        raise ShiftlensError(f"run folder {run} does not exist")
    there = [run / name for name in FOLDERS if (run / name / STORE).is_dir()]
    if not there:
        tokens = " (it holds moments of tokens)" if (run / TOKENS).is_dir() else ""
        raise ShiftlensError(
            f"{run} holds no sentence states{tokens}; give the folder of a shiftlens sweep or train"
        )
    own = model.sha256
    for folder in there:
        if ActivationStore.open(folder / STORE).manifest["model"]["sha256"] == own:
            return folder
    raise ShiftlensError(
        f"the states in {run} are of another model than {model.name}, or of another dtype; "
        "give --model as the run had it"
    )


def _has_shift(run: Path) -> bool:
    return (run / "model" / "shift.json").exists()


def _texts_code(run: Path) -> str:
    """The line of Python that reads the sentences, beside a sweep or where a training had them."""
    if (run / SENTENCES).exists():
        return f'texts = pd.read_parquet("{(run / SENTENCES).as_posix()}")'
    parallel = read_settings(run / CONFIG, TrainConfig)["parallel"]
    return f'texts = sl.load_corpus("{parallel}").texts'
