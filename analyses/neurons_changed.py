"""Which language-specific neurons does ShifCon change?

Question: of the base model's language-specific neurons, how many are still the same language's
    after plain fine-tuning (MSFT), after the contrast alone (MCL), and after ShifCon; of which
    languages, and in which blocks?
Command:  python analyses/neurons_changed.py --figure neurons_changed_demo
Cost:     seconds from the stored table; with --recompute twelve trainings, a minute each.
Figure:   figures/neurons_changed_demo.png, .svg and .json

Neurons are found (LAPE) in every model on the same text, demo:test, prompts with answers, which no
training saw, at the paper's share (1% of all) and at 5%, which is drawn. "Other half" compares the
base's neurons found on one half of the text with those found on the other: what is lost there
no training took. Chance is what a model would keep that had as many neurons of the language in
the block, drawn at random. Every arm has its best learning rate, MSFT's the smaller one; "MSFT,
faster" has that of the others. Intervals are over three seeds of training on one base model.
"""

# %% Settings
import json
from argparse import Namespace
from collections.abc import Iterator
from importlib.metadata import version
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from _shared import answer, parser

import shiftlens as sl
from shiftlens.config import RECORDED, TrainConfig
from shiftlens.effects import t_interval
from shiftlens.halves import split_rows
from shiftlens.neurons import activation_probabilities, choose_neurons, neurons_kept
from shiftlens.neurons_run import held_out_texts
from shiftlens.plots.neurons_kept import kept_figure
from shiftlens.showcase import settings_of

TEXT, DRAWN = "demo:test", 0.05
SHARES = (0.01, DRAWN)
HALF = "base, other half"
FAST = "MSFT, faster"
ARMS = {"MSFT": "msft", FAST: "msft", "MCL only": "mcl-only", "ShifCon": "shifcon"}
PAIRS = (("MCL only", "MSFT"), ("MCL only", FAST), ("ShifCon", FAST), ("ShifCon", "MCL only"))
KEPT = Path(__file__).with_name("results") / "neurons_changed.csv"

options = parser(__file__, __doc__)
options.add_argument("--recompute", action="store_true", help="train and find again")
options.add_argument("--seeds", type=int, default=3, help="paired seeds of every arm")
options.add_argument("--cells", type=Path, default=Path("runs/neurons_changed"), help="trainings")
options.add_argument("--results", type=Path, default=KEPT, help="the stored table")


# %% Finding and comparing
def trained(name: str, seed: int, cells: Path) -> sl.LanguageModel:
    """The model of an arm, without its shift; trained now unless it is there."""
    out = cells / f"{ARMS[name]}{'-fast' * (name == FAST)}-{seed}"
    if not (out / "model").exists():
        own = {"out": str(out), "device": "cpu", "seed": seed}
        if name == FAST:
            own["learning_rate"] = settings_of("shifcon")["learning_rate"]
        sl.run_train(TrainConfig(**settings_of(ARMS[name]) | own), say=lambda line: None)
    return sl.load_trained(out / "model", device="cpu")[0]


def compared(before: np.ndarray, after: np.ndarray, languages: tuple) -> pd.DataFrame:
    """What is kept at every share, from two models' activation probabilities."""
    tables = []
    for share in SHARES:
        found = [choose_neurons(languages, p, share) for p in (before, after)]
        tables.append(neurons_kept(*found).assign(share=share))
    return pd.concat(tables)


def part(corpus: sl.Corpus, rows: np.ndarray) -> sl.Corpus:
    """Some of the sentences."""
    return sl.Corpus.from_texts({c: [own[r] for r in rows] for c, own in corpus.texts.items()})


def all_tables(settings: Namespace, corpus: sl.Corpus) -> Iterator[pd.DataFrame]:
    """Every arm and seed against the base."""
    base = sl.load_model("demo", device="cpu")
    whole = activation_probabilities(base, corpus)
    for seed in range(settings.seeds):
        halves = [part(corpus, rows) for rows in split_rows(len(corpus), seed)]
        found = [activation_probabilities(base, half) for half in halves]
        yield compared(*found, corpus.languages).assign(arm=HALF, seed=seed)
    for name, seed in product(ARMS, range(settings.seeds)):
        after = activation_probabilities(trained(name, seed, settings.cells), corpus)
        yield compared(whole, after, corpus.languages).assign(arm=name, seed=seed)


# %% All of them, with --recompute only
def recompute(settings: Namespace) -> None:
    """Write the table and what it is made of."""
    corpus = held_out_texts(TEXT, sl.load_corpus("demo").languages)
    table = pd.concat(all_tables(settings, corpus))
    table.to_csv(settings.results, index=False, float_format="%.4g")
    facts = {
        "model": {"name": "demo", "sha256": sl.load_model("demo").sha256},
        "corpus": {"name": TEXT, "sha256": corpus.sha256},
        "seed": f"0 to {settings.seeds - 1}",
        "versions of the results": {name: version(name) for name in RECORDED},
    }
    settings.results.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")


# %% Table, figure, and the sidecar that says what it shows
def shares_kept(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Share of the base's neurons kept, and by chance, of each arm and seed."""
    sums = table.groupby([*keys, "seed"], sort=False)[["before", "kept", "by_chance"]].sum()
    return sums[["kept", "by_chance"]].div(sums["before"], axis=0)


if __name__ == "__main__":
    settings = options.parse_args()
    if settings.recompute:
        recompute(settings)
    table = pd.read_csv(settings.results)
    facts = json.loads(settings.results.with_suffix(".json").read_text())
    shares = shares_kept(table, ["share", "arm"])
    result = pd.DataFrame(
        {"share": s, "arm": arm, **t_interval(g["kept"]), "chance": g["by_chance"].mean()}
        for (s, arm), g in shares.groupby(["share", "arm"], sort=False)
    )
    wide = shares["kept"].unstack("arm")
    paired = pd.DataFrame(
        {"share": s, "arm": a, "less": b, **t_interval(wide.loc[s, a] - wide.loc[s, b])}
        for s, (a, b) in product(SHARES, PAIRS)
    )
    drawn = table[table["share"] == DRAWN]
    print("share of the base's neurons kept, 95% t-interval over seeds; paired differences")
    for shown in (result, paired):
        print(shown.round(3).to_string(index=False))
    for by in ("block", "language"):
        means = shares_kept(drawn, [by, "arm"])["kept"].groupby([by, "arm"], sort=False).mean()
        base = drawn[(drawn["arm"] == "MSFT") & (drawn["seed"] == 0)].groupby(by, sort=False)
        print(means.unstack("arm").assign(base=base["before"].sum()).round(2).to_string())
    after = drawn.groupby(["block", "arm", "seed"], sort=False)["after"].sum()
    print("neurons of a language by block, mean over seeds")
    print(after.groupby(["block", "arm"], sort=False).mean().unstack("arm").round(1).to_string())
    facts |= {"share": DRAWN, "result": result.round(4).to_dict("records"),
              "differences": paired.round(4).to_dict("records")}  # fmt: skip
    answer(options, settings, kept_figure(drawn), facts)
