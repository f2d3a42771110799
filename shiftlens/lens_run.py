"""The lens from a model to a folder of tables and figures: what ``shiftlens lens`` runs."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from shiftlens.asked import MODEL, check_positions, check_sizes
from shiftlens.config import to_yaml
from shiftlens.corpora import Corpus, load_corpus
from shiftlens.errors import ShiftlensError
from shiftlens.files import check_folder, running, write_atomic
from shiftlens.identity import prediction_hashes
from shiftlens.kept_tables import KeptTables
from shiftlens.languages import language_list
from shiftlens.lens.answers import answer_pivots, answer_summary, answer_tables
from shiftlens.lens.head import check_decoder
from shiftlens.lens.languages import LanguageLens, language_tables
from shiftlens.lens.memory import LensMemory, lens_memory
from shiftlens.lens.token_languages import TokenLanguages, check_counting
from shiftlens.lens_config import LensConfig
from shiftlens.loading import read_config
from shiftlens.models import LanguageModel
from shiftlens.plan import shift_facts
from shiftlens.plots.lens_layers import answer_panels, entropy_lines, mass_panels
from shiftlens.plots.save import save_figure
from shiftlens.sft import SftRecord, load_records, records_sha256
from shiftlens.shift import Shift
from shiftlens.trained import load_trained
from shiftlens.whose import check_run_folder
from shiftlens.written import write_table

MAY_CHANGE = ("out", "device", "records", "model", "corpus", "threshold")
"""Settings that a lens may go on with changed, where what they give is the same."""
_NOTHING = 0.005
"""Where the language ahead has less, no language is printed."""


@dataclass(frozen=True)
class LensRun:
    """A finished lens.

    Attributes:
        out: Its folder.
        lens: Masses and entropies of every sentence.
        answers: The table of :func:`shiftlens.lens.answer_lens`; None without records.
    """

    out: Path
    lens: LanguageLens
    answers: pd.DataFrame | None


def run_lens(config: LensConfig, say: Callable[[str], None] = print) -> LensRun:
    """Read every layer of every text, and write tables and figures.

    The folder then holds ``lens`` (means by language, layer and group of tokens), ``pivots``
    (the language ahead at every layer), with records ``answers`` and ``answer_pivots``, each as
    ``.csv`` and ``.parquet``; figures as ``.png`` and ``.svg``; ``read/``, every sentence's and
    record's numbers, a Parquet file a language; ``lens_inputs.json`` and ``config.yaml``. A
    language that was read is not read again.

    Args:
        config: The settings.
        say: Receives the lines that a person reads.

    Returns:
        The run.

    Raises:
        ShiftlensError: Something asked for is not there or does not fit (named), or the folder
            holds a lens of something else.
    """
    out = Path(config.out)
    check_folder(out)
    check_run_folder(config, may_change=MAY_CHANGE)
    corpus, records = _texts(config)
    trained = Path(config.model) / MODEL
    place = str(trained if trained.is_dir() else config.model)
    sizes = (config.batch_tokens, config.max_length, len(corpus.languages))
    memory = lens_memory(read_config(str(place)), config.dtype, *sizes)
    say(_forecast(config, corpus, records, memory))
    model, shift = load_trained(place, dtype=config.dtype, device=config.device)
    check_decoder(model)
    shift = shift if config.shift else None
    _check_shift(shift, corpus, records)
    tokens = TokenLanguages.of_corpus(model, corpus, config.threshold)
    say(_groups(tokens, shift))
    corpus = corpus.head(config.sentences) if config.sentences is not None else corpus
    inputs = _inputs(config, model, shift, corpus, tokens, records)
    with running(out):
        run = _read(config, model, shift, corpus, tokens, records, inputs)
        files = _write(run)
        write_atomic(out / "config.yaml", to_yaml(config).encode())
    say("\n".join([*_results(run), "", *(f"  {file}" for file in files)]))
    return run


def _texts(config: LensConfig) -> tuple[Corpus, list[SftRecord]]:
    """Look at everything that the user gave, cheapest first."""
    check_sizes(batch_tokens=config.batch_tokens, max_length=config.max_length)
    check_positions(config.positions)
    languages = None if config.languages is None else language_list(config.languages)
    corpus = load_corpus(config.corpus, languages)
    check_counting(corpus, config.threshold)
    if config.sentences is not None:
        corpus.head(config.sentences)
    records = load_records(config.records) if config.records else []
    if languages is not None:
        records = [record for record in records if record.language in languages]
    if config.records and not records:
        raise ShiftlensError(f"{config.records} has no records in {', '.join(languages or ())}")
    return corpus, records


def _check_shift(shift: Shift | None, corpus: Corpus, records: Sequence[SftRecord]) -> None:
    """Refuse a language without vectors before anything is read."""
    if shift is not None:
        for code in dict.fromkeys([*corpus.languages, *(record.language for record in records)]):
            shift.vectors[code]


def _forecast(
    config: LensConfig, corpus: Corpus, records: Sequence[SftRecord], memory: LensMemory
) -> str:
    n = min(len(corpus), config.sentences or len(corpus))
    asked = f", and {len(records)} prompts of {config.records}" if records else ""
    parts = {"weights": memory.weights, "a batch": memory.forward, "logits": memory.logits}
    detail = ", ".join(f"{name} {size / 2**30:.2f}" for name, size in parts.items())
    return "\n".join(
        [
            f"reads    {n} sentences of {config.corpus} in each of {', '.join(corpus.languages)}: "
            f"{n * len(corpus.languages)} texts{asked}",
            f"memory   at most {memory.total / 2**30:.2f} GiB beside Python itself ({detail})",
            f"writes   {config.out}",
        ]
    )


def _groups(tokens: TokenLanguages, shift: Shift | None) -> str:
    sizes = ", ".join(f"{name} {count}" for name, count in tokens.sizes.items())
    applied = "none" if shift is None else f"on, layers {shift.area[0]}-{shift.area[1]}"
    return f"tokens   {sizes}\nshift    {applied}"


def _inputs(
    config: LensConfig,
    model: LanguageModel,
    shift: Shift | None,
    corpus: Corpus,
    tokens: TokenLanguages,
    records: Sequence[SftRecord],
) -> dict[str, Any]:
    """What the numbers depend on: a folder holds a lens of one such."""
    group = tokens.group.numpy().tobytes()
    return {
        **prediction_hashes(model),
        "corpus": corpus.sha256,
        "tokens": hashlib.sha256(group).hexdigest(),
        "shift": "none" if shift is None else shift_facts(shift),
        "records": records_sha256(records) if records else None,
        **{name: getattr(config, name) for name in ("positions", "batch_tokens", "max_length")},
    }


def _read(
    config: LensConfig,
    model: LanguageModel,
    shift: Shift | None,
    corpus: Corpus,
    tokens: TokenLanguages,
    records: Sequence[SftRecord],
    inputs: dict[str, Any],
) -> LensRun:
    """Read what the folder does not hold yet."""
    out = Path(config.out)

    def texts(languages: list[str]) -> Iterator[tuple[str, pd.DataFrame]]:
        left = Corpus(corpus.ids, {code: corpus.texts[code] for code in languages})
        sizes = {name: inputs[name] for name in ("positions", "batch_tokens", "max_length")}
        return language_tables(model, left, tokens, shift=shift, **sizes)

    def answers(languages: list[str]) -> Iterator[tuple[str, pd.DataFrame]]:
        return answer_tables(
            model, records, languages, shift=shift, batch_tokens=config.batch_tokens
        )

    kept = KeptTables.begin(out, "lens", inputs, late=("records",))
    table = kept.tables("texts", corpus.languages, texts)
    asked = list(dict.fromkeys(record.language for record in records))
    found = kept.tables("answers", asked, answers) if records else None
    return LensRun(out, LanguageLens(table, tokens), found)


def _write(run: LensRun) -> list[Path]:
    """Write tables and figures."""
    summary = run.lens.summary()
    tables = {"lens": summary, "pivots": run.lens.pivots()}
    figures = {"masses": mass_panels(summary), "entropy": entropy_lines(summary)}
    if run.answers is not None:
        answers = answer_summary(run.answers)
        tables |= {"answers": answers, "answer_pivots": answer_pivots(run.answers)}
        if len(answers):
            for quantity in ("rank", "probability"):
                figures[f"answer_{quantity}"] = answer_panels(answers, quantity)
    files = []
    for name, table in tables.items():
        files += write_table(run.out / name, table)
    for name, figure in figures.items():
        files += save_figure(figure, run.out / name)
    return files


def _results(run: LensRun) -> list[str]:
    """The leaders by layer, as a person reads them."""
    lines = [
        "",
        "language with most of the next token's probability, in texts of",
        *_wide(run.lens.pivots()),
    ]
    if run.answers is not None:
        found = answer_pivots(run.answers)
        if found.empty:
            lines += [
                "",
                "answers  none: in every item two languages' answers begin with one token",
            ]
        else:
            lines += ["", "language of the likeliest answer, to prompts in", *_wide(found)]
    brackets = "in brackets: its lead may be none, by the 95% interval over texts"
    return [*lines, f"({brackets}; -: no language has 0.5%)"]


def _wide(pivots: pd.DataFrame) -> list[str]:
    """A row a layer, a column a language."""
    mass = pivots["pivot"] + (100 * pivots["mass"]).map(" {:.0f}%".format)
    cells = mass.where(pivots["lead_low"] > 0, "(" + mass + ")")
    cells = cells.where(pivots["mass"] >= _NOTHING, "-")
    wide = pivots.assign(cell=cells).pivot(index="layer", columns="language", values="cell")
    order = list(dict.fromkeys(pivots["language"]))
    return wide[order].rename_axis(columns=None).to_string().splitlines()
