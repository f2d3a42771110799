"""What comes out of a training, what is refused, and a run from end to end."""

import json
import math
import types
from dataclasses import replace
from hashlib import sha256

import pandas as pd
import pytest
import tiny
import torch
import yaml
from refusals import refused
from trainers import (
    AREA,
    CORPUS,
    RECORDS,
    TEXTS,
    Killed,
    a_model,
    a_trainer,
    kill,
    same,
    weights,
)
from transformers import AutoModelForCausalLM

from shiftlens.arms import ARMS
from shiftlens.config import TrainConfig
from shiftlens.corpora import Corpus
from shiftlens.errors import ShiftlensError
from shiftlens.language_vectors import LanguageVectors
from shiftlens.loading import load_model
from shiftlens.sft import SftRecord
from shiftlens.store import ActivationStore
from shiftlens.train import run_train
from shiftlens.trained import load_trained, save_model
from shiftlens.training.objective import Objective
from shiftlens.training.trainer import ShifConTrainer

pytestmark = pytest.mark.usefixtures("one_thread")


# What comes out, and what is refused


def test_a_saved_model_gives_the_same_logits_with_and_without_its_shift(tmp_path):
    trainer = a_trainer(tmp_path / "checkpoints")
    trainer.train()
    model = trainer.language_model
    model.hf.eval()
    save_model(model, trainer.shift, tmp_path / "model")
    inputs = model.pad([model.tokenizer(text)["input_ids"] for text in ("ab", "abcd", "x")])
    languages = ("es", "en", "fi")

    def logits(hf):
        with torch.no_grad():
            return hf(**inputs).logits

    plain = logits(model.hf)
    with trainer.shift.applied(model, languages):
        shifted = logits(model.hf)
    assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(tmp_path / "model")), plain)
    again, shift = load_trained(tmp_path / "model", device="cpu")
    assert torch.equal(logits(again.hf), plain)
    with shift.applied(again, languages):
        assert torch.equal(logits(again.hf), shifted)
    assert (shifted - plain)[[0, 2]].abs().amax((1, 2)).min() > 1e-3
    save_model(model, None, tmp_path / "model")
    assert load_trained(tmp_path / "model", device="cpu")[1] is None


def test_a_record_in_a_language_without_parallel_text_is_refused(tmp_path):
    records = [*RECORDS, SftRecord("de1", "de", "was ist", " a")]
    with refused("'de'", "no parallel text", "en, es, fi"):
        a_trainer(tmp_path, records=records)
    with refused("'de'"):
        a_trainer(tmp_path, dominant="de")


def test_what_cannot_be_trained_is_refused(tmp_path):
    arguments = a_trainer(tmp_path).args

    def build(records=RECORDS, parallel=CORPUS, **changes):
        settings = {"arm": ARMS["shifcon"], "area": AREA, "pairs": 4, **changes}
        return ShifConTrainer(a_model(), records, parallel, Objective(**settings), arguments)

    assert build().shift is None
    for area in ((0, 2), (1, 4), (2, 2)):
        with refused(f"{area[0]}-{area[1]}", "1..3"):
            build(area=area)
    with refused("13 pairs", "12"):
        build(pairs=13)
    with refused("no instruction records"):
        build(records=[])
    with refused("'cosine'", "infonce"):
        build(arm=replace(ARMS["shifcon"], contrast="cosine"))
    english = [record for record in RECORDS if record.language == "en"]
    with refused("at least one more"):
        build(records=english, parallel=Corpus.from_texts({"en": TEXTS["en"]}))
    two = Corpus.from_texts({code: TEXTS[code] for code in ("en", "es")})
    with refused("three languages"):
        build(records=english, parallel=two, arm=ARMS["third-language"])
    with refused("'shifcom'", "shifcon"):
        a_trainer(tmp_path, "shifcom")


def test_no_tracker_is_started(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a tracker was started")

    for name in ("wandb", "mlflow", "comet_ml", "trackio"):
        tracker = types.ModuleType(name)
        tracker.__dict__.update(init=refuse, start_run=refuse, Experiment=refuse, start=refuse)
        monkeypatch.setitem(__import__("sys").modules, name, tracker)
    monkeypatch.chdir(tmp_path)
    trainer = a_trainer(tmp_path / "out", logging_steps=1, save_every=1)
    trainer.train()
    assert trainer.args.report_to == []
    modules = {type(callback).__module__ for callback in trainer.callback_handler.callbacks}
    assert not any("integration" in module for module in modules)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"checkpoint-1", "checkpoint-2"}


# From end to end


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A model, instruction data and parallel text on disk."""
    folder = tmp_path_factory.mktemp("files")
    save_model(a_model(), None, folder / "base")
    (folder / "parallel").mkdir()
    for code, texts in TEXTS.items():
        (folder / "parallel" / f"{code}.txt").write_text("\n".join(texts) + "\n")
    for name, records in (("sft", RECORDS), ("test", RECORDS[::4])):
        lines = [
            json.dumps({k: getattr(r, k) for k in ("id", "language", "prompt", "completion")})
            for r in records
        ]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def config_of(files, out, **changes):
    settings = {
        "model": str(files / "base"),
        "sft": str(files / "sft.jsonl"),
        "parallel": str(files / "parallel"),
        "test": str(files / "test.jsonl"),
        "out": str(out),
        "area": "1-2",
        "steps": 3,
        "batch_size": 4,
        "pairs": 4,
        "learning_rate": 1e-3,
        "save_every": 2,
        "device": "cpu",
        **changes,
    }
    return TrainConfig(**settings)


FIGURES = ("geometry", "layer_distance_before_after")


def run(config):
    lines = []
    return run_train(config, lines.append), "\n".join(lines)


def contents(folder):
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


def test_a_run_leaves_what_it_promises_and_is_not_trained_twice(files, tmp_path, monkeypatch):
    config = config_of(files, tmp_path / "run")
    result, said = run(config)
    out = tmp_path / "run"
    assert not result.model.hf.training
    assert {path.name for path in out.iterdir()} == {
        *("model", "before", "after", "shifted", "checkpoints"),
        *("results.csv", "area.json", "config.yaml", "log.csv", "inputs.json"),
        "sentences.parquet",
        "run.lock",
        *(f"{name}.{kind}" for name in FIGURES for kind in ("png", "svg", "html")),
    }
    assert yaml.safe_load((out / "config.yaml").read_text())["learning_rate"] == 1e-3
    assert json.loads((out / "area.json").read_text())["trained_area"] == [1, 2]
    log = pd.read_csv(out / "log.csv")
    assert log["step"].max() == 3
    results = pd.read_csv(out / "results.csv")
    assert results["when"].tolist() == ["before"] * 3 + ["after"] * 3
    assert results["language"].tolist() == ["en", "es", "fi"] * 2
    before, after = (results[results["when"] == when]["perplexity"] for when in ("before", "after"))
    assert (before.to_numpy() > after.to_numpy()).all()
    assert "area 1-2" in said and str(out / "model") in said

    model, shift = load_trained(out / "model", device="cpu")
    base = load_model(files / "base", device="cpu")
    assert same(weights(model), weights(result.model)) and not same(weights(model), weights(base))
    assert model.hf.config.use_cache == base.hf.config.use_cache
    store = ActivationStore.open(out / "before" / "activations")
    assert store.manifest["model"]["sha256"] == base.sha256
    assert shift.area == (1, 2)
    fresh = LanguageVectors.from_model(model, CORPUS)
    assert all(torch.equal(shift.vectors[code], fresh[code]) for code in TEXTS)

    whole = contents(out)
    monkeypatch.setattr(ShifConTrainer, "compute_loss", kill)
    again, _ = run(config)
    assert contents(out) == whole
    assert same(weights(again.model), weights(model))


def test_the_sweeps_are_of_the_unshifted_model_before_and_after(files, tmp_path):
    result, _ = run(config_of(files, tmp_path / "run"))
    means = {}
    for when, model in (("before", load_model(files / "base", device="cpu")), ("after", None)):
        fresh = LanguageVectors.from_model(model or result.model, CORPUS)
        store = ActivationStore.open(tmp_path / "run" / when / "activations")
        means[when] = LanguageVectors.from_store(store)
        for code in TEXTS:
            assert (means[when][code] - fresh[code]).abs().max() < 1e-5
        table = pd.read_csv(tmp_path / "run" / when / "sweep.csv")
        assert set(table["language"]) == set(TEXTS) and table["layer"].max() == 4
    assert (means["before"]["es"] - means["after"]["es"]).abs().max() > 1e-3
    assert not result.before.table.equals(result.after.table)


def test_a_killed_run_goes_on_to_the_same_files(files, tmp_path, monkeypatch):
    whole, _ = run(config_of(files, tmp_path / "whole"))
    config = config_of(files, tmp_path / "killed")
    loss = ShifConTrainer.compute_loss
    calls = []

    def fail_at_third(self, *args, **kwargs):
        calls.append(self.state.global_step)
        if len(calls) == 3:
            raise Killed
        return loss(self, *args, **kwargs)

    monkeypatch.setattr(ShifConTrainer, "compute_loss", fail_at_third)
    with pytest.raises(Killed):
        run(config)
    result, _ = run(config)
    assert calls == [0, 1, 2, 2]
    assert same(weights(result.model), weights(whole.model))
    files_of = {name: contents(tmp_path / name) for name in ("whole", "killed")}
    for name in ("model/model.safetensors", "model/shift.safetensors", "results.csv"):
        assert files_of["killed"][name] == files_of["whole"][name], name


def test_a_run_folder_is_not_continued_with_other_settings(files, tmp_path):
    config = config_of(files, tmp_path / "run", test=None)
    first, _ = run(config)
    assert first.results is None
    for name, value in (("arm", "msft"), ("learning_rate", 1e-4), ("steps", 5), ("area", "auto")):
        with refused(name, repr(value), "another folder"):
            run(replace(config, **{name: value}))
    again, _ = run(replace(config, test=str(files / "test.jsonl")))
    assert same(weights(again.model), weights(first.model)) and again.results is not None


@pytest.mark.parametrize("arm", ["base", "base-shift", "msft"])
def test_arms_without_training_or_shift_run_like_the_others(files, tmp_path, arm):
    result, _ = run(config_of(files, tmp_path / "run", arm=arm, area="auto"))
    base = load_model(files / "base", device="cpu")
    assert same(weights(result.model), weights(base)) == (arm != "msft")
    _, shift = load_trained(tmp_path / "run" / "model", device="cpu")
    assert (shift is not None) == (arm == "base-shift")
    perplexity = result.results.set_index(["when", "language"])["perplexity"]
    changed = [
        code
        for code in TEXTS
        if not math.isclose(perplexity["before", code], perplexity["after", code], rel_tol=1e-6)
    ]
    assert changed == {"base": [], "base-shift": ["es", "fi"], "msft": ["en", "es", "fi"]}[arm]
    area = result.before.area
    trained_area = json.loads((tmp_path / "run" / "area.json").read_text())["trained_area"]
    assert trained_area == [area.start, area.stop]


def test_bad_settings_of_a_run_are_named(files, tmp_path):
    for changes, words in (
        ({"arm": "shifcom"}, ["'shifcom'"]),
        ({"area": "2"}, ["'2'", "auto"]),
        ({"area": "1-4"}, ["1-4", "1..3"]),
        ({"pairs": 40}, ["40 pairs"]),
        ({"dominant": "de"}, ["de"]),
    ):
        with refused(*words):
            run(config_of(files, tmp_path / "run", **changes))
    assert not (tmp_path / "run" / "model").exists()


def test_an_unknown_arm_is_refused_before_anything_is_read_or_written(tmp_path):
    config = TrainConfig(model="nope", sft="nope", parallel="nope", out=str(tmp_path / "run"))
    config.arm = "shifcom"
    with pytest.raises(ShiftlensError, match="unknown arm 'shifcom'; choose from base"):
        run_train(config)
    assert not (tmp_path / "run").exists()


# What is refused, and what a number type means


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"reestimate": 0}, ["reestimate is 0", "at least 1"]),
        ({"batch_size": 0}, ["batch_size is 0"]),
        ({"learning_rate": -1.0}, ["learning_rate is -1.0"]),
        ({"learning_rate": float("nan")}, ["learning_rate is nan"]),
        ({"steps": -5}, ["steps is -5"]),
        ({"warmup": 1.5}, ["warmup is 1.5"]),
        ({"third": "en"}, ["third is en"]),
        ({"dtype": "float16"}, ["float16", "bfloat16"]),
    ],
)
def test_settings_out_of_range_are_named_before_anything_is_written(
    files, tmp_path, changes, words
):
    with refused(*words):
        run(config_of(files, tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists()


def test_a_folder_of_other_data_or_of_another_arm_is_refused(files, tmp_path):
    records = tmp_path / "sft.jsonl"
    records.write_text((files / "sft.jsonl").read_text())
    run(config_of(files, tmp_path / "run", sft=str(records), arm="base"))
    with refused("arm 'base'", "another folder"):
        run(config_of(files, tmp_path / "run", sft=str(records)))
    records.write_text("\n".join(records.read_text().splitlines()[1:]) + "\n")
    with refused("another sft", "another folder"):
        run(config_of(files, tmp_path / "run", sft=str(records), arm="base"))


def test_bfloat16_is_autocast_so_that_small_steps_are_not_rounded_away(tmp_path):
    trainer = a_trainer(tmp_path, dtype="bfloat16", learning_rate=1e-6, steps=1, warmup=0.0)
    before = weights(trainer.language_model)
    trainer.train()
    after = weights(trainer.language_model)
    assert {tensor.dtype for tensor in after.values()} == {torch.float32}
    moved = [(after[name] != before[name]).double().mean().item() for name in after]
    assert min(share for name, share in zip(after, moved, strict=True) if "proj" in name) > 0.9
    exact = a_trainer(tmp_path, learning_rate=1e-6, steps=1, warmup=0.0)
    exact.train()
    assert not same(after, weights(exact.language_model)), "autocast must have an effect"


def test_an_encoder_is_refused(tmp_path):
    encoder = load_model(tiny.tiny_model("bert", num_hidden_layers=4), tiny.tiny_tokenizer())
    with refused("no causal language model"):
        a_trainer(tmp_path, model=encoder)


def test_an_arm_without_pairs_needs_no_batch_of_them(tmp_path):
    assert a_trainer(tmp_path, "msft", pairs=40).sampler is None
    with refused("40 pairs"):
        a_trainer(tmp_path, pairs=40)


def test_vectors_are_float32_whatever_autocast_a_wrapped_forward_turns_on(tmp_path):
    trainer = a_trainer(tmp_path, "shifcon")
    plain = trainer._vectors(CORPUS)
    with torch.autocast("cpu", torch.bfloat16):
        inside = trainer._vectors(CORPUS)
        rounded = LanguageVectors.from_model(trainer.language_model, CORPUS, trainer.pooling)
    for code in CORPUS.languages:
        assert torch.equal(inside[code], plain[code])
    assert any(not torch.equal(rounded[code], plain[code]) for code in CORPUS.languages)
