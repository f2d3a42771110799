"""The tables of `bible.py`: means, paired differences, their intervals, and every language."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from bible_base import SHARES, group_of

from shiftlens import Corpus, load_model
from shiftlens.arms import ARMS
from shiftlens.config import RECORDED
from shiftlens.effects import t_interval
from shiftlens.files import write_atomic
from shiftlens.languages import DOMINANT
from shiftlens.sft import records_sha256

REFERENCE = "msft"
PAIRS = (("shifcon", "mcl-only"), ("shifcon", "random-vector"), ("shifcon", "third-language"))
"""Differences beside those of every arm to MSFT."""
MEASURES = ("nats per byte", "P@1", "P@1 shifted", "MEXA", "MEXA shifted")
Cells = Mapping[tuple[str, int], Mapping[str, np.ndarray]]


def report(bench: Any, settings: Mapping[str, Any], cells: Cells, folder: Path) -> None:
    """Print the tables and write ``bible.csv``, ``bible_languages.csv`` and ``bible.json``.

    Args:
        bench: The :class:`bible.Bench`.
        settings: Of every arm.
        cells: What was found of every arm and seed.
        folder: Where to.
    """
    languages = languages_table(cells, bench.text.test)
    table = pd.concat([means(cells, bench), differences(cells, bench)], ignore_index=True)
    write_atomic(folder / "bible_languages.csv", _csv(languages))
    write_atomic(folder / "bible.csv", _csv(table))
    facts = facts_of(bench, settings, sorted({seed for _, seed in cells}))
    write_atomic(folder / "bible.json", (json.dumps(facts, indent=1) + "\n").encode())
    print(f"{facts['model']['parameters'] / 1e6:.1f} million weights, area {facts['area']}, "
          f"{len(bench.text.test)} test sentences, seeds {facts['seeds']}")  # fmt: skip
    show("perplexity per token", perplexities(languages))
    for measure in MEASURES:
        own = table[table["measure"] == measure]
        show(f"{measure} [95% over seeds] (95% over sentences)", written(own, ""))
        show(f"{measure}, differences", written(own, "-"))


def languages_table(cells: Cells, corpus: Corpus) -> pd.DataFrame:
    """One row an arm, seed and language, with P@1 and MEXA at every layer of the area."""
    rows = []
    for (arm, seed), cell in cells.items():
        for code, texts in corpus.texts.items():
            nats, tokens = cell[f"nats {code}"].sum(), cell[f"tokens {code}"].sum()
            row = {"arm": arm, "seed": seed, "language": code, "group": group_of(code)}
            row |= {"nats_per_byte": nats / bytes_of(texts), "perplexity": np.exp(nats / tokens)}
            for key in cell:
                if key.endswith(f"shifted {key.split()[1]} {code}"):
                    shifted, layer, _ = key.split()
                    row[f"p1_{shifted}_{layer}"] = cell[key].mean()
                    row[f"mexa_{shifted}_{layer}"] = cell[key].all(axis=1).mean()
            rows.append(row)
    return pd.DataFrame(rows)


def by_sentence(
    cell: Mapping[str, np.ndarray], corpus: Corpus, group: str, measure: str, layers: range
) -> np.ndarray | None:
    """What each sentence contributes to a measure of a group: its mean over the languages.

    Nats are divided by the mean bytes of a sentence in that language, so that the mean over the
    sentences is the language's nats per byte. Retrieval is the mean over the layers.

    Returns:
        ``(sentences,)``; None where the arm or group has no such measure.
    """
    codes = [code for code in corpus.languages if group_of(code) == group]
    if measure == "nats per byte":
        scales = [bytes_of(corpus.texts[code]) / len(corpus) for code in codes]
        own = [cell[f"nats {code}"] / scale for code, scale in zip(codes, scales, strict=True)]
        return np.mean(own, axis=0)
    name = "shifted" if measure.endswith("shifted") else "unshifted"
    keys = [f"{name} {layer} {code}" for layer in layers for code in codes]
    if group == group_of(DOMINANT) or keys[0] not in cell:
        return None
    flags = np.stack([cell[key] for key in keys])
    return (flags.mean(axis=2) if measure.startswith("P@1") else flags.all(axis=2)).mean(axis=0)


def stacked(cells: Cells, bench: Any, arm: str, group: str, measure: str) -> np.ndarray | None:
    """The sentences' contributions at every seed, ``(seeds, sentences)``, or None."""
    rows = [
        by_sentence(cell, bench.text.test, group, measure, range(*bench.area))
        for (name, _), cell in sorted(cells.items())
        if name == arm
    ]
    return np.stack(rows) if rows and rows[0] is not None else None


def means(cells: Cells, bench: Any) -> pd.DataFrame:
    """Every arm on every group."""
    arms = dict.fromkeys(arm for arm, _ in cells)
    return _table(cells, bench, [(arm, "") for arm in arms])


def differences(cells: Cells, bench: Any) -> pd.DataFrame:
    """Every trained arm minus MSFT at the same seed and sentence, MSFT minus base, and PAIRS."""
    arms = dict.fromkeys(arm for arm, _ in cells)
    pairs = [(arm, REFERENCE) for arm in arms if arm != REFERENCE]
    return _table(cells, bench, [*pairs, *PAIRS])


def _table(cells: Cells, bench: Any, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    rows = []
    for arm, reference in pairs:
        for measure in MEASURES:
            for group in SHARES:
                own = stacked(cells, bench, arm, group, measure)
                other = stacked(cells, bench, reference, group, measure) if reference else 0.0
                if own is not None and other is not None:
                    row = {"arm": arm, "reference": reference, "measure": measure, "group": group}
                    rows.append(row | intervals(own - other))
    return pd.DataFrame(rows)


def intervals(values: np.ndarray) -> dict[str, float]:
    """Mean of ``(seeds, sentences)`` and its two intervals, each over means of the other axis."""
    seeds, sentences = t_interval(values.mean(axis=1)), t_interval(values.mean(axis=0))
    return {
        "value": seeds["mean"],
        "low_seeds": seeds["low"],
        "high_seeds": seeds["high"],
        "low_sentences": sentences["low"],
        "high_sentences": sentences["high"],
    }


def perplexities(languages: pd.DataFrame) -> pd.DataFrame:
    """Perplexity per token, arms by languages, the geometric mean over seeds."""
    logs = languages.assign(log=np.log(languages["perplexity"]))
    wide = logs.pivot_table("log", "arm", "language", sort=False)
    order = sorted(wide.columns, key=lambda code: list(SHARES).index(group_of(code)))
    return np.exp(wide[order]).round(1)


def written(table: pd.DataFrame, between: str) -> pd.DataFrame:
    """Intervals as text, arms by groups: of the arms themselves, or of their differences."""
    own = table[table["reference"] != ""] if between else table[table["reference"] == ""]
    names = own["arm"] + (f" {between} " + own["reference"] if between else "")
    texts = [
        f"{row.value:.4f} "
        + (f"[{row.low_seeds:.4f}, {row.high_seeds:.4f}] " if np.isfinite(row.low_seeds) else "")
        + f"({row.low_sentences:.4f}, {row.high_sentences:.4f})"
        for row in own.itertuples()
    ]
    tidy = pd.DataFrame({"arm": names, "group": own["group"], "text": texts})
    return tidy.pivot_table("text", "arm", "group", aggfunc="first", sort=False).fillna("")


def show(title: str, table: pd.DataFrame) -> None:
    """Print a table under its title."""
    print(f"\n{title}\n{table.rename_axis(index=None, columns=None).to_string()}")


def facts_of(bench: Any, settings: Mapping[str, Any], seeds: Sequence[int]) -> dict[str, Any]:
    """What the tables were made of."""
    text, base = bench.text, load_model(bench.out / "base", device="cpu")
    corpora = {name: getattr(text, name) for name in ("parallel", "validation", "test")}
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "model": {
            "sha256": base.sha256,
            "parameters": sum(weight.numel() for weight in base.hf.parameters()),
        },
        "sizes": asdict(bench.sizes),
        "area": list(bench.area),
        "sweep": json.loads((bench.out / "sweep" / "area.json").read_text()),
        "seeds": list(seeds),
        "arms": {arm: _written(own) for arm, own in settings.items() if ARMS[arm].trained},
        "tuning": json.loads((bench.folder("validation") / "tuning.json").read_text()),
        "verses_seen_by_base": {code: len(own) for code, own in text.pretraining.items()},
        "corpora": {name: {"sentences": len(c), "sha256": c.sha256} for name, c in corpora.items()},
        "records": {"n": len(text.records), "sha256": records_sha256(text.records)},
        "versions": {name: version(name) for name in (*RECORDED, "tokenizers")},
    }


def _written(setting: Any) -> dict[str, float]:
    """The learning rate, and the weight where the arm has a second loss."""
    arm = ARMS[setting.arm]
    weighed = arm.contrast is not None or arm.parallel_lm
    return {"rate": setting.rate} | ({"weight": setting.weight} if weighed else {})


def bytes_of(texts: Sequence[str]) -> int:
    """Length in UTF-8."""
    return sum(len(text.encode()) for text in texts)


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, float_format="%.5g").encode()
