"""What a reader must know before trusting the numbers of a run: plain warnings, or none."""

from collections.abc import Callable, Iterator

import pandas as pd

from shiftlens.folders.runs import RunFolder, SweepFolder
from shiftlens.geometry import METRICS
from shiftlens.languages import language_name

MOST_UNKNOWN = 0.01
"""Share of unknown tokens above which a language is warned of."""


NEARLY = 0.01
"""How much farther than the area's farthest a layer may be and still be as good as near."""


def cautions(run: RunFolder) -> list[str]:
    """Look a run over for what makes its numbers less than they seem.

    Of a training it is the sweep before training that is looked at: it chooses the area.

    Args:
        run: The run folder.

    Returns:
        One sentence a warning, the gravest first; empty where there is nothing to say.
    """
    checks: tuple[Callable[[RunFolder], Iterator[str]], ...] = (
        _area,
        _nearly_level,
        _on_the_floor,
        _no_intervals,
    )
    found = measured_on(run.first.sweep.table, token_table(run))
    return found + [line for check in checks for line in check(run)]


def measured_on(sweep: pd.DataFrame, tokens: pd.DataFrame) -> list[str]:
    """Look over what a sweep was measured on: too few sentences, or too little of them.

    Args:
        sweep: The table of a sweep.
        tokens: What the tokenizer made of each language, a row a language.

    Returns:
        One sentence a warning.
    """
    return [*_fewer_rows_than_dimensions(sweep), *_texts(tokens)]


def token_table(run: RunFolder) -> pd.DataFrame:
    """What the tokenizer made of each language, and, where it is known, how much was dropped."""
    return run.tokens if isinstance(run, SweepFolder) else run.first.tokens


def _fewer_rows_than_dimensions(table: pd.DataFrame) -> Iterator[str]:
    requires = table["metric"].map(lambda name: METRICS[name].requires)
    rows = table[requires.isin(["covariance", "shrinkage", "rank"])]
    if rows.empty or rows["n"].min() >= rows["d"].max():
        return
    n, d, rule = int(rows["n"].min()), int(rows["d"].max()), rows["shrinkage"].iloc[0]
    yield (
        f"n = {n} in each half is below d = {d}: the sample covariances are singular, and every "
        f"measure of them rests on the shrinkage ({rule}). Compare only what shares n and the "
        f"rule, and take {2 * d} sentences or more where there are any."
    )


def _texts(tokens: pd.DataFrame) -> Iterator[str]:
    table = tokens.set_index("language")
    if cut := _listed(table["truncated"]):
        yield f"Texts were cut at --max-length: {cut}. Their ends were not measured."
    unknown = table["unknown_rate"][table["unknown_rate"] > MOST_UNKNOWN]
    if len(unknown):
        shares = ", ".join(f"{code} {share:.1%}" for code, share in unknown.items())
        yield (
            f"Unknown tokens are above {MOST_UNKNOWN:.0%}: {shares}. The tokenizer lacks their "
            "words or script; what is measured there is little of the language."
        )
    if "dropped" in table and (dropped := _listed(table["dropped"])):
        yield f"Sentences that some language lacks were dropped: {dropped}."


def _listed(counts: pd.Series) -> str:
    return ", ".join(f"{code} {count}" for code, count in counts.items() if count > 0)


def _area(run: RunFolder) -> Iterator[str]:
    area = run.first.sweep.area
    if area is None:
        return
    last = run.first.store.layers[-1] - 1
    ends = [str(layer) for layer in (1, last) if layer in (area.start, area.stop)]
    if ends:
        yield (
            f"The area {area.start}-{area.stop} reaches the edge of the layers it is chosen from "
            f"(1-{last}): the curve may fall on beyond layer {' and '.join(ends)}."
        )
    if area.tied:
        yield (
            f"The area is arbitrary in part: layers {', '.join(map(str, area.tied))} were left out "
            "though as near as one that was taken."
        )


def _nearly_level(run: RunFolder) -> Iterator[str]:
    """Layers left out of the area that are as good as near."""
    sweep = run.first.sweep
    if sweep.area is None or sweep.area.tied:
        return
    metric = next(iter(sweep.areas or {}))
    sign = -1 if METRICS[metric].kind == "similarity" else 1
    curve = {layer: sign * value for layer, value in sweep.mean_curve(metric).items()}
    inside = range(sweep.area.start, sweep.area.stop + 1)
    worst = max(curve[layer] for layer in inside)
    level = [
        layer
        for layer in range(1, run.first.store.layers[-1])
        if layer not in inside and curve[layer] <= worst + NEARLY * abs(worst)
    ]
    if level:
        yield (
            f"The area is not clear-cut: by {metric}, layers {', '.join(map(str, level))} outside "
            f"of it lie within {NEARLY:.0%} of those in it. Other sentences, or more of them, may "
            "choose others."
        )


def _on_the_floor(run: RunFolder) -> Iterator[str]:
    """Languages that cannot be told from the dominant one, by the metric that chose the area."""
    sweep = run.first.sweep
    metric = next(iter(sweep.areas or {}), None)
    if metric is None:
        return
    similar = METRICS[metric].kind == "similarity"
    if similar and not METRICS[metric].paired:
        return
    rows = sweep.table[sweep.table["metric"] == metric].reindex(
        columns=["layer", "language", "value", "low", "high"]
    )
    low, high = rows["low"].fillna(rows["value"]), rows["high"].fillna(rows["value"])
    ends = rows.assign(near=low, far=high)
    floor = ends[ends["language"] == sweep.dominant].set_index("layer")["far"]
    others = ends[ends["language"] != sweep.dominant]
    reached = others[others["near"].to_numpy() <= floor[others["layer"]].to_numpy()]
    for code, layers in reached.groupby("language", sort=False)["layer"]:
        what = (
            "its translations are no nearer than unrelated sentences"
            if METRICS[metric].paired
            else f"it cannot be told from {language_name(sweep.dominant)}"
        )
        numbers = ", ".join(map(str, sorted(layers)))
        yield f"{language_name(str(code))} is on the floor at layer {numbers} ({metric}): {what}."


def _no_intervals(run: RunFolder) -> Iterator[str]:
    table = run.first.sweep.table
    if "low" in table and table["low"].notna().any():
        return
    if isinstance(run, SweepFolder):
        ask = "--groups 10 asks for 95% intervals"
    else:
        model, corpus = run.settings["model"], run.settings["parallel"]
        ask = f"shiftlens sweep --model {model} --corpus {corpus} --groups 10 --out DIR gives them"
    yield f"There are no intervals: differences between neighbouring layers may be chance; {ask}."
