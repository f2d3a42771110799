"""Do the measures order languages as their genealogy and syntax do, and do they agree?

Question: what is the rank correlation of each measure's distances to the dominant language with
    published genealogical and syntactic distances, beside that of a baseline which knows the
    tokenizer alone; and do the measures order languages, and layers, alike?
Command:  python analyses/measures.py --run RUN --figure NAME
    RUN is a run folder of shiftlens sweep; pip install '.[analyses]' brings URIEL's vectors.
Cost:     eight minutes for 25 languages and 7 layers; one from the tables it leaves in RUN
    (measures_*.parquet; delete them to measure anew).
Figure:   figures/NAME.png, .svg and .json

Distances between two languages, published and the tokenizer's own: see analyses/_uriel.py.
Similarities are negated, so that of every measure larger is farther. "Given" is the partial rank
correlation. The dominant language shares only the root with most of its family, and nothing with
most languages: the first two distances to it have many ties.

The figure kept here is of an encoder trained on English, to which much of some languages' text is
the unknown token: no evidence about multilingual models.
"""

# %% Settings
import json
from importlib.metadata import version
from itertools import product
from pathlib import Path

import _uriel
import numpy as np
import pandas as pd
from _shared import answer, made_of, parser, run_settings
from _uriel import BASELINE, SEED, mantel, partial, published_distances, token_overlap
from scipy.stats import spearmanr
from tqdm import tqdm

from shiftlens import Corpus, SweepConfig, load_model, sweep_layers
from shiftlens.geometry import METRICS, pairwise
from shiftlens.plots import measure_agreement
from shiftlens.pooling import Pooling
from shiftlens.settings import read_settings
from shiftlens.store import STORE, ActivationStore

REFERENCES = ["genealogical", "ancestors", "syntactic", BASELINE]
MEASURES = [name for name, metric in METRICS.items() if metric.kind != "single"]
FAR = pd.Series({name: -1 if METRICS[name].kind == "similarity" else 1 for name in MEASURES})
OF_PAIRS = ["affine_invariant", "mean_distance", "bures_wasserstein", "grassmann", "debiased_cka",
            "silhouette"]  # fmt: skip
READABLE = 0.2

options = parser(__file__, __doc__, "run", "dominant")
options.add_argument("--permutations", type=int, default=9999, help="of the pairs' p-values")


# %% Distances
def reference_distances(run: Path, config: SweepConfig, languages: list[str]) -> dict:
    """The published distances and the baseline's, each between all languages."""
    published = published_distances(languages)
    table = pd.read_parquet(run / "sentences.parquet")
    corpus = Corpus.from_texts({code: table[code].to_list() for code in languages})
    pooling = Pooling(config.special_tokens, config.skip_first)
    model = load_model(config.model, device="cpu")
    own = token_overlap(model, corpus, pooling, config.max_length)
    return {name: published[name] for name in REFERENCES[:-1]} | {BASELINE: own}


def measured(store: ActivationStore, dominant: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Distances to the dominant language, as a sweep takes them, and some between all languages.

    The latter are of all sentences, not of halves. Both tables are kept in the run folder.
    """
    one, all_pairs = (store.path.with_name(f"measures_{of}.parquet") for of in (dominant, "pairs"))
    if not one.exists():
        sweep_layers(store, dominant, metrics="all", seed=SEED).table.to_parquet(one)
    table = pd.read_parquet(one)
    if not all_pairs.exists():
        rank = int(table.loc[table["metric"] == "grassmann", "rank"].iloc[0])
        layers = dict.fromkeys(store.layers[i] for i in (0, len(store.layers) // 2, -1))
        matrices = {}
        for layer, name in tqdm(list(product(layers, OF_PAIRS)), desc="pairs"):
            states = np.stack([store.states(code, layer) for code in store.languages])
            matrix = FAR[name] * pairwise(states, name, rank=rank)
            matrices[layer, name] = pd.DataFrame(matrix, store.languages, store.languages)
        table_of_pairs = pd.concat(matrices, names=["layer", "measure", "language"])
        table_of_pairs.sort_index().to_parquet(all_pairs)
    rows = table[table["metric"].isin(MEASURES) & (table["language"] != dominant)]
    distances = rows.pivot(index=["layer", "language"], columns="metric", values="value")
    return FAR * distances[MEASURES], pd.read_parquet(all_pairs)


# %% Rank correlations
def correlate(distances: pd.DataFrame, references: pd.DataFrame) -> pd.DataFrame:
    """Every measure and the baseline at every layer with every reference."""
    rows = []
    given = references[BASELINE]
    for layer, block in distances.groupby(level="layer"):
        block = block.droplevel("layer").loc[references.index].assign(**{BASELINE: given})
        for name, measure in product(REFERENCES, block):
            if name != measure:
                x, y = block[measure], references[name]
                own = np.nan if BASELINE in (name, measure) else partial(x, y, given)
                rows.append((name, measure, layer, spearmanr(x, y).statistic, own))
    return pd.DataFrame(rows, columns=["reference", "measure", "layer", "rho", "partial"])


def over_pairs(
    pairs: pd.DataFrame, references: dict[str, pd.DataFrame], languages: list[str], resamples: int
) -> pd.DataFrame:
    """The measures between these languages, and the baseline, with the published distances."""
    upper = np.triu_indices(len(languages), 1)
    y = {name: m.loc[languages, languages].to_numpy()[upper] for name, m in references.items()}
    keys = pairs.index.droplevel("language").unique()
    x = {key: pairs.loc[key].loc[languages, languages].to_numpy()[upper] for key in keys}
    x["", BASELINE] = y[BASELINE]
    rows: dict[tuple, dict] = {key: {} for key in x}
    for name, key in product(("genealogical", "syntactic"), x):
        rows[key][name, "rho"], rows[key][name, "p"] = mantel(x[key], y[name], resamples)
        if BASELINE not in key:
            rows[key][name, f"given {BASELINE}"] = partial(x[key], y[name], y[BASELINE])
    return pd.DataFrame(rows).T


def wide(table: pd.DataFrame, columns: str | list[str], values: str) -> pd.DataFrame:
    """One row a measure; the mean of what the columns leave out."""
    return table.pivot_table(values, "measure", columns, sort=False).reindex([*MEASURES, BASELINE])


def mean_agreement(distances: pd.DataFrame, within: str) -> pd.DataFrame:
    """Rank correlation between measures within every layer or language, averaged over these."""
    return distances.groupby(level=within).corr("spearman").groupby(level=1, sort=False).mean()


# %% Tables, figure, and the sidecar that says what it shows
if __name__ == "__main__":
    settings = options.parse_args()
    config = SweepConfig(**read_settings(settings.run / "config.yaml"))
    store = ActivationStore.open(settings.run / STORE)
    languages = list(store.languages)
    distances, pairs = measured(store, settings.dominant)
    references = reference_distances(settings.run, config, languages)
    apart = pd.DataFrame({name: m[settings.dominant] for name, m in references.items()})
    apart["unknown tokens"] = pd.DataFrame(store.manifest["tokens"]).T["unknown_rate"]
    apart = apart.drop(settings.dominant).sort_values(REFERENCES)
    readable = apart[apart["unknown tokens"] <= READABLE]

    every, part = correlate(distances, apart), correlate(distances, readable)
    agreement = {by: mean_agreement(distances, by) for by in ("layer", "language")}
    others = {f"within a {by}": (m.sum() - 1) / (len(m) - 1) for by, m in agreement.items()}
    summary = {
        f"all {len(apart)} languages": wide(every, "reference", "rho"),
        f"given {BASELINE}": wide(every, "reference", "partial"),
        f"{len(readable)} languages, unknown <= {READABLE:.0%}": wide(part, "reference", "rho"),
        "with the other measures": pd.DataFrame(others),
    }
    tables = {
        f"distance to {settings.dominant}": apart,
        "Spearman's rho, mean over the layers": pd.concat(summary, axis=1),
    }
    for name, rows in every.groupby("reference", sort=False):
        tables[f"Spearman's rho by layer, {name}"] = wide(rows, "layer", "rho").dropna(how="all")
    for chosen in (languages, [settings.dominant, *readable.index]):
        of_pairs = over_pairs(pairs, references, chosen, settings.permutations)
        tables[f"Spearman's rho over all pairs of {len(chosen)} languages; p of a Mantel test"] = (
            of_pairs
        )
    print(__doc__[__doc__.index("Distances between") :], _uriel.__doc__, sep="\n")
    for title, table in tables.items():
        print(f"\n{title}\n{table.to_string(float_format='{:.3f}'.format, na_rep='')}")

    drawn = every[every["reference"] != "ancestors"]
    drawn = drawn.assign(reference=drawn["reference"].str.replace("_", " "))
    facts = {
        "definitions": [*__doc__.splitlines(), *_uriel.__doc__.splitlines()],
        "run": run_settings(config),
        **made_of(store.manifest, config.model, config.corpus),
        "seed": SEED,
        "packages": {name: version(name) for name in ("scipy", "lang2vec")},
        "result": {title: json.loads(table.to_json(orient="split", double_precision=4))
                   for title, table in tables.items()},
    }  # fmt: skip
    answer(options, settings, measure_agreement(drawn, *agreement.values()), facts)
