"""The benchmark on real text, at a tiny size and on made-up text."""

import importlib
import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from shiftlens import Corpus, load_model
from shiftlens.geometry.retrieval import cosine_retrieval, mexa

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
LANGUAGES = ("en", "de", "sw", "zh")


@pytest.fixture(scope="module")
def modules():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        names = ("bible", "bible_base", "bible_report", "bible_judge")
        yield [importlib.import_module(name) for name in names]


def made_up(folder, sentences, seed):
    """Sentences of the same ideas in languages that have each their own words."""
    folder.mkdir()
    rng = random.Random(seed)
    ideas = [[rng.randrange(40) for _ in range(rng.randint(3, 9))] for _ in range(sentences)]
    for code in LANGUAGES:
        between = "" if code == "zh" else " "
        words = [chr(0x4E00 + n) if code == "zh" else f"{code}{n:o}" for n in range(40)]
        lines = [between.join(words[n] for n in idea) for idea in ideas]
        (folder / f"{code}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    place = tmp_path_factory.mktemp("bible")
    verses = made_up(place / "verses", 200, 1)
    (verses / "mg.txt").write_text("x\n" * 200)  # judged nowhere, so left out
    return verses, made_up(place / "news", 24, 2), place


@pytest.fixture(scope="module")
def finished(modules, places):
    """The folder of one whole run; of its results the tables."""
    verses, news, place = places
    words = ["--bible", verses, "--ntrex", news, "--out", place / "run", "--results", place / "r"]
    command = ["bible.py", "--size", "tiny", "--device", "cpu", "--seeds", "2", *map(str, words)]
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", command)
        modules[0].main()
        [run] = (place / "run").iterdir()
        yield run, place / "r", lambda: modules[0].main()
    torch.set_num_threads(threads)


def test_no_verse_is_in_two_parts_and_the_low_languages_have_seen_fewer(modules, places):
    base = modules[1]
    text = base.read_text(*places[:2], base.TINY)
    verses = {code: (places[0] / f"{code}.txt").read_text().splitlines() for code in LANGUAGES}
    assert set(text.pretraining) == set(LANGUAGES)
    seen = {code: len(own) for code, own in text.pretraining.items()}
    assert seen == {"en": 148, "de": 49, "zh": 49, "sw": 15}
    for code, own in verses.items():
        learnt = [r.prompt + r.completion for r in text.records if r.language == code]
        parts = [learnt, text.parallel.texts[code], text.validation.texts[code]]
        parts.append(text.pretraining["en"] if code == "en" else [])
        together = [verse for part in parts for verse in part]
        assert sorted(together) == sorted(own) if code == "en" else set(together) <= set(own)
    ids = [text.parallel.ids, text.validation.ids, {r.item for r in text.records}]
    assert len(set().union(*ids)) == sum(map(len, ids)) == 52
    assert text.pretraining["sw"] == [
        verses["sw"][verses["en"].index(verse)] for verse in text.pretraining["en"][:15]
    ]


def test_other_steps_keep_the_base_and_other_sizes_do_not(modules, places):
    base = modules[1]
    text, tiny = base.read_text(*places[:2], base.TINY), base.TINY
    assert text.sha256(tiny) == text.sha256(replace(tiny, steps=9))
    assert text.sha256(tiny) != text.sha256(replace(tiny, width=32))


def test_a_verse_is_cut_after_its_first_word_where_it_has_words(modules):
    cut = modules[1].continuation
    assert cut("1.en", "en", "ab c dd e").completion == " c dd e"
    assert cut("1.zh", "zh", "太初有道 太初").completion == "有道 太初"


def test_the_tokenizer_gives_back_any_text(modules, places):
    base = modules[1]
    tokenizer = base.train_tokenizer(base.read_text(*places[:2], base.TINY), 400)
    for text in ("en1 en2", "Never seen: ẞ 👍  two spaces", "太初有道"):
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.decode(ids[1:]) == text
        assert ids[0] == tokenizer.bos_token_id


def test_retrieval_flags_are_those_of_the_geometry(modules, finished):
    judge, place = modules[3], finished[0]
    model = load_model(place / "base", device="cpu")
    corpus = Corpus.from_texts(
        {code: [f"{code}{n} en{n}" for n in range(9)] for code in ("en", "sw")}
    )
    flags = judge.retrieved(model, corpus, None, (1, 2))["unshifted 2 sw"]
    store = judge.collect_states(model, corpus, place / "states", progress=False)
    states = store.states("sw", 2), store.states("en", 2)
    expected = cosine_retrieval(*states)
    assert flags.mean(axis=0).tolist() == [expected.there, expected.back]
    assert flags.all(axis=1).mean() == mexa(*states).score
    assert 0 < flags.mean() < 1


def test_losses_are_those_of_hugging_face(modules, finished):
    judge = modules[3]
    model = load_model(finished[0] / "base", device="cpu")
    texts = ["en1 en2 en3", "en7"]
    found = judge.losses(model, Corpus.from_texts({"en": texts, "sw": texts}), None)
    ids = model.tokenizer(texts)["input_ids"]
    with torch.no_grad():
        rows = [torch.tensor([own]) for own in ids]
        expected = [model.hf(input_ids=r, labels=r).loss.item() * (r.shape[1] - 1) for r in rows]
    assert found["nats en"] == pytest.approx(expected, rel=1e-5)
    assert found["tokens en"].tolist() == [len(own) - 1 for own in ids]


def test_the_run_has_every_arm_and_its_tables_agree(modules, finished, capsys):
    bible, *_ = modules
    results = finished[1]
    table = pd.read_csv(results / "bible.csv", keep_default_na=False, na_values=[""])
    languages = pd.read_csv(results / "bible_languages.csv")
    facts = json.loads((results / "bible.json").read_text())
    assert set(languages["arm"]) == set(bible.COMPARED)
    trained = languages.groupby("arm")["seed"].nunique()
    assert (trained.drop(["base", "base-shift"]) == 2).all()
    assert set(languages["language"]) == set(LANGUAGES)
    assert np.isfinite(languages["nats_per_byte"]).all()
    mid = languages[(languages["arm"] == "shifcon") & (languages["group"] == "mid")]
    own = table[(table["arm"] == "shifcon") & (table["group"] == "mid") & table["reference"].isna()]
    own = own.set_index("measure")["value"]
    assert own["nats per byte"] == pytest.approx(mid["nats_per_byte"].mean(), rel=1e-4)
    layers = range(*facts["area"])
    p1 = mid[[f"p1_shifted_{layer}" for layer in layers]].to_numpy().mean()
    assert own["P@1 shifted"] == pytest.approx(p1, rel=1e-4)
    assert "P@1 shifted" not in set(table[table["arm"] == "msft"]["measure"])
    assert set(facts["arms"]) == set(bible.COMPARED) - {"base", "base-shift"}


def test_a_shift_moves_other_languages_and_not_the_dominant_one(finished):
    languages = pd.read_csv(finished[1] / "bible_languages.csv").set_index(["arm", "language"])[
        "nats_per_byte"
    ]
    assert languages["base", "en"] == languages["base-shift", "en"]
    assert languages["base", "sw"] != languages["base-shift", "sw"]


def test_a_finished_run_trains_nothing_again(modules, finished, monkeypatch, capsys):
    _, results, again = finished
    before = {path: path.read_bytes() for path in results.iterdir()}
    monkeypatch.setattr(modules[0].Bench, "train", lambda *_: pytest.fail("trained again"))
    monkeypatch.setattr(modules[0], "train_base", lambda *_: pytest.fail("trained again"))
    again()
    assert {path: path.read_bytes() for path in results.iterdir()} == before
    assert "P@1, differences" in capsys.readouterr().out


def test_intervals_are_over_seeds_and_over_sentences(modules):
    values = np.random.default_rng(0).normal(size=(3, 20))
    found = modules[2].intervals(values)
    for axis, name in ((1, "seeds"), (0, "sentences")):
        x = values.mean(axis=axis)
        bounds = stats.t.interval(0.95, len(x) - 1, x.mean(), stats.sem(x))
        assert (found[f"low_{name}"], found[f"high_{name}"]) == pytest.approx(bounds)


def test_a_folder_that_is_not_there_is_one_line(modules, places, monkeypatch, capsys):
    words = ["bible.py", "--bible", str(places[2] / "none"), "--ntrex", str(places[1])]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit):
        modules[0].main()
    assert "none" in capsys.readouterr().err.splitlines()[-1]
