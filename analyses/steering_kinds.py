"""Which kind of steering changes the language of the answers, and what do right answers cost?

Question: how many answers to the questions of one language are in another, and how many of those
    are right, for every kind of steering at one layer and over its strengths?
Command:  python analyses/steering_kinds.py --figure steering_kinds_demo
Cost:     about a minute: the held-out questions are answered at some twenty strengths.
Figure:   figures/steering_kinds_demo.png, .svg and .json

The subspace kinds and LSAR are projections, whole at strength 1; INCLINE adds the mapped state, so
that its strengths are small. Kind and strength are shown, not chosen: nothing is fitted to the
questions.
"""

# %% Settings
import tempfile

import pandas as pd
from _shared import answer, made_of, model_path, parser

import shiftlens as sl
from shiftlens.plots import steering_tradeoff
from shiftlens.sft import load_records
from shiftlens.steering_curve import steering_curve
from shiftlens.steering_run import fit_steering

STRENGTHS = {
    "language": (1.0, 2.0, 4.0),
    "difference": (0.5, 1.0, 1.5, 2.0, 4.0),
    "subspace-onto": (0.5, 1.0),
    "subspace-out": (0.5, 1.0),
    "lsar": (0.5, 1.0),
    "incline": (0.1, 0.2, 0.5, 1.0),
}

options = parser(__file__, __doc__, "model", "corpus", model="demo", corpus="demo")
options.add_argument("--records", default="demo:test", help="the questions")
options.add_argument("--source", default="fi", help="language of the questions")
options.add_argument("--target", default="en", help="language to steer to")
options.add_argument("--layer", type=int, default=3, help="where to steer")
settings = options.parse_args()

# %% States, and the curve of every kind
model = sl.load_model(model_path(settings.model))
records = load_records(settings.records)
source, target, layer = settings.source, settings.target, settings.layer
store = sl.collect_states(model, sl.load_corpus(settings.corpus), tempfile.mkdtemp())
tables = []
for kind, strengths in STRENGTHS.items():
    steering = fit_steering(kind, store, source, target, layer)
    table = steering_curve(model, records, source, target, steering, (0.0, *strengths))
    tables.append(table.assign(kind=kind))
table = pd.concat(tables, ignore_index=True)

# %% Table, figure, and the sidecar that says what it shows
shown = table[table["language"].isin([source, target])]
wide = shown.pivot(index=["kind", "strength"], columns=["measure", "language"], values="value")
print(f"layer {layer}, {source} to {target}, {settings.records}")
print(wide.round(3).to_string())
facts = {
    **made_of(store.manifest, settings.model, settings.corpus),
    "seed": 0,
    "result": table[table["value"] > 0].round(4).to_dict("records"),
}
answer(options, settings, steering_tradeoff(table, target), facts)
