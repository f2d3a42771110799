"""Models spread over devices, or kept in memory and on disk until they run."""

import numpy as np
import pytest
import tiny
import torch
from accelerate import cpu_offload, disk_offload
from transformers import AutoModelForCausalLM

from shiftlens.arms import ARMS
from shiftlens.asked import check_training
from shiftlens.collect import collect_states
from shiftlens.config import TrainConfig
from shiftlens.corpora import Corpus
from shiftlens.errors import ShiftlensError
from shiftlens.language_vectors import LanguageVectors
from shiftlens.loading import load_model
from shiftlens.sft import SftRecord
from shiftlens.shift import Shift
from shiftlens.training.arguments import training_arguments
from shiftlens.training.objective import Objective
from shiftlens.training.trainer import ShifConTrainer

CORPUS = Corpus.from_texts(
    {
        "en": [f"the {n} cats sat" + "!" * n for n in range(9)],
        "es": [f"los {n} gatos" + "." * (n % 4) for n in range(9)],
    }
)


def in_memory(folder, architecture):
    hf = tiny.tiny_model(architecture)
    cpu_offload(hf, "cpu")
    return hf


def on_disk(folder, architecture):
    hf = tiny.tiny_model(architecture)
    disk_offload(hf, str(folder / "offloaded"), "cpu")
    return hf


def mapped(folder, architecture):
    """The second block on disk, the rest in memory."""
    plain = tiny.tiny_model(architecture)
    plain.save_pretrained(folder / "model")
    [blocks] = [
        name for name, part in plain.named_modules() if isinstance(part, torch.nn.ModuleList)
    ]
    names = {name.rpartition(".")[0] for name, _ in plain.named_parameters()} | {"lm_head"}
    places = {name: "disk" if name.startswith(f"{blocks}.1.") else "cpu" for name in names}
    return AutoModelForCausalLM.from_pretrained(
        folder / "model", device_map=places, offload_folder=folder / "offloaded"
    )


@pytest.mark.parametrize("architecture", ["llama", "bloom", "gpt_neox"])
@pytest.mark.parametrize("loaded", [in_memory, on_disk, mapped])
def test_states_of_an_offloaded_model_are_those_of_the_plain_one(tmp_path, architecture, loaded):
    tokenizer = tiny.tiny_tokenizer()
    plain = load_model(tiny.tiny_model(architecture), tokenizer)
    model = load_model(loaded(tmp_path, architecture), tokenizer)
    assert any(weight.is_meta for weight in model.hf.parameters())
    assert model.sha256 == plain.sha256
    vectors = LanguageVectors.from_model(model, CORPUS)
    for language, expected in LanguageVectors.from_model(plain, CORPUS).vectors.items():
        assert torch.equal(vectors[language], expected)
    options = {"shift": Shift(vectors, (1, 2)), "progress": False}
    one = collect_states(plain, CORPUS, tmp_path / "plain", **options)
    two = collect_states(model, CORPUS, tmp_path / "offloaded states", **options)
    assert one.manifest == two.manifest
    for layer in one.layers:
        assert np.array_equal(one.states("es", layer), two.states("es", layer))


def on_two_devices(folder, architecture):
    """As a map over two of them leaves it, its weights in memory."""
    hf = tiny.tiny_model(architecture)
    hf.hf_device_map = {"model.layers.0": 0, "model.layers.1": 1}
    return hf


def trainer_of(hf, folder):
    """A trainer of a model in memory."""
    config = TrainConfig("", "", "", "", device="cpu", steps=1)
    return ShifConTrainer(
        load_model(hf, tiny.tiny_tokenizer()),
        [SftRecord("1", "es", "los gatos", " si")],
        CORPUS,
        Objective(ARMS["msft"], (1, 2)),
        training_arguments(config, folder),
    )


@pytest.mark.parametrize("loaded", [in_memory, on_disk, mapped, on_two_devices])
def test_a_model_in_several_places_is_not_trained(tmp_path, loaded):
    hf = loaded(tmp_path, "llama")
    with pytest.raises(ShiftlensError, match="load it on one device to train it"):
        trainer_of(hf, tmp_path / "run")


def test_a_model_mapped_to_one_place_is_trained(tmp_path):
    hf = tiny.tiny_model("llama")
    hf.hf_device_map = {"": "cpu"}
    assert trainer_of(hf, tmp_path / "run").fit()


def test_a_map_is_for_reading(tmp_path):
    spread = load_model("demo", device="map")
    assert spread.sha256 == load_model("demo", device="cpu").sha256
    with pytest.raises(ShiftlensError, match="device map is for reading"):
        check_training(TrainConfig("demo", "demo:train", "demo", str(tmp_path), device="map"))
