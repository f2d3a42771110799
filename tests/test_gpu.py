"""On a GPU: the numbers of the CPU, the bytes of the run before, and one line where memory ends."""

import json

import launched
import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from safetensors.torch import load_file
from test_offload import CORPUS
from test_ranks import files
from transformers import AutoModelForCausalLM

from shiftlens.answers import completion_log_probs
from shiftlens.cli import main
from shiftlens.collect import collect_states
from shiftlens.corpora import load_corpus
from shiftlens.errors import ShiftlensError
from shiftlens.language_vectors import LanguageVectors
from shiftlens.lens.text import text_lens
from shiftlens.loading import load_model
from shiftlens.neurons.counts import activation_probabilities
from shiftlens.patching import patch
from shiftlens.sft import SftRecord
from shiftlens.shift import Shift
from shiftlens.text_loss import text_losses
from shiftlens.token_moments import collect_token_moments
from shiftlens.training.contrastive import contrastive_loss
from shiftlens.training.sampling import PairBatch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"),
]
GPU = "cuda"
PLACES = {"cpu": "cpu", "gpu": GPU}
FEW = ["--model", "demo", "--corpus", "demo", "--languages", "en,es,fi", "--sentences", "60"]
TRAIN = "--model demo --sft demo:train --parallel demo --area 2-5 --steps 30 --learning-rate 1e-3"
TRAIN += " --batch-size 10 --pairs 9 --reestimate 5 --save-every 8"

RECORDS = [SftRecord(str(n), "es", CORPUS.texts["es"][n], " si") for n in range(4)]
IDS = [[0, 5, 6 + n, 7] for n in range(6)]
PAIRS = PairBatch(("en",) * 3 + ("es",) * 3, IDS, [[False, True, True, True]] * 6)


def collected(folder, model, corpus, **options):
    store = collect_states(model, corpus, folder, progress=False, **options)
    return np.stack(
        [store.states(code, layer) for code in store.languages for layer in store.layers]
    )


def on(device, dtype="float32"):
    model = load_model("demo", device=device, dtype=dtype)
    assert model.device.type == device
    return model


def test_an_accelerator_is_taken_where_there_is_one():
    assert load_model("demo").device.type == "cuda"


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-5), ("bfloat16", 4e-2)])
def test_states_are_those_of_the_cpu_also_through_a_shift(tmp_path, dtype, tolerance):
    corpus = load_corpus("demo", ["en", "es", "fi"]).head(60)
    vectors = LanguageVectors.from_model(on("cpu"), corpus)
    for name, shift in (("plain", None), ("shifted", Shift(vectors, (2, 5)))):
        one, two = (
            collected(tmp_path / f"{name} {place}", on(PLACES[place], kind), corpus, shift=shift)
            for place, kind in (("cpu", "float32"), ("gpu", dtype))
        )
        assert np.linalg.norm(two - one) < tolerance * np.linalg.norm(one)


def test_vectors_and_moments_are_those_of_the_cpu(tmp_path):
    corpus = load_corpus("demo", ["en", "fi"]).head(40)
    halves = (range(0, 40, 2), range(1, 40, 2))
    made = {}
    for place, device in PLACES.items():
        model = on(device)
        vectors = LanguageVectors.from_model(model, corpus).vectors["fi"]
        moments = collect_token_moments(
            model, corpus, tmp_path / place, halves=halves, progress=False
        )
        made[place] = vectors, moments.moments("fi", 3, 0).scatter
    torch.testing.assert_close(made["gpu"][0], made["cpu"][0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(made["gpu"][1], made["cpu"][1], rtol=1e-3, atol=1e-5)


def test_a_store_begun_again_has_the_same_bytes(tmp_path):
    model, corpus = on(GPU), load_corpus("demo").head(200)
    for name in ("one", "two"):
        collect_states(model, corpus, tmp_path / name, shard_rows=50, progress=False)
    for number, shard in enumerate(sorted((tmp_path / "two").glob("*.safetensors"))):
        if number % 3 == 0:
            shard.unlink()
    collect_states(model, corpus, tmp_path / "two", shard_rows=50, progress=False)
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_what_is_not_finite_is_named(tmp_path):
    model = on(GPU)
    model.blocks[2].mlp.down_proj.weight.data[:] = float("nan")
    with pytest.raises(ShiftlensError, match=r"language en, sentence .*, layer 3"):
        collect_states(model, load_corpus("demo", ["en"]).head(20), tmp_path, progress=False)


def test_a_batch_that_does_not_fit_is_said_in_one_line(tmp_path):
    model, corpus = on(GPU), load_corpus("demo").head(200)
    torch.cuda.empty_cache()
    whole = torch.cuda.get_device_properties(0).total_memory
    held = torch.cuda.memory_reserved()
    torch.cuda.set_per_process_memory_fraction((held + 4 * 2**20) / whole)
    try:
        with pytest.raises(
            ShiftlensError, match=r"out of memory in a batch of .*lower batch_tokens"
        ):
            collect_states(model, corpus, tmp_path, batch_tokens=60_000, progress=False)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_every_architecture_gives_the_numbers_of_the_cpu(tmp_path, architecture):
    causal = architecture in tiny.DECODERS
    found = {place: [] for place in PLACES}
    for place, numbers_there in found.items():
        hf = tiny.tiny_model(architecture).to(PLACES[place])
        model = load_model(hf, tiny.tiny_tokenizer(eos=not causal))
        shift = Shift(LanguageVectors.from_model(model, CORPUS), (1, 2))
        numbers_there += [shift.vectors.vectors["es"].numpy()]
        numbers_there += [collected(tmp_path / place, model, CORPUS, shift=shift)]
        numbers_there += [activation_probabilities(model, CORPUS, progress=False)]
        loss = contrastive_loss(model, PAIRS, shift.area, shift=shift.action(PAIRS.languages))
        loss.backward()
        gradient = model.hf.get_input_embeddings().weight.grad.cpu().numpy()
        numbers_there += [np.array([loss.item()]), gradient]
        if causal:
            ids = model.tokenizer(list(CORPUS.texts["es"]))["input_ids"]
            with shift.applied(model, "es"):
                numbers_there += [text_losses(model, ids)]
            numbers_there += completion_log_probs(model, RECORDS, [[" si", "no"]] * 4, shift)
    for one, two in zip(*found.values(), strict=True):
        one, two = np.asarray(one), np.asarray(two)
        assert np.linalg.norm(two - one) < 1e-3 * np.linalg.norm(one)


@pytest.mark.parametrize("architecture", ["llama", "bloom", "gpt_neox"])
def test_a_model_over_gpu_memory_and_disk_gives_the_states_of_one_place(tmp_path, architecture):
    tokenizer = tiny.tiny_tokenizer()
    plain = load_model(tiny.tiny_model(architecture).cpu(), tokenizer)
    plain.hf.save_pretrained(tmp_path / "model")
    [blocks] = [
        name for name, part in plain.hf.named_modules() if isinstance(part, torch.nn.ModuleList)
    ]
    names = {name.rpartition(".")[0] for name, _ in plain.hf.named_parameters()} | {"lm_head"}
    of_block = {f"{blocks}.0.": 0, f"{blocks}.1.": "disk", f"{blocks}.2.": "cpu"}
    places = {
        name: next((place for start, place in of_block.items() if name.startswith(start)), 0)
        for name in names
    }
    spread = AutoModelForCausalLM.from_pretrained(
        tmp_path / "model", device_map=places, offload_folder=tmp_path / "offloaded"
    )
    model = load_model(spread, tokenizer)
    assert model.sha256 == plain.sha256
    shift = Shift(LanguageVectors.from_model(plain, CORPUS), (1, 2))
    one, two = (
        collected(tmp_path / name, own, CORPUS, shift=shift)
        for name, own in (("plain", plain), ("spread", model))
    )
    np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-4)


def test_a_sweep_finds_the_area_of_the_cpu(tmp_path):
    for place, device in PLACES.items():
        assert main(["sweep", *FEW, "--device", device, "--out", str(tmp_path / place)]) == 0
    one, two = (pd.read_csv(tmp_path / name / "sweep.csv") for name in PLACES)
    assert len(one) > 20
    pd.testing.assert_frame_equal(one, two, rtol=1e-3, atol=1e-4)
    areas = [json.loads((tmp_path / name / "area.json").read_text()) for name in PLACES]
    assert areas[0]["area"] == areas[1]["area"]


def numbers(table):
    return table.select_dtypes("number").to_numpy(float)


def test_lens_and_patches_are_those_of_the_cpu():
    clean, corrupt = load_corpus("demo", ["es"]).texts["es"][:2]
    found = {place: [] for place in PLACES}
    for place, tables in found.items():
        model = on(PLACES[place])
        tables.append(numbers(text_lens(model, clean, top=1).table))
        for component in ("resid", "attn_out", "mlp_out", "head"):
            options = {"component": component, "align": "positions", "metric": "kl"}
            tables.append(numbers(patch(model, clean, corrupt, **options).table))
    for one, two in zip(*found.values(), strict=True):
        assert one.size > 20
        np.testing.assert_allclose(two, one, rtol=2e-3, atol=1e-3)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The same training on the CPU and on the GPU."""
    folder = tmp_path_factory.mktemp("trained")
    for place, device in PLACES.items():
        words = [*TRAIN.split(), "--device", device, "--out", str(folder / place)]
        assert main(["train", *words]) == 0
    return folder


def test_a_training_has_the_loss_curve_of_the_cpu(trained):
    one, two = (pd.read_csv(trained / name / "log.csv") for name in PLACES)
    assert np.ptp(one["loss"].dropna()) > 1e-2
    for column in ("loss", "loss_lm", "loss_pairs"):
        np.testing.assert_allclose(two[column], one[column], rtol=1e-3, atol=1e-4)


def test_a_training_given_again_has_the_same_weights(trained, tmp_path):
    words = ["train", *TRAIN.split(), "--device", GPU, "--out", str(tmp_path / "run")]
    assert main(words) == 0
    one, two = (
        load_file(p / "model/model.safetensors") for p in (trained / "gpu", tmp_path / "run")
    )
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=0, atol=1e-4, msg=name)


def test_two_processes_on_one_gpu_train_what_one_trains(trained, tmp_path):
    words = ("train", *TRAIN.split(), "--device", GPU, "--out", tmp_path / "two")
    ends = launched.finish(launched.start(2, launched.TESTS / "gpu_processes.py", *words), 200)
    assert [code for code, *_ in ends] == [0, 0], ends
    one, two = (pd.read_csv(p / "log.csv") for p in (trained / "gpu", tmp_path / "two"))
    for column in ("loss", "loss_lm", "loss_pairs"):
        np.testing.assert_allclose(two[column], one[column], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "command",
    [
        "lens --model demo --corpus demo --sentences 20 --positions last --out OUT",
        "neurons --model demo --sentences 20 --draws 2 --out OUT",
        "export TRAINED --language fi --bake --out OUT",
        "eval TRAINED --records demo:test --language fi --out OUT.csv",
        "steer --model demo --records demo:test --source fi --target en --layer 3 --strengths 0,1 "
        "--out OUT",
        "plan --model demo --languages 3 --sentences 50 --measure",
    ],
)
def test_a_command_runs_there(trained, tmp_path, command):
    words = command.replace("TRAINED", str(trained / "gpu")).replace("OUT", str(tmp_path / "run"))
    assert main(words.split()) == 0
