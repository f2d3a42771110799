"""States collected with a shift on, against numpy sums and one hooked forward pass a text."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from torch import nn

from shiftlens.collect import collect_states
from shiftlens.corpora import Corpus
from shiftlens.errors import ShiftlensError
from shiftlens.language_vectors import LanguageVectors
from shiftlens.loading import load_model
from shiftlens.pooling import Pooling
from shiftlens.shift import Shift
from shiftlens.store import ActivationStore

SENTENCES = {
    "en": ("the cat sat", "no", "a long walk by the old grey river, in May", "yes. we can"),
    "es": ("el gato", "una noche muy larga y fría, sin luna ni ruido", "sí", "mañana"),
    "fi": ("kissa istui", "ei", "vanha joki", "kyllä me voimme, huomenna"),
}
CORPUS = Corpus.from_texts(SENTENCES)
BLOCKS = 5
AREA = (2, 4)
BOS_ID, EOS_ID = 0, 2


def deep_model(architecture):
    named = {"gpt2": "n_layer", "bloom": "n_layer"}.get(architecture, "num_hidden_layers")
    tokenizer = tiny.tiny_tokenizer(eos=architecture in tiny.ENCODERS)
    layers = {"num_hidden_layers": BLOCKS, named: BLOCKS}
    return load_model(tiny.tiny_model(architecture, **layers), tokenizer)


@pytest.fixture
def llama():
    return deep_model("llama")


def random_shift(layers=BLOCKS + 1, width=32, languages=tuple(SENTENCES), seed=3):
    generator = torch.Generator().manual_seed(seed)
    drawn = {code: 0.5 * torch.randn(layers, width, generator=generator) for code in languages}
    return Shift(LanguageVectors(drawn, 10, Pooling()), AREA)


SHIFT = random_shift()


def collected(model, path, **options):
    store = collect_states(model, CORPUS, path, batch_tokens=64, progress=False, **options)
    return {
        code: np.stack([store.states(code, layer) for layer in store.layers], axis=1)
        for code in store.languages
    }


def vectors_alone(model, text, shift, language):
    """Means over the text's own tokens, layers 1..L, by one unpadded pass of the plain model."""
    [stack] = [m for m in model.hf.modules() if isinstance(m, nn.ModuleList) and len(m) == BLOCKS]
    ids = model.tokenizer(text)["input_ids"]
    seen = []

    def keep(_, __, output):
        seen.append(output[0] if isinstance(output, tuple) else output)

    with torch.no_grad(), shift.applied(model, language):
        handles = [block.register_forward_hook(keep) for block in stack]
        model.hf(input_ids=torch.tensor([ids]))
    for handle in handles:
        handle.remove()
    own = ~np.isin(ids, [BOS_ID, EOS_ID])
    layers = np.stack([stream.reshape(len(ids), -1).numpy() for stream in seen])
    return layers[:, own].mean(axis=1, dtype=np.float64)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "bloom", "gemma2", "xlm-roberta"])
def test_shifted_states_are_those_of_the_shifted_model(architecture, tmp_path):
    model = deep_model(architecture)
    plain = collected(model, tmp_path / "plain")
    shifted = collected(model, tmp_path / "shifted", shift=SHIFT)
    for code, texts in SENTENCES.items():
        expected = np.stack([vectors_alone(model, text, SHIFT, code) for text in texts])
        assert np.abs(shifted[code][:, 1:] - expected).max() <= 1e-5 * max(1, expected.std())
        np.testing.assert_array_equal(shifted[code][:, : AREA[0]], plain[code][:, : AREA[0]])
    a = AREA[0]
    for code in ("es", "fi"):
        move = (SHIFT.vectors["en"] - SHIFT.vectors[code])[a].numpy()
        np.testing.assert_allclose(shifted[code][:, a], plain[code][:, a] + move, atol=1e-5)
        assert np.abs(shifted[code][:, a:] - plain[code][:, a:]).max(axis=(0, 2)).min() > 0.01
    np.testing.assert_array_equal(shifted["en"], plain["en"])


def test_with_its_own_vectors_each_language_has_the_dominant_mean_at_the_first_layer(
    llama, tmp_path
):
    shift = Shift(LanguageVectors.from_model(llama, CORPUS), AREA)
    shifted = collected(llama, tmp_path / "shifted", shift=shift)
    for code in SENTENCES:
        means = shifted[code].mean(axis=0)
        np.testing.assert_allclose(means[AREA[0]], shift.vectors["en"][AREA[0]], atol=1e-5)


def test_a_shift_to_a_third_language_moves_the_others_there(llama, tmp_path):
    plain = collected(llama, tmp_path / "plain")
    shifted = collected(llama, tmp_path / "third", shift=replace(SHIFT, target="fi"))
    move = (SHIFT.vectors["fi"] - SHIFT.vectors["es"])[AREA[0]].numpy()
    np.testing.assert_allclose(shifted["es"][:, AREA[0]], plain["es"][:, AREA[0]] + move, atol=1e-5)
    for code in ("en", "fi"):
        np.testing.assert_array_equal(shifted[code], plain[code])


def nudged(shift):
    vectors = {code: vector.clone() for code, vector in shift.vectors.vectors.items()}
    vectors["fi"][3, 7] += 1e-6
    return replace(shift, vectors=replace(shift.vectors, vectors=vectors))


OTHERS = {
    "none": None,
    "vectors": nudged(SHIFT),
    "area": replace(SHIFT, area=(2, 3)),
    "target": replace(SHIFT, target="fi"),
    "dominant": replace(SHIFT, dominant="es"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_stores_of_other_shifts_are_not_mixed(other, llama, tmp_path):
    collected(llama, tmp_path / "s", shift=SHIFT)
    whole = {path.name: path.read_bytes() for path in (tmp_path / "s").iterdir()}
    with pytest.raises(ShiftlensError, match=r"other states.*shift"):
        collected(llama, tmp_path / "s", shift=OTHERS[other])
    (tmp_path / "s" / "es-00000.safetensors").unlink()
    collected(llama, tmp_path / "s", shift=random_shift())
    assert {path.name: path.read_bytes() for path in (tmp_path / "s").iterdir()} == whole


def test_an_unshifted_store_is_not_continued_with_a_shift(llama, tmp_path):
    collected(llama, tmp_path / "s")
    assert "shift" not in ActivationStore.open(tmp_path / "s").manifest
    with pytest.raises(ShiftlensError, match="other shift"):
        collected(llama, tmp_path / "s", shift=SHIFT)


def test_the_manifest_says_what_the_shift_is(llama, tmp_path):
    collected(llama, tmp_path / "s", shift=replace(SHIFT, target="fi"))
    facts = json.loads((tmp_path / "s" / "manifest.json").read_text())["shift"]
    assert (facts["area"], facts["dominant"], facts["target"]) == ([2, 4], "en", "fi")
    assert len(facts["vectors_sha256"]) == 64


@pytest.mark.parametrize(
    ("shift", "words"),
    [
        (random_shift(languages=("en", "es")), "language 'fi' has no vectors"),
        (random_shift(layers=7), "6 blocks and width 32; this one has 5 blocks"),
        (random_shift(width=16), "width 16; this one has 5 blocks and width 32"),
    ],
)
def test_a_shift_that_does_not_fit_is_refused_before_anything_is_written(
    shift, words, llama, tmp_path
):
    with pytest.raises(ShiftlensError, match=words):
        collected(llama, tmp_path / "s", shift=shift)
    assert not (tmp_path / "s").exists()
