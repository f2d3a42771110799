"""What is stored of the lens's analysis is what the package finds, and what the pages say."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import shiftlens as sl
from shiftlens.lens import TokenLanguages, answer_lens, language_lens
from shiftlens.sft import load_records

ROOT = Path(__file__).parents[2]
STORED = ROOT / "analyses/results/lens_pivot.csv"
ARMS = {("base", "off"): 1, ("base", "on"): 1, ("msft", "off"): 3, ("mcl-only", "off"): 3}
ARMS |= {("shifcon", "off"): 3, ("shifcon", "on"): 3}


@pytest.fixture
def analysis(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "analyses"))
    import lens_pivot

    return lens_pivot


def test_the_arms_are_paired_over_seeds():
    stored = pd.read_csv(STORED)
    assert stored.groupby(["arm", "shift"])["seed"].nunique().to_dict() == ARMS
    assert len(stored) == sum(ARMS.values()) * 7 * 9


def test_the_questions_are_of_the_test_split_and_no_training_saw_them(analysis):
    facts = json.loads(STORED.with_suffix(".json").read_text())
    corpus = analysis.questions()
    assert corpus.sha256 == facts["corpus"]["sha256"] and len(corpus) == 180
    seen = {record.prompt for record in load_records("demo:train")}
    seen |= {text for texts in sl.load_corpus("demo").texts.values() for text in texts}
    assert not seen & {text for texts in corpus.texts.values() for text in texts}


def test_the_stored_base_is_what_a_fresh_reading_finds(analysis):
    model = sl.load_model("demo", device="cpu")
    tokens = TokenLanguages.of_corpus(model, sl.load_corpus("demo"))
    fi = sl.Corpus.from_texts({"fi": analysis.questions().texts["fi"]})
    lens = language_lens(model, fi, tokens, positions="last", progress=False).table
    records = [r for r in load_records("demo:test") if r.language in ("en", "fi")]
    answers = answer_lens(model, records, progress=False)
    answers = answers[answers["language"] == "fi"]
    stored = pd.read_csv(STORED).query("arm == 'base' and shift == 'off' and language == 'fi'")
    own, english = (answers[answers["answer"] == code].groupby("layer") for code in ("fi", "en"))
    for name, fresh in {
        "mass": lens.groupby("layer")["en"].mean(),
        "own_mass": lens.groupby("layer")["fi"].mean(),
        "probability": english["probability"].mean(),
        "own_probability": own["probability"].mean(),
        "own_rank": np.exp(own["rank"].apply(lambda ranks: np.log(ranks).mean())),
    }.items():
        np.testing.assert_allclose(stored[name], fresh, rtol=2e-3, atol=1e-9, err_msg=name)


def test_the_page_says_what_the_sidecar_does():
    facts = json.loads((ROOT / "figures/lens_pivot_demo.json").read_text())
    page = (ROOT / "docs/questions.md").read_text(encoding="utf-8")
    means = {(r["metric"], r["arm"], r["shift"]): r["mean"] for r in facts["result"]}
    for key in [*ARMS][1:]:
        assert f"{100 * means['mass of English tokens', *key]:.1f}%" in page
        assert f"{100 * means['pivot is English', *key]:.0f}%" in page
    for row in facts["differences"]:
        if row["metric"] == "mass of English tokens" and row["arm"].startswith("shifcon"):
            mean, low, high = (f"{100 * row[name]:.1f}" for name in ("mean", "low", "high"))
            assert f"{mean} points of mass [{low}, {high}]" in page or (
                f"{mean} [{low}, {high}]" in page
            )
