"""Neurons from a model and text to tables and figures: what ``shiftlens neurons`` runs."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from shiftlens.asked import check_sizes
from shiftlens.config import to_yaml
from shiftlens.corpora import Corpus, load_corpus
from shiftlens.errors import ShiftlensError
from shiftlens.files import check_folder, running, write_atomic
from shiftlens.halves import check_seed, split_rows
from shiftlens.identity import prediction_hashes
from shiftlens.kept_tables import KeptTables
from shiftlens.languages import language_list
from shiftlens.loading import load_model
from shiftlens.models import LanguageModel
from shiftlens.neurons.effects import NeuronEffects, check_scaling, measure_effects
from shiftlens.neurons.found import NeuronsFound, check_rates, check_share, find_neurons
from shiftlens.neurons_config import NeuronsConfig
from shiftlens.plots.neurons import effects_figure, neurons_figure
from shiftlens.plots.save import save_figure
from shiftlens.sft import load_records
from shiftlens.whose import check_run_folder
from shiftlens.written import write_table

COMPARED = {
    "itself": "change",
    "others": "- others",
    "most hurt": "- most hurt",
    "random": "- random",
    "as active": "- as active",
}
"""The claims that a person reads, as columns; that over draws has the mean of that over texts."""

_MEASURED_BY = (
    *("share", "filter_rate", "bar_rate", "factor", "draws", "seed"),
    *("batch_tokens", "max_length"),
)
_FEW = 20
"""Held-out texts below which the user is warned."""
_EVEN = 0.98
"""Share of the largest entropy above which a neuron is not called language-specific."""


class NeuronsRun(NamedTuple):
    """What a search found.

    Attributes:
        found: The neurons.
        effects: What scaling them does; None of an encoder.
    """

    found: NeuronsFound
    effects: NeuronEffects | None


def run_neurons(config: NeuronsConfig, say: Callable[[str], None] = print) -> NeuronsRun:
    """Find the neurons of each language, measure what scaling them does, and write both.

    The folder then holds ``neurons.csv`` and, where the model predicts text, ``effects.csv`` and
    ``claims.csv``, all as ``.parquet`` too; ``neurons.png`` and ``effects.png``, also as ``.svg``;
    ``read/``, counts and losses, from which a run that stopped goes on, ``neurons_inputs.json`` and
    ``config.yaml``.

    Args:
        config: The settings.
        say: Receives the lines that a person reads.

    Raises:
        ShiftlensError: Something asked for is not there or does not fit (named).
    """
    check_folder(Path(config.out))
    check_run_folder(config, may_change=("out", "device"))
    check_scaling(config.factor, config.draws)
    check_sizes(batch_tokens=config.batch_tokens, max_length=config.max_length)
    check_seed(config.seed)
    corpus = _corpus(config)
    check_rates(corpus.languages, config.share, config.filter_rate, config.bar_rate)
    model = load_model(config.model, dtype=config.dtype, device=config.device)
    check_share(model, config.share)
    finding, held_out = _texts(config, model, corpus)
    with running(config.out):
        return _run(config, model, finding, held_out, say)


def _run(
    config: NeuronsConfig,
    model: LanguageModel,
    finding: Corpus,
    held_out: Corpus | None,
    say: Callable[[str], None],
) -> NeuronsRun:
    """Everything that writes to the folder."""
    out = Path(config.out)
    say(_plan(config, finding, held_out))
    if (Path(config.model) / "shift.json").exists():
        say("the model has a shift beside it, which is left off")
    kept = KeptTables.begin(out, "neurons", _inputs(config, model, finding, held_out))
    found = find_neurons(
        model,
        finding,
        config.share,
        filter_rate=config.filter_rate,
        bar_rate=config.bar_rate,
        batch_tokens=config.batch_tokens,
        max_length=config.max_length,
        keep=kept.array,
    )
    neurons = found.table()
    files = [write_table(out / "neurons", neurons)[0]]
    files += save_figure(neurons_figure(found), out / "neurons")
    say(_counts(found, neurons))
    effects = None
    if held_out is not None:
        effects = _measure(config, model, found, held_out, kept)
        files += _write_effects(effects, out)
        say(summary(effects.claims(), held_out, _scaled(effects)))
    write_atomic(out / "config.yaml", to_yaml(config).encode())
    say("\n".join(map(str, ["", *files])))
    return NeuronsRun(found, effects)


def _inputs(
    config: NeuronsConfig, model: LanguageModel, finding: Corpus, held_out: Corpus | None
) -> dict[str, Any]:
    """What the numbers depend on: a folder holds a run of one such."""
    return {
        **prediction_hashes(model),
        "corpus": finding.sha256,
        "held_out": None if held_out is None else held_out.sha256,
        **{name: getattr(config, name) for name in _MEASURED_BY},
    }


def _measure(
    config: NeuronsConfig,
    model: LanguageModel,
    found: NeuronsFound,
    held_out: Corpus,
    kept: KeptTables,
) -> NeuronEffects:
    return measure_effects(
        model,
        found,
        held_out,
        config.factor,
        draws=config.draws,
        seed=config.seed,
        batch_tokens=config.batch_tokens,
        max_length=config.max_length,
        keep=kept.array,
    )


def _write_effects(effects: NeuronEffects, out: Path) -> list[Path]:
    table = effects.table()
    files = [
        write_table(out / name, written)[0]
        for name, written in (("effects", table), ("claims", effects.claims()))
    ]
    title = f"neurons {_scaled(effects)}"
    return files + save_figure(effects_figure(table, title), out / "effects")


def held_out_texts(source: str, languages: Sequence[str]) -> Corpus:
    """Read parallel text to measure on.

    Args:
        source: As :func:`shiftlens.load_corpus` takes it; or ``demo:validation`` or ``demo:test``,
            whose texts are prompt and answer.
        languages: The languages to read.

    Raises:
        ShiftlensError: There is no such text, or it lacks a language.
    """
    if not source.startswith("demo:"):
        return load_corpus(source, languages)
    texts: dict[str, list[str]] = {code: [] for code in languages}
    items: dict[str, None] = {}
    for record in load_records(source):
        if record.language in texts:
            texts[record.language].append(record.prompt + record.completion)
            items[record.item] = None
    if lacking := [code for code, own in texts.items() if len(own) != len(items)]:
        raise ShiftlensError(f"{source} has not every item in {', '.join(lacking)}")
    return Corpus.from_texts(texts, list(items))


def _scaled(effects: NeuronEffects) -> str:
    return "ablated" if effects.factor == 0 else f"scaled by {effects.factor:g}"


def summary(claims: pd.DataFrame, held_out: Corpus, scaled: str) -> str:
    """The claims as a table of a row a language, and how many hold."""
    if claims.empty:
        return "no language has neurons of its own: keep a larger share"
    half = (claims["high"] - claims["low"]) / 2
    cells = claims["difference"].map("{:+.4f}".format) + half.map(" ±{:.4f}".format)
    cells += np.where(claims["holds"], "*", " ")
    shown = claims.assign(cell=cells, language=claims["language"] + _sizes(claims))
    wide = shown.pivot(index="language", columns="more_than", values="cell")
    wide = wide.loc[shown["language"].unique(), list(COMPARED)].rename(columns=COMPARED)
    head = [
        f"change of the loss on {len(held_out)} held-out texts with a language's neurons {scaled},",
        "nats per token, and that less the change of the others on average, of the most hurt of",
        "them, with as many random neurons, with as many equally active ones;",
        "±: 95% interval over texts, *: above 0",
    ]
    table = wide.rename_axis(index=None, columns=None).to_string().splitlines()
    lines = ["", *head, *table, ""]
    holds_of = claims.set_index(["more_than", "language"])["holds"]
    for name, words in {
        "itself": "its own loss rises",
        "others": "more than the others' on average",
        "most hurt": "more than the most hurt other's",
        "random": "more than with random neurons, over texts",
        "random draws": "more than with random neurons, over draws",
        "as active": "more than with equally active neurons",
    }.items():
        holding = [str(code) for code, holds in holds_of[name].items() if holds]
        lines.append(f"{words}: {len(holding)} of {len(holds_of[name])}  {' '.join(holding)}")
    return "\n".join(line.rstrip() for line in lines)


def _sizes(claims: pd.DataFrame) -> pd.Series:
    return claims["neurons"].map(" ({})".format)


def _corpus(config: NeuronsConfig) -> Corpus:
    source = config.corpus or ("demo" if config.model == "demo" else None)
    if source is None:
        raise ShiftlensError("give --corpus: parallel text of two languages or more")
    languages = None if config.languages is None else language_list(config.languages)
    corpus = load_corpus(source, languages, keep_intersection=config.keep_intersection)
    return corpus if config.sentences is None else corpus.head(config.sentences)


def _texts(
    config: NeuronsConfig, model: LanguageModel, corpus: Corpus
) -> tuple[Corpus, Corpus | None]:
    """What to find neurons on and what to measure on; of an encoder the first alone."""
    if not model.hf.can_generate():
        if config.held_out is not None:
            raise ShiftlensError(f"{model.name} predicts no text: leave out --held-out")
        return corpus, None
    if config.held_out is not None:
        held_out = held_out_texts(config.held_out, corpus.languages)
        for code, own in corpus.texts.items():
            if shared := set(own) & set(held_out.texts[code]):
                raise ShiftlensError(
                    f"{len(shared)} of the held-out texts in {code} are in the corpus too, the "
                    f"first is {min(shared)!r}; measure on others"
                )
        return corpus, held_out
    if len(corpus) < 4:
        raise ShiftlensError(f"{len(corpus)} sentences make no two halves; give 4 or more")
    one, other = (_rows(corpus, rows) for rows in split_rows(len(corpus), config.seed))
    return one, other


def _rows(corpus: Corpus, rows: np.ndarray) -> Corpus:
    texts = {code: [own[row] for row in rows] for code, own in corpus.texts.items()}
    return Corpus.from_texts(texts, [corpus.ids[row] for row in rows])


def _plan(config: NeuronsConfig, finding: Corpus, held_out: Corpus | None) -> str:
    languages = len(finding.languages)
    line = f"{config.model}: neurons of {languages} languages from {len(finding)} sentences of each"
    if held_out is None:
        return f"{line}; an encoder, so that no perplexity is measured"
    passes = 2 + languages + config.draws
    few = "; so few that the intervals say little" if len(held_out) < _FEW else ""
    return f"{line}, then {passes} passes over {len(held_out)} held-out texts of each{few}"


def _counts(found: NeuronsFound, table: pd.DataFrame) -> str:
    counts = found.counts.sum(axis=0)
    each = ", ".join(f"{code} {n}" for code, n in zip(found.languages, counts, strict=True))
    line = f"{len(table):,} of {found.own[..., 0].size:,} neurons are of a language or more: {each}"
    if table.empty:
        return line
    low, high = table["entropy"].min(), table["entropy"].max()
    even = np.log(len(counts))
    most = f"one as active in all {len(counts)} languages has {even:.2f}"
    spread = " (so these are of no language more than of another)" if low > _EVEN * even else ""
    return f"{line}\ntheir entropies are {low:.2f} to {high:.2f} nats; {most}{spread}"
