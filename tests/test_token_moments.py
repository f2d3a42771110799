"""The stored moments are those of every pooled token of each text alone.

States of the tiny models have an RMS of about 0.1 to 3; the 1e-5 below is relative to it.
"""

import json

import numpy as np
import pytest
import tiny
import torch
from sklearn.covariance import ledoit_wolf_shrinkage
from test_collect import BOS_ID, CORPUS, EOS_ID, SENTENCES, states_alone
from test_collect_shifted import AREA, deep_model, random_shift
from test_collect_shifted import CORPUS as THREE

from shiftlens.collect import collect_states
from shiftlens.corpora import Corpus
from shiftlens.errors import ShiftlensError
from shiftlens.files import writing
from shiftlens.geometry import Moments
from shiftlens.geometry.spd import from_factor
from shiftlens.loading import load_model
from shiftlens.plan import plan_collection
from shiftlens.pooling import Pooling
from shiftlens.store import MANIFEST, ActivationStore
from shiftlens.token_moments import TokenMoments, TokenPlan, collect_token_moments

HALVES = ((0, 3), (1, 2))
LAYERS = range(4)


def collect(model, path, corpus=CORPUS, halves=HALVES, **options):
    return collect_token_moments(model, corpus, path, halves=halves, progress=False, **options)


def tokens_alone(model, texts, start=None):
    """Token states ``(L + 1, tokens, d_model)`` of texts run one by one, float64.

    Without BOS and EOS, or from a position on.
    """
    parts = []
    for text in texts:
        states, ids = states_alone(model, text)
        own = ~np.isin(ids, [BOS_ID, EOS_ID]) if start is None else np.arange(len(ids)) >= start
        parts.append(states[:, own])
    return np.concatenate(parts, axis=1).astype(np.float64)


def contents(path):
    """Name, bytes and time of writing of every file."""
    return {f.name: (f.read_bytes(), f.stat().st_mtime_ns) for f in path.iterdir()}


def only_bytes(path):
    return {name: got[0] for name, got in contents(path).items()}


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("architecture", ["llama", "gpt2", "bloom", "gemma2", "xlm-roberta"])
def test_stored_moments_are_those_of_each_text_alone(architecture, side, tmp_path):
    tokenizer = tiny.tiny_tokenizer(eos=architecture in tiny.ENCODERS)
    model = load_model(tiny.tiny_model(architecture), tokenizer)
    halves = ((0, 1, 2), (3, 4))
    store = collect(model, tmp_path / "m", halves=halves, batch_tokens=90, padding_side=side)
    assert (store.languages, store.layers, store.verify()) == (("en", "es"), (0, 1, 2, 3), [])
    for language, texts in SENTENCES.items():
        for half, rows in enumerate(halves):
            expected = tokens_alone(model, [texts[row] for row in rows])
            for layer in LAYERS:
                got, states = store.moments(language, layer, half), expected[layer]
                scale = np.sqrt((states**2).mean())
                assert got.count == len(states) and scale > 0.02
                assert np.abs(got.mean - states.mean(axis=0)).max() <= 1e-5 * scale
                covariance = np.cov(states, rowvar=False, bias=True)
                assert np.abs(got.covariance - covariance).max() <= 1e-5 * scale**2
                alpha = from_factor(got.factor(), "ledoit-wolf").alpha
                assert alpha == pytest.approx(ledoit_wolf_shrinkage(states), abs=1e-5)
                norms = np.linalg.norm(states, axis=1)
                assert got.rms_norm == pytest.approx(np.sqrt((norms**2).mean()), rel=1e-5)


@pytest.mark.parametrize(
    ("pooling", "start"),
    [(Pooling(), 1), (Pooling(special_tokens=True), 0), (Pooling(skip_first=True), 2)],
)
def test_the_positions_pooled_are_those_of_sentence_vectors(llama, pooling, start, tmp_path):
    texts = {code: [text + "abc" for text in some] for code, some in SENTENCES.items()}
    store = collect(llama, tmp_path / "m", Corpus.from_texts(texts), pooling=pooling)
    for half, rows in enumerate(HALVES):
        states = tokens_alone(llama, [texts["es"][row] for row in rows], start)[2]
        got = store.moments("es", 2, half)
        assert got.count == len(states) == sum(len(texts["es"][r]) + 1 - start for r in rows)
        np.testing.assert_allclose(got.mean, states.mean(axis=0), atol=1e-5)


def test_moments_with_a_shift_on_are_those_of_the_shifted_model(tmp_path):
    model, shift = deep_model("llama"), random_shift()
    plain = collect(model, tmp_path / "plain", THREE)
    shifted = collect(model, tmp_path / "shifted", THREE, shift=shift)
    move = (shift.vectors["en"] - shift.vectors["es"])[AREA[0]].numpy()
    one, two = (store.moments("es", AREA[0], 1) for store in (plain, shifted))
    np.testing.assert_allclose(two.mean, one.mean + move, atol=1e-5)
    np.testing.assert_allclose(two.scatter, one.scatter, atol=1e-4)
    with pytest.raises(ShiftlensError, match="other shift"):
        collect(model, tmp_path / "plain", THREE, shift=shift)


def test_a_bfloat16_model_gives_float64_moments(tmp_path):
    model = load_model(tiny.tiny_model("llama").to(torch.bfloat16), tiny.tiny_tokenizer())
    store = collect(model, tmp_path / "m", batch_tokens=1)
    texts = [SENTENCES["en"][row] for row in HALVES[0]]
    got, states = store.moments("en", 0, 0), tokens_alone(model, texts)[0]
    assert got.scatter.dtype == np.float64
    np.testing.assert_allclose(got.mean, states.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(
        got.covariance, np.cov(states, rowvar=False, bias=True), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("lost", ["en-0.safetensors", "es-1.safetensors"])
def test_a_lost_half_alone_is_collected_again_to_the_same_bytes(llama, lost, tmp_path):
    store = collect(llama, tmp_path / "m", batch_tokens=60)
    before = contents(store.path)
    assert len(before) == 5
    (store.path / lost).unlink()
    assert store.missing() == [lost]
    with pytest.raises(ShiftlensError, match=f"{lost} is missing"):
        store.moments(lost[:2], 0, int(lost[3]))
    assert len(store.verify()) == 1
    collect(llama, store.path, batch_tokens=60)
    after = contents(store.path)
    assert after.pop(lost)[0] == before.pop(lost)[0]
    assert after == before


@pytest.mark.parametrize("batches", [1, 4, 6])
def test_a_run_that_died_midway_goes_on_to_the_same_bytes(llama, batches, tmp_path):
    undisturbed = collect(llama, tmp_path / "undisturbed", batch_tokens=1)
    calls = []

    def dies(*_):
        calls.append(1)
        if len(calls) == batches:
            raise KeyboardInterrupt

    handle = llama.hf.model.layers[1].register_forward_hook(dies)
    with pytest.raises(KeyboardInterrupt):
        collect(llama, tmp_path / "m", batch_tokens=1)
    handle.remove()
    kept = contents(tmp_path / "m")
    assert len(kept) == 1 + (batches - 1) // 2
    collect(llama, tmp_path / "m", batch_tokens=1)
    after = contents(tmp_path / "m")
    assert {name: after[name] for name in kept} == kept
    assert only_bytes(tmp_path / "m") == only_bytes(undisturbed.path)


def test_complete_moments_are_not_touched_and_the_model_not_run(llama, tmp_path):
    store = collect(llama, tmp_path / "m")
    before, calls = contents(store.path), []
    llama.hf.model.register_forward_hook(lambda *_: calls.append(1))
    plan = plan_collection(llama, CORPUS)
    collect(llama, store.path, plan=plan)
    collect(llama, store.path, plan=TokenPlan.of(plan, HALVES))
    collect(llama, store.path, halves=tuple(np.array(half[::-1]) for half in HALVES))
    assert (contents(store.path), calls) == (before, [])
    again = TokenMoments.open(store.path)
    assert again.manifest == store.manifest
    assert isinstance(again.moments("en", 0, 0), Moments)


def test_a_damaged_shard_is_found_and_named(llama, tmp_path):
    store = collect(llama, tmp_path / "m")
    path = store.path / "es-0.safetensors"
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    for position in (header, (header + len(whole)) // 2, len(whole) - 1):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        (problem,) = store.verify()
        assert path.name in problem and "does not match its hash" in problem
        failed = 0
        for layer in LAYERS:
            try:
                store.moments("es", layer, 0)
            except ShiftlensError as error:
                failed += 1
                assert str(error) == problem
        assert failed == 1
    path.write_bytes(whole[:-1])
    assert store.missing() == [path.name]
    path.write_bytes((store.path / "es-1.safetensors").read_bytes())
    assert "another shard under its name" in store.verify()[0]


def other_runs(llama):
    another = Corpus.from_texts({code: texts[::-1] for code, texts in SENTENCES.items()})
    seed_1 = load_model(tiny.tiny_model("llama", seed=1), tiny.tiny_tokenizer())
    return {
        "another model: sha256": (seed_1, {}),
        "another corpus: sha256": (llama, {"corpus": another}),
        "another pooling: special_tokens": (llama, {"pooling": Pooling(special_tokens=True)}),
        "another batching: batch_tokens": (llama, {"batch_tokens": 100}),
        "other halves_sha256": (llama, {"halves": ((0, 1), (2, 3))}),
    }


@pytest.mark.parametrize("what", [*other_runs(None)])
def test_moments_of_another_run_are_not_mixed_in(llama, what, tmp_path):
    store = collect(llama, tmp_path / "m")
    before = contents(store.path)
    model, options = other_runs(llama)[what]
    with pytest.raises(ShiftlensError, match="not mixed") as caught:
        collect(model, store.path, **options)
    assert what in str(caught.value) and "\n" not in str(caught.value)
    assert contents(store.path) == before


def test_moments_and_sentence_vectors_lie_side_by_side_but_not_in_one_folder(llama, tmp_path):
    states = collect_states(llama, CORPUS, tmp_path / "s", progress=False)
    before = contents(states.path)
    store = collect(llama, tmp_path / "m")
    moments = contents(store.path)
    with pytest.raises(ShiftlensError, match="not of store format token moments 1"):
        collect(llama, states.path)
    with pytest.raises(ShiftlensError, match="not of store format 1"):
        collect_states(llama, CORPUS, store.path, progress=False)
    with pytest.raises(ShiftlensError, match="not of store format"):
        ActivationStore.open(store.path)
    with pytest.raises(ShiftlensError, match="no token moments in"):
        TokenMoments.open(tmp_path / "nothing")
    assert (contents(states.path), contents(store.path)) == (before, moments)
    assert json.loads((store.path / MANIFEST).read_text())["dtype"] == "float64"


def test_a_second_writer_is_refused(llama, tmp_path):
    with (
        writing(tmp_path / "m"),
        pytest.raises(ShiftlensError, match="another process is writing to"),
    ):
        collect(llama, tmp_path / "m")


@pytest.mark.parametrize("side", ["right", "left"])
def test_an_overflow_is_named_by_language_sentence_and_layer(side, tmp_path):
    """Only the sentence with a Z starts near the float16 limit, and block 2 carries it over."""
    hf = tiny.tiny_model("llama")
    with torch.no_grad():
        hf.model.embed_tokens.weight[tiny.tiny_tokenizer().convert_tokens_to_ids("Z")] = 60_000.0
        hf.model.layers[1].mlp.down_proj.weight *= 20_000 / 0.15 / 7
    model = load_model(hf.to(torch.float16), tiny.tiny_tokenizer())
    texts = {"en": ("some", "others", "third of", "x"), "es": ("a dog", "el perro", "Za", "mesa")}
    corpus = Corpus.from_texts(texts, ids=["first", "second", "third", "fourth"])
    with pytest.raises(ShiftlensError) as caught:
        collect(model, tmp_path / "m", corpus, padding_side=side)
    message = str(caught.value)
    assert "language es, sentence third, layer 2" in message
    assert "float16" in message and "\n" not in message
    assert TokenMoments.open(tmp_path / "m").missing() == ["es-1.safetensors"]


def test_a_batch_that_does_not_fit_is_one_line(llama, tmp_path, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("a long\ntale")

    monkeypatch.setattr(Moments, "update", full)
    with pytest.raises(ShiftlensError, match="lower batch_tokens") as caught:
        collect(llama, tmp_path / "m")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("halves", "words"),
    [
        (((0, 1), (1, 2)), "share a sentence"),
        (((0, 0), (1, 2)), "sentence twice"),
        (((0, 1), (2, 5)), r"sentence 5 of the halves is not one of 0\.\.4"),
        (((0, -1), (2, 3)), "sentence -1"),
        (((0, 1), ()), r"language en, half 1: 0 token\(s\) in 0 sentence\(s\)"),
    ],
)
def test_halves_that_make_no_sense_are_refused_before_anything_is_written(
    llama, halves, words, tmp_path
):
    with pytest.raises(ShiftlensError, match=words):
        collect(llama, tmp_path / "m", halves=halves)
    assert not (tmp_path / "m").exists()


def test_a_language_of_one_token_is_named_before_anything_is_written(llama, tmp_path):
    corpus = Corpus.from_texts({"en": ("abc", "de"), "es": ("fg", "h")})
    with pytest.raises(ShiftlensError, match=r"language es, half 1: 1 token\(s\) in 1 sentence"):
        collect(llama, tmp_path / "m", corpus, halves=((0,), (1,)))
    assert not (tmp_path / "m").exists()


def test_a_language_layer_or_half_that_is_not_stored_is_refused(llama, tmp_path):
    store = collect(llama, tmp_path / "m")
    for place, words in [
        (("fr", 0, 0), "language 'fr' is not in"),
        (("en", 4, 0), "layer 4 is not in"),
        (("en", 0, 2), "half 2 is not in"),
    ]:
        with pytest.raises(ShiftlensError, match=words):
            store.moments(*place)


def test_halves_run_longest_sentence_first_so_that_batches_keep_to_their_size(llama):
    plan = TokenPlan.of(plan_collection(llama, CORPUS), HALVES)
    assert plan.rows == {
        "en-0.safetensors": [0, 3],
        "en-1.safetensors": [2, 1],
        "es-0.safetensors": [0, 3],
        "es-1.safetensors": [1, 2],
    }


def test_disk_forecast_is_the_size_of_the_moments(llama, tmp_path):
    plan = TokenPlan.of(plan_collection(llama, CORPUS), HALVES)
    assert plan.disk_bytes == 2 * 2 * 4 * (32 * 32 + 2 * 32 + 2) * 8
    store = collect(llama, tmp_path / "m", plan=plan)
    shards = sum(file.stat().st_size for file in store.path.glob("*.safetensors"))
    assert plan.disk_bytes < shards < plan.disk_bytes + 4 * 5000


def test_the_model_is_plain_again_and_nothing_is_printed(llama, tmp_path, capfd):
    modules = {name: id(module) for name, module in llama.hf.named_modules()}
    collect(llama, tmp_path / "m")
    assert {name: id(module) for name, module in llama.hf.named_modules()} == modules
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in llama.hf.modules())
    assert capfd.readouterr().err == ""
