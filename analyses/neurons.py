"""Does ablating a language's neurons hurt that language?

Question: when the neurons of one language are ablated, does its own perplexity on held-out text
    rise, and more than that of the other languages, and more than with random neurons?
Command:  python analyses/neurons.py --figure neurons_demo
Cost:     seconds from the stored tables; with --recompute about five minutes on one core.
Figure:   figures/neurons_demo.png, .svg and .json

Of the demo model; `shiftlens neurons` asks the same of any. Neurons are found (LAPE) on the
demo's parallel questions and measured on demo:test, prompts with answers, which no training saw.
The share of neurons that is kept is not chosen by the result: all of them are printed, the paper's
1% first, and --share says which one is drawn. Intervals are over the 180 texts, which are alike
in their words, and of the control also over ten draws; nothing is corrected for how many there are.
"""

# %% Settings
import json
from argparse import Namespace
from importlib.metadata import version
from pathlib import Path

import pandas as pd
from _shared import answer, parser

import shiftlens as sl
from shiftlens.config import RECORDED
from shiftlens.neurons import activation_probabilities, choose_neurons, measure_effects
from shiftlens.neurons_run import held_out_texts
from shiftlens.plots.neurons import effects_figure

HELD_OUT = "demo:test"
SHARES = (0.01, 0.02, 0.05, 0.1)
FACTORS = (0.0, 2.0)
KEPT = Path(__file__).with_name("results") / "neurons.csv"

options = parser(__file__, __doc__)
options.add_argument("--recompute", action="store_true", help="ablate and measure again")
options.add_argument("--share", type=float, default=0.05, choices=SHARES, help="what is drawn")
options.add_argument("--results", type=Path, default=KEPT, help="the stored tables")


# %% All shares, with --recompute only
def recompute(settings: Namespace) -> None:
    """Write the effects, the claims, and what they are made of."""
    model, corpus = sl.load_model("demo", device="cpu"), sl.load_corpus("demo")
    held_out = held_out_texts(HELD_OUT, corpus.languages)
    probabilities = activation_probabilities(model, corpus)
    tables, claims = [], []
    for share in SHARES:
        found = choose_neurons(corpus.languages, probabilities, share)
        for factor in FACTORS:
            effects = measure_effects(model, found, held_out, factor)
            own = {"share": share, "factor": factor}
            tables.append(effects.table().assign(**own))
            claims.append(effects.claims().assign(**own))
    pd.concat(tables).to_csv(settings.results, index=False, float_format="%.5g")
    pd.concat(claims).to_csv(claims_path(settings), index=False, float_format="%.5g")
    facts = {
        "model": {"name": "demo", "sha256": model.sha256},
        "corpus": {"name": "demo", "sha256": corpus.sha256},
        "held out": {"name": HELD_OUT, "sha256": held_out.sha256},
        "seed": 0,
        "versions of the results": {name: version(name) for name in RECORDED},
    }
    settings.results.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")


def claims_path(settings: Namespace) -> Path:
    """Where the claims lie, beside the effects."""
    return settings.results.with_name(f"{settings.results.stem}_claims.csv")


def holding(claims: pd.DataFrame) -> str:
    """How many languages a claim holds of, among those that have neurons, and which."""
    codes = claims["language"][claims["holds"]]
    return f"{len(codes)}/{len(claims)} {' '.join(codes)}".strip()


# %% Table, figure, and the sidecar that says what it shows
if __name__ == "__main__":
    settings = options.parse_args()
    if settings.recompute:
        recompute(settings)
    table, claims = pd.read_csv(settings.results), pd.read_csv(claims_path(settings))
    facts = json.loads(settings.results.with_suffix(".json").read_text())
    keys = ["factor", "share"]
    result = claims.groupby([*keys, "more_than"], sort=False).apply(holding).unstack("more_than")
    result = result[list(claims["more_than"].unique())]
    print("languages whose perplexity rises by more than ... (95% interval above 0)")
    print(result.to_string())
    drawn = claims[(claims["share"] == settings.share) & (claims["factor"] == 0)]
    columns = ["language", "neurons", "more_than", "difference", "low", "high"]
    print(f"\nshare {settings.share}, ablated: nats per token")
    print(drawn[columns].round(4).to_string(index=False))
    facts |= {
        "share": settings.share,
        "result": drawn[[*columns, "over", "n"]].to_dict("records"),
        "holding": result.reset_index().to_dict("records"),
    }
    table = table[(table["share"] == settings.share) & (table["factor"] == 0)]
    title = f"neurons of a language ablated ({settings.share:.0%} of all kept)"
    answer(options, settings, effects_figure(table, title), facts)
