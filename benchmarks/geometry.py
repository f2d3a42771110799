"""What does the affine-invariant distance cost, beside pyRiemann and beside the textbook?

A sweep of 10 languages (45 pairs) and 13 layers of synthetic states: falling spectra, content and
axes partly shared, means apart. Three ways lead from the same raw states to the same distances of
covariances shrunk by Ledoit and Wolf's rule:

- shiftlens: ``summarise`` once a language and layer, then ``affine_invariant`` for each pair;
- pyriemann: scikit-learn's ``ledoit_wolf``, then pyRiemann's ``distance_riemann``;
- textbook: the same covariances of scikit-learn, then the eigenvalues of ``inv(A) @ B``.

Goals: the whole sweep never slower than by pyRiemann, 8 x as fast at d = 2,048, 25 x at d = 4,096;
distances equal to 1e-8 relative, or the script fails. How near the textbook comes is printed.

All ways use the same BLAS threads and take turns layer by layer. Times are medians over layers and
rounds; from d = 1,024 on 3 layers are measured, and fewer pairs of the slow ways, scaled to 45:
each line says how many. The textbook is measured on one layer, once. Processor time counts all
threads, waiting ones too; on a busy machine set OMP_NUM_THREADS=1 and judge by processor time.

With --all-measures instead: ``sweep_layers`` with every metric of the table and no intervals over
a store of 10 languages, 13 layers, d = 768, n = 1,000. Goal: under five minutes on two cores.

Command: python benchmarks/geometry.py [--sizes 384x250 768x500] [--repeats 1] [--all-measures]
Cost: about 8 minutes of 2 idle cores and 4 GB of memory a repeat; with --all-measures about 5
minutes, 2 GB, and 0.4 GB of disk in the temporary folder.
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyriemann
import scipy
import sklearn
from pyriemann.geometry.distance import distance_riemann
from sklearn.covariance import ledoit_wolf
from threadpoolctl import threadpool_info

from shiftlens.geometry import METRICS, affine_invariant, summarise
from shiftlens.store import ActivationStore
from shiftlens.sweep import sweep_layers

LANGUAGES = ("en", "de", "es", "fi", "fr", "ja", "ko", "ru", "sw", "tr")
LAYERS = 13
PAIRS = list(combinations(range(len(LANGUAGES)), 2))
SIZES = ((384, 250), (768, 500), (1024, 250), (2048, 250), (4096, 250))
ALL_MEASURES = (768, 1000)
GOALS = {2048: 8, 4096: 25}
BUDGET = {"shiftlens": np.inf, "pyriemann": 8e10, "textbook": 9e9}
"""How many pairs x d^3 of a layer are measured."""


def shrunk(states: np.ndarray) -> np.ndarray:
    """The (d, d) covariance of scikit-learn."""
    return ledoit_wolf(states)[0]


def textbook(a: np.ndarray, b: np.ndarray) -> float:
    """The formula as it is often written down."""
    return float(np.sqrt(np.sum(np.log(np.linalg.eigvals(np.linalg.inv(a) @ b).real) ** 2)))


WAYS: dict[str, tuple[Callable[..., Any], Callable[..., float]]] = {
    "shiftlens": (summarise, affine_invariant),
    "pyriemann": (shrunk, distance_riemann),
    "textbook": (shrunk, textbook),
}


def make_states(layer: int, language: int, d: int, n: int) -> np.ndarray:
    """States (n, d) of one language at one layer."""
    shared, own = np.random.default_rng([layer, 0]), np.random.default_rng([layer, 1 + language])
    states = shared.normal(size=(n, d)) + 0.7 * own.normal(size=(n, d))
    states *= np.arange(1, d + 1) ** -0.5 * np.exp(0.3 * own.normal(size=d))
    for axis in np.concatenate([shared.normal(size=(4, d)), own.normal(size=(4, d))]):
        axis /= np.linalg.norm(axis)
        states -= np.outer(2 * states @ axis, axis)
    return states + shared.normal(size=d) + 0.5 * own.normal(size=d)


def clocks() -> np.ndarray:
    """The clock and the processor's clock."""
    return np.array([time.perf_counter(), time.process_time()])


def measured_pairs(way: str, d: int) -> list[tuple[int, int]]:
    """The pairs of a layer that are measured."""
    return PAIRS[: int(np.clip(BUDGET[way] / d**3, 1, len(PAIRS)))]


def measure(way: str, states: list[np.ndarray], d: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances of the measured pairs, and seconds (fits, pairs) x (clock, processor).

    The seconds are of a layer, its pairs scaled to all.
    """
    fit, distance = WAYS[way]
    pairs = measured_pairs(way, d)
    start = clocks()
    fitted = [fit(own) for own in states]
    middle = clocks()
    distances = np.array([distance(fitted[i], fitted[j]) for i, j in pairs])
    end = clocks()
    return distances, np.array([middle - start, (end - middle) * len(PAIRS) / len(pairs)])


def compare(d: int, n: int, repeats: int) -> None:
    """Measure and print one size."""
    layers = LAYERS if d < 1024 else 3
    seconds: dict[str, list[np.ndarray]] = {way: [] for way in WAYS}
    apart = dict.fromkeys(WAYS, 0.0)
    for turn in range(repeats * layers):
        states = [make_states(turn % layers, i, d, n) for i in range(len(LANGUAGES))]
        found = {}
        for way in WAYS:
            if way != "textbook" or turn == 0:
                found[way], taken = measure(way, states, d)
                seconds[way].append(taken)
        for way, distances in found.items():
            reference = found["shiftlens"][: len(distances)]
            apart[way] = max(apart[way], float(np.max(np.abs(distances / reference - 1))))
    assert apart["pyriemann"] <= 1e-8, f"d = {d}: {apart['pyriemann']:.1e} from pyRiemann"
    report(d, n, seconds, apart)


def report(d: int, n: int, seconds: dict[str, list[np.ndarray]], apart: dict[str, float]) -> None:
    """Print times and ratios of one size."""
    print(f"\nd = {d}, n = {n}, load {os.getloadavg()[0]:.1f}")
    own = np.array(seconds["shiftlens"])
    for way, each in seconds.items():
        (fit, _), (pair, _) = np.median(each, axis=0) / [[len(LANGUAGES)], [len(PAIRS)]]
        sweep, processor = LAYERS * np.median(np.sum(each, axis=1), axis=0)
        print(
            f"{way:9}  fit {1e3 * fit:7.1f} ms, pair {1e3 * pair:8.1f} ms, sweep {sweep:8.1f} s, "
            f"processor {processor:8.1f} s   ({len(measured_pairs(way, d))} of {len(PAIRS)} pairs, "
            f"{len(each)} layers)"
        )
    for way in ("pyriemann", "textbook"):
        ratios = np.sum(seconds[way], axis=1) / np.sum(own[: len(seconds[way])], axis=1)
        clock, processor = np.median(ratios, axis=0)
        goal = f"   (goal >= {GOALS.get(d, 1)}; 1e-8)" if way == "pyriemann" else ""
        print(
            f"{way} / shiftlens   {clock:.2f} x, by processor time {processor:.2f} x, "
            f"distances {apart[way]:.1e} apart{goal}",
            flush=True,
        )


def make_store(folder: str, d: int, n: int) -> ActivationStore:
    """A store of synthetic states."""
    files = [f"{code}.safetensors" for code in LANGUAGES]
    manifest = {
        "model": {"sha256": "synthetic", "d_model": d},
        "corpus": {"sha256": "synthetic", "languages": list(LANGUAGES), "sentences": n},
        "layers": list(range(LAYERS)),
        "shards": [
            {"file": file, "language": code, "rows": n}
            for file, code in zip(files, LANGUAGES, strict=True)
        ],
    }
    store = ActivationStore.create(Path(folder) / "store", manifest)
    for language, file in enumerate(files):
        states = [make_states(layer, language, d, n) for layer in range(LAYERS)]
        store.write(file, np.arange(n), np.stack(states, axis=1))
    return store


@contextmanager
def clocked(seconds: dict[str, np.ndarray]) -> Iterator[None]:
    """Let every metric add its time to its entry."""
    originals = dict(METRICS)

    def run(name: str, *given: Any) -> float:
        start = clocks()
        value = originals[name].function(*given)
        seconds[name] += clocks() - start
        return value

    METRICS.update({name: replace(m, function=partial(run, name)) for name, m in METRICS.items()})
    try:
        yield
    finally:
        METRICS.update(originals)


def all_measures(d: int, n: int) -> None:
    """Sweep with every metric and print where the time goes."""
    seconds = {name: np.zeros(2) for name in METRICS}
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(folder, d, n)
        start = clocks()
        with clocked(seconds):
            table = sweep_layers(store, metrics=list(METRICS), progress=False).table
        whole = clocks() - start
    seconds["fits and reading"] = whole - sum(seconds.values())
    print(f"\nd = {d}, n = {n}, {len(METRICS)} metrics, {len(table)} rows")
    for name, (clock, processor) in sorted(seconds.items(), key=lambda each: -each[1][0]):
        print(f"{name:18} {clock:7.1f} s, processor {processor:7.1f} s")
    print(f"{'whole sweep':18} {whole[0]:7.1f} s, processor {whole[1]:7.1f} s   (goal < 300 s)")


def size(text: str) -> tuple[int, int]:
    """Read dxn."""
    d, n = text.split("x")
    return int(d), int(n)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        epilog="example: python benchmarks/geometry.py --sizes 768x500 2048x250 --repeats 3",
    )
    help_text = "d x n, states of width d of n sentences; default all of the docstring"
    parser.add_argument("--sizes", type=size, nargs="+", metavar="DxN", help=help_text)
    parser.add_argument("--repeats", type=int, default=1, help="rounds over the layers")
    parser.add_argument("--all-measures", action="store_true", help="every metric, by sweep_layers")
    options = parser.parse_args()
    pools = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
    print(
        f"{len(LANGUAGES)} languages, {len(PAIRS)} pairs, {LAYERS} layers, BLAS threads "
        f"{'/'.join(map(str, sorted(pools)))}, load {os.getloadavg()[0]:.1f}; Python "
        f"{platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}, "
        f"scikit-learn {sklearn.__version__}, pyRiemann {pyriemann.__version__}",
        flush=True,
    )
    if options.all_measures:
        all_measures(*(options.sizes or [ALL_MEASURES])[0])
        return
    for d, n in options.sizes or SIZES:
        compare(d, n, options.repeats)


if __name__ == "__main__":
    main()
