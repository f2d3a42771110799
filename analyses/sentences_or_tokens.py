"""Do sentence vectors and tokens tell the same story?

Question: do the same metrics on sentence vectors, and on mean and covariance of all tokens, order
    layers and languages alike, and choose the same area?
Command:  python analyses/sentences_or_tokens.py --figure sentences_or_tokens_demo
          python analyses/sentences_or_tokens.py --model MODEL --corpus DIR --figure NAME
Cost:     seconds on the demo: two forward passes over the corpus.
Figure:   figures/NAME.png, .svg and .json

Both are halved by the same sentences. n counts sentences or tokens of the smaller half, and differs
by so much that values cannot be compared: each has its own panel and floor. "layers" is Spearman's
rank correlation over the layers that an area can hold (1 to L - 1), language by language, averaged;
"languages" that over the non-dominant languages, layer by layer (0 to L), averaged. "parts" are the
same correlations between the sentence vectors of two disjoint parts of the corpus, n / 2 each: what
is as high as these cannot be told from full agreement. "floors" is the mean curve in units of the
floor, its range over the layers; of a similarity it says nothing.
"""

# %% Settings
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pandas as pd
from _agreement import rank_agreement
from _shared import answer, made_of, model_path, parser

from shiftlens import LayerSweep, SentenceStates, SweepConfig, run_sweep, sweep_layers
from shiftlens.geometry import METRICS
from shiftlens.halves import split_rows
from shiftlens.plots import layer_distance_panels

OPTIONS = ("model", "corpus", "languages", "dominant", "sentences", "out")
SUMMARISED = [
    name for name, own in METRICS.items() if own.takes == "summary" and own.kind != "single"
]
MEASURES = [
    *("affine_invariant", "log_euclidean", "bures_wasserstein"),
    *("mean_distance_rms", "shifcon"),
]

options = parser(__file__, __doc__, *OPTIONS, model="demo", corpus="demo")
options.add_argument("--metrics", nargs="+", choices=SUMMARISED, default=MEASURES)
options.add_argument("--seed", type=int, default=0)


# %% What a sweep says
def told(sweep: LayerSweep, metric: str) -> dict[str, str]:
    """The area of a metric, and how far above the floor its curve lies."""
    curves, area = sweep.curves(metric), (sweep.areas or {}).get(metric)
    floors = curves["mean"] / curves.iloc[:, -1]
    return {
        "area": f"{area.start}-{area.stop}" if area else "none",
        "floors": f"{floors.min():.1f}-{floors.max():.1f}",
    }


def counted(sweep: LayerSweep) -> str:
    """n of the languages, such as "404" or "3,100–8,300"."""
    return "–".join(f"{n:,}" for n in sorted({sweep.table["n"].min(), sweep.table["n"].max()}))


# %% Tables, figure, and the sidecar that says what it shows
if __name__ == "__main__":
    settings = options.parse_args()
    out = Path(settings.out or tempfile.mkdtemp())
    asked = ("corpus", "languages", "dominant", "sentences", "seed")
    config = SweepConfig(model_path(settings.model), out=str(out / "sentences"),
                         metric=",".join(settings.metrics),
                         **{name: getattr(settings, name) for name in asked})  # fmt: skip
    run = run_sweep(config)
    tokens = run_sweep(replace(config, states="tokens", out=str(out / "tokens")))
    states = SentenceStates.read(run.store)
    parts = [
        sweep_layers(states.of_sentences(rows), config.dominant, config.metric, seed=config.seed)
        for rows in split_rows(states.n_sentences, config.seed)
    ]
    table = pd.DataFrame(
        {
            metric: {("sentences", what): text for what, text in told(run.sweep, metric).items()}
            | {("tokens", what): text for what, text in told(tokens.sweep, metric).items()}
            | {("sentences, tokens", over): rho
               for over, rho in rank_agreement(run.sweep, tokens.sweep, metric).items()}
            | {("parts", over): rho for over, rho in rank_agreement(*parts, metric).items()}
            for metric in settings.metrics
        }
    ).T  # fmt: skip
    d = run.store.manifest["model"]["d_model"]
    drawn = {f"sentence vectors, n = {counted(run.sweep)} (d = {d})": run.sweep,
             f"tokens, n = {counted(tokens.sweep)} (d = {d})": tokens.sweep}  # fmt: skip
    print(f"\n{'; '.join(drawn)}\n{table.to_string(float_format='{:.2f}'.format)}")
    areas = {title: (own.area.start, own.area.stop) for title, own in drawn.items() if own.area}
    metric = settings.metrics[0]
    figure = layer_distance_panels(
        {title: own.table for title, own in drawn.items()}, areas, config.dominant, metric
    )
    flat = table.set_axis([f"{kind}: {what}" for kind, what in table], axis="columns")
    facts = made_of(run.store.manifest, settings.model, settings.corpus) | {
        "definitions": __doc__.splitlines(),
        "seed": settings.seed,
        "result": json.loads(flat.to_json(orient="index", double_precision=4)),
        "curves": {title: own.curves(metric).round(4).to_dict("list")
                   for title, own in drawn.items()},
    }  # fmt: skip
    answer(options, settings, figure, facts)
