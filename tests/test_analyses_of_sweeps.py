"""The analyses of sweeps: what their sidecars say is what a direct computation gives."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pyriemann.geometry.distance import distance_riemann
from scipy.stats import spearmanr
from sklearn.covariance import OAS, LedoitWolf
from test_sweep import crossed, halves, shrunk_by

import shiftlens as sl

ANALYSES = Path(__file__).parents[1] / "analyses"
LANGUAGES = ("en", "es", "fi", "ko")
SENTENCES = 120
CORPUS = ["--languages", ",".join(LANGUAGES), "--sentences", str(SENTENCES)]


@pytest.fixture(scope="module")
def demo():
    return sl.load_model("demo")


@pytest.fixture(scope="module")
def corpus():
    return sl.load_corpus("demo", LANGUAGES).head(SENTENCES)


@pytest.fixture(scope="module")
def states(demo, corpus, tmp_path_factory):
    """Sentences, layers, dimensions of every language, read out of the model by us."""
    store = sl.collect_states(demo, corpus, tmp_path_factory.mktemp("s") / "s", progress=False)
    return {
        code: np.stack([store.states(code, layer) for layer in store.layers], axis=1)
        for code in LANGUAGES
    }


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run an analysis on the demo and read its sidecar."""

    def one(name, *arguments):
        command = [*CORPUS, *arguments, "--figure", "answer", "--folder", str(tmp_path)]
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *command])
        monkeypatch.syspath_prepend(ANALYSES)
        runpy.run_path(str(ANALYSES / f"{name}.py"), run_name="__main__")
        written = {path.name for path in tmp_path.iterdir()}
        assert written == {"answer.png", "answer.svg", "answer.json"}
        assert "wrote" in capsys.readouterr().out
        facts = json.loads((tmp_path / "answer.json").read_text(encoding="utf-8"))
        asked = " ".join([f"analyses/{name}.py", *CORPUS, *arguments, "--figure answer"])
        assert facts["command"] == f"python {asked}"
        assert facts["corpus"]["name"] == facts["model"]["name"] == "demo"
        return facts

    return one


def riemann(covariance):
    return lambda a, b: distance_riemann(*(shrunk_by(covariance(store_precision=False))(x)
                                           for x in (a, b)))  # fmt: skip


def matrix(states, covariance, layers, seed=0):
    """Layers by the languages compared, by pyRiemann and scikit-learn."""
    distance = riemann(covariance)
    return np.array(
        [[crossed(states, code, layer, distance, seed=seed) for code in LANGUAGES[1:]]
         for layer in layers]
    )  # fmt: skip


def test_the_stability_of_the_area_is_that_of_the_parts(run, states):
    facts = run("area_stability", "--sizes", "60", "--subsets", "2",
                "--metrics", "affine_invariant", "mexa")  # fmt: skip
    inner, parts = range(1, 6), []
    for draw in (0, 1):
        rows = np.random.default_rng([0, 60, draw]).choice(SENTENCES, 60, replace=False)
        part = {code: own[np.sort(rows)] for code, own in states.items()}
        parts.append(matrix(part, LedoitWolf, inner, seed=draw).mean(axis=1))
    curves = {row["layer"]: row for row in facts["result"]["curves"] if row["sentences"] == 60}
    for place, layer in enumerate(inner):
        values = [curve[place] for curve in parts]
        assert curves[layer]["distance"] == pytest.approx(np.mean(values), abs=2e-4)
        assert curves[layer]["spread"] == pytest.approx(np.std(values, ddof=1), abs=2e-4)
    told = next(
        row for row in facts["result"]["summary"]
        if (row["metric"], row["sentences"]) == ("affine_invariant", 60)
    )  # fmt: skip
    lowest, following = np.argsort(np.mean(parts, axis=0))[:2]
    gaps = [curve[following] - curve[lowest] for curve in parts]
    assert (told["lowest"], told["next"]) == (lowest + 1, following + 1)
    assert told["gap"] == pytest.approx(np.mean(gaps), abs=2e-4)
    assert told["spread"] == pytest.approx(np.std(gaps, ddof=1), abs=2e-4)
    areas = [sl.choose_area(dict(enumerate([0, *curve, 0]))) for curve in parts]
    whole = matrix(states, LedoitWolf, inner).mean(axis=1)
    first = sl.choose_area(dict(enumerate([0, *whole, 0])))
    assert facts["areas"]["affine_invariant"] == f"{first.start}-{first.stop}"
    held = [{*range(area.start, area.stop + 1)} for area in (first, *areas)]
    overlaps = [len(held[0] & own) / len(held[0] | own) for own in held[1:]]
    assert told["overlap"] == pytest.approx(np.mean(overlaps), abs=1e-4)
    shares = {
        row["layer"]: row["share"]
        for row in facts["result"]["shares"]
        if row["row"] == "60 sentences"
    }
    assert shares == {layer: np.mean([layer in own for own in held[1:]]) for layer in inner}


def test_leaving_a_language_out_is_told_for_each(run, states):
    facts = run("area_stability", "--sizes", "60", "--subsets", "1",
                "--metrics", "mean_distance")  # fmt: skip
    rows = [row for row in facts["result"]["shares"] if row["row"].startswith("without")]
    assert {row["row"] for row in rows} == {"without Spanish", "without Finnish", "without Korean"}

    def apart(a, b):
        return np.linalg.norm(a.mean(axis=0) - b.mean(axis=0))

    for code, name in (("es", "Spanish"), ("fi", "Finnish"), ("ko", "Korean")):
        others = [other for other in LANGUAGES[1:] if other != code]
        curve = {
            layer: np.mean([crossed(states, other, layer, apart) for other in others])
            for layer in range(7)
        }
        area = sl.choose_area(curve)
        for row in rows:
            if row["row"] == f"without {name}":
                assert row["share"] == (area.start <= row["layer"] <= area.stop)


def test_the_choices_of_the_estimator_are_ranked_as_scipy_ranks_them(run, states):
    facts = run("estimator_choices")
    inner = range(1, 6)
    base, oas = (matrix(states, rule, inner) for rule in (LedoitWolf, OAS))
    other = matrix(states, LedoitWolf, inner, seed=1)
    table = facts["result"]["over_layers"]
    named = dict(zip(table["index"], table["data"][0], strict=True))
    for name, values in (("OAS", oas), ("other halves", other)):
        expected = [spearmanr(a, b).statistic for a, b in zip(base.T, values.T, strict=True)]
        assert named[name] == pytest.approx(np.mean(expected), abs=1e-4)
    curve = {row["layer"]: row["distance"] for row in facts["curves"] if row["choice"] == "OAS"}
    for layer, values in zip(inner, oas, strict=True):
        assert curve[layer] == pytest.approx(values.mean(), abs=2e-4)
    choices = facts["result"]["choices"]
    n = {
        name: row[choices["columns"].index("n")]
        for name, row in zip(choices["index"], choices["data"], strict=True)
    }
    assert n["the other 60 sentences"] == 30 and n["OAS"] == 60
    found = [tuple(row["distance"] for row in facts["curves"] if row["choice"] == name)
             for name in choices["index"]]  # fmt: skip
    assert len(set(found)) == len(found) == 9


def test_the_means_of_tokens_are_those_of_the_models_own_hidden_states(run, demo, corpus):
    facts = run("sentences_or_tokens", "--metrics", "mean_distance", "affine_invariant")
    (title, curves) = next((t, c) for t, c in facts["curves"].items() if t.startswith("tokens"))
    layer, parts = 3, halves(SENTENCES)
    means, counts = {}, []
    for code in LANGUAGES:
        texts = [corpus.texts[code][row] for part in parts for row in part]
        read = [demo.tokenizer(text, return_special_tokens_mask=True) for text in texts]
        own = [~np.array(one["special_tokens_mask"], dtype=bool) for one in read]
        counts.append(min(sum(map(sum, own[:60])), sum(map(sum, own[60:]))))
        if code in ("en", "ko"):
            with torch.no_grad():
                hidden = [
                    demo.hf(torch.tensor([one["input_ids"]]), output_hidden_states=True)
                    .hidden_states[layer][0]
                    .numpy()[kept]
                    for one, kept in zip(read, own, strict=True)
                ]
            means[code] = [np.concatenate(half).mean(axis=0) for half in (hidden[:60], hidden[60:])]
    (a, b), (first, second) = means["en"], means["ko"]
    expected = (np.linalg.norm(first - b) + np.linalg.norm(second - a)) / 2
    assert curves["ko"][layer] == pytest.approx(expected, abs=2e-4)
    assert f"n = {min(counts):,}–{max(counts):,} " in title
    one, other = ({code: own[code][1:6] for code in LANGUAGES[1:]}
                  for own in facts["curves"].values())  # fmt: skip
    expected = np.mean([spearmanr(one[code], other[code]).statistic for code in one])
    told = facts["result"]["mean_distance"]
    assert told["sentences, tokens: layers"] == pytest.approx(expected, abs=1e-3)
