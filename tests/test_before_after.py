"""What a training leaves to look at: the shifted sweep and the pictures before and after."""

import json
from hashlib import sha256

import numpy as np
import pandas as pd
import pytest
import tiny

from shiftlens import before_after, train
from shiftlens.config import TrainConfig
from shiftlens.corpora import Corpus
from shiftlens.errors import ShiftlensError
from shiftlens.language_vectors import LanguageVectors
from shiftlens.loading import load_model
from shiftlens.store import ActivationStore
from shiftlens.train import run_train
from shiftlens.trained import load_trained, save_model

LETTERS = "abcdefghijkl"
TEXTS = {
    "en": [f"the {n} cats of {LETTERS[n]}" + " sat" * (n % 3) for n in range(12)],
    "es": [f"los {n} gatos de {LETTERS[n]}" + "." * (n % 4) for n in range(12)],
    "fi": [f"{n} kissaa {LETTERS[n]}" for n in range(12)],
}
PICTURES = {
    f"{name}.{ending}"
    for name in ("geometry", "layer_distance_before_after")
    for ending in ("png", "svg", "html")
}


def make_files(folder):
    """A tiny model, parallel text and records to train on."""
    hf = tiny.tiny_model("llama", num_hidden_layers=4)
    save_model(load_model(hf, tiny.tiny_tokenizer()), None, folder / "base")
    (folder / "parallel").mkdir()
    (folder / "two").mkdir()
    for code, texts in TEXTS.items():
        for room in ("parallel", "two") if code != "fi" else ("parallel",):
            (folder / room / f"{code}.txt").write_text("\n".join(texts) + "\n")
    lines = [
        json.dumps({"id": f"{code}{n}", "language": code, "prompt": f"{n} is", "completion": " ok"})
        for code in ("en", "es")
        for n in range(4)
    ]
    (folder / "sft.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("files"))


def config_of(files, out, **changes):
    settings = {
        "model": str(files / "base"),
        "sft": str(files / "sft.jsonl"),
        "parallel": str(files / "parallel"),
        "out": str(out),
        "area": "1-3",
        "steps": 2,
        "batch_size": 4,
        "pairs": 4,
        "learning_rate": 1e-3,
        "save_every": 2,
        "device": "cpu",
        **changes,
    }
    return TrainConfig(**settings)


def quiet(config):
    return run_train(config, lambda line: None)


def contents(folder):
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


def test_a_shifted_run_also_sweeps_and_draws_the_shifted_states(files, tmp_path):
    out = tmp_path / "run"
    run = quiet(config_of(files, out))
    assert {path.name for path in out.iterdir()} >= {*PICTURES, "before", "after", "shifted"}
    stores = {
        when: ActivationStore.open(out / when / "activations") for when in ("after", "shifted")
    }
    assert "shift" not in stores["after"].manifest
    assert stores["shifted"].manifest["shift"]["area"] == [1, 3]
    for code in TEXTS:
        move = (run.shift.vectors["en"] - run.shift.vectors[code])[1].numpy()
        np.testing.assert_allclose(
            stores["shifted"].states(code, 1), stores["after"].states(code, 1) + move, atol=1e-5
        )
    table = pd.read_csv(out / "shifted" / "sweep.csv")
    pd.testing.assert_frame_equal(table, run.shifted.table, check_dtype=False)
    page = (out / "geometry.html").read_text(encoding="utf-8")
    assert "layer 2 of" in page and TEXTS["fi"][5] in page and TEXTS["fi"][4] not in page


def test_a_finished_run_keeps_its_vectors_where_an_estimate_would_differ(
    files, tmp_path, monkeypatch
):
    out = tmp_path / "run"
    first = quiet(config_of(files, out))
    whole = contents(out)
    estimate = LanguageVectors.from_model

    def other_machine(*args, **kwargs):
        vectors = estimate(*args, **kwargs)
        for vector in vectors.vectors.values():
            vector += 1e-7
        return vectors

    monkeypatch.setattr(LanguageVectors, "from_model", other_machine)
    again = quiet(config_of(files, out))
    assert contents(out) == whole
    pd.testing.assert_frame_equal(again.shifted.table, first.shifted.table)
    assert load_trained(out / "model", device="cpu")[1].area == (1, 3)


def test_an_arm_without_a_shift_has_no_shifted_sweep(files, tmp_path):
    run = quiet(config_of(files, tmp_path / "run", arm="base"))
    assert run.shifted is None and not (tmp_path / "run" / "shifted").exists()
    assert {path.name for path in (tmp_path / "run").iterdir()} >= PICTURES
    assert "shift on" not in (tmp_path / "run" / "geometry.html").read_text(encoding="utf-8")


def test_two_languages_are_drawn_by_pca_alone(files, tmp_path):
    quiet(config_of(files, tmp_path / "run", parallel=str(files / "two"), arm="base-shift"))
    page = (tmp_path / "run" / "geometry.html").read_text(encoding="utf-8")
    assert "PCA axis" in page and "LDA axis" not in page


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"area": "2"}, "'2'"),
        ({"area": "1-4"}, "1-4"),
        ({"pairs": 40}, "40 pairs"),
        ({"pairs": 40, "area": "auto"}, "40 pairs"),
        ({"dominant": "de"}, "'de'"),
    ],
)
def test_bad_settings_are_refused_before_a_sweep_or_a_file(
    changes, words, files, tmp_path, monkeypatch
):
    def refuse(*args):
        raise AssertionError("swept")

    monkeypatch.setattr(train, "sweep_into", refuse)
    with pytest.raises(ShiftlensError, match=words):
        quiet(config_of(files, tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists()


def test_a_shallow_model_is_refused_before_the_sweep(files, tmp_path):
    hf = tiny.tiny_model("llama", num_hidden_layers=2)
    save_model(load_model(hf, tiny.tiny_tokenizer()), None, tmp_path / "shallow")
    with pytest.raises(ShiftlensError, match="2 blocks has no layer area"):
        quiet(config_of(files, tmp_path / "run", model=str(tmp_path / "shallow"), area="auto"))
    assert not (tmp_path / "run").exists()


def test_the_area_that_the_sweep_chose_is_the_one_trained(files, tmp_path):
    run = quiet(config_of(files, tmp_path / "run", area="auto"))
    chosen = (run.before.area.start, run.before.area.stop)
    assert run.shift.area == chosen
    facts = json.loads((tmp_path / "run" / "area.json").read_text())
    assert facts["trained_area"] == list(chosen)


def test_a_sweep_of_other_states_is_not_mixed_into_a_folder(files, tmp_path):
    model = load_model(files / "base", device="cpu")
    corpus = Corpus.from_texts(TEXTS)
    config = config_of(files, tmp_path / "run")
    before_after.sweep_into(tmp_path / "s", model, corpus, config)
    other = load_model(tiny.tiny_model("llama", seed=1, num_hidden_layers=4), model.tokenizer)
    with pytest.raises(ShiftlensError, match="other states"):
        before_after.sweep_into(tmp_path / "s", other, corpus, config)
