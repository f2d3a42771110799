"""What a run will take, from a model's configuration alone: disk, memory, FLOPs and time."""

from shiftlens.forecast.collection import CollectionForecast, forecast_collection
from shiftlens.forecast.rates import Rates, measure_rates
from shiftlens.forecast.shape import ModelShape, Texts
from shiftlens.forecast.sweep import SweepForecast, forecast_sweep
from shiftlens.forecast.training import Steps, TrainingForecast, forecast_training
from shiftlens.forecast.whole import RunForecast, forecast_planned, forecast_run

__all__ = [
    "CollectionForecast",
    "ModelShape",
    "Rates",
    "RunForecast",
    "Steps",
    "SweepForecast",
    "Texts",
    "TrainingForecast",
    "forecast_collection",
    "forecast_planned",
    "forecast_run",
    "forecast_sweep",
    "forecast_training",
    "measure_rates",
]
