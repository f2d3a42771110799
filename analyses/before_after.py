"""What does each arm do to the geometry, on sentences that no training saw?

Question: how far do the languages lie from the dominant one by layer, how well are translations
    retrieved, and how separable are the languages: in the base model, after plain fine-tuning
    (MSFT), after the contrast alone (MCL), and after ShifCon, with the shift off and on?
Command:  python analyses/before_after.py --figure before_after_demo
          python analyses/before_after.py --trained RUN --corpus DIR --figure NAME
    RUN is a run folder of shiftlens train, DIR holds parallel sentences that it did not see.
Cost:     seconds from the stored table; with --recompute nine trainings, a minute each.
Figure:   figures/before_after_demo.png, .svg and .json

ShifCon contrasts the demo's parallel corpus, which is thus no judge of it. Measured instead are the
questions of the 180 held-out test items in all nine languages, 90 a half. Lines are means over the
non-dominant languages and over seeds, bands the range over seeds. "Shift on" moves every language
by vectors from training sentences, so that at layer a the means nearly meet by construction, and
from layer b on moves it back; base with the shift on shows what the shift does without training.
What a distance means depends on its floor, which training moves too.
"""

# %% Settings
import json
import tempfile
from argparse import Namespace
from dataclasses import asdict
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
from _shared import answer, made_of, parser

import shiftlens as sl
from shiftlens.area import parse_area
from shiftlens.config import RECORDED, TrainConfig
from shiftlens.effects import t_interval
from shiftlens.plots import arms_by_layer
from shiftlens.settings import read_settings
from shiftlens.sft import load_records
from shiftlens.showcase import OVERRIDES, settings_of

MEASURES = "affine_invariant,mean_distance_rms,retrieval,mexa,lda_accuracy,silhouette"
TRAINED = ("msft", "mcl-only", "shifcon")
UNTRAINED, HELD_OUT = "base-shift", "demo:test"
PAIRS = {("shifcon", "on"): ("mcl-only", "off"), ("mcl-only", "off"): ("msft", "off")}
KEPT = Path(__file__).with_name("results") / "before_after.csv"

options = parser(__file__, __doc__, "corpus", "languages", corpus=None)
options.add_argument("--trained", type=Path, help="run folder of shiftlens train; the demo without")
options.add_argument("--recompute", action="store_true", help="train the demo's arms again")
options.add_argument("--seeds", type=int, default=3, help="paired seeds of every arm")
options.add_argument("--cells", type=Path, default=Path("runs/before_after"), help="of trainings")
options.add_argument("--results", type=Path, default=KEPT, help="the stored table")


# %% Measuring one model
def measured(
    model: sl.LanguageModel, shift: sl.Shift | None, corpus: sl.Corpus, config: TrainConfig
) -> tuple[pd.DataFrame, dict]:
    """The rows of one model, with its shift on or off, and the facts of its states."""
    with tempfile.TemporaryDirectory() as folder:
        pooling = sl.Pooling(config.special_tokens, config.skip_first)
        store = sl.collect_states(model, corpus, folder, pooling=pooling, shift=shift)
        table = sl.sweep_layers(store, config.dominant, MEASURES, progress=False).table
    rows = table[["metric", "layer", "language", "value", "reference"]]
    return rows.assign(shift="on" if shift else "off"), store.manifest


def both(model: sl.LanguageModel, shift: sl.Shift | None, *rest: Any) -> pd.DataFrame:
    """A model's rows with the shift off, and where it has one also on."""
    shifts = [None] if shift is None else [None, shift]
    return pd.concat([measured(model, each, *rest)[0] for each in shifts])


# %% The demo's arms, with --recompute only
def recompute(settings: Namespace) -> None:
    """Train every arm with every seed, measure it, and write the table and what it is made of."""
    prompts = pd.Series({(r.language, r.id): r.prompt for r in load_records(HELD_OUT)})
    corpus = sl.Corpus.from_texts(prompts.groupby(level=0, sort=False).agg(list).to_dict())
    cells = [(UNTRAINED, 0), *((arm, s) for s, arm in product(range(settings.seeds), TRAINED))]
    tables = []
    for arm, seed in cells:
        print(f"{arm}, seed {seed}", flush=True)
        own = {"out": str(settings.cells / f"{arm}-{seed}"), "device": "cpu", "seed": seed}
        config = TrainConfig(**settings_of(arm) | own)
        run = sl.run_train(config, say=lambda line: None)
        name = "base" if arm == UNTRAINED else arm
        tables.append(both(run.model, run.shift, corpus, config).assign(arm=name, seed=seed))
    _, manifest = measured(sl.load_model(config.model), None, corpus, config)
    facts = made_of(manifest, config.model, HELD_OUT) | {
        "settings": asdict(config) | {"out": "", "arm": "", "seed": 0},
        "overrides": {arm: OVERRIDES[arm] for arm in TRAINED if arm in OVERRIDES},
        "area": config.area,
        "dominant": config.dominant,
        "seed": f"0 to {settings.seeds - 1}",
        "versions of the results": {name: version(name) for name in RECORDED},
    }
    pd.concat(tables).to_csv(settings.results, index=False, float_format="%.4g")
    settings.results.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")


# %% Any training
def of_run(settings: Namespace) -> tuple[pd.DataFrame, dict]:
    """Before and after a training of the user's own."""
    config = TrainConfig(**read_settings(settings.trained / "config.yaml", TrainConfig))
    corpus = sl.load_corpus(settings.corpus, settings.languages and settings.languages.split(","))
    before, manifest = measured(sl.load_model(config.model), None, corpus, config)
    after = both(*sl.load_trained(settings.trained / "model"), corpus, config)
    area = json.loads((settings.trained / "area.json").read_text())["trained_area"]
    own = {"area": "-".join(map(str, area)), "dominant": config.dominant, "seed": config.seed}
    table = pd.concat([before.assign(arm="before"), after.assign(arm=config.arm)]).assign(seed=0)
    return table, made_of(manifest, config.model, settings.corpus) | own


# %% Table, figure, and the sidecar that says what it shows
if __name__ == "__main__":
    settings = options.parse_args()
    if settings.trained and not settings.corpus:
        options.error("--trained needs --corpus: parallel sentences that it did not see")
    if settings.trained:
        table, facts = of_run(settings)
    else:
        if settings.recompute:
            recompute(settings)
        table = pd.read_csv(settings.results)
        facts = json.loads(settings.results.with_suffix(".json").read_text())
    area = parse_area(facts["area"])
    dominant = table["language"] == facts["dominant"]
    keys = ["metric", "arm", "shift", "seed", "layer"]
    lines = table[~dominant].groupby(keys, sort=False)[["value", "reference"]].mean().reset_index()
    own = table[dominant].rename(columns={"value": "floor"})
    lines = lines.merge(own[[*keys, "floor"]], on=keys)
    there = lines[lines["layer"] == (layer := area[1] - 1)]
    result = pd.DataFrame(
        {"metric": m, "arm": a, "shift": s, **t_interval(g["value"]), "floor": g["floor"].mean()}
        for (m, a, s), g in there.groupby(keys[:3], sort=False)
    )
    trained = there[there["arm"] != "base"]
    wide = trained.pivot(index=["metric", "seed"], columns=["arm", "shift"], values="value")
    paired = pd.DataFrame(
        {"metric": m, "arm": " ".join(a), "less": " ".join(b), **t_interval(g[a] - g[b])}
        for (a, b), (m, g) in product(PAIRS.items(), wide.groupby(level="metric", sort=False))
        if {a, b} <= {*wide}
    )
    print(f"layer {layer}, mean over the languages, 95% t-interval over seeds; paired differences")
    for shown in (result, paired) if len(paired) else (result,):
        print(shown.round(3).to_string(index=False))
    facts |= {"layer": layer, "result": result.round(4).to_dict("records"),
              "differences": paired.round(4).to_dict("records")}  # fmt: skip
    answer(options, settings, arms_by_layer(lines, area), facts)
