"""Whether two sweeps order layers, and languages, alike."""

from shiftlens import LayerSweep


def rank_agreement(one: LayerSweep, other: LayerSweep, metric: str) -> dict[str, float]:
    """Spearman's rank correlation of two sweeps of the same languages.

    Args:
        one: A sweep.
        other: Another one.
        metric: Swept by both.

    Returns:
        ``layers``: over the layers that an area can hold (1 to L - 1), language by language,
        averaged; ``languages``: over the non-dominant languages, layer by layer (0 to L),
        averaged. NaN where nothing varies.
    """
    first, second = (sweep.curves(metric).iloc[:, :-2] for sweep in (one, other))
    layers = first.iloc[1:-1].corrwith(second.iloc[1:-1], method="spearman")
    languages = first.corrwith(second, axis=1, method="spearman")
    return {"layers": float(layers.mean()), "languages": float(languages.mean())}
