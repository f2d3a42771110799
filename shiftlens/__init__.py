"""shiftlens: see where languages live inside a multilingual language model, and move them.

Names are imported when they are first used, so that ``import shiftlens`` is quick.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "ActivationStore": "store",
    "Corpus": "corpora",
    "LanguageModel": "models",
    "LanguageSubspace": "geometry.language_subspace",
    "LanguageVectors": "language_vectors",
    "LayerArea": "area",
    "LayerSweep": "layer_sweep",
    "PatchResult": "patching",
    "Pooling": "pooling",
    "Report": "reports.demo",
    "SentenceStates": "states",
    "ShifConTrainer": "training.trainer",
    "Shift": "shift",
    "ShiftlensError": "errors",
    "Steering": "steering",
    "SweepConfig": "config",
    "TrainConfig": "config",
    "TokenMoments": "token_moments",
    "bridged": "bridge",
    "check_model": "check",
    "choose_area": "area",
    "compare_runs": "reports.compare",
    "collect_states": "collect",
    "collect_token_moments": "token_moments",
    "draw_run": "drawing.draw",
    "export_run": "export",
    "language_pairs": "pairs",
    "load_corpus": "corpora",
    "load_model": "loading",
    "load_trained": "trained",
    "open_run_folder": "folders.opening",
    "patch": "patching",
    "patched_answer": "patching",
    "project_layers": "projections",
    "residual_hooks": "residual",
    "run_grid": "experiment",
    "run_harness": "harness",
    "run_showcase": "showcase",
    "run_sweep": "runs",
    "run_train": "train",
    "sweep_layers": "sweep",
    "write_report": "reports.demo",
    "write_run_report": "reports.run",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'shiftlens' has no attribute {name!r}")
    return getattr(import_module(f"shiftlens.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
