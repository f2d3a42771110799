"""A whole run: what `shiftlens plan` says, and what a sweep says before it begins."""

import math
from dataclasses import dataclass
from typing import Any

from shiftlens.area import parse_area
from shiftlens.arms import Arm, arm_named
from shiftlens.asked import check_dtype, check_sizes
from shiftlens.errors import ShiftlensError
from shiftlens.forecast.collection import CollectionForecast, forecast_collection
from shiftlens.forecast.rates import Rates, measure_rates
from shiftlens.forecast.shape import ModelShape, Texts
from shiftlens.forecast.sweep import SweepForecast, forecast_sweep
from shiftlens.forecast.training import Steps, TrainingForecast, forecast_training
from shiftlens.loading import read_config
from shiftlens.models import LanguageModel
from shiftlens.plan import CollectionPlan, shard_language
from shiftlens.plan_config import PlanConfig
from shiftlens.tokens import token_batches
from shiftlens.weightless import weightless


@dataclass(frozen=True)
class RunForecast:
    """What a run takes.

    Attributes:
        shape: The model's.
        texts: The parallel texts.
        collection: One collection.
        sweep: Its sweep.
        sweeps: How many collections and sweeps there are.
        training: The training; None where there is none.
        rates: Speeds; None where no time is asked for.
    """

    shape: ModelShape
    texts: Texts
    collection: CollectionForecast
    sweep: SweepForecast
    sweeps: int = 1
    training: TrainingForecast | None = None
    rates: Rates | None = None


def forecast_run(config: PlanConfig) -> RunForecast:
    """Forecast what a configuration asks for; no weights are read or made.

    Args:
        config: The settings.

    Returns:
        The forecast.

    Raises:
        ShiftlensError: There is no such model, a setting is out of its range, or the model cannot
            run without its weights.
    """
    check_dtype(config.dtype)
    if config.states not in ("sentences", "tokens"):
        raise ShiftlensError(f"states {config.states!r} are neither sentences nor tokens")
    check_sizes(batch_tokens=config.batch_tokens, max_length=config.max_length)
    if config.groups < 0 or config.groups == 1:
        raise ShiftlensError(f"groups is {config.groups}; give 0, or at least 2")
    texts = Texts(config.languages, config.sentences, config.tokens_per_sentence, config.spread)
    moments = config.states == "tokens"
    arm = arm_named(config.arm)
    described = read_config(config.model)
    with weightless(described, "float32" if config.train else config.dtype) as hf:
        shape = ModelShape.of(hf)
        collection = forecast_collection(
            hf,
            texts,
            batch_tokens=config.batch_tokens,
            max_length=config.max_length,
            moments=moments,
        )
        sweep = forecast_sweep(shape, texts, groups=config.groups, moments=moments)
        training = None
        if config.train:
            training = forecast_training(hf, texts, _steps(config, shape), arm)
    sweeps = _sweeps(arm) if config.train else 1
    return RunForecast(shape, texts, collection, sweep, sweeps, training, _rates(config, shape))


def forecast_planned(
    model: LanguageModel, plan: CollectionPlan, moments: bool, **sweep: Any
) -> RunForecast:
    """Forecast a collection whose batches are known, and its sweep.

    Args:
        model: The model.
        plan: The collection.
        moments: Whether token moments are collected, not sentence vectors.
        **sweep: ``groups`` and ``vectors`` of :func:`forecast_sweep`.

    Raises:
        ShiftlensError: The model cannot run without its weights.
    """
    tokens = plan.tokens.values()
    mean = sum(language.mean_tokens for language in tokens) / len(tokens)
    texts = Texts(len(tokens), plan.manifest["corpus"]["sentences"], mean)
    batches = [
        (len(rows), len(ids[rows[0]]))
        for file, shard in plan.rows.items()
        for ids in [plan.tokens[shard_language(file)].ids]
        for rows in token_batches(shard, ids, plan.batch_tokens)
    ]
    with weightless(model.hf.config, plan.manifest["model"]["dtype"]) as hf:
        shape = ModelShape.of(hf)
        collection = forecast_collection(hf, texts, moments=moments, batches=batches)
    swept = forecast_sweep(shape, texts, moments=moments, **sweep)
    return RunForecast(shape, texts, collection, swept)


def _sweeps(arm: Arm) -> int:
    """Before, after, and with the shift on."""
    return 3 if arm.shift else 2


def _steps(config: PlanConfig, shape: ModelShape) -> Steps:
    last = shape.n_layers if config.area is None else parse_area(config.area)[1] - 1
    if not 1 <= last <= shape.n_layers:
        raise ShiftlensError(f"area {config.area} is not within layers 1..{shape.n_layers}")
    return Steps(
        config.steps,
        config.batch_size,
        config.record_tokens,
        config.accumulation,
        config.pairs,
        last,
        config.reestimate,
        config.vector_sentences,
        config.lora_rank,
        config.lora_targets,
        config.dtype == "bfloat16",
    )


def _rates(config: PlanConfig, shape: ModelShape) -> Rates | None:
    if config.flops_per_second is not None and not 0 < config.flops_per_second < math.inf:
        raise ShiftlensError(
            f"flops_per_second is {config.flops_per_second}; give a number above 0"
        )
    if config.flops_per_second is None and not config.measure:
        return None
    return measure_rates(
        config.batch_tokens, shape.d_model, config.dtype, config.device, config.flops_per_second
    )
