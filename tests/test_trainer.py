"""ShifCon training: its loss by hand, its arms, its checkpoints, and a run from end to end."""

import contextlib
import json
import math
import types
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
import yaml
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, TrainerCallback

from shiftlens.arms import ARMS
from shiftlens.config import TrainConfig
from shiftlens.corpora import Corpus
from shiftlens.errors import ShiftlensError
from shiftlens.loading import load_model
from shiftlens.pooling import Pooling
from shiftlens.sft import SftRecord
from shiftlens.shift import LanguageVectors
from shiftlens.store import ActivationStore
from shiftlens.tokens import tokenize
from shiftlens.train import load_trained, run_train, save_model
from shiftlens.training.arguments import training_arguments
from shiftlens.training.batches import TRANSLATION_MARK
from shiftlens.training.checkpoints import last_checkpoint
from shiftlens.training.contrastive import PairSampler
from shiftlens.training.objective import Objective, objective_of
from shiftlens.training.trainer import ShifConTrainer

LETTERS = "abcdefghijkl"
TEXTS = {
    "en": [f"the {n} cats of {LETTERS[n]}" + " sat" * (n % 3) for n in range(12)],
    "es": [f"los {n} gatos de {LETTERS[n]}" + "." * (n % 4) for n in range(12)],
    "fi": [f"{n} kissaa {LETTERS[n]}" for n in range(12)],
}
CORPUS = Corpus.from_texts(TEXTS)
RECORDS = [
    SftRecord(f"{code}{n}", code, f"{word} {LETTERS[n]}" + "?" * (n % 3), f" {LETTERS[n + 1]}o")
    for code, word in (("en", "what is"), ("es", "que es"), ("fi", "mika on"))
    for n in range(4)
]
AREA = (1, 3)
TRAINED = [name for name, arm in ARMS.items() if arm.trained]


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny models gain nothing from more, and lose much where the cores are shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def a_model(**options):
    hf = tiny.tiny_model("llama", num_hidden_layers=4, **options)
    return load_model(hf, tiny.tiny_tokenizer())


def a_trainer(
    folder, arm="shifcon", model=None, records=RECORDS, pooling=None, callbacks=None, **settings
):
    """A trainer whose options go where they belong: objective, configuration or arguments."""
    names = set(TrainConfig.__dataclass_fields__)
    config = TrainConfig(
        **{
            "model": "",
            "sft": "",
            "parallel": "",
            "out": "",
            "arm": arm,
            "pairs": 4,
            "steps": 2,
            "batch_size": 4,
            "learning_rate": 1e-3,
            "save_every": 1000,
            "device": "cpu",
            **{name: value for name, value in settings.items() if name in names},
        }
    )
    others = {name: value for name, value in settings.items() if name not in names}
    arguments = training_arguments(config, folder, disable_tqdm=True, **others)
    model = model or a_model()
    objective = objective_of(config, AREA)
    return ShifConTrainer(model, records, CORPUS, objective, arguments, pooling, callbacks)


def weights(model):
    return {name: tensor.clone() for name, tensor in model.hf.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def trained(folder, arm="shifcon", **settings):
    trainer = a_trainer(folder, arm, **settings)
    trainer.train()
    return weights(trainer.language_model)


@contextlib.contextmanager
def refused(*words):
    with pytest.raises(ShiftlensError) as caught:
        yield
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


class At(TrainerCallback):
    """Does something at one event of one step."""

    def __init__(self, event, step, action):
        def react(args, state, control, **kwargs):
            if step is None or state.global_step == step:
                action(state)

        setattr(self, event, react)


# The loss


def row_states(model, ids, language, vectors):
    """Shifted layers 1..L and logits of one unpadded row, by hooks of this file."""
    seen = []

    def keep(_, __, state):
        layer = len(seen) + 1
        if vectors is not None and layer in AREA and language != "en":
            sign = 1 if layer == AREA[0] else -1
            state = state - sign * (vectors[language][layer] - vectors["en"][layer])
        seen.append(state[0])
        return state

    handles = [block.register_forward_hook(keep) for block in model.hf.model.layers]
    with torch.no_grad():
        logits = model.hf(torch.tensor([ids])).logits[0]
    for handle in handles:
        handle.remove()
    return seen, logits


def lm_by_hand(model, vectors, records=RECORDS):
    """Mean over all completion tokens, EOS included."""
    losses = []
    for record in records:
        prompt = model.tokenizer(record.prompt)["input_ids"]
        text = model.tokenizer(record.prompt + record.completion)["input_ids"]
        ids = [*text, model.tokenizer.eos_token_id]
        _, logits = row_states(model, ids, record.language, vectors)
        start = len(prompt)
        losses += cross_entropy(
            logits[start - 1 : -1], torch.tensor(ids[start:]), reduction="none"
        ).tolist()
    assert len(losses) == 4 * len(records)
    return np.mean(losses)


def mcl_by_hand(model, vectors, temperature):
    batch = next(PairSampler(tokenize(model, CORPUS, Pooling()), "en", 4, 0))
    rows = [
        row_states(model, ids, code, vectors)[0]
        for code, ids in zip(batch.languages, batch.ids, strict=True)
    ]
    losses = []
    for layer in range(*AREA):
        means = torch.stack([row[layer - 1][1:].mean(0) for row in rows])
        unit = means / means.norm(dim=1, keepdim=True)
        z = unit[:4] @ unit[4:].T / temperature
        diagonal = torch.arange(4)
        losses.append((cross_entropy(z, diagonal) + cross_entropy(z.T, diagonal)).item() / 2)
    return np.mean(losses)


def test_the_first_loss_is_the_weighted_sum_of_both_parts(tmp_path):
    model = a_model()
    vectors = LanguageVectors.from_model(model, CORPUS)
    lm, mcl = lm_by_hand(model, vectors), mcl_by_hand(model, vectors, 0.3)
    assert abs(lm - lm_by_hand(model, None)) > 1e-3
    assert abs(mcl - mcl_by_hand(model, None, 0.3)) > 1e-3
    trainer = a_trainer(
        tmp_path,
        model=model,
        batch_size=len(RECORDS),
        w_gen=0.7,
        w_con=1.9,
        temperature=0.3,
        steps=1,
        logging_steps=1,
    )
    trainer.train()
    [log] = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert abs(log["loss"] - (0.7 * lm + 1.9 * mcl)) < 2e-4
    assert abs(log["loss_lm"] - lm) < 1e-4
    assert abs(log["loss_pairs"] - mcl) < 1e-4


def test_the_loss_of_plain_fine_tuning_is_that_of_the_unshifted_completions(tmp_path):
    model = a_model()
    expected = lm_by_hand(model, None)
    trainer = a_trainer(tmp_path, "msft", model, batch_size=12, steps=1, logging_steps=1)
    trainer.train()
    [log] = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert abs(log["loss"] - expected) < 2e-4
    assert trainer.shift is None and "loss_pairs" not in log


@pytest.mark.parametrize("pooling", [Pooling(), Pooling(True, True)])
def test_parallel_text_is_marked_and_whole_whatever_is_pooled(tmp_path, pooling):
    trainer = a_trainer(tmp_path, "msft-parallel", pooling=pooling)
    seen = []
    trainer.language_model.hf.register_forward_pre_hook(
        lambda _, __, kwargs: seen.append(kwargs), with_kwargs=True
    )
    trainer.train()
    tokenizer = trainer.language_model.tokenizer
    expected = [
        tokenizer(TRANSLATION_MARK + english + other, add_special_tokens=False)["input_ids"]
        for code in ("es", "fi")
        for english, other in zip(TEXTS["en"], TEXTS[code], strict=True)
    ]
    for inputs in seen[1::2]:
        assert len(inputs["input_ids"]) == 4
        for ids, labels, mask in zip(
            inputs["input_ids"].tolist(), inputs["labels"], inputs["attention_mask"], strict=True
        ):
            n = int(mask.sum())
            assert ids[0] == tokenizer.bos_token_id and ids[n - 1] == tokenizer.eos_token_id
            assert labels.tolist() == ids[:n] + [-100] * (len(ids) - n)
            assert ids[1 : n - 1] in expected


def test_parallel_text_is_cut_to_the_position_table(tmp_path):
    model = a_model(max_position_embeddings=32)
    trainer = a_trainer(tmp_path, "msft-parallel", model)
    widths = []
    model.hf.register_forward_pre_hook(
        lambda _, __, kwargs: widths.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    trainer.train()
    assert max(widths) == 32


# The arms


def test_every_arm_trains_to_finite_weights_of_its_own(tmp_path):
    start = weights(a_model())
    ends = {name: trained(tmp_path / name, name) for name in TRAINED}
    assert len(ends) == 12
    for name, end in ends.items():
        assert all(torch.isfinite(tensor).all() for tensor in end.values()), name
        assert not same(end, start), name
    for name in TRAINED:
        for other in TRAINED:
            assert (name == other) == same(ends[name], ends[other]), (name, other)


def test_the_seed_decides_the_training(tmp_path):
    one = trained(tmp_path / "one", seed=1)
    assert same(one, trained(tmp_path / "again", seed=1))
    assert not same(one, trained(tmp_path / "other", seed=2))


def test_the_controls_shift_elsewhere(tmp_path):
    shifts = {
        name: a_trainer(tmp_path, name).estimate_shift()
        for name in ("shifcon", "random-vector", "third-language")
    }
    own, random, third = shifts.values()
    for layer in AREA:
        assert abs(random.delta("es", layer).norm() / own.delta("es", layer).norm() - 1) < 1e-4
        assert (random.delta("es", layer) - own.delta("es", layer)).abs().max() > 1e-2
    assert third.target == "es" and third.delta("es", 1) is None
    assert torch.equal(third.delta("fi", 1), own.vectors["es"][1] - own.vectors["fi"][1])
    assert a_trainer(tmp_path, "third-language", third="fi").estimate_shift().target == "fi"


# The vectors


def test_vectors_are_estimated_anew_every_k_steps_and_at_the_end(tmp_path):
    used, states = [], []
    model = a_model(attention_dropout=0.2)

    def remember(state):
        used.append(trainer.shift)
        states.append(weights(model))

    start = weights(model)
    callbacks = [At("on_step_end", None, remember)]
    trainer = a_trainer(
        tmp_path, model=model, callbacks=callbacks, steps=5, reestimate=2, vector_sentences=7
    )
    trainer.train()
    assert used[0] is used[1] is not used[2] is used[3] is not used[4] is not trainer.shift
    copy = a_model(attention_dropout=0.2)
    estimates = [(used[0], start), (used[2], states[1]), (used[4], states[3])]
    for shift, state in [*estimates, (trainer.shift, weights(model))]:
        copy.hf.load_state_dict(state)
        fresh = LanguageVectors.from_model(copy, CORPUS.head(7))
        assert shift.vectors.n == 7
        for code in TEXTS:
            assert torch.equal(shift.vectors[code], fresh[code])
    assert (used[0].vectors["es"] - trainer.shift.vectors["es"]).abs().max() > 1e-3


# Checkpoints


class Killed(Exception):
    pass


def kill(state):
    raise Killed


def train_and_kill(folder, arm, step=5, **settings):
    trainer = a_trainer(
        folder,
        arm,
        a_model(attention_dropout=0.1),
        steps=7,
        save_every=2,
        reestimate=3,
        callbacks=[At("on_step_begin", step, kill)],
        **settings,
    )
    with pytest.raises(Killed):
        trainer.train()


def train_on(folder, arm, **settings):
    torch.manual_seed(1234)
    trainer = a_trainer(
        folder,
        arm,
        a_model(seed=9, attention_dropout=0.1),
        steps=7,
        save_every=2,
        reestimate=3,
        **settings,
    )
    assert trainer.fit()
    return weights(trainer.language_model), trainer


@pytest.mark.parametrize(
    ("arm", "accumulation"),
    [("shifcon", 1), ("shifcon", 2), ("msft-parallel", 1), ("random-vector", 1), ("l2-shift", 1)],
)
def test_a_killed_training_ends_with_the_weights_of_an_undisturbed_one(tmp_path, arm, accumulation):
    settings = {"accumulation": accumulation}
    straight = trained(
        tmp_path / "straight",
        arm,
        model=a_model(attention_dropout=0.1),
        steps=7,
        save_every=2,
        reestimate=3,
        **settings,
    )
    train_and_kill(tmp_path / "killed", arm, **settings)
    assert last_checkpoint(tmp_path / "killed").name == "checkpoint-4"
    resumed, trainer = train_on(tmp_path / "killed", arm, **settings)
    assert trainer.state.global_step == 7
    assert same(resumed, straight)


CLOCK = ("train_runtime", "train_samples_per_second", "train_steps_per_second")


def logged(trainer):
    """The rows of the log but for the times in them."""
    rows = trainer.state.log_history
    return [{name: row[name] for name in row if name not in CLOCK} for row in rows]


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_killed_training_logs_the_losses_of_an_undisturbed_one(tmp_path, accumulation):
    """Rows at steps 3 and 6, checkpoints at 2, 4 and 6: a row begins before the kill at 5."""
    settings = {"accumulation": accumulation, "logging_steps": 3}
    model = a_model(attention_dropout=0.1)
    straight = a_trainer(
        tmp_path / "straight", model=model, steps=7, save_every=2, reestimate=3, **settings
    )
    straight.train()
    train_and_kill(tmp_path / "killed", "shifcon", **settings)
    _, resumed = train_on(tmp_path / "killed", "shifcon", **settings)
    assert [row["step"] for row in logged(straight)] == [3, 6, 7]
    assert logged(resumed) == logged(straight)


def test_the_log_of_a_training_killed_after_its_last_checkpoint_is_whole(tmp_path):
    _, first = train_on(tmp_path, "shifcon")
    again = a_trainer(tmp_path, steps=7, save_every=2, reestimate=3)
    assert again.fit() is False
    assert [row["step"] for row in logged(first)] == [7]
    assert logged(again) == logged(first)


def test_logged_losses_are_the_means_of_the_steps(tmp_path):
    trainer = a_trainer(tmp_path, "msft", steps=4, logging_steps=2, batch_size=3, accumulation=2)
    step, losses = trainer.compute_loss, []

    def noted(*args, **kwargs):
        losses.append(step(*args, **kwargs))
        return losses[-1]

    trainer.compute_loss = noted
    trainer.train()
    by_step = np.array([loss.item() for loss in losses]).reshape(4, 2).mean(axis=1)
    rows = logged(trainer)
    assert [row["loss"] for row in rows[:2]] == pytest.approx(by_step.reshape(2, 2).mean(axis=1))
    assert rows[2]["train_loss"] == pytest.approx(by_step.mean())


def test_a_checkpoint_without_sums_of_losses_logs_those_after_it(tmp_path):
    """Such is one of an earlier version."""
    train_and_kill(tmp_path, "shifcon", logging_steps=1)
    own = last_checkpoint(tmp_path) / "contrast.json"
    state = json.loads(own.read_text())
    for losses in ({"recent": "x"}, {**state["losses"], "more": 1}):
        own.write_text(json.dumps({**state, "losses": losses}))
        assert last_checkpoint(tmp_path).name == "checkpoint-2"
    del state["losses"]
    own.write_text(json.dumps(state))
    _, trainer = train_on(tmp_path, "shifcon", logging_steps=1)
    rows = logged(trainer)[4:]
    assert [row["step"] for row in rows] == [5, 6, 7, 7]
    assert rows[-1]["train_loss"] == pytest.approx(np.mean([row["loss"] for row in rows[:3]]))


def test_an_incomplete_checkpoint_is_passed_over(tmp_path):
    train_and_kill(tmp_path / "killed", "shifcon")
    newest = tmp_path / "killed" / "checkpoint-4"
    assert last_checkpoint(tmp_path / "killed") == newest
    (newest / "contrast.json").unlink()
    older = last_checkpoint(tmp_path / "killed")
    assert older.name == "checkpoint-2"
    assert json.loads((older / "contrast.json").read_text())["sampler_step"] == 2
    (tmp_path / "killed" / "checkpoint-10").mkdir()
    assert last_checkpoint(tmp_path / "killed") == older
    resumed, _ = train_on(tmp_path / "killed", "shifcon")
    whole = trained(
        tmp_path / "whole",
        model=a_model(attention_dropout=0.1),
        steps=7,
        save_every=2,
        reestimate=3,
    )
    assert same(resumed, whole)
    assert last_checkpoint(tmp_path / "nothing") is None


def test_a_finished_training_is_restored_and_not_trained_on(tmp_path):
    first, trainer = train_on(tmp_path, "shifcon")
    again = a_trainer(tmp_path, model=a_model(seed=5), steps=7, save_every=2, reestimate=3)
    again.compute_loss = kill
    assert again.fit() is False
    assert same(weights(again.language_model), first)
    assert again.state.global_step == 7
    assert torch.equal(again.shift.vectors["es"], trainer.shift.vectors["es"])


def test_a_checkpoint_is_a_model_with_its_shift(tmp_path):
    train_and_kill(tmp_path, "shifcon")
    model, shift = load_trained(last_checkpoint(tmp_path), device="cpu")
    assert shift.area == AREA and shift.vectors.n == 12
    assert not same(weights(model), weights(a_model()))
    assert model.tokenizer("abc")["input_ids"] == tiny.tiny_tokenizer()("abc")["input_ids"]


def all_finite(folder):
    hf = AutoModelForCausalLM.from_pretrained(folder)
    return all(torch.isfinite(tensor).all() for tensor in hf.state_dict().values())


def test_a_nan_loss_stops_at_its_step_and_keeps_the_last_checkpoint(tmp_path):
    model = a_model()

    def poison(state):
        model.hf.model.norm.weight.data[0] = math.nan

    trainer = a_trainer(
        tmp_path,
        model=model,
        steps=6,
        save_every=2,
        callbacks=[At("on_step_begin", 3, poison)],
    )
    with refused("step 3", "nan", "last checkpoint is kept"):
        trainer.train()
    assert last_checkpoint(tmp_path).name == "checkpoint-2"
    assert all_finite(tmp_path / "checkpoint-2")
    assert not any(module._forward_hooks for module in model.hf.modules())


def test_weights_that_broke_behind_a_finite_loss_are_not_saved(tmp_path):
    model = a_model()

    def poison(state):
        model.hf.model.norm.weight.grad[0] = math.inf

    trainer = a_trainer(
        tmp_path,
        model=model,
        steps=6,
        save_every=2,
        callbacks=[At("on_pre_optimizer_step", 3, poison)],
    )
    with refused("step 4", "norm.weight", "last checkpoint is kept"):
        trainer.train()
    assert last_checkpoint(tmp_path).name == "checkpoint-2"
    assert all_finite(tmp_path / "checkpoint-2")


def test_two_batches_of_four_are_one_batch_of_eight(tmp_path):
    options = {"steps": 3, "learning_rate": 0.05, "optim": "sgd", "max_grad_norm": 0.0}
    eight = trained(tmp_path / "8", "msft", batch_size=8, records=RECORDS[:8], **options)
    two = trained(
        tmp_path / "2x4", "msft", batch_size=4, accumulation=2, records=RECORDS[:8], **options
    )
    four = trained(tmp_path / "4", "msft", batch_size=4, records=RECORDS[:8], **options)
    assert max((eight[name] - two[name]).abs().max() for name in eight) <= 1e-5
    assert max((eight[name] - four[name]).abs().max() for name in eight) > 1e-3


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
        build(records=english, parallel=two, arm=ARMS["third-language"]).train()
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
