"""What a sweep says before it begins: what it is of, what it will take, whether there is room."""

import contextlib
import shutil
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from shiftlens.collect import CollectionPlan
from shiftlens.config import SweepConfig
from shiftlens.corpora import Corpus
from shiftlens.errors import ShiftlensError
from shiftlens.forecast.table import size
from shiftlens.forecast.whole import forecast_planned
from shiftlens.halves import take_vectors
from shiftlens.models import LanguageModel
from shiftlens.store import STORE, ActivationStore
from shiftlens.sweep_options import SweepOptions
from shiftlens.token_moments import TOKENS, TokenMoments


def forecast_words(
    config: SweepConfig, model: LanguageModel, corpus: Corpus, plan: CollectionPlan
) -> str:
    """Model, corpus, the size of the states and, unless they are there, what they will take."""
    what = "token moments" if config.states == "tokens" else "activations"
    dropped = ", ".join(f"{language}: {n}" for language, n in corpus.dropped.items())
    lines = [
        f"model    {model.name}: {type(model.hf).__name__}, layers 0..{model.n_layers}, "
        f"d_model {model.d_model}, {plan.manifest['model']['dtype']} on {model.device}",
        f"corpus   {config.corpus}: {len(corpus)} sentences in each of "
        f"{', '.join(corpus.languages)}; dominant {config.dominant}",
    ]
    if dropped:
        lines.append(f"dropped  sentences that some language lacks ({dropped})")
    size_on_disk = f"{plan.disk_bytes / 1e6:.1f} MB of {what}"
    if _collected_before(config, plan):
        return "\n".join([*lines, f"has      {config.out}: {size_on_disk}, all collected"])
    lines.append(f"writes   {config.out}: {size_on_disk}")
    with contextlib.suppress(ShiftlensError):  # of a model that cannot run without its weights
        tokens = config.states == "tokens"
        metrics = SweepOptions.of(config).check(
            corpus.languages, config.dominant, len(corpus), tokens=tokens
        )
        vectors = take_vectors(metrics)
        work = forecast_planned(model, plan, tokens, groups=config.groups, vectors=vectors)
        lines.append(
            f"takes    {work.collection.flops:.1e} FLOPs in the model and "
            f"{size(max(work.collection.peak, work.sweep.memory))} of memory beside the libraries"
        )
    return "\n".join(lines)


def _collected_before(config: SweepConfig, plan: CollectionPlan) -> bool:
    """Whether the folder has all states that the plan asks for."""
    kind, name = (TokenMoments, TOKENS) if config.states == "tokens" else (ActivationStore, STORE)
    try:
        return kind.open(Path(config.out) / name).holds(plan.manifest)
    except ShiftlensError:
        return False


def check_disk(out: Path, plan: CollectionPlan) -> None:
    """Refuse a disk that has no room for the states.

    Raises:
        ShiftlensError: It has not.
    """
    free = shutil.disk_usage(out).free
    there = sum(file.stat().st_size for file in out.glob("*/*.safetensors"))
    if free + there < plan.disk_bytes:
        raise ShiftlensError(
            f"{out}: the states take {plan.disk_bytes / 1e6:.1f} MB and {free / 1e6:.1f} MB are "
            "free; take fewer sentences or another disk"
        )


def token_table(plan: CollectionPlan, dropped: Mapping[str, int]) -> pd.DataFrame:
    """How each language's sentences were tokenised, and how many were dropped, a row a language."""
    return pd.DataFrame(
        {
            "language": language,
            "sentences": len(tokens.ids),
            **tokens.report(),
            "dropped": dropped.get(language, 0),
        }
        for language, tokens in plan.tokens.items()
    )
