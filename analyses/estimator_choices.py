"""What does the sweep's answer owe to how it was measured?

Question: what do pooling (with BOS, EOS, CLS and SEP; without the text's first token), shrinkage
    and the number of sentences change in the curve, in the area and in the order of the languages;
    and is that more than other sentences change?
Command:  python analyses/estimator_choices.py --figure estimator_choices_demo
          python analyses/estimator_choices.py --model MODEL --corpus DIR --figure NAME
Cost:     seconds on the demo: three forward passes over the corpus.
Figure:   figures/NAME.png, .svg and .json

"over layers" is Spearman's rank correlation between two choices over the layers that an area can
hold (1 to L - 1), language by language, averaged; "over languages" that over the non-dominant
languages, layer by layer (0 to L), averaged. One choice is changed at a time. Distances depend on n
and on the shrinkage by construction: what can be compared is the order. "other halves" are another
halving of the same sentences; the last two are disjoint parts of the corpus, and what they differ
by is what sentences alone change at that n. Sentences that some language says in one token are out.
"""

# %% Settings
import json
import tempfile
from itertools import combinations_with_replacement
from pathlib import Path

import pandas as pd
from _agreement import rank_agreement
from _shared import answer, made_of, model_path, parser

from shiftlens import (
    Corpus,
    LanguageModel,
    LayerSweep,
    Pooling,
    SentenceStates,
    collect_states,
    load_corpus,
    load_model,
    sweep_layers,
)
from shiftlens.geometry import METRICS
from shiftlens.halves import split_rows
from shiftlens.plan import plan_collection
from shiftlens.plots import estimator_choices

OPTIONS = ("model", "corpus", "languages", "dominant", "sentences", "out")
COMPARING = [name for name, metric in METRICS.items() if metric.kind != "single"]
BASE = "base: own tokens, Ledoit-Wolf"
POOLINGS = {BASE: Pooling(), "with special tokens": Pooling(special_tokens=True),
            "without the first token": Pooling(skip_first=True)}  # fmt: skip
SHRINKAGES = {"OAS": "oas", "α = 0.1": "0.1", "α = 0.5": "0.5"}

options = parser(__file__, __doc__, *OPTIONS, model="demo", corpus="demo")
options.add_argument("--metric", choices=COMPARING, default="affine_invariant")
options.add_argument("--seed", type=int, default=0)


# %% One choice at a time
def usable(model: LanguageModel, corpus: Corpus) -> Corpus:
    """The sentences that have a second token of their own in every language."""
    tokens = plan_collection(model, corpus).tokens.values()
    rows = [row for row in range(len(corpus)) if all(sum(own.pooled[row]) > 1 for own in tokens)]
    texts = {code: [own[row] for row in rows] for code, own in corpus.texts.items()}
    return Corpus.from_texts(texts, [corpus.ids[row] for row in rows])


def sweeps(settings, model: LanguageModel, corpus: Corpus) -> tuple[dict[str, LayerSweep], dict]:
    """The sweep of every choice, the base first, and the facts of the base's states."""
    out = Path(settings.out or tempfile.mkdtemp())
    stores = {choice: collect_states(model, corpus, out / f"pooling_{number}", pooling=pooling)
              for number, (choice, pooling) in enumerate(POOLINGS.items())}  # fmt: skip
    base = SentenceStates.read(stores[BASE])

    def again(states, seed: int = settings.seed, **changed) -> LayerSweep:
        return sweep_layers(states, settings.dominant, settings.metric, seed=seed, **changed)

    found = {choice: again(store) for choice, store in stores.items()}
    found["other halves"] = again(base, seed=settings.seed + 1)
    for name, rule in SHRINKAGES.items():
        found[name] = again(base, shrinkage=rule)
    first, second = split_rows(len(corpus), settings.seed)
    found[f"{len(first):,} of {len(corpus):,} sentences"] = again(base.of_sentences(first))
    found[f"the other {len(second):,} sentences"] = again(base.of_sentences(second))
    return found, stores[BASE].manifest


def agreement(found: dict[str, LayerSweep], metric: str) -> dict[str, pd.DataFrame]:
    """Rank correlation of every choice with every other one, over layers and over languages."""
    pairs = {
        pair: rank_agreement(*(found[name] for name in pair), metric)
        for pair in combinations_with_replacement(found, 2)
    }
    return {
        over: pd.DataFrame(
            {one: {two: pairs.get((one, two), pairs.get((two, one)))[over] for two in found}
             for one in found}
        )
        for over in ("layers", "languages")
    }  # fmt: skip


def curve(choice: str, sweep: LayerSweep) -> pd.DataFrame:
    """Mean and floor by layer."""
    own = sweep.curves(sweep.metric).reset_index()
    return pd.DataFrame(
        {"choice": choice, "layer": own["layer"], "distance": own["mean"], "floor": own.iloc[:, -1]}
    )


# %% Tables, figure, and the sidecar that says what it shows
if __name__ == "__main__":
    settings = options.parse_args()
    model = load_model(model_path(settings.model))
    corpus = load_corpus(settings.corpus, settings.languages and settings.languages.split(","))
    corpus = usable(model, corpus.head(settings.sentences or len(corpus)))
    found, manifest = sweeps(settings, model, corpus)
    over = agreement(found, settings.metric)
    areas = {choice: (own.area.start, own.area.stop) for choice, own in found.items() if own.area}
    table = pd.DataFrame(
        {
            "area": {choice: f"{areas[choice][0]}-{areas[choice][1]}" if choice in areas else "none"
                     for choice in found},
            "over layers": over["layers"][BASE],
            "over languages": over["languages"][BASE],
            "n": {choice: own.table["n"].iloc[0] for choice, own in found.items()},
            "alpha": {choice: own.table["alpha"].mean() for choice, own in found.items()},
        }
    ).loc[list(found)]  # fmt: skip
    print(f"\n{settings.metric}: every choice beside the base\n{table.round(3).to_string()}")
    for kind, matrix in over.items():
        print(f"\nSpearman's rho between choices over {kind}\n{matrix.round(2).to_string()}")
    notes = {
        choice: f"area {row['area'].replace('-', '–')}; ρ layers {row['over layers']:.2f}, "
        f"languages {row['over languages']:.2f}"
        for choice, row in table.iterrows()
    }
    curves = pd.concat([curve(*each) for each in found.items()], ignore_index=True)
    tables = {"choices": table, **{f"over_{kind}": matrix for kind, matrix in over.items()}}
    facts = made_of(manifest, settings.model, settings.corpus) | {
        "definitions": __doc__.splitlines(),
        "seed": settings.seed,
        "result": {name: json.loads(rows.to_json(orient="split", double_precision=4))
                   for name, rows in tables.items()},
        "curves": json.loads(curves.to_json(orient="records", double_precision=4)),
    }  # fmt: skip
    answer(options, settings, estimator_choices(curves, areas, notes, settings.metric), facts)
