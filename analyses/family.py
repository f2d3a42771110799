"""Does the distance between languages grow with how far apart linguists put them?

Question: do languages that are related, built alike or near on the map to the dominant one lie
    nearer to it in the model, and is that more than the tokens that they share; the same for all
    pairs of languages?
Command:  python analyses/family.py --figure family_demo
          python analyses/family.py --run RUN --figure NAME
    RUN is a run folder of shiftlens sweep, or give --model and --corpus; pip install '.[analyses]'
    brings URIEL's vectors.
Cost:     20 seconds for the demo; minutes for 25 languages and 500 sentences.
Figure:   figures/NAME.png, .svg and .json

Two measures, both larger where farther: the affine-invariant distance, and 1 - MEXA. Each is taken
between all pairs of languages, on all sentences. p is one-sided, by permuting the languages; at one
layer there are six tests to the dominant language and six over all pairs, none corrected for it.
"given" is the partial rank correlation given the overlap of tokens. Spearman's rho throughout. The
layer drawn is the middle one unless --layer names another; the sidecar has the others without p.

The kept family_ntrex is of an encoder trained on English, to which much of some languages' text is
the unknown token: no evidence about multilingual models.

The demo has nine languages, eight points a panel: too few to tell a correlation below about 0.6
from none. Its four low-resource languages are three non-Indo-European ones and Persian: what
correlation it has may be that of exposure.
"""

# %% Settings
import tempfile
from argparse import Namespace
from itertools import product
from pathlib import Path

import _uriel
import numpy as np
import pandas as pd
from _shared import answer, made_of, model_path, parser, run_settings
from _uriel import BASELINE, SEED, mantel, partial, permuted, published_distances, token_overlap
from scipy.stats import spearmanr

from shiftlens import Corpus, SweepConfig, collect_states, load_corpus, load_model
from shiftlens.geometry import pairwise
from shiftlens.plots import distance_scatter
from shiftlens.pooling import Pooling
from shiftlens.settings import read_settings
from shiftlens.store import STORE, ActivationStore

MEASURES = {"affine_invariant": lambda value: value, "mexa": lambda value: 1 - value}
REFERENCES = ("genealogical", "syntactic", "geographic")
COMMON = ("model", "corpus", "languages", "dominant", "sentences", "run")

options = parser(__file__, __doc__, *COMMON, model="demo", corpus="demo", run=None)
options.add_argument("--layer", type=int, help="the layer drawn; the middle one by default")
options.add_argument("--permutations", type=int, default=9999, help="of the p-values")


# %% States: of a run, or of a model and a corpus
def of_run(run: Path) -> tuple[SweepConfig, Corpus]:
    config = SweepConfig(**read_settings(run / "config.yaml"))
    table = pd.read_parquet(run / "sentences.parquet").set_index("sentence")
    return config, Corpus.from_texts({code: list(table[code]) for code in table}, list(table.index))


def of_model(settings: Namespace) -> tuple[SweepConfig, Corpus]:
    languages = settings.languages.split(",") if settings.languages else None
    corpus = load_corpus(settings.corpus, languages)
    corpus = corpus.head(settings.sentences) if settings.sentences else corpus
    return SweepConfig(settings.model, settings.corpus, "", dominant=settings.dominant), corpus


def distances_of(store: ActivationStore) -> dict[tuple[str, int], pd.DataFrame]:
    """Both measures between all languages at every layer."""
    found, languages = {}, list(store.languages)
    for layer in store.layers:
        states = np.stack([store.states(code, layer) for code in languages])
        for name, farther in MEASURES.items():
            found[name, layer] = pd.DataFrame(farther(pairwise(states, name)), languages, languages)
    return found


# %% Rank correlations
def correlations(
    matrices: dict, references: dict, dominant: str, layer: int, permutations: int
) -> pd.DataFrame:
    """Every measure and the baseline with every reference; p of the layer drawn."""
    own, rows = references[BASELINE], []
    upper = np.triu_indices(len(own), 1)
    scopes = {
        f"to {dominant}": (lambda m: m[dominant].drop(dominant).to_numpy(), permuted),
        "all pairs": (lambda m: m.to_numpy()[upper], mantel),
    }
    every = {**matrices, (BASELINE, pd.NA): own}
    for ((measure, at), matrix), name in product(every.items(), REFERENCES):
        for scope, (take, test) in scopes.items():
            x, y = take(matrix), take(references[name])
            p = test(x, y, permutations)[1] if at is pd.NA or at == layer else np.nan
            given = np.nan if measure == BASELINE else partial(x, y, take(own))
            rows.append((scope, name, measure, at, spearmanr(x, y).statistic, p, given))
    columns = ["scope", "reference", "measure", "layer", "rho", "p", "given"]
    return pd.DataFrame(rows, columns=columns).astype({"layer": "Int64"})


# %% Table, figure, and the sidecar that says what it shows
if __name__ == "__main__":
    settings = options.parse_args()
    config, corpus = of_run(settings.run) if settings.run else of_model(settings)
    published = published_distances(corpus.languages)
    settings.dominant = config.dominant
    model = load_model(model_path(config.model), device="cpu")
    pooling = Pooling(config.special_tokens, config.skip_first)
    references = published | {BASELINE: token_overlap(model, corpus, pooling, config.max_length)}
    with tempfile.TemporaryDirectory() as folder:
        path = settings.run / STORE if settings.run else folder
        store = (ActivationStore.open(path) if settings.run
                 else collect_states(model, corpus, path, pooling=pooling))  # fmt: skip
        matrices = distances_of(store)
    layer = store.layers[len(store.layers) // 2] if settings.layer is None else settings.layer
    if layer not in store.layers:
        options.error(f"--layer {layer} is not one of {store.layers[0]} to {store.layers[-1]}")
    table = correlations(matrices, references, settings.dominant, layer, settings.permutations)
    table = table.round({"rho": 4, "p": 4, "given": 4})
    drawn = table[(table["layer"] == layer) & (table["scope"] == f"to {settings.dominant}")]
    points = pd.DataFrame(
        (measure, name, code, references[name].loc[code, settings.dominant],
         matrices[measure, layer].loc[code, settings.dominant])
        for measure, name, code in product(MEASURES, REFERENCES, corpus.languages)
        if code != settings.dominant
    )  # fmt: skip
    points = points.round(4).set_axis(["measure", "reference", "language", "x", "y"], axis=1)
    print(_uriel.__doc__)
    print(f"{len(corpus)} sentences in {len(corpus.languages)} languages; layer {layer} is drawn")
    print(table.to_string(float_format="{:.3f}".format, na_rep="", index=False))
    facts = {
        "definitions": [*__doc__.splitlines(), *_uriel.__doc__.splitlines()],
        **({"run": run_settings(config)} if settings.run else {}),
        **made_of(store.manifest, config.model, config.corpus),
        "seed": SEED,
        "layer": layer,
        "result": table.astype(object).where(table.notna(), None).to_dict("records"),
        "points": points.to_dict("records"),
    }
    words = f"layer {layer}, {len(corpus.languages) - 1} languages to {settings.dominant}"
    answer(options, settings, distance_scatter(points, drawn, words), facts)
