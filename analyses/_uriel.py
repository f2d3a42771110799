"""Published distances between languages, the tokenizer's own, and rank correlations with them.

genealogical   1 - cosine of URIEL's memberships in Glottolog's families and subfamilies ("fam")
ancestors      minus the number of those groups that the two share; unlike the cosine it does not
               depend on how finely the rest of a family is divided
syntactic      1 - cosine of URIEL's 103 syntactic features ("syntax_knn": WALS, SSWL, Ethnologue;
               gaps are filled from languages near in genealogy and place)
geographic     1 - cosine of URIEL's distances from each language to 299 points on the globe
token_overlap  the baseline: 1 - sum over the vocabulary of min(p, q), p and q the shares of a
               token among all tokens of the two languages; the unknown token counts as a token

URIEL: Littell et al., "URIEL and lang2vec", EACL 2017. A file for analyses, and none itself.
"""

from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import NoReturn

import langcodes
import numpy as np
import pandas as pd
from scipy.spatial.distance import pdist, squareform
from scipy.stats import linregress, pearsonr, permutation_test, rankdata

from shiftlens import Corpus, LanguageModel, Pooling
from shiftlens.tokens import tokenize

BASELINE = "token_overlap"
TABLES = {
    "family": ("family_features", "F_"),
    "syntax": ("feature_predictions", "S_"),
    "place": ("geocoord_features", "GC_"),
}
SEED = 0


def stop(why: str) -> NoReturn:
    """End with one line."""
    raise SystemExit(why)


def uriel(languages: Sequence[str], of: str) -> np.ndarray:
    """URIEL's vectors of these languages, (languages, features); ``of`` is one of TABLES."""
    table, prefix = TABLES[of]
    try:
        path = files("lang2vec") / "data" / f"{table}.npz"
    except ModuleNotFoundError:
        stop("URIEL's vectors come with lang2vec, which is not here: pip install lang2vec==1.1.2")
    data = np.load(str(path))
    known = {code: row for row, code in enumerate(data["langs"])}
    alpha3 = {code: langcodes.Language.get(code).to_alpha3() for code in languages}
    if unknown := [code for code, name in alpha3.items() if name not in known]:
        stop(f"URIEL has no vectors of {', '.join(unknown)}; leave them out with --languages")
    rows = [known[name] for name in alpha3.values()]
    return data["data"][rows, :, 0][:, np.char.startswith(data["feats"], prefix)].astype(float)


def published_distances(languages: Sequence[str]) -> dict[str, pd.DataFrame]:
    """URIEL's distances, each between all languages."""
    family = uriel(languages, "family")
    matrices = {
        "genealogical": squareform(pdist(family, "cosine").round(12)),
        "ancestors": -family @ family.T,
        "syntactic": squareform(pdist(uriel(languages, "syntax"), "cosine").round(12)),
        "geographic": squareform(pdist(uriel(languages, "place"), "cosine").round(12)),
    }
    names = list(languages)
    return {name: pd.DataFrame(m, names, names) for name, m in matrices.items()}


def token_overlap(
    model: LanguageModel, corpus: Corpus, pooling: Pooling, max_length: int = 512
) -> pd.DataFrame:
    """The baseline between all languages of a corpus: what the tokenizer alone knows."""
    tokens = tokenize(model, corpus, pooling, max_length).values()
    texts = [np.concatenate(own.ids)[np.concatenate(own.pooled)] for own in tokens]
    counts = np.array([np.bincount(ids, minlength=len(model.tokenizer)) for ids in texts])
    shares = counts / counts.sum(axis=1, keepdims=True)
    matrix = squareform(pdist(shares, "cityblock") / 2)
    return pd.DataFrame(matrix, list(corpus.languages), list(corpus.languages))


def partial(x: np.ndarray, y: np.ndarray, given: np.ndarray) -> float:
    """Rank correlation of x and y given another variable."""
    x, y, given = map(rankdata, (x, y, given))
    return pearsonr(*(v - linregress(given, v).slope * given for v in (x, y))).statistic


def permuted(x: np.ndarray, y: np.ndarray, permutations: int) -> tuple[float, float]:
    """Rank correlation; p by permuting x, one-sided: are large x with large y?"""
    ranks, others = rankdata(x), rankdata(y)
    return _test(len(ranks), lambda order: np.corrcoef(ranks[order], others)[0, 1], permutations)


def mantel(x: np.ndarray, y: np.ndarray, permutations: int) -> tuple[float, float]:
    """Rank correlation over pairs of languages; p by permuting the languages, one-sided."""
    ranks, others = squareform(rankdata(x)), rankdata(y)

    def correlation(order: np.ndarray) -> float:
        moved = squareform(ranks[np.ix_(order, order)], checks=False)
        return np.corrcoef(moved, others)[0, 1]

    return _test(len(ranks), correlation, permutations)


def _test(
    n: int, correlation: Callable[[np.ndarray], float], permutations: int
) -> tuple[float, float]:
    test = permutation_test(
        (np.arange(n),),
        correlation,
        permutation_type="pairings",
        n_resamples=permutations,
        alternative="greater",
        random_state=SEED,
    )
    return test.statistic, test.pvalue
