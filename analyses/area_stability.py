"""Which layer area does the distance choose, and does it choose it again?

Question: which area do random parts of the corpus choose, other metrics, and all languages but one;
    how does the curve depend on the number of sentences; and does its lowest layer lie apart from
    the next one by more than that difference varies?
Command:  python analyses/area_stability.py --figure area_stability_demo
          python analyses/area_stability.py --model MODEL --corpus DIR --figure NAME
Cost:     one forward pass and --subsets sweeps of every size; two minutes for the defaults.
Figure:   figures/NAME.png, .svg and .json

A part is drawn at random and halved at random, so n is half of its sentences. All sentences are
only halved anew: their spread is that of the halving, and that of parts nearly as large as the
corpus is too small, since they share sentences. "overlap" is the Jaccard index of a part's area
with the area of all sentences (the first halving), "same" the share of parts that choose that very
area. "gap" is the mean difference between the lowest layer of the mean curve (of a similarity the
highest) and the next one, "spread" that difference's standard deviation over the parts, and
"first" the share of parts in which it is the lower of the two. Layers 1 to L - 1 only.
"""

# %% Settings
import json
import tempfile
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from _shared import answer, made_of, model_path, parser
from tqdm import tqdm

from shiftlens import LayerSweep, SentenceStates, SweepConfig, run_sweep, sweep_layers
from shiftlens.geometry import METRICS
from shiftlens.languages import language_name
from shiftlens.plots import area_stability

OPTIONS = ("model", "corpus", "languages", "dominant", "sentences", "out")
COMPARING = [name for name, own in METRICS.items() if own.kind != "single"]
MEASURES = ["affine_invariant", "log_euclidean", "mean_distance_rms", "shifcon", "debiased_cka",
            "mexa"]  # fmt: skip

options = parser(__file__, __doc__, *OPTIONS, model="demo", corpus="demo")
options.add_argument("--sizes", type=int, nargs="+", default=[50, 100, 200, 400, 600])
options.add_argument("--subsets", type=int, default=20, help="parts of every size")
options.add_argument("--metrics", nargs="+", choices=COMPARING, default=MEASURES)
options.add_argument("--seed", type=int, default=0)


# %% Sweeps of many parts
def rows_of(sweep: LayerSweep, **keys) -> list[dict]:
    """Mean, floor and choice of every layer, and whether an area can hold it."""
    if not sweep.areas:
        options.error("a model of fewer than 3 blocks has no layer area")
    rows = []
    for metric, area in sweep.areas.items():
        curves = sweep.curves(metric)
        named = {"metric": metric, "area": f"{area.start}-{area.stop}"} | keys
        for layer, value, floor in curves.iloc[:, -2:].itertuples():
            rows.append(named | {"layer": layer, "value": value, "floor": floor,
                                 "chosen": area.start <= layer <= area.stop,
                                 "inner": 0 < layer < curves.index[-1]})  # fmt: skip
    return rows


def measured(states: SentenceStates, settings) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tidy rows of every part, and of all sentences without each language."""
    total, parts, without = states.n_sentences, [], []
    sizes = [*(n for n in sorted(set(settings.sizes)) if n < total), total]
    for n, draw in tqdm(list(product(sizes, range(settings.subsets))), disable=None):
        rows = np.random.default_rng([settings.seed, n, draw]).choice(total, n, replace=False)
        part = states.of_sentences(np.sort(rows))
        sweep = sweep_layers(part, settings.dominant, settings.metrics, seed=settings.seed + draw,
                             progress=False)  # fmt: skip
        parts += rows_of(sweep, sentences=n, draw=draw)
        if n == total and len(states.languages) > 2:
            for code in [code for code in states.languages if code != settings.dominant]:
                without += rows_of(sweep.without(code), language=code, draw=draw)
    return pd.DataFrame(parts), pd.DataFrame(without)


# %% What they say
def summary(rows: pd.DataFrame, whole: pd.DataFrame) -> dict:
    """How stable the area of one metric is at one size, and its lowest layer."""
    areas = rows.groupby("draw")["area"].first()
    chosen = rows.pivot(index="draw", columns="layer", values="chosen")
    overlap = (chosen & whole["chosen"]).sum(axis=1) / (chosen | whole["chosen"]).sum(axis=1)
    sign = -1 if METRICS[rows["metric"].iloc[0]].kind == "similarity" else 1
    curves = sign * rows[rows["inner"]].pivot(index="draw", columns="layer", values="value")
    lowest, following = curves.mean().nsmallest(2).index
    gap = curves[following] - curves[lowest]
    return {
        "most_often": areas.mode()[0],
        "share": (areas == areas.mode()[0]).mean(),
        "same": (areas == whole["area"].iloc[0]).mean(),
        "overlap": overlap.mean(),
        "lowest": lowest,
        "next": following,
        "gap": gap.mean(),
        "spread": gap.std(),
        "first": (gap > 0).mean(),
    }


def shares(rows: pd.DataFrame, panel: str, names: pd.Series) -> pd.DataFrame:
    """Share of the areas that hold a layer, row by row; none of layers that no area can hold."""
    inner = rows[rows["inner"]].assign(row=names)
    held = inner.groupby(["row", "layer"], sort=False)["chosen"].mean()
    return held.rename("share").reset_index().assign(panel=panel)


# %% Tables, figure, and the sidecar that says what it shows
if __name__ == "__main__":
    settings = options.parse_args()
    asked = ("corpus", "languages", "dominant", "sentences", "seed")
    out = Path(settings.out or tempfile.mkdtemp()) / "sentences"
    run = run_sweep(SweepConfig(model_path(settings.model), out=str(out),
                                metric=settings.metrics[0],
                                **{name: getattr(settings, name) for name in asked}))  # fmt: skip
    parts, without = measured(SentenceStates.read(run.store), settings)
    metric, total = settings.metrics[0], parts["sentences"].max()
    every, own = parts[parts["sentences"] == total], parts[parts["metric"] == metric]
    whole = {name: rows.set_index("layer")
             for name, rows in every[every["draw"] == 0].groupby("metric", sort=False)}  # fmt: skip
    summaries = pd.DataFrame(
        {"metric": name, "sentences": n} | summary(rows, whole[name])
        for (name, n), rows in parts.groupby(["metric", "sentences"], sort=False)
    )
    curves = own.groupby(["sentences", "layer"], as_index=False).agg(
        distance=("value", "mean"), spread=("value", "std"), floor=("floor", "mean")
    )
    panels = [
        shares(own, "by corpus size", own["sentences"].map("{:,} sentences".format)),
        shares(every, f"by metric, {total:,} sentences", every["metric"].str.replace("_", " ")),
    ]
    if len(without):
        left = without[without["metric"] == metric]
        names = "without " + left["language"].map(language_name)
        panels.append(shares(left, f"without a language, {total:,} sentences", names))
    held = pd.concat(panels, ignore_index=True)
    for name, rows in summaries.groupby("metric", sort=False):
        print(f"\n{name}: {whole[name]['area'].iloc[0]} is the area of all {total:,} sentences")
        print(rows.drop(columns="metric").round(3).to_string(index=False))
    figure = area_stability(curves, held, metric, (run.sweep.area.start, run.sweep.area.stop))
    tables = {"summary": summaries, "curves": curves, "shares": held}
    facts = made_of(run.store.manifest, settings.model, settings.corpus) | {
        "definitions": __doc__.splitlines(), "seed": settings.seed,
        "areas": {name: rows["area"].iloc[0] for name, rows in whole.items()},
        "result": {name: json.loads(table.to_json(orient="records", double_precision=4))
                   for name, table in tables.items()},
    }  # fmt: skip
    answer(options, settings, figure, facts)
