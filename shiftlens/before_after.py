"""What a training did to the geometry: the same sweep and pictures before it and after it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from shiftlens.collect import collect_states
from shiftlens.config import TrainConfig
from shiftlens.corpora import Corpus
from shiftlens.models import LanguageModel
from shiftlens.plots import (
    before_after,
    before_after_interactive,
    distance_before_after,
    distance_before_after_interactive,
    project_before_after,
    save_figure,
    save_html,
)
from shiftlens.pooling import Pooling
from shiftlens.shift import Shift
from shiftlens.store import STORE, ActivationStore, make_folder, write_atomic
from shiftlens.sweep import LayerSweep, sweep_layers


def sweep_into(
    folder: Path,
    model: LanguageModel,
    parallel: Corpus,
    config: TrainConfig,
    shift: Shift | None = None,
) -> LayerSweep:
    """Sweep a model as it is now, and keep its activations and ``sweep.csv``.

    Args:
        folder: Where to.
        model: The model.
        parallel: The sentences.
        config: The training's settings.
        shift: Sweep the states of the model with this shift on.

    Returns:
        The sweep.

    Raises:
        ShiftlensError: The folder holds other states, or a state is NaN or infinite.
    """
    pooling = Pooling(config.special_tokens, config.skip_first)
    path = make_folder(folder) / STORE
    store = collect_states(model, parallel, path, pooling=pooling, shift=shift)
    sweep = sweep_layers(store, config.dominant)
    write_atomic(folder / "sweep.csv", sweep.table.to_csv(index=False).encode())
    return sweep


def draw_before_after(
    out: Path, parallel: Corpus, sweeps: Mapping[str, LayerSweep], area: tuple[int, int], name: str
) -> None:
    """Draw ``geometry`` and ``layer_distance_before_after``, each as PNG, SVG and page.

    The geometry is that of layer b - 1, the last at which the languages are together.

    Args:
        out: The run folder, with one folder of activations a sweep.
        parallel: The sentences behind the activations.
        sweeps: ``before``, ``after`` and, where there is a shift, ``shifted``.
        area: Layers (a, b) of the training.
        name: What the titles call the model.

    Raises:
        ShiftlensError: Activations are missing or damaged.
    """
    dominant = sweeps["before"].dominant
    layer = area[1] - 1
    states = {when: _states(out / when / STORE, layer) for when in sweeps}
    tables = {
        method: project_before_after(
            states["before"], states["after"], states.get("shifted"), method
        )
        for method in (("lda", "pca") if len(parallel.languages) > 2 else ("pca",))
    }
    title = f"{name}: states at layer {layer} of sentences the axes were not fitted to"
    save_figure(before_after(tables, dominant, title), out / "geometry")
    page = before_after_interactive(tables, parallel.texts, dominant, title)
    save_html(page, out / "geometry.html")
    rows = {when: sweep.table for when, sweep in sweeps.items()}
    stem = out / "layer_distance_before_after"
    save_figure(distance_before_after(rows, area, dominant), stem)
    save_html(distance_before_after_interactive(rows, area, dominant), stem.with_suffix(".html"))


def _states(path: Path, layer: int) -> dict[str, np.ndarray]:
    store = ActivationStore.open(path)
    return {language: store.states(language, layer) for language in store.languages}
