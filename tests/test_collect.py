"""The stored states are those of each text alone, at the layer and positions stated.

States of the tiny models have an RMS of about 0.1 to 3; the 1e-5 below is held both absolutely
and relative to the RMS of each layer.
"""

import numpy as np
import pytest
import tiny
import torch
from scipy.sparse.csgraph import csgraph_from_dense, shortest_path
from torch import nn

from shiftlens.bridge import bridged
from shiftlens.collect import collect_states, plan_collection
from shiftlens.corpora import Corpus
from shiftlens.errors import ShiftlensError
from shiftlens.loading import load_model
from shiftlens.pooling import Pooling, masked_mean
from shiftlens.store import ActivationStore
from shiftlens.tokens import PASS_TOKENS, token_batches

SENTENCES = {
    "en": ("the cat sat", "no", "a long walk by the old grey river, in May", "yes. we can", "ok!"),
    "es": ("el gato", "una noche muy larga y fría, sin luna ni ruido", "sí", "mañana", "él no"),
}
CORPUS = Corpus.from_texts(SENTENCES)
BOS_ID = 0
EOS_ID = 2


def last_block(hf):
    """The last element of the model's one list of three blocks."""
    stacks = [m for m in hf.modules() if isinstance(m, nn.ModuleList) and len(m) == 3]
    assert len(stacks) == 1
    return stacks[0][-1]


def states_alone(model, text, length=None):
    """Layers 0..L of one unpadded text by the plain model, ``(L + 1, pos, d_model)``, and ids."""
    ids = model.tokenizer(text)["input_ids"][:length]
    seen = []

    def keep(_, __, output):
        seen.append(output[0] if isinstance(output, tuple) else output)

    handle = last_block(model.hf).register_forward_hook(keep)
    with torch.no_grad():
        hidden = model.hf(
            input_ids=torch.tensor([ids]), output_hidden_states=True, use_cache=False
        ).hidden_states
    handle.remove()
    assert len(hidden) == 4 and len(seen) == 1
    layers = [*hidden[:3], seen[0].reshape(hidden[0].shape)]
    return np.stack([layer[0].float().numpy() for layer in layers]), np.array(ids)


def sentence_vector(model, text):
    """Mean over the positions that are not BOS or EOS, by numpy in float64."""
    states, ids = states_alone(model, text)
    return states[:, ~np.isin(ids, [BOS_ID, EOS_ID])].mean(axis=1, dtype=np.float64)


def all_states(store):
    return {
        language: np.stack([store.states(language, layer) for layer in store.layers], axis=1)
        for language in store.languages
    }


@pytest.mark.parametrize("side", ["right", "left"])
def test_stored_states_are_those_of_each_text_alone(model, side, tmp_path):
    plan = plan_collection(model, CORPUS, batch_tokens=48, shard_rows=4, padding_side=side)
    mixed = [
        len({len(plan.tokens[file[:2]].ids[row]) for row in rows})
        for file, numbers in plan.rows.items()
        for rows in token_batches(numbers, plan.tokens[file[:2]].ids, plan.batch_tokens)
    ]
    assert max(mixed) > 1 and len(mixed) > 2
    store = collect_states(model, CORPUS, tmp_path / "store", plan=plan, progress=False)
    assert store.layers == (0, 1, 2, 3)
    assert store.verify() == []
    for language, states in all_states(store).items():
        assert states.dtype == np.float32
        expected = np.stack([sentence_vector(model, t) for t in SENTENCES[language]])
        error = np.abs(states - expected).max(axis=(0, 2))
        scale = np.sqrt((expected**2).mean(axis=(0, 2)))
        assert (scale > 0.02).all()
        assert (error <= 1e-5).all(), (error, scale)
        assert (error <= 1e-5 * scale).all(), (error, scale)


def test_rows_are_in_corpus_order_though_batches_are_sorted_by_length(llama, tmp_path):
    plan = plan_collection(llama, CORPUS)
    rows = plan.rows["en-00000.safetensors"]
    assert rows != sorted(rows)
    lengths = [len(plan.tokens["en"].ids[row]) for row in rows]
    assert lengths == sorted(lengths, reverse=True)
    backwards = Corpus.from_texts({code: texts[::-1] for code, texts in SENTENCES.items()})
    one = all_states(collect_states(llama, CORPUS, tmp_path / "one", progress=False))
    two = all_states(collect_states(llama, backwards, tmp_path / "two", progress=False))
    for code in SENTENCES:
        np.testing.assert_allclose(one[code], two[code][::-1], atol=2e-6)
        assert np.abs(one[code] - two[code]).max() > 0.1


def test_batches_hold_every_row_once_and_no_more_tokens_than_allowed():
    rng = np.random.default_rng(0)
    ids = [[1] * int(n) for n in rng.integers(1, 40, 200)]
    rows = sorted(range(200), key=lambda row: -len(ids[row]))
    for most in (1, 39, 100, 10_000):
        batches = list(token_batches(rows, ids, most))
        assert [row for batch in batches for row in batch] == rows
        widths = [max(len(ids[row]) for row in batch) for batch in batches]
        for batch, width in zip(batches, widths, strict=True):
            assert len(batch) == 1 or len(batch) * width <= most


@pytest.mark.parametrize("most", [50, 1000, 4096])
def test_no_other_batches_cost_less(most):
    """The shortest path from the first sentence to the last, of which a batch is a step."""
    rng = np.random.default_rng(1)
    lengths = np.sort(rng.lognormal(3, 0.7, 150).astype(int) + 1)[::-1]
    n = len(lengths)
    steps = np.full((n + 1, n + 1), np.inf)
    for start in range(n):
        for size in range(1, n - start + 1):
            tokens = lengths[start] * size
            if size == 1 or tokens <= most:
                steps[start, start + size] = tokens + PASS_TOKENS
    least = shortest_path(csgraph_from_dense(steps, null_value=np.inf), indices=0)[n]
    batches = list(token_batches(list(range(n)), [[1] * length for length in lengths], most))
    assert len(batches) > 3
    assert sum(len(rows) * lengths[rows[0]] + PASS_TOKENS for rows in batches) == least


@pytest.mark.parametrize(
    ("pooling", "start"),
    [
        (Pooling(), 1),
        (Pooling(special_tokens=True), 0),
        (Pooling(skip_first=True), 2),
    ],
)
def test_pooling_takes_the_positions_it_says(llama, pooling, start, tmp_path):
    store = collect_states(llama, CORPUS, tmp_path / "s", pooling=pooling, progress=False)
    for code, texts in SENTENCES.items():
        expected = [states_alone(llama, t)[0][:, start:].mean(axis=1) for t in texts]
        np.testing.assert_allclose(all_states(store)[code], np.stack(expected), atol=1e-5)


def test_pooling_both_specials_and_not_the_first_word_keeps_the_bos(llama, tmp_path):
    pooling = Pooling(special_tokens=True, skip_first=True)
    store = collect_states(llama, CORPUS, tmp_path / "s", pooling=pooling, progress=False)
    states, _ = states_alone(llama, SENTENCES["en"][0])
    expected = np.delete(states, 1, axis=1).mean(axis=1)
    np.testing.assert_allclose(all_states(store)["en"][0], expected, atol=1e-5)


def test_pooling_without_bos_skips_the_first_token(tmp_path):
    model = load_model(tiny.tiny_model("bloom"), tiny.tiny_tokenizer(bos=False))
    store = collect_states(
        model, CORPUS, tmp_path / "s", pooling=Pooling(skip_first=True), progress=False
    )
    states, ids = states_alone(model, SENTENCES["es"][1])
    assert BOS_ID not in ids
    np.testing.assert_allclose(all_states(store)["es"][1], states[:, 1:].mean(axis=1), atol=1e-5)


def test_what_the_padding_holds_does_not_enter_the_mean():
    states = torch.tensor([[[1.0], [3.0], [float("nan")]], [[float("inf")], [2.0], [7.0]]])
    mask = torch.tensor([[True, True, False], [False, True, False]])
    assert masked_mean(states, mask).tolist() == [[2.0], [2.0]]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_means_are_float32_whatever_the_model(dtype):
    """In bfloat16 a sum of ones stops at 256; in float16 one of 60,000s overflows at once."""
    ones = torch.ones(1, 1000, 4, dtype=dtype)
    mask = torch.ones(1, 1000, dtype=torch.bool)
    assert masked_mean(ones, mask).dtype == torch.float32
    assert masked_mean(ones, mask).unique().tolist() == [1.0]
    assert masked_mean(ones * 59904, mask).unique().tolist() == [59904.0]


def test_a_bfloat16_model_gives_float32_sentence_vectors(tmp_path):
    hf = tiny.tiny_model("llama").to(torch.bfloat16)
    hf.set_attn_implementation("eager")
    model = load_model(hf, tiny.tiny_tokenizer())
    store = collect_states(model, CORPUS, tmp_path / "s", batch_tokens=1, progress=False)
    assert store.manifest["model"]["dtype"] == "bfloat16"
    for code, states in all_states(store).items():
        expected = np.stack([sentence_vector(model, t) for t in SENTENCES[code]])
        assert states.dtype == np.float32
        # The mean of many bfloat16 numbers is no bfloat16 number.
        assert (torch.tensor(states).bfloat16().float().numpy() != states).mean() > 0.5
        np.testing.assert_allclose(states[:, 0], expected[:, 0], atol=1e-6)
        scale = np.sqrt((expected**2).mean(axis=(0, 2)))
        assert (np.abs(states - expected).max(axis=(0, 2)) < 0.05 * scale).all()


def test_an_overflow_is_named_by_language_sentence_and_layer(tmp_path):
    """Only the sentence with a Z starts near the float16 limit, and block 2 carries it over."""
    hf = tiny.tiny_model("llama")
    with torch.no_grad():
        hf.model.embed_tokens.weight[tiny.tiny_tokenizer().convert_tokens_to_ids("Z")] = 60_000.0
        hf.model.layers[1].mlp.down_proj.weight *= 20_000 / 0.15 / 7
    model = load_model(hf.to(torch.float16), tiny.tiny_tokenizer())
    texts = {
        "en": ("some words", "others", "third of them"),
        "es": ("el perro", "Z", "una mesa grande"),
    }
    corpus = Corpus.from_texts(texts, ids=["first", "second", "third"])
    with pytest.raises(ShiftlensError) as caught:
        collect_states(model, corpus, tmp_path / "s", progress=False)
    message = str(caught.value)
    assert "language es, sentence second, layer 2" in message
    assert "float16" in message and "\n" not in message
    store = ActivationStore.open(tmp_path / "s")
    assert store.missing() == ["es-00000.safetensors"]
    with pytest.raises(ShiftlensError, match=r"es-00000\.safetensors is missing"):
        store.states("es", 0)


def test_truncation_is_counted_reported_and_done_as_the_tokenizer_does(llama, tmp_path):
    texts = {"en": ("x" * 30, "short", "abcdefghijk"), "es": ("a" * 10, "b" * 9, "c" * 100)}
    corpus = Corpus.from_texts(texts)
    store = collect_states(llama, corpus, tmp_path / "s", max_length=10, progress=False)
    report = store.manifest["tokens"]
    assert (report["en"]["truncated"], report["es"]["truncated"]) == (2, 2)
    assert report["en"]["tokens_per_sentence"] == pytest.approx((10 + 6 + 10) / 3, abs=1e-3)
    states, ids = states_alone(llama, "abcdefghijk", length=10)
    assert len(ids) == 10
    got = all_states(store)["en"][2]
    np.testing.assert_allclose(got, states[:, 1:].mean(axis=1), atol=1e-5)
    whole, _ = states_alone(llama, "abcdefghijk")
    assert np.abs(got - whole[:, 1:].mean(axis=1)).max() > 1e-3


def test_a_cut_text_keeps_its_closing_token_outside_the_mean(tmp_path):
    model = load_model(tiny.tiny_model("bert"), tiny.tiny_tokenizer(eos=True))
    corpus = Corpus.from_texts({"en": ("abcdefghijk", "ab")})
    plan = plan_collection(model, corpus, max_length=6)
    assert plan.tokens["en"].ids[0] == [BOS_ID, *model.tokenizer("abcd")["input_ids"][1:5], EOS_ID]
    assert plan.tokens["en"].pooled == [[False, *[True] * 4, False], [False, True, True, False]]
    store = collect_states(model, corpus, tmp_path / "s", plan=plan, progress=False)
    np.testing.assert_allclose(
        all_states(store)["en"][0], sentence_vector(model, "abcd"), atol=1e-5
    )


def test_the_position_table_bounds_the_length(tmp_path):
    model = load_model(tiny.tiny_model("gpt2"), tiny.tiny_tokenizer())
    plan = plan_collection(model, Corpus.from_texts({"en": ("m" * 200, "n")}))
    assert [len(ids) for ids in plan.tokens["en"].ids] == [64, 2]
    assert plan.manifest["tokens"]["en"]["truncated"] == 1


def test_unknown_rate_is_the_share_of_the_texts_own_tokens(llama):
    texts = {"en": ("ab☃☃", "cdef"), "fr": ("☃", "☃☃"), "es": ("hola", "sol")}
    report = plan_collection(llama, Corpus.from_texts(texts)).manifest["tokens"]
    assert {code: row["unknown_rate"] for code, row in report.items()} == {
        "en": 0.25,
        "fr": 1.0,
        "es": 0.0,
    }
    assert report["es"]["tokens_per_sentence"] == 4.5


def test_a_sentence_with_nothing_to_pool_is_refused_by_name(llama, tmp_path):
    corpus = Corpus.from_texts({"en": ("ab", "cd"), "es": ("ef", "g")}, ids=["s1", "s2"])
    with pytest.raises(ShiftlensError, match="language es, sentence s2: no token is left"):
        collect_states(llama, corpus, tmp_path / "s", pooling=Pooling(skip_first=True))
    assert not (tmp_path / "s").exists()
    with pytest.raises(ShiftlensError, match="language en, sentence s1: no token is left"):
        collect_states(llama, corpus, tmp_path / "s", max_length=1)


def test_a_tokenizer_of_another_vocabulary_is_refused():
    model = load_model(tiny.tiny_model("llama", vocab_size=20), tiny.tiny_tokenizer())
    with pytest.raises(ShiftlensError, match=r"language en: .* outside the model's vocabulary"):
        plan_collection(model, CORPUS)
    plan_collection(model, Corpus.from_texts({"en": ("abc",)}))


def test_a_tokenizer_and_model_without_pad_token_are_padded_all_the_same(tmp_path):
    hf = tiny.tiny_model("llama")
    tokenizer = tiny.tiny_tokenizer()
    expected = all_states(
        collect_states(load_model(hf, tokenizer), CORPUS, tmp_path / "a", progress=False)
    )
    tokenizer.pad_token = None
    hf.config.pad_token_id = None
    for side in ("left", "right"):
        store = collect_states(
            load_model(hf, tokenizer), CORPUS, tmp_path / side, padding_side=side, progress=False
        )
        for code, states in all_states(store).items():
            np.testing.assert_allclose(states, expected[code], atol=1e-5)


@pytest.mark.parametrize(
    ("option", "value"),
    [("padding_side", "middle"), ("batch_tokens", 0), ("max_length", 0), ("shard_rows", -1)],
)
def test_settings_that_make_no_sense_are_refused_before_anything_is_written(
    llama, option, value, tmp_path
):
    with pytest.raises(ShiftlensError, match=str(value)):
        collect_states(llama, CORPUS, tmp_path / "s", **{option: value})
    assert not (tmp_path / "s").exists()


def test_the_unembedding_is_not_computed(model, tmp_path):
    calls = []
    head = model.hf.get_output_embeddings()
    head.register_forward_hook(lambda *_: calls.append(1))
    collect_states(model, CORPUS, tmp_path / "s", progress=False)
    assert calls == []
    with bridged(model), torch.no_grad():
        model.hf(**model.pad([[0, 5, 6]]))
    assert calls == [1]


def test_the_model_is_plain_again_after_collecting(model, tmp_path):
    modules = {name: id(module) for name, module in model.hf.named_modules()}
    inputs = model.pad([[0, 5, 6], [0, 9, 9]])
    with torch.no_grad():
        before = model.hf(**inputs).logits
        collect_states(model, CORPUS, tmp_path / "s", progress=False)
        assert {name: id(module) for name, module in model.hf.named_modules()} == modules
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.hf.modules())
        assert torch.equal(model.hf(**inputs).logits, before)


def test_collecting_leaves_no_gradient_graph(llama, tmp_path):
    collect_states(llama, CORPUS, tmp_path / "s", progress=False)
    assert all(p.grad is None for p in llama.hf.parameters())
    assert all(p.requires_grad for p in llama.hf.parameters())


def test_a_model_that_was_trained_on_is_another_model(llama, tmp_path):
    """The hash is taken anew, so that states of the model before training are not taken over."""
    collect_states(llama, CORPUS, tmp_path / "s", progress=False)
    with torch.no_grad():
        llama.hf.model.layers[0].mlp.up_proj.weight.add_(0.1)
    with pytest.raises(ShiftlensError, match="another model: sha256"):
        collect_states(llama, CORPUS, tmp_path / "s", progress=False)


def test_disk_forecast_is_the_size_of_the_states(llama, tmp_path):
    plan = plan_collection(llama, CORPUS)
    assert plan.disk_bytes == 2 * 5 * 4 * 32 * 4
    collect_states(llama, CORPUS, tmp_path / "s", plan=plan, progress=False)
    shards = sum(file.stat().st_size for file in (tmp_path / "s").glob("*.safetensors"))
    assert plan.disk_bytes < shards < plan.disk_bytes + 2 * 2000


def test_progress_is_silent_where_it_should_be(llama, tmp_path, capfd):
    collect_states(llama, CORPUS, tmp_path / "s", progress=False)
    assert capfd.readouterr().err == ""
