"""A forecast as a person reads it."""

from shiftlens.forecast.whole import RunForecast
from shiftlens.plan_config import PlanConfig

COLUMNS = ("", "disk", "memory", "FLOPs", "time")


def forecast_text(config: PlanConfig, run: RunForecast) -> str:
    """The table of `shiftlens plan`, with what it assumes.

    Args:
        config: The settings.
        run: The forecast of them.
    """
    rows = [COLUMNS, *_rows(run)]
    if run.rates is None:
        rows = [row[:-1] for row in rows]
    first = max(len(row[0]) for row in rows)
    table = [
        row[0].ljust(first) + "".join(cell.rjust(12) for cell in row[1:]).rstrip() for row in rows
    ]
    return "\n".join([*_assumptions(config, run), "", *table, "", *_notes(config, run)])


def size(count: float) -> str:
    """Bytes in the unit that suits them."""
    unit, name = (1e9, "GB") if count >= 1e9 else (1e6, "MB")
    return f"{count / unit:.1f} {name}"


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


def _rows(run: RunForecast) -> list[tuple[str, ...]]:
    products = run.rates.products if run.rates else 1.0
    decompositions = run.rates.decompositions if run.rates else 1.0
    times = f" x {run.sweeps}" if run.sweeps > 1 else ""
    collection, sweep, n = run.collection, run.sweep, run.sweeps
    work = n * collection.flops
    rows = [
        _row("collection" + times, n * collection.disk, collection.peak, work, products),
        _row("sweep" + times, None, sweep.memory, n * sweep.flops, decompositions),
    ]
    if run.training is not None:
        made = run.training
        rows.append(_row("training", made.disk, made.peak, made.flops, products))
    return rows


def _row(
    name: str, disk: float | None, memory: float, flops: float, rate: float
) -> tuple[str, ...]:
    written = "-" if disk is None else size(disk)
    return name, written, size(memory), f"{flops:.2e}", duration(flops / rate)


def _assumptions(config: PlanConfig, run: RunForecast) -> list[str]:
    shape, texts = run.shape, run.texts
    kind = "float32" if config.train else config.dtype
    lines = [
        f"model    {config.model}: {shape.architecture}, layers 0..{shape.n_layers}, "
        f"d_model {shape.d_model}, {shape.parameters / 1e6:,.1f} M parameters in {kind}",
        f"texts    {texts.languages} languages x {texts.sentences} sentences x {texts.tokens:g} "
        f"tokens (assumed, lengths log-normal with spread {texts.spread:g}), batches of "
        f"{config.batch_tokens} tokens",
    ]
    if config.train:
        trained = f"LoRA of rank {config.lora_rank}" if config.lora_rank else "all weights"
        lines.append(
            f"steps    {config.steps} of arm {config.arm}: {config.accumulation} x "
            f"{config.batch_size} records x {config.record_tokens} tokens (assumed), "
            f"{config.pairs} pairs, {trained}, arithmetic in {config.dtype}"
        )
    return lines


def _notes(config: PlanConfig, run: RunForecast) -> list[str]:
    made, lines = run.collection, []
    lines.append(
        f"memory   of the collection: weights {size(made.weights)}, a forward pass "
        f"{size(made.forward)}, states on their way {size(made.shard)}, text {size(made.text)}"
    )
    if (training := run.training) is not None:
        lines.append(
            f"         of the training: weights {size(training.weights)}, AdamW "
            f"{size(training.optimizer)}, activations and gradients {size(training.working)} at "
            f"most (gradients {size(training.gradients)}, activations of one batch "
            f"{size(training.activations)})"
        )
    lines.append("         beside what the process and its libraries take, some 0.6 GB")
    if run.shape.uncounted > 0.01:
        lines.append(
            f"FLOPs    without those of {100 * run.shape.uncounted:.0f}% of the parameters, which "
            "are in no linear layer"
        )
    if run.rates is not None:
        measured = "given" if config.flops_per_second else "measured here"
        lines.append(
            f"time     at {run.rates.products / 1e9:,.0f} GFLOP/s of products ({measured}) and "
            f"{run.rates.decompositions / 1e9:,.0f} of decompositions (measured here): all at full "
            "speed, so a lower bound"
        )
    return lines
