"""What a training did to the geometry: the same sweep and pictures before it and after it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from shiftlens import ranks
from shiftlens.collect import collect_states
from shiftlens.config import TrainConfig
from shiftlens.corpora import Corpus
from shiftlens.drawing.files import Drawing
from shiftlens.files import make_folder
from shiftlens.layer_sweep import LayerSweep
from shiftlens.models import LanguageModel
from shiftlens.plots import (
    before_after,
    before_after_interactive,
    distance_before_after,
    distance_before_after_interactive,
    project_before_after,
)
from shiftlens.pooling import Pooling
from shiftlens.shift import Shift
from shiftlens.store import STORE, ActivationStore
from shiftlens.sweep import sweep_layers
from shiftlens.written import write_csv


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
    sweep = ranks.from_first(lambda: sweep_layers(store, config.dominant))
    ranks.from_first(lambda: write_csv(folder / "sweep.csv", sweep.table))
    return sweep


def draw_before_after(
    out: Path, parallel: Corpus, sweeps: Mapping[str, LayerSweep], area: tuple[int, int], name: str
) -> None:
    """Draw ``geometry`` and ``layer_distance_before_after``, each as PNG, SVG and page.

    Args:
        out: The run folder, with one folder of activations a sweep.
        parallel: The sentences behind the activations.
        sweeps: ``before``, ``after`` and, where there is a shift, ``shifted``.
        area: Layers (a, b) of the training.
        name: What the titles call the model.

    Raises:
        ShiftlensError: Activations are missing or damaged.
    """
    stores = {when: ActivationStore.open(out / when / STORE) for when in sweeps}
    tables = {when: sweep.table for when, sweep in sweeps.items()}
    dominant = sweeps["before"].dominant
    geometry_drawing(stores, parallel.texts, area[1] - 1, dominant, name).save(out)
    distances_drawing(tables, area, dominant).save(out)


def geometry_drawing(
    stores: Mapping[str, ActivationStore],
    texts: Mapping[str, Sequence[str]],
    layer: int,
    dominant: str,
    name: str,
) -> Drawing:
    """The sentences before and after training on the same axes, as ``geometry``.

    Layer b - 1 of an area a-b is the last at which the languages are together.

    Args:
        stores: ``before``, ``after`` and perhaps ``shifted`` to the states.
        texts: Language to the sentences behind them.
        layer: Which layer.
        dominant: The dominant language.
        name: What the title calls the model.

    Returns:
        The figure.

    Raises:
        ShiftlensError: Activations are missing or damaged.
    """
    states = {
        when: {language: store.states(language, layer) for language in store.languages}
        for when, store in stores.items()
    }
    tables = {
        method: project_before_after(
            states["before"], states["after"], states.get("shifted"), method
        )
        for method in (("lda", "pca") if len(texts) > 2 else ("pca",))
    }
    title = f"{name}: states at layer {layer} of sentences the axes were not fitted to"
    return Drawing(
        "geometry",
        lambda: before_after(tables, dominant, title),
        lambda: before_after_interactive(tables, texts, dominant, title),
    )


def distances_drawing(
    tables: Mapping[str, pd.DataFrame], area: tuple[int, int], dominant: str
) -> Drawing:
    """The mean distance by layer before and after, as ``layer_distance_before_after``.

    Args:
        tables: ``before``, ``after`` and perhaps ``shifted`` to the sweep's table.
        area: Layers (a, b) of the training.
        dominant: The dominant language.

    Returns:
        The figure.
    """
    return Drawing(
        "layer_distance_before_after",
        lambda: distance_before_after(tables, area, dominant),
        lambda: distance_before_after_interactive(tables, area, dominant),
    )
