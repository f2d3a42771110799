"""Which language does a model think in, layer by layer?

Question: at the end of texts in each language, which languages' tokens does the logit lens find at
    every layer, and does one of them lead?
Command:  python analyses/lens_languages.py --figure lens_languages_demo
          python analyses/lens_languages.py --model MODEL --corpus DIR --figure NAME
Cost:     ten seconds on the demo; a forward pass a text, and the head at every layer of it.
Figure:   figures/lens_languages_demo.png, .svg and .json

Which token is of which language is counted in the same corpus. Bands are 95% t-intervals over
texts. Tables, entropies and answers come from ``shiftlens lens``.
"""

# %% Settings
from pathlib import Path

from _shared import answer, model_name, model_path, parser

import shiftlens as sl
from shiftlens.lens import TokenLanguages, language_lens
from shiftlens.plots.lens_layers import mass_panels

options = parser(
    __file__, __doc__, "model", "corpus", "languages", "sentences", model="demo", corpus="demo"
)

# %% Reading, figure, and the sidecar that says what it shows
if __name__ == "__main__":
    settings = options.parse_args()
    languages = settings.languages and settings.languages.split(",")
    corpus = sl.load_corpus(settings.corpus, languages)
    model = sl.load_model(model_path(settings.model))
    tokens = TokenLanguages.of_corpus(model, corpus)
    read = corpus.head(settings.sentences) if settings.sentences else corpus
    lens = language_lens(model, read, tokens, positions="last")
    pivots = lens.pivots()
    print(pivots.round(3).to_string(index=False))
    facts = {
        "model": {"name": model_name(settings.model), "sha256": model.sha256},
        "corpus": {
            "name": Path(settings.corpus).name,
            "sha256": corpus.sha256,
            "sentences": len(read),
        },
        "tokens": tokens.sizes,
        "seed": "none: nothing is drawn",
        "result": pivots.round(4).to_dict("records"),
    }
    answer(options, settings, mass_panels(lens.summary()), facts)
