"""Are the 95% intervals 95% intervals?

Question: how often does the interval of `shiftlens sweep --groups 10` hold the value that it is an
    interval of, on synthetic languages where that value is known; and would a bootstrap do better?
Command:  python analyses/coverage.py --figure coverage
Cost:     about four minutes on one core.
Figure:   figures/coverage.png, .svg and .json

The answer is the expected value of the sweep's own estimator at this n: its mean over many corpora.
The floor is the dominant language against itself. The bootstrap draws sentences with repetition.
"""

# %% Settings
import argparse
import json

import numpy as np
import pandas as pd
from _shared import answer, parser
from scipy.stats import binomtest
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from shiftlens.estimate import Fitting, estimate
from shiftlens.geometry import METRICS, jackknife_interval
from shiftlens.geometry.factor import centred_factor
from shiftlens.halves import Half, rows_and_deletions, split_rows
from shiftlens.plots import interval_coverage

CASES = {"n = 50 > d = 16": (50, 16), "n = 40 < d = 64": (40, 64)}  # n sentences a half
NAMES = [
    *("affine_invariant", "log_euclidean", "bures_wasserstein", "mean_distance", "grassmann"),
    *("procrustes", "debiased_cka", "centred_cosine", "retrieval", "mexa", "lda_accuracy"),
    *("silhouette", "effective_rank", "anisotropy"),
]
TARGETS = [(METRICS[name], False) for name in NAMES]
TARGETS += [(METRICS[name], True) for name in NAMES if METRICS[name].kind != "single"]
JACKKNIFE, FLOOR = "jackknife", "jackknife, floor"
PERCENTILE, NORMAL = "bootstrap, percentiles", "bootstrap, ± 1.96 s"
GROUPS, RANK, NOISE = 10, 4, 0.6
CHOICES = ("trials", "bootstrapped", "resamples", "draws")

options = parser(__file__, __doc__, figure="coverage")
options.add_argument("--trials", type=int, default=300, help="corpora with jackknife intervals")
options.add_argument("--bootstrapped", type=int, default=50, help="of these, with a bootstrap too")
options.add_argument("--resamples", type=int, default=79, help="of every bootstrap")
options.add_argument("--draws", type=int, default=1500, help="other corpora, for the answer")


# %% Languages: a sentence's content by the language's own map, its mean, and noise
def languages(d: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Map and mean of the dominant language and of another one."""
    rng = np.random.default_rng(d)
    content = np.diag(2 / np.sqrt(np.arange(1, d + 1)))
    mean = 3 * rng.normal(size=d) / np.sqrt(d)
    mixed = content @ (np.eye(d) + 0.6 * rng.normal(size=(d, d)) / np.sqrt(d))
    return [(content, mean), (mixed, mean + 2.5 * rng.normal(size=d) / np.sqrt(d))]


def corpus(spoken: list, n: int, rng: np.random.Generator) -> list[np.ndarray]:
    """The states of the same 2n sentences in every language."""
    content = rng.normal(size=(2 * n, len(spoken[0][1])))
    return [content @ a + mean + NOISE * rng.normal(size=content.shape) for a, mean in spoken]


# %% The sweep's own estimates: of the other language, then of the dominant one's floor
def estimates(states: list[np.ndarray], rows: tuple, targets: list = TARGETS) -> list[float]:
    fitting = Fitting("ledoit-wolf", RANK, invertible=True)
    halves = [[Half(centred_factor(x[half]), x[half]) for half in rows] for x in states]
    dominant, own = (fitting.samples(tuple(both)) for both in halves)
    return [estimate(m, dominant if floor else own, dominant, floor) for m, floor in targets]


def repeated(states: list, rows: tuple, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """The estimates of the bootstrap: sentences drawn with repetition, half by half."""
    drawn = [tuple(rng.choice(half, len(half)) for half in rows) for _ in range(resamples)]
    return np.array([estimates(states, again, TARGETS[: len(NAMES)]) for again in drawn])


# %% Trials
def coverage(case: str, settings: argparse.Namespace, bar: tqdm) -> pd.DataFrame:
    """The share of intervals that hold the answer, and mean standard error / deviation."""
    n, d = CASES[case]
    spoken, rng, rows = languages(d), np.random.default_rng([n, d]), split_rows(2 * n, seed=0)
    drawn, errors, held, percentile, normal = [], [], [], [], []
    for _ in range(settings.draws):
        drawn.append(estimates(corpus(spoken, n, rng), rows))
        bar.update()
    answer, deviation = np.mean(drawn, axis=0), np.std(drawn, axis=0, ddof=1)
    for trial in range(settings.trials):
        states = corpus(spoken, n, rng)
        values = np.array([estimates(states, cut) for cut in rows_and_deletions(rows, GROUPS)])
        found = [jackknife_interval(value, without) for value, *without in values.T]
        errors.append([interval.error for interval in found])
        held.append([i.low <= right <= i.high for i, right in zip(found, answer, strict=True)])
        bar.update(GROUPS + 1)
        if trial < settings.bootstrapped:
            again, right = repeated(states, rows, settings.resamples, rng), answer[: len(NAMES)]
            low, high = np.quantile(again, [0.025, 0.975], axis=0, method="weibull")
            percentile.append((low <= right) & (right <= high))
            reach = 1.96 * again.std(axis=0, ddof=1)
            normal.append(np.abs(values[0, : len(NAMES)] - right) <= reach)
            bar.update(settings.resamples)
    table = pd.DataFrame(
        [{"metric": m.name, "interval": FLOOR if floor else JACKKNIFE} for m, floor in TARGETS]
    ).assign(answer=answer, deviation=deviation, error_ratio=np.mean(errors, axis=0) / deviation)
    both = [
        pd.DataFrame({"metric": NAMES, "interval": kind}).join(shares(share))
        for kind, share in ((PERCENTILE, percentile), (NORMAL, normal))
    ]
    return pd.concat([table.join(shares(held)), *both]).assign(case=case)


def shares(held: list) -> pd.DataFrame:
    """The share of the trials that hold, of every column, with its Wilson interval."""
    tests = [binomtest(int(column.sum()), len(held)) for column in np.array(held).T]
    rows = [(test.statistic, *test.proportion_ci(method="wilson"), test.n) for test in tests]
    return pd.DataFrame(rows, columns=["share", "low", "high", "trials"])


def show(case: str, table: pd.DataFrame) -> None:
    """Print one case, a line a metric."""
    ends = table[["share", "low", "high"]].mul(100).itertuples(index=False)
    text = table.assign(text=[f"{held:.1f} [{low:.1f}, {high:.1f}]" for held, low, high in ends])
    wide = text.pivot(index="metric", columns="interval", values=["text", "error_ratio", "answer"])
    columns = {("", "answer"): wide["answer"][JACKKNIFE].map("{:.4f}".format)}
    for kind in table["interval"].unique():
        columns[kind, "held"] = wide["text"][kind].fillna("")
        columns[kind, "s/sd"] = wide["error_ratio"][kind].astype(float).round(2)
    shown = pd.DataFrame(columns).loc[NAMES].dropna(axis=1, how="all")
    print(f"\n{case}\n{shown.to_string(na_rep='')}")
    n, d = CASES[case]
    (content, mean), (mixed, other) = languages(d)
    spread = np.sum(content**2) + np.sum(mixed**2) + 2 * d * NOISE**2
    closed = np.sqrt(np.sum((other - mean) ** 2) + spread / n)
    print(f"mean_distance is about sqrt(|mu_k - mu_D|^2 + tr(S_k + S_D) / n) = {closed:.4f}")


# %% Table, figure, and the sidecar that says what it shows
if __name__ == "__main__":
    settings = options.parse_args()
    again = min(settings.bootstrapped, settings.trials) * settings.resamples
    total = len(CASES) * (settings.draws + settings.trials * (GROUPS + 1) + again)
    with threadpool_limits(1), tqdm(total=total, unit="estimates", disable=None) as bar:
        table = pd.concat([coverage(case, settings, bar) for case in CASES], ignore_index=True)
    print(f"intervals (%) that hold the answer: jackknife over {GROUPS} groups, {settings.trials} "
          f"corpora; bootstrap, {settings.bootstrapped} corpora x {settings.resamples} resamples; "
          f"answer from {settings.draws} others.\ns/sd: mean standard error / deviation between "
          "corpora")  # fmt: skip
    for case, rows in table.groupby("case", sort=False):
        show(case, rows)
    chosen = {name: getattr(settings, name) for name in CHOICES}
    facts = {
        "synthetic": {"cases": CASES, "groups": GROUPS, "rank": RANK, "noise": NOISE, **chosen},
        "seed": "languages d, corpora (n, d), halves 0",
        "result": json.loads(table.to_json(orient="records", double_precision=4)),
    }
    answer(options, settings, interval_coverage(table), facts)
