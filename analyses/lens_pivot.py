"""Does ShifCon move the language that the model thinks in?

Question: before the answer to a question in another language than English, which language's tokens
    does the logit lens find at each layer, and how likely the English answer and the own one: in
    the base model, after plain fine-tuning (MSFT), after the contrast alone (MCL), and after
    ShifCon, with its shift off and on?
Command:  python analyses/lens_pivot.py --figure lens_pivot_demo
Cost:     seconds from the stored table; with --recompute nine trainings, a minute each.
Figure:   figures/lens_pivot_demo.png, .svg and .json

Read are the questions of demo:test, which no training saw, at their last token; which token is of
which language is counted in demo's parallel corpus. Lines are means over the eight other languages
and over seeds, bands the range over seeds. "Pivot is English": the share of the eight languages
with more mass on English than on any other. Printed are means over the layers that the shift moves,
a to b - 1. Base with the shift on shows what the shift does without training.
"""

# %% Settings
import json
from argparse import Namespace
from dataclasses import asdict
from importlib.metadata import version
from itertools import product
from pathlib import Path

import pandas as pd
from _shared import answer, parser

import shiftlens as sl
from shiftlens.area import parse_area
from shiftlens.config import RECORDED, TrainConfig
from shiftlens.effects import t_interval
from shiftlens.lens import TokenLanguages, answer_lens, answer_pivots, answer_summary, language_lens
from shiftlens.plots import arms_by_layer
from shiftlens.sft import load_records
from shiftlens.showcase import OVERRIDES, settings_of

HELD_OUT, COUNTED, DOMINANT = "demo:test", "demo", "en"
TRAINED = ("msft", "mcl-only", ARM := "shifcon")
MEASURES = {
    "mass": "mass of English tokens",
    "own_mass": "mass of the text's own language",
    "pivot": "pivot is English",
    "probability": "probability of the English answer",
    "own_probability": "probability of the own answer",
    "answer_pivot": "likeliest answer is English",
}
PAIRS = {
    ("mcl-only", "off"): ("msft", "off"),
    ("shifcon", "off"): ("msft", "off"),
    ("shifcon", "on"): ("shifcon", "off"),
}
KEYS = ["arm", "shift", "seed", "layer"]
KEPT = Path(__file__).with_name("results") / "lens_pivot.csv"

options = parser(__file__, __doc__)
options.add_argument("--recompute", action="store_true", help="train and read again")
options.add_argument("--seeds", type=int, default=3, help="paired seeds of every arm")
options.add_argument("--cells", type=Path, default=Path("runs/lens"), help="of trainings")
options.add_argument("--results", type=Path, default=KEPT, help="the stored table")


# %% Reading one model
def questions() -> sl.Corpus:
    """The held-out questions."""
    prompts = pd.Series({(r.language, r.id): r.prompt for r in load_records(HELD_OUT)})
    return sl.Corpus.from_texts(prompts.groupby(level=0, sort=False).agg(list).to_dict())


def own_and_english(summary: pd.DataFrame, column: str, name: str) -> pd.DataFrame:
    """Of a lens's means those of English and of the texts' own language, side by side."""
    at = summary.set_index(["language", "layer"])
    english, own = at[at[column] == DOMINANT], at[at[column] == at.index.get_level_values(0)]
    return pd.DataFrame({name: english["mean"], f"own_{name}": own["mean"]})


def read(model: sl.LanguageModel, shift: sl.Shift | None) -> pd.DataFrame:
    """One row a language and layer: masses, answers, and which language is ahead."""
    tokens = TokenLanguages.of_corpus(model, sl.load_corpus(COUNTED))
    lens = language_lens(model, questions(), tokens, shift=shift, positions="last")
    answers = answer_lens(model, load_records(HELD_OUT), shift=shift)
    of_answers = answer_summary(answers)
    parts = [own_and_english(lens.summary(), "group", "mass")]
    for name in ("probability", "rank"):
        parts.append(own_and_english(of_answers[of_answers["quantity"] == name], "answer", name))
    for name, pivots in {"pivot": lens.pivots(), "answer_pivot": answer_pivots(answers)}.items():
        parts.append(pivots.set_index(["language", "layer"])["pivot"].rename(name))
    table = pd.concat(parts, axis=1).reset_index()
    return table.assign(shift="on" if shift else "off")


# %% The demo's arms, with --recompute only
def recompute(settings: Namespace) -> None:
    """Train every arm with every seed, read it, and write the table and what it is made of."""
    base, counted, area = sl.load_model("demo"), sl.load_corpus(COUNTED), settings_of(ARM)["area"]
    vectors = sl.LanguageVectors.from_model(base, counted)
    moved = sl.Shift(vectors, parse_area(area), DOMINANT)
    tables = [read(base, shift).assign(arm="base", seed=0) for shift in (None, moved)]
    for seed, arm in product(range(settings.seeds), TRAINED):
        print(f"{arm}, seed {seed}", flush=True)
        out = settings.cells / f"{arm}-{seed}"
        if not (out / "model").exists():
            own = {"out": str(out), "device": "cpu", "seed": seed}
            sl.run_train(TrainConfig(**settings_of(arm) | own), say=lambda line: None)
        model, shift = sl.load_trained(out / "model")
        for each in [None] if shift is None else [None, shift]:
            tables.append(read(model, each).assign(arm=arm, seed=seed))
    facts = {
        "model": {"name": "demo", "sha256": base.sha256},
        "corpus": {"name": HELD_OUT, "sha256": questions().sha256},
        "tokens counted in": {"name": COUNTED, "sha256": counted.sha256},
        "settings": asdict(TrainConfig(**settings_of(ARM), out="")) | {"arm": ""},
        "overrides": {arm: OVERRIDES[arm] for arm in TRAINED if arm in OVERRIDES},
        "area": area,
        "seed": f"0 to {settings.seeds - 1}",
        "versions of the results": {name: version(name) for name in RECORDED},
    }
    pd.concat(tables).to_csv(settings.results, index=False, float_format="%.4g")
    settings.results.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")


# %% Table, figure, and the sidecar that says what it shows
if __name__ == "__main__":
    settings = options.parse_args()
    if settings.recompute:
        recompute(settings)
    table = pd.read_csv(settings.results)
    facts = json.loads(settings.results.with_suffix(".json").read_text())
    a, b = parse_area(facts["area"])
    others = table[table["language"] != DOMINANT].copy()
    others[["pivot", "answer_pivot"]] = others[["pivot", "answer_pivot"]] == DOMINANT
    means = others.groupby(KEYS, sort=False)[list(MEASURES)].mean().rename(columns=MEASURES)
    lines = means.reset_index().melt(KEYS, var_name="metric")
    between = lines[lines["layer"].between(a, b - 1)]
    keys = ["metric", "arm", "shift"]
    shown = between.groupby([*keys, "seed"], sort=False)["value"].mean().reset_index()
    result = pd.DataFrame({"metric": m, "arm": arm, "shift": on, **t_interval(own["value"])}
                          for (m, arm, on), own in shown.groupby(keys, sort=False))  # fmt: skip
    trained = shown[shown["arm"] != "base"]
    wide = trained.pivot(index=["metric", "seed"], columns=["arm", "shift"], values="value")
    paired = pd.DataFrame(
        {"metric": m, "arm": " ".join(one), "less": " ".join(less), **t_interval(g[one] - g[less])}
        for (one, less), (m, g) in product(PAIRS.items(), wide.groupby(level="metric", sort=False))
    )
    print(f"layers {a} to {b - 1}, other languages than {DOMINANT}, 95% t-interval over seeds")
    print(result.round(3).to_string(index=False), paired.round(3).to_string(index=False), sep="\n")
    facts |= {"layers": f"{a} to {b - 1}", "result": result.round(4).to_dict("records"),
              "differences": paired.round(4).to_dict("records")}  # fmt: skip
    lines = lines.assign(reference=float("nan"), floor=float("nan"))
    answer(options, settings, arms_by_layer(lines, (a, b)), facts)
