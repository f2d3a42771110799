"""What does each arm of ShifCon do on the demo world, and does the distance pick the right layers?

Question: how much do ShifCon, its parts and its controls gain over plain fine-tuning in dominant,
    mid and low-resource languages, over paired seeds; how much of it is the shift's own; and do
    the layer windows that lie nearest before training gain most?
Command:  python analyses/shifcon_demo.py --figure shifcon_demo
Cost:     seconds from the stored table; with --recompute hours on two cores (it says how many).
Figure:   figures/shifcon_demo.png, .svg and .json
"""

# %% Settings
import argparse
import json
import tempfile
from dataclasses import asdict, replace
from importlib.metadata import version
from itertools import combinations, product
from pathlib import Path

import pandas as pd
from _shared import answer, parser

from shiftlens import collect_states, effects, load_corpus, load_model, run_grid, sweep_layers
from shiftlens.arms import ARMS
from shiftlens.config import RECORDED, TrainConfig
from shiftlens.demo import GROUPS
from shiftlens.files import make_folder
from shiftlens.geometry import METRICS
from shiftlens.plots.arms import arm_comparison
from shiftlens.showcase import OVERRIDES, settings_of

ROOT = Path(__file__).parents[1]
FINE_TUNED = ("msft", "msft-parallel")
WINDOW_ARM = "shifcon"
PAIRS = [("shifcon", other) for other in (*FINE_TUNED, "mcl-only", "random-vector")]
PAIRS += [("anchored-shift", other) for other in (*FINE_TUNED, "anchored-only", "shifcon")]
COMPARED = [arm for arm in ARMS if not arm.startswith("l2-")]
SECONDS_A_STEP = 0.18

options = parser(__file__, __doc__, figure="shifcon_demo")
options.add_argument("--recompute", action="store_true", help="train and test everything again")
options.add_argument("--seeds", type=int, default=10, help="paired seeds of every arm")
options.add_argument("--window-seeds", type=int, default=3, help="seeds of every layer window")
options.add_argument("--steps", type=int, help="steps of every training; the preset's by default")
options.add_argument("--workers", type=int, default=2, help="trainings at a time")
options.add_argument("--split", choices=["validation", "test"], default="test")
options.add_argument("--arms", nargs="+", choices=list(ARMS), default=COMPARED)
options.add_argument("--cells", default="runs/shifcon_demo", help="folder of finished trainings")
options.add_argument("--results", type=Path, default=ROOT / "analyses/results/shifcon_demo.csv")


# %% Training, with --recompute only
def recompute(settings: argparse.Namespace) -> None:
    """Train and test every arm and window; write the tables and what they were made of."""
    base = demo_config(WINDOW_ARM, settings)
    facts = base_facts(base)
    windows = [f"{a}-{b}" for a, b in combinations(range(1, facts["model"]["n_layers"]), 2)]
    arms = [replace(demo_config(arm, settings), seed=seed)
            for seed, arm in product(range(settings.seeds), settings.arms)]  # fmt: skip
    in_windows = [replace(base, seed=seed, area=area)
                  for seed, area in product(range(settings.window_seeds), windows)]  # fmt: skip
    trained = [cell for cell in arms + in_windows if ARMS[cell.arm].trained]
    hours = len(trained) * base.steps * SECONDS_A_STEP / settings.workers / 3600
    print(f"{len(trained)} trainings of {base.steps} steps, {settings.workers} at a time: "
          f"about {hours:.1f} hours, less what {settings.cells} holds")  # fmt: skip
    facts |= {"settings": asdict(base), "overrides": OVERRIDES}
    make_folder(settings.results.parent)
    for path, grid in ((settings.results, arms), (windows_of(settings.results), in_windows)):
        table = run_grid(grid, settings.cells, settings.workers)
        table.to_csv(path, index=False, float_format="%.4g")
    settings.results.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")


def windows_of(results: Path) -> Path:
    return results.with_stem(f"{results.stem}_windows")


def demo_config(arm: str, settings: argparse.Namespace) -> TrainConfig:
    """An arm as `shiftlens demo` trains it, tested on the split asked for."""
    own = {"out": "", "test": f"demo:{settings.split}", "device": "cpu"}
    config = TrainConfig(**(settings_of(arm) | own))
    return replace(config, steps=settings.steps or config.steps)


def base_facts(base: TrainConfig) -> dict:
    """The model before training, and how far its languages lie apart."""
    model = load_model(base.model, device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        store = collect_states(model, load_corpus(base.parallel), folder)
        sweep = sweep_layers(store, base.dominant, tuple(METRICS))
    return {
        "model": {"name": base.model} | store.manifest["model"],
        "corpus": {"name": base.parallel} | store.manifest["corpus"],
        "versions": {name: version(name) for name in RECORDED},
        "distance_by_layer": {name: sweep.mean_curve(name) for name in METRICS},
    }


def show(title: str, table: pd.DataFrame, columns: str) -> None:
    """Print a tidy table of intervals in per cent, one line a row."""
    values = table[["mean", "low", "high"]].mul(100).itertuples(index=False)
    text = table.assign(text=[f"{mean:.1f} [{low:.1f}, {high:.1f}]" for mean, low, high in values])
    index = [name for name in ("arm", "reference") if name in table]
    wide = text.pivot_table("text", index, columns, aggfunc="first", sort=False)
    print(f"\n{title}, with 95% intervals over {table['seeds'].min()} seeds\n{wide.to_string()}")


# %% Tables, figure, and the sidecar that says what it shows
if __name__ == "__main__":
    settings = options.parse_args()
    if settings.recompute:
        recompute(settings)
    elif not settings.results.exists():
        options.error(f"no stored results {settings.results}; make them with --recompute")
    facts = json.loads(settings.results.with_suffix(".json").read_text())
    curves = {metric: {int(layer): value for layer, value in curve.items()}
              for metric, curve in facts["distance_by_layer"].items()}  # fmt: skip
    accuracy = effects.group_accuracy(pd.read_csv(settings.results), GROUPS)
    in_windows = effects.group_accuracy(pd.read_csv(windows_of(settings.results)), GROUPS)
    means, there = effects.arm_means(accuracy), list(accuracy.index.unique("arm"))
    differences = effects.paired_differences(accuracy, [p for p in PAIRS if {*p} <= {*there}])
    best = effects.better_arm(accuracy, FINE_TUNED, "low")
    others = [arm for arm in there if ARMS[arm].trained and arm not in FINE_TUNED]
    gained = effects.gains(accuracy, others, best, "low", "dominant")
    windows = effects.window_gains(in_windows, accuracy.xs("msft", level="arm"), "low", curves)
    correlations = effects.window_correlations(windows, [*curves, "width"])
    show(f"accuracy (%) on {facts['settings']['test']}", means, "group")
    show("differences (points)", differences, "group")
    show("low-resource gain (%) over the better fine-tuned arm", gained, "measure")
    print("\ngain of each layer window over msft, low-resource; distances before training")
    print(windows.sort_values("mean", ascending=False).round(3).to_string(index=False))
    print("\nrank correlation of the gain with the distance (good: negative), and with the width")
    print(correlations.round(3).to_string(index=False))
    note = f"shaded: area of the arms; Spearman's ρ = {correlations['rho'].iloc[0]:.2f}"
    figure = arm_comparison(means, windows, next(iter(curves)), facts["settings"]["area"], note)
    tables = {"accuracy": means, "differences": differences, "gains": gained,
              "windows": windows, "correlations": correlations}  # fmt: skip
    own = {
        "versions of the results": facts["versions"],
        "seed": f"0 to {accuracy.index.unique('seed').max()}",
        "result": {name: table.round(4).to_dict("records") for name, table in tables.items()},
    }
    answer(options, settings, figure, facts | own)
