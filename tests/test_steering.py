"""Steering against hooks written here, TransformerLens, numpy and scikit-learn."""

import numpy as np
import pytest
import tiny
import torch
from sklearn.linear_model import Ridge
from torch import nn

from shiftlens.bridge import bridged
from shiftlens.cli import main
from shiftlens.errors import ShiftlensError
from shiftlens.geometry.language_subspace import LanguageSubspace
from shiftlens.language_vectors import LanguageVectors
from shiftlens.loading import load_model
from shiftlens.pooling import Pooling
from shiftlens.residual import hook_names
from shiftlens.sft import SftRecord
from shiftlens.shift import Shift
from shiftlens.steering import Steering
from shiftlens.steering_curve import ratio_interval, steering_curve
from shiftlens.steering_run import _summary

TEXTS = ("abc", "hello world", "a longer text, with letters", "xyz w")
RNG = np.random.default_rng(0)
DRAWN = {code: torch.from_numpy(RNG.normal(size=(4, 32))).float() for code in ("en", "es", "fi")}
VECTORS = LanguageVectors(DRAWN, 10, Pooling())
STATES = RNG.normal(size=(40, 32)) * np.linspace(0.1, 3, 32) + 1
MAPPED = STATES @ RNG.normal(size=(32, 32)) + RNG.normal(size=(40, 32))
KINDS = {
    "language": Steering.language(VECTORS, "es", 2),
    "difference": Steering.difference(VECTORS, "es", "en", 2),
    "onto": Steering.subspace(LanguageSubspace(5).fit(STATES), 2),
    "out": Steering.subspace(LanguageSubspace(5).fit(STATES), 2, onto=False),
    "lsar": Steering.lsar(VECTORS, 2),
    "incline": Steering.incline(STATES, MAPPED, 2),
}


def load(name="llama", **options):
    return load_model(tiny.tiny_model(name, **options), tiny.tiny_tokenizer())


def batch(model, texts=TEXTS, side="right"):
    return model.pad([model.tokenizer(text)["input_ids"] for text in texts], side)


def logits(model, inputs):
    with torch.no_grad():
        return model.hf(**inputs).logits


def block(model, layer):
    stacks = [m for m in model.hf.modules() if isinstance(m, nn.ModuleList) and len(m) == 3]
    return stacks[0][layer - 1]


@pytest.mark.parametrize("name", tiny.DECODERS)
def test_a_constant_at_one_layer_is_that_constant_added_by_a_hook(name):
    model = load(name)
    inputs = batch(model)
    constant = 1.5 * (VECTORS["en"][2] - VECTORS["es"][2])

    def hook(_, __, output):
        h = output[0] if isinstance(output, tuple) else output
        return (h + constant, *output[1:]) if isinstance(output, tuple) else h + constant

    handle = block(model, 2).register_forward_hook(hook)
    expected = logits(model, inputs)
    handle.remove()
    plain = logits(model, inputs)
    with KINDS["difference"].applied(model, 1.5):
        steered = logits(model, inputs)
    torch.testing.assert_close(steered, expected, rtol=1e-5, atol=1e-5)
    assert (steered - plain).abs().max() > 1e-3
    with KINDS["incline"].applied(model, 0):
        assert torch.equal(logits(model, inputs), plain)
    assert torch.equal(logits(model, inputs), plain)


def test_the_difference_there_and_back_is_the_shift():
    model = load()
    inputs = batch(model)
    there, back = (Steering.difference(VECTORS, *p) for p in (("es", "en", 1), ("en", "es", 2)))
    with there.applied(model), back.applied(model):
        steered = logits(model, inputs)
    with Shift(VECTORS, (1, 2)).applied(model, "es"):
        assert torch.equal(steered, logits(model, inputs))


@pytest.mark.parametrize("kind", KINDS)
def test_the_bridge_steers_as_the_plain_model_and_as_a_hook_of_transformer_lens(kind):
    model, steering = load(), KINDS[kind]
    inputs = batch(model, TEXTS[2:3])
    with steering.applied(model, 0.5):
        plain = logits(model, inputs)
    a = torch.zeros(32, 32) if steering.matrix is None else steering.matrix

    def hook(h, hook):
        return h + 0.5 * (torch.einsum("ij,bpj->bpi", a, h) + steering.offset)

    with bridged(model) as bridge, torch.no_grad():
        with steering.applied(bridge, 0.5):
            own = bridge(inputs["input_ids"])
        theirs = bridge.run_with_hooks(inputs["input_ids"], fwd_hooks=[(hook_names(3)[2], hook)])
    torch.testing.assert_close(own, plain, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(own, theirs, rtol=1e-4, atol=1e-4)


def test_offsets_and_projections_are_those_of_numpy():
    h = torch.tensor(RNG.normal(size=(6, 32)), dtype=torch.float32)
    means = np.stack([v[2].numpy().astype(float) for v in VECTORS.vectors.values()])
    basis = np.linalg.svd(means - means.mean(0))[2][:2]
    np.testing.assert_allclose(
        KINDS["lsar"].steered(h, 1), h.numpy() - h.numpy() @ basis.T @ basis, atol=1e-5
    )
    mu = STATES.mean(0)
    u = np.linalg.svd(STATES - mu)[2][:5]
    inside = (h.numpy() - mu) @ u.T @ u
    np.testing.assert_allclose(KINDS["onto"].steered(h, 1), mu + inside, atol=1e-5)
    np.testing.assert_allclose(KINDS["out"].steered(h, 1), h.numpy() - inside, atol=1e-5)
    np.testing.assert_allclose(KINDS["language"].offset, means[1] - means.mean(0), atol=1e-6)
    for kind in ("lsar", "onto", "out"):
        once = KINDS[kind].steered(h, 1)
        torch.testing.assert_close(KINDS[kind].steered(once, 1), once, atol=1e-5, rtol=0)


@pytest.mark.parametrize("ridge", [0.0, 3.0])
def test_inclines_map_is_that_of_scikit_learn(ridge):
    made = Steering.incline(STATES, MAPPED, 1, ridge)
    w = Ridge(alpha=ridge, fit_intercept=False, solver="svd").fit(STATES, MAPPED).coef_
    np.testing.assert_allclose(made.matrix, w, atol=1e-4)
    h = torch.tensor(STATES[:3], dtype=torch.float32)
    expected = STATES[:3] + 0.7 * STATES[:3] @ w.T
    np.testing.assert_allclose(made.steered(h, 0.7), expected, atol=1e-3)


@pytest.mark.parametrize("kind", ["difference", "incline"])
def test_cached_generation_is_uncached_and_a_batch_is_its_rows(kind):
    model = load()
    prompts = [model.tokenizer(text)["input_ids"] for text in TEXTS]
    options = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False}

    def generate(rows, **more):
        return model.hf.generate(**model.pad(rows, "left"), **options, **more)[:, -6:]

    with KINDS[kind].applied(model, 0.8):
        together = generate(prompts)
        assert torch.equal(together, generate(prompts, use_cache=False))
        assert torch.equal(together, torch.cat([generate([row]) for row in prompts]))
        with pytest.raises(ShiftlensError, match="right-padded"):
            model.hf.generate(**model.pad(prompts), **options)
    assert not torch.equal(together, generate(prompts))
    assert not block(model, 2)._forward_hooks


def test_bfloat16_is_computed_in_float32_and_rounded_once():
    model = load()
    model.hf.bfloat16()
    h = torch.randn(2, 5, 32).bfloat16()
    made = KINDS["incline"]
    expected = (h.float() + 0.3 * (h.float() @ made.matrix.T)).bfloat16()
    assert torch.equal(made.steered(h, 0.3), expected)
    with made.applied(model, 0.3):
        assert logits(model, batch(model)).isfinite().all()


def test_hooks_go_after_an_error_and_what_does_not_fit_is_refused():
    model = load()
    with pytest.raises(RuntimeError), KINDS["lsar"].applied(model):
        raise RuntimeError
    assert not block(model, 2)._forward_hooks
    with pytest.raises(ShiftlensError, match=r"no layer 4: the model has layers 0\.\.3"):
        Steering.lsar(VECTORS, 4)
    with pytest.raises(ShiftlensError, match="'sw' has no vectors"):
        Steering.language(VECTORS, "sw", 1)
    wide = Steering.incline(np.eye(8), np.eye(8), 1)
    with pytest.raises(ShiftlensError, match="8 wide and the model 32"), wide.applied(model):
        pass
    with pytest.raises(ShiftlensError, match="same sentences"):
        Steering.incline(STATES, STATES[:3], 1)


def test_the_curve_is_what_the_answers_are(monkeypatch):
    answers = {0.0: ["uno", "dos", "zwei?"], 1.0: ["one", "no", "uno"]}
    model, strength = load(), []

    def answered(*_):
        strength.append(None)
        return list(answers.values())[len(strength) - 1]

    monkeypatch.setattr("shiftlens.steering_curve.generate_answers", answered)
    words = {"es": ["uno", "dos", "no"], "en": ["one", "two", "no"]}
    records = [
        SftRecord(f"{n}.{code}", code, "abc", text)
        for code, own in words.items()
        for n, text in enumerate(own)
    ]
    table = steering_curve(model, records, "es", "en", KINDS["difference"], [0.0, 1.0])
    got = table.set_index(["strength", "measure", "language"])["value"]
    assert got[0.0, "language", "es"] == pytest.approx(2 / 3)
    assert got[0.0, "language", "none"] == pytest.approx(1 / 3)
    assert got[1.0, "language", "en"] == got[1.0, "language", "es"] == pytest.approx(2 / 3)
    assert got[0.0, "exact_match", "es"] == pytest.approx(2 / 3)
    assert got[1.0, "exact_match", "en"] == pytest.approx(1 / 3)
    losses = []
    for text in words["en"]:
        ids = model.tokenizer("abc")["input_ids"] + model.tokenizer(text)["input_ids"][1:] + [2]
        predicted = logits(model, model.pad([ids]))[0, 3:-1].log_softmax(-1)
        losses.append(-predicted.gather(1, torch.tensor(ids[4:])[:, None]).sum().item())
    assert got[0.0, "perplexity", "en"] == pytest.approx(np.exp(sum(losses) / 11), rel=1e-4)


def test_answers_in_other_languages_are_counted_once(monkeypatch, tmp_path):
    answers = ["drei", "trois", "sama", "no", "?"]
    monkeypatch.setattr("shiftlens.steering_curve.generate_answers", lambda *_: answers)
    words = {
        "fi": ["yksi", "kaksi", "kolme", "sama", "no"],
        "en": ["one", "two", "three", "four", "no"],
        "de": ["eins", "zwei", "drei", "sama", "no"],
        "fr": ["un", "deux", "trois", "drei", "no"],
    }
    records = [
        SftRecord(f"{n}.{code}", code, "abc", text)
        for code, own in words.items()
        for n, text in enumerate(own)
    ]
    table = steering_curve(load(), records, "fi", "en", KINDS["difference"], [0.0])
    got = table.set_index(["measure", "language"])["value"]
    assert got["other_language", "other"] == pytest.approx(2 / 5)  # drei is of two languages
    assert got["language", "fi"] == pytest.approx(2 / 5)
    assert got["language", "none"] == pytest.approx(1 / 5)
    printed = _summary(table, "fi", "en")
    assert "in neither fi nor en" in printed
    head, values = printed.splitlines()[2], printed.splitlines()[4].split()
    assert " ".join(head.split()[:12]) == "in fi in en in de in fr in other in none"
    assert values[:7] == ["0.0", "0.4", "0.2", "0.6", "0.6", "0.4", "0.2"]


def test_with_one_token_each_the_interval_is_students():
    losses = RNG.normal(size=30)
    rate, half = ratio_interval(losses, np.ones(30))
    assert rate == pytest.approx(losses.mean())
    assert half == pytest.approx(2.045230 * losses.std(ddof=1) / np.sqrt(30), rel=1e-5)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--source", "sw"], "no records in language 'sw'"),
        (["--layer", "9"], "no layer 9"),
        (["--strengths", "0,x"], "give numbers"),
        (["--kind", "push"], "unknown kind 'push'"),
        (["--run", "nowhere"], "does not exist"),
        (["--ridge", "nan"], "ridge is nan; give 0 or more"),
        (["--ridge", "inf"], "ridge is inf; give 0 or more"),
        (["--strengths", "0,nan"], "one is NaN or infinite"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, capsys, options, reason):
    given = {"--model": "demo", "--records": "demo:validation", "--source": "fi", "--target": "en"}
    given |= {"--layer": "3", "--out": str(tmp_path / "s")} | dict([options])
    assert main(["steer", *(word for pair in given.items() for word in pair)]) == 2
    assert reason in capsys.readouterr().err
