"""How far does each language's subspace lie from the dominant one, layer by layer?

Question: which layers hold the languages closest together, and how far above the split-half floor
    of the dominant language do they lie?
Command:  python analyses/layer_distance.py --model MODEL --corpus DIR --figure NAME
Cost:     seconds on the demo: one forward pass over the corpus.
Figure:   figures/NAME.png, .svg and .json
"""

# %% Settings
import tempfile

from _shared import answer, made_of, model_path, parser

from shiftlens import SweepConfig, run_sweep
from shiftlens.plots import layer_distance
from shiftlens.sweep_results import area_facts

OPTIONS = ("model", "corpus", "languages", "dominant", "sentences", "out")
options = parser(__file__, __doc__, *OPTIONS)
settings = options.parse_args()

# %% Sweep
run = run_sweep(
    SweepConfig(
        model=model_path(settings.model),
        corpus=settings.corpus,
        languages=settings.languages,
        dominant=settings.dominant,
        sentences=settings.sentences,
        out=settings.out or tempfile.mkdtemp(),
    )
)

# %% Figure, and the sidecar that says what it shows
sweep = run.sweep
area = (sweep.area.start, sweep.area.stop) if sweep.area else None
facts = {
    **made_of(run.store.manifest, settings.model, settings.corpus),
    "seed": 0,
    "result": area_facts(sweep),
    "curves": sweep.curves(sweep.metric).round(4).to_dict("list"),
}
answer(options, settings, layer_distance(sweep.table, area, sweep.dominant, sweep.metric), facts)
