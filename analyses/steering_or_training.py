"""Does steering by the language vector alone do what ShifCon's training does?

Question: how many held-out questions of each language does a fine-tuned model (MSFT) answer, as it
    is, steered to English at one layer, and with ShifCon's shift there and back, beside a model
    that ShifCon trained?
Command:  python analyses/steering_or_training.py --figure steering_or_training_demo
Cost:     seconds from the stored table; with --recompute six trainings of a minute each, and
          about two minutes of answers a seed.
Figure:   figures/steering_or_training_demo.png, .svg and .json

Layer and strength of the steering are chosen by mean exact match of the other languages on
demo:validation, one pair a seed for all languages, and tested on demo:test. An answer counts in
the words of the prompt's language, as in training. The shift runs in the preset's area, with
vectors of the fine-tuned model.
"""

# %% Settings
import json
from argparse import Namespace
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.metadata import version
from itertools import product
from pathlib import Path

import pandas as pd
from _shared import answer, parser

import shiftlens as sl
from shiftlens.area import parse_area
from shiftlens.config import RECORDED, TrainConfig
from shiftlens.effects import t_interval
from shiftlens.evaluate import exact_match
from shiftlens.plots.steering import arms_by_language
from shiftlens.sft import SftRecord, load_records
from shiftlens.showcase import settings_of

CHOSEN_ON, HELD_OUT, DOMINANT = "demo:validation", "demo:test", "en"
STRENGTHS = (0.5, 1.0)
KEPT = Path(__file__).with_name("results") / "steering_or_training.csv"

options = parser(__file__, __doc__)
options.add_argument("--recompute", action="store_true", help="train and test again")
options.add_argument("--seeds", type=int, default=3, help="paired seeds of every arm")
options.add_argument("--workers", type=int, default=2, help="seeds at a time")
options.add_argument("--cells", type=Path, default=Path("runs/steering"), help="of trainings")
options.add_argument("--results", type=Path, default=KEPT, help="the stored table")


# %% One seed
def trained(arm: str, seed: int, cells: Path) -> tuple[sl.LanguageModel, sl.Shift | None]:
    """The model of an arm, trained now unless it is there."""
    out = cells / f"{arm}-{seed}"
    if not (out / "model").exists():
        own = {"out": str(out), "device": "cpu", "seed": seed}
        sl.run_train(TrainConfig(**settings_of(arm) | own), say=lambda line: None)
    return sl.load_trained(out / "model")


def steered(
    model: sl.LanguageModel, vectors: sl.LanguageVectors, of: str, layer: int, strength: float
) -> pd.Series:
    """Exact match of every other language, each steered to the dominant one."""
    shares = {}
    for code, own in by_language(of).items():
        if code != DOMINANT:
            steering = sl.Steering.difference(vectors, code, DOMINANT, layer)
            with steering.applied(model, strength):
                shares[code] = pd.Series(exact_match(model, own)).mean()
    return pd.Series(shares)


def by_language(of: str) -> dict[str, list[SftRecord]]:
    """The records of each language."""
    records = load_records(of)
    codes = dict.fromkeys(record.language for record in records)
    return {code: [r for r in records if r.language == code] for code in codes}


def plain(model: sl.LanguageModel, shift: sl.Shift | None) -> pd.Series:
    """Exact match of every language on the held-out records, shifted or not."""
    shares = {c: exact_match(model, own, shift) for c, own in by_language(HELD_OUT).items()}
    return pd.Series(shares).map(lambda flags: sum(flags) / len(flags))


def of_seed(seed: int, cells: Path) -> pd.DataFrame:
    """Exact match of every arm and language, and the layer and strength chosen."""
    model, _ = trained("msft", seed, cells)
    vectors = sl.LanguageVectors.from_model(model, sl.load_corpus("demo"))
    pairs = list(product(range(1, model.n_layers), STRENGTHS))
    layer, strength = max(pairs, key=lambda p: steered(model, vectors, CHOSEN_ON, *p).mean())
    shift = sl.Shift(vectors, parse_area(settings_of("shifcon")["area"]), DOMINANT)
    base = plain(model, None)
    arms = {
        "MSFT": base,
        "MSFT steered": steered(model, vectors, HELD_OUT, layer, strength),
        "MSFT, shift on": plain(model, shift),
        "ShifCon": plain(*trained("shifcon", seed, cells)),
    }
    arms["MSFT steered"][DOMINANT] = base[DOMINANT]
    table = pd.DataFrame(arms).rename_axis("language").reset_index()
    tidy = table.melt("language", var_name="arm", value_name="exact_match")
    return tidy.assign(seed=seed, layer=layer, strength=strength)


# %% All of them, with --recompute only
def recompute(settings: Namespace) -> None:
    """Write the table and what it is made of."""
    with ProcessPoolExecutor(settings.workers) as pool:
        tables = list(pool.map(partial(of_seed, cells=settings.cells), range(settings.seeds)))
    pd.concat(tables).to_csv(settings.results, index=False, float_format="%.4g")
    model = sl.load_model("demo")
    facts = {
        "model": {"name": "demo", "sha256": model.sha256},
        "corpus": {"name": "demo", "sha256": sl.load_corpus("demo").sha256},
        "chosen on": CHOSEN_ON,
        "tested on": HELD_OUT,
        "seed": f"0 to {settings.seeds - 1}",
        "versions of the results": {name: version(name) for name in RECORDED},
    }
    settings.results.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")


# %% Table, figure, and the sidecar that says what it shows
if __name__ == "__main__":
    settings = options.parse_args()
    if settings.recompute:
        recompute(settings)
    table = pd.read_csv(settings.results).set_index("language")
    table = table.loc[list(by_language(HELD_OUT))].reset_index()
    facts = json.loads(settings.results.with_suffix(".json").read_text())
    others = table[table["language"] != DOMINANT]
    means = others.groupby(["arm", "seed"], sort=False)["exact_match"].mean().unstack("seed")
    less = means - means.loc["MSFT"]
    result = pd.DataFrame({"arm": arm, **t_interval(means.loc[arm])} for arm in means.index)
    paired = pd.DataFrame({"arm": a, "less": "MSFT", **t_interval(less.loc[a])} for a in less.index)
    print(f"exact match on {HELD_OUT}, mean over the languages but {DOMINANT}, 95% t-interval")
    for shown in (result, paired[1:]):
        print(shown.round(3).to_string(index=False))
    chosen = table.groupby("seed")[["layer", "strength"]].first()
    print(chosen.to_string())
    facts |= {
        "chosen": chosen.reset_index().to_dict("records"),
        "result": result.round(4).to_dict("records"),
        "differences": paired[1:].round(4).to_dict("records"),
    }
    answer(options, settings, arms_by_language(table), facts)
