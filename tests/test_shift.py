"""Language vectors and the shift, against numpy means and hand-registered torch hooks."""

import contextlib
import json

import numpy as np
import pytest
import tiny
import torch
from refusals import refused
from torch import nn

from shiftlens.bridge import bridged
from shiftlens.collect import collect_states
from shiftlens.corpora import Corpus
from shiftlens.geometry import affine_invariant, mean_distance, summarise
from shiftlens.language_vectors import LanguageVectors
from shiftlens.loading import load_model
from shiftlens.pooling import Pooling
from shiftlens.shift import Shift

SENTENCES = {
    "en": ("the cat sat", "no", "a long walk by the old grey river, in May", "yes. we can"),
    "es": ("el gato", "una noche muy larga y fría, sin luna ni ruido", "sí", "mañana"),
    "fi": ("kissa istui", "ei", "vanha joki", "kyllä me voimme, huomenna"),
}
CORPUS = Corpus.from_texts(SENTENCES)
TEXTS = ("abc", "hello world", "a longer text, with letters", "xyz w")
LANGUAGES = ("es", "en", "fi", "es")
AREA = (1, 2)
BOS_ID, EOS_ID = 0, 2


pytestmark = pytest.mark.usefixtures("one_thread")


def blocks(hf, count=3):
    """The model's one list of blocks, found without the package."""
    stacks = [m for m in hf.modules() if isinstance(m, nn.ModuleList) and len(m) == count]
    assert len(stacks) == 1
    return stacks[0]


def first(output):
    return output[0] if isinstance(output, tuple) else output


def streams(model, inputs, count=3):
    """Layers 0..L by hooks of this file; inside a shift they come after its own."""
    seen = []

    def entering(_, args, kwargs):
        seen.append(args[0] if args else kwargs["hidden_states"])

    def leaving(_, __, output):
        seen.append(first(output))

    stack = blocks(model.hf, count)
    handles = [stack[0].register_forward_pre_hook(entering, with_kwargs=True)]
    handles += [block.register_forward_hook(leaving) for block in stack]
    with torch.no_grad():
        model.hf(**inputs)
    for handle in handles:
        handle.remove()
    assert len(seen) == count + 1
    return seen


def batch(model, texts=TEXTS, side="right"):
    return model.pad([model.tokenizer(text)["input_ids"] for text in texts], side)


def logits(model, inputs):
    with torch.no_grad():
        return model.hf(**inputs).logits


def random_vectors(layers=4, width=32, scale=0.5):
    generator = torch.Generator().manual_seed(3)
    drawn = {code: scale * torch.randn(layers, width, generator=generator) for code in SENTENCES}
    return LanguageVectors(drawn, 10, Pooling())


SHIFT = Shift(random_vectors(), AREA)


@contextlib.contextmanager
def by_hand(model, vectors, area, languages, dominant="en", count=3):
    """The formula of the paper, row by row, as hooks of this file."""

    def hook_of(layer, sign):
        def hook(_, __, output):
            moved = [
                h if k == dominant else h - sign * (vectors[k][layer] - vectors[dominant][layer])
                for h, k in zip(first(output), languages, strict=True)
            ]
            new = torch.stack(moved)
            return (new, *output[1:]) if isinstance(output, tuple) else new

        return hook

    stack = blocks(model.hf, count)
    a, b = area
    handles = [stack[a - 1].register_forward_hook(hook_of(a, 1))]
    handles.append(stack[b - 1].register_forward_hook(hook_of(b, -1)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def sentence_vector(model, text):
    """Mean over the positions but BOS and EOS of one unpadded text, layers 0..L, in float64."""
    ids = model.tokenizer(text)["input_ids"]
    states = streams(model, {"input_ids": torch.tensor([ids])})
    kept = ~np.isin(ids, [BOS_ID, EOS_ID])
    return np.stack(
        [s.reshape(len(ids), -1).float().numpy()[kept].mean(0, dtype=np.float64) for s in states]
    )


def expected_vectors(model):
    return {
        code: np.mean([sentence_vector(model, text) for text in texts], axis=0)
        for code, texts in SENTENCES.items()
    }


def assert_vectors(vectors, expected):
    assert list(vectors.vectors) == list(expected)
    for code, mean in expected.items():
        scale = np.sqrt((mean**2).mean(axis=1, keepdims=True))
        assert vectors[code].dtype == torch.float32
        assert (np.abs(vectors[code].numpy() - mean) <= 1e-5 * np.maximum(scale, 0.1)).all()


@pytest.fixture(params=tiny.DECODERS)
def decoder(request):
    return load_model(tiny.tiny_model(request.param), tiny.tiny_tokenizer())


# Language vectors


def test_vectors_are_float64_means_of_raw_sentence_vectors(model, tmp_path):
    expected = expected_vectors(model)
    unit = [sentence_vector(model, text)[1:] for text in SENTENCES["en"]]
    unit = np.mean([v / np.linalg.norm(v, axis=1, keepdims=True) for v in unit], axis=0)
    assert np.abs(unit - expected["en"][1:]).max() > 1e-2
    for batch_tokens in (1, 60, 4096):
        vectors = LanguageVectors.from_model(model, CORPUS, batch_tokens=batch_tokens)
        assert (vectors.n, vectors.n_layers) == (4, 3)
        assert_vectors(vectors, expected)
    store = collect_states(model, CORPUS, tmp_path / "store", progress=False)
    stored = LanguageVectors.from_store(store)
    assert (stored.n, stored.n_layers, stored.pooling) == (4, 3, Pooling())
    assert_vectors(stored, expected)


def test_a_doubled_corpus_does_not_double_the_vectors(model, tmp_path):
    twice = Corpus.from_texts({code: texts * 2 for code, texts in SENTENCES.items()})
    expected = expected_vectors(model)
    store = collect_states(model, twice, tmp_path / "store", progress=False)
    for doubled in (LanguageVectors.from_model(model, twice), LanguageVectors.from_store(store)):
        assert doubled.n == 8
        assert_vectors(doubled, expected)


def test_the_pooling_enters_the_vectors_and_stays_with_them(llama, tmp_path):
    plain = LanguageVectors.from_model(llama, CORPUS)
    pooling = Pooling(special_tokens=True, skip_first=True)
    other = LanguageVectors.from_model(llama, CORPUS, pooling)
    assert (plain["en"] - other["en"]).abs().max() > 1e-2
    store = collect_states(llama, CORPUS, tmp_path / "store", pooling=pooling, progress=False)
    stored = LanguageVectors.from_store(store)
    assert stored.pooling == other.pooling == pooling
    assert (stored["en"] - other["en"]).abs().max() < 1e-5


def test_a_bfloat16_model_is_averaged_over_1000_sentences_without_loss():
    hf = tiny.tiny_model("llama").bfloat16()
    model = load_model(hf, tiny.tiny_tokenizer())
    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    texts = ["".join(rng.choice(letters, 6)) for _ in range(1000)]
    vectors = LanguageVectors.from_model(model, Corpus.from_texts({"en": texts}))
    ids = torch.tensor([model.tokenizer(text)["input_ids"] for text in texts])
    parts = [
        torch.stack([s[:, 1:].double().mean(1) for s in streams(model, {"input_ids": some})])
        for some in ids.split(500)
    ]
    sentences = torch.cat(parts, dim=1)
    mean = sentences.mean(1)
    stalled = torch.zeros_like(mean, dtype=torch.bfloat16)
    for sentence in sentences.unbind(1):
        stalled += sentence.bfloat16()
    scale = mean.square().mean(1, keepdim=True).sqrt()
    assert ((vectors["en"] - mean).abs() <= 1e-3 * scale).all()
    assert ((stalled.double() / 1000 - mean).abs() > 0.05 * scale).any(1).all()


# The place of the shift


def test_the_state_at_layer_a_is_moved_by_the_vectors_of_layer_a(model):
    inputs = batch(model)
    before = streams(model, inputs)
    with SHIFT.applied(model, LANGUAGES):
        after = streams(model, inputs)
    a, b = AREA
    for layer in range(a):
        assert torch.equal(after[layer], before[layer])
    rows = before[a].reshape(len(TEXTS), -1, 32), after[a].reshape(len(TEXTS), -1, 32)
    for language, plain, shifted in zip(LANGUAGES, *rows, strict=True):
        expected = plain.double() - SHIFT.vectors[language][a] + SHIFT.vectors["en"][a]
        assert (shifted - expected).abs().max() <= 1e-6 * max(1, plain.abs().max())
    assert (after[b] - before[b]).abs().max() > 1e-2


def test_every_layer_is_that_of_the_formula(model):
    inputs = batch(model)
    with by_hand(model, SHIFT.vectors, AREA, LANGUAGES):
        expected = [*streams(model, inputs), logits(model, inputs)]
    with SHIFT.applied(model, LANGUAGES):
        seen = [*streams(model, inputs), logits(model, inputs)]
    assert (seen[-1] - logits(model, inputs)).abs().max() > 1e-2
    for one, other in zip(seen, expected, strict=True):
        assert (one - other).abs().max() <= 1e-5 * max(1, other.abs().max())


def test_measured_vectors_bring_the_mean_of_a_language_onto_the_dominant_mean(model):
    shift = Shift(LanguageVectors.from_model(model, CORPUS), AREA)
    a = AREA[0]
    means = {}
    for code in ("en", "es"):
        vectors = []
        for text in SENTENCES[code]:
            with shift.applied(model, code):
                states = streams(model, batch(model, [text]))
            ids = model.tokenizer(text)["input_ids"]
            kept = ~np.isin(ids, [BOS_ID, EOS_ID])
            vectors.append(states[a].reshape(-1, 32)[kept].double().mean(0))
        means[code] = torch.stack(vectors).mean(0)
    assert (means["es"] - means["en"]).abs().max() < 1e-5
    assert (shift.vectors["es"][a] - shift.vectors["en"][a]).abs().max() > 1e-2


def test_toward_and_back_with_the_same_vectors_is_the_identity():
    model = load_model(tiny.tiny_model("llama", num_hidden_layers=5), tiny.tiny_tokenizer())
    for block in model.hf.model.layers[1:3]:
        for weight in (block.self_attn.o_proj.weight, block.mlp.down_proj.weight):
            nn.init.zeros_(weight)
    drawn = random_vectors(layers=6).vectors
    same = {code: vectors[:1].repeat(6, 1) for code, vectors in drawn.items()}
    inputs = batch(model)
    before, plain = streams(model, inputs, 5), logits(model, inputs)
    with Shift(LanguageVectors(same, 10, Pooling()), (1, 3)).applied(model, LANGUAGES):
        after, shifted = streams(model, inputs, 5), logits(model, inputs)
    for layer in (1, 2):
        assert (after[layer] - before[layer])[0].abs().max() > 0.1
    for layer in (3, 4, 5):
        scale = before[layer].abs().max().clamp(min=1)
        assert (after[layer] - before[layer]).abs().max() <= 1e-6 * scale
    assert (shifted - plain).abs().max() <= 2e-6


# Rows and languages


def test_dominant_rows_of_a_mixed_batch_are_bit_identical(model):
    inputs = batch(model)
    plain = logits(model, inputs)
    with SHIFT.applied(model, LANGUAGES):
        shifted = logits(model, inputs)
    for row, language in enumerate(LANGUAGES):
        assert torch.equal(shifted[row], plain[row]) == (language == "en")
    with SHIFT.applied(model, "en"):
        assert torch.equal(logits(model, inputs), plain)


def test_a_mixed_batch_is_each_of_its_rows_alone(model):
    inputs = batch(model)
    with SHIFT.applied(model, LANGUAGES):
        together = logits(model, inputs)
    for row, (text, language) in enumerate(zip(TEXTS, LANGUAGES, strict=True)):
        with SHIFT.applied(model, language):
            alone = logits(model, batch(model, [text]))[0]
        error = (together[row, : len(alone)] - alone).abs().max()
        assert error <= 1e-5 * max(1, alone.abs().max())


def test_one_language_stands_for_every_row(llama):
    inputs = batch(llama)
    with SHIFT.applied(llama, "es"):
        one = logits(llama, inputs)
    with SHIFT.applied(llama, ["es"] * 4):
        assert torch.equal(logits(llama, inputs), one)
    with SHIFT.applied(llama, ["fi"] * 4):
        assert (logits(llama, inputs) - one).abs().max() > 1e-2


def test_the_bridge_is_shifted_like_the_plain_model(model):
    inputs = batch(model)
    kept = inputs["attention_mask"].bool()
    plain = logits(model, inputs)
    with SHIFT.applied(model, LANGUAGES):
        shifted = logits(model, inputs)
    with bridged(model) as bridge:
        with SHIFT.applied(bridge, LANGUAGES):
            seen = logits(model, inputs)
        after = logits(model, inputs)
    scale = max(1, shifted[kept].abs().max())
    assert (seen - shifted)[kept].abs().max() <= 1e-5 * scale
    assert (after - plain)[kept].abs().max() <= 1e-5 * scale
    assert (shifted - plain)[kept].abs().max() > 1e-2


def test_a_target_language_takes_the_place_of_the_dominant_one(model):
    inputs = batch(model)
    shift = Shift(SHIFT.vectors, AREA, "en", target="fi")
    before = streams(model, inputs)
    with shift.applied(model, LANGUAGES):
        after, shifted = streams(model, inputs), logits(model, inputs)
    plain = logits(model, inputs)
    for row, language in enumerate(LANGUAGES):
        assert torch.equal(shifted[row], plain[row]) == (language in ("en", "fi"))
    move = (after[1] - before[1]).reshape(len(TEXTS), -1, 32)[0]
    assert (move - (shift.vectors["fi"][1] - shift.vectors["es"][1])).abs().max() < 1e-5
    assert torch.equal(shift.delta("es", 2), shift.vectors["es"][2] - shift.vectors["fi"][2])
    assert shift.delta("es", 3) is shift.delta("fi", 1) is None


# Generation


def generate(model, inputs, **options):
    settings = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False, **options}
    return model.hf.generate(**inputs, **settings, return_dict_in_generate=True, output_logits=True)


def test_cached_generation_is_uncached_generation(decoder):
    inputs = batch(decoder, side="left")
    with SHIFT.applied(decoder, LANGUAGES):
        cached = generate(decoder, inputs, use_cache=True)
        whole = generate(decoder, inputs, use_cache=False)
    plain = generate(decoder, inputs)
    assert torch.equal(cached.sequences, whole.sequences)
    for one, other in zip(cached.logits, whole.logits, strict=True):
        assert (one - other).abs().max() <= 1e-5 * max(1, other.abs().max())
    assert (cached.logits[0] - plain.logits[0])[[0, 2, 3]].abs().amax(1).min() > 1e-2
    assert torch.equal(cached.sequences[1], plain.sequences[1])


def test_left_padded_generation_is_unpadded_generation(decoder):
    with SHIFT.applied(decoder, LANGUAGES):
        padded = generate(decoder, batch(decoder, side="left"))
    for row, (text, language) in enumerate(zip(TEXTS, LANGUAGES, strict=True)):
        with SHIFT.applied(decoder, language):
            alone = generate(decoder, batch(decoder, [text]))
        assert torch.equal(padded.sequences[row, -6:], alone.sequences[0, -6:])
        for one, other in zip(padded.logits, alone.logits, strict=True):
            assert (one[row] - other[0]).abs().max() <= 1e-5 * max(1, other.abs().max())


def test_beams_keep_the_language_of_their_prompt(decoder):
    options = {"num_beams": 2, "num_return_sequences": 2, "output_scores": True}
    texts, languages = ("abc", "xyz"), ("es", "fi")
    with SHIFT.applied(decoder, languages):
        both = generate(decoder, batch(decoder, texts), **options)
        with refused("4 rows", "2 languages"):
            logits(decoder, batch(decoder))
    alone = []
    for text, language in zip(texts, languages, strict=True):
        with SHIFT.applied(decoder, language):
            alone.append(generate(decoder, batch(decoder, [text]), **options))
    assert torch.equal(both.sequences, torch.cat([one.sequences for one in alone]))
    scores = torch.cat([one.sequences_scores for one in alone])
    assert (both.sequences_scores - scores).abs().max() < 1e-4
    with SHIFT.applied(decoder, languages[::-1]):
        swapped = generate(decoder, batch(decoder, texts), **options)
    assert (both.sequences_scores - swapped.sequences_scores).abs().max() > 1e-3


def test_right_padded_generation_is_refused_with_its_row(llama):
    inputs = batch(llama, ("abcd", "abcd", "x", "y"))
    with SHIFT.applied(llama, LANGUAGES):
        with refused("row 2", "right-padded"):
            llama.hf.generate(**inputs, max_new_tokens=2)
        with refused("row 2", "right-padded"):
            llama.hf.generate(inputs["input_ids"], max_new_tokens=2)
        with refused("row 2", "right-padded"):
            llama.hf.generate(input_ids=inputs["input_ids"], max_new_tokens=2)
        left = batch(llama, ("abcd", "abcd", "x", "y"), side="left")
        assert llama.hf.generate(**left, max_new_tokens=2).shape[0] == 4
        assert llama.hf.generate(left["input_ids"], max_new_tokens=2).shape[0] == 4


# Hooks and gradients


def hook_count(hf):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in hf.modules())


def test_hooks_are_gone_after_the_context_and_after_an_error(decoder):
    hf, inputs = decoder.hf, batch(decoder, side="left")
    before, plain, method = hook_count(hf), logits(decoder, inputs), type(hf).generate
    with SHIFT.applied(decoder, LANGUAGES):
        assert hook_count(hf) == before + 2
        assert "generate" in vars(hf)
        generate(decoder, inputs)
    assert hook_count(hf) == before
    with pytest.raises(KeyError, match="of the user"), SHIFT.applied(decoder, LANGUAGES):
        raise KeyError("of the user")
    with refused("4 rows"), SHIFT.applied(decoder, LANGUAGES[:3]):
        logits(decoder, inputs)
    assert hook_count(hf) == before
    assert "generate" not in vars(hf)
    assert hf.generate.__func__ is method
    assert torch.equal(logits(decoder, inputs), plain)


def test_hooks_are_gone_when_a_generator_is_closed_inside_the_context(llama):
    inputs = batch(llama)
    before, plain = hook_count(llama.hf), logits(llama, inputs)

    def rows():
        with SHIFT.applied(llama, LANGUAGES):
            yield from logits(llama, inputs)

    generator = rows()
    assert not torch.equal(next(generator), plain[0])
    assert hook_count(llama.hf) == before + 2
    generator.close()
    assert hook_count(llama.hf) == before
    assert torch.equal(logits(llama, inputs), plain)


def test_hooks_of_the_bridge_are_gone_after_an_error(llama):
    inputs = batch(llama)
    with bridged(llama) as bridge:
        plain = logits(llama, inputs)
        with pytest.raises(KeyError), SHIFT.applied(bridge, LANGUAGES):
            assert not torch.equal(logits(llama, inputs), plain)
            raise KeyError
        assert torch.equal(logits(llama, inputs), plain)


def gradients(model, inputs):
    model.hf.zero_grad()
    model.hf(**inputs).logits.square().mean().backward()
    return {n: p.grad.clone() for n, p in model.hf.named_parameters() if p.grad is not None}


def test_gradients_flow_through_the_shift(model):
    inputs = batch(model)
    plain = gradients(model, inputs)
    with by_hand(model, SHIFT.vectors, AREA, LANGUAGES):
        expected = gradients(model, inputs)
    with SHIFT.applied(model, LANGUAGES):
        seen = gradients(model, inputs)
    assert seen.keys() == expected.keys() == plain.keys()
    for name, gradient in seen.items():
        scale = max(1e-3, expected[name].abs().max())
        assert (gradient - expected[name]).abs().max() <= 1e-4 * scale, name
    first_weight = next(n for n, p in seen.items() if "embed" in n or "wte" in n)
    assert seen[first_weight].abs().max() > 0
    assert (seen[first_weight] - plain[first_weight]).abs().max() > 1e-5


def test_the_gradient_of_the_embeddings_is_that_of_finite_differences():
    model = load_model(tiny.tiny_model("gpt2").double(), tiny.tiny_tokenizer())
    ids = batch(model, ["abc"])["input_ids"]
    embedded = model.hf.get_input_embeddings()(ids).detach().requires_grad_()
    direction = torch.randn(embedded.shape, generator=torch.Generator().manual_seed(0)).double()

    def value(states):
        with SHIFT.applied(model, "es"):
            return model.hf(inputs_embeds=states).logits.square().mean()

    value(embedded).backward()
    step = 1e-5 * direction
    numeric = (value(embedded.detach() + step) - value(embedded.detach() - step)) / 2e-5
    analytic = (embedded.grad * direction).sum()
    assert abs(analytic) > 1e-3
    assert abs(numeric - analytic) < 1e-6 * abs(analytic) + 1e-9


# What is refused


@pytest.mark.parametrize("area", [(0, 1), (1, 3), (2, 2), (2, 1), (-1, 2)])
def test_an_area_outside_the_model_is_refused(area):
    with refused(f"{area[0]}-{area[1]}", "1..2", "L = 3"):
        Shift(random_vectors(), area)


def test_a_language_without_vectors_is_refused_by_name(llama):
    for options in ({"dominant": "de"}, {"target": "de"}):
        with refused("'de'", "en, es, fi"):
            Shift(random_vectors(), AREA, **options)
    before = hook_count(llama.hf)
    with refused("'de'"), SHIFT.applied(llama, ["en", "de"]):
        pass
    assert hook_count(llama.hf) == before


@pytest.mark.parametrize("languages", [LANGUAGES[:3], LANGUAGES[:2], (*LANGUAGES, "es")])
@pytest.mark.parametrize("dominant_only", [False, True])
def test_languages_must_be_as_many_as_the_rows(llama, languages, dominant_only):
    languages = ("en",) * len(languages) if dominant_only else languages
    inputs = batch(llama)
    with refused("4 rows", f"{len(languages)} languages"), SHIFT.applied(llama, languages):
        logits(llama, inputs)
    with bridged(llama) as bridge, refused("4 rows"), SHIFT.applied(bridge, languages):
        logits(llama, inputs)


# Files


def test_a_saved_shift_comes_back_bit_for_bit(tmp_path):
    pooling = Pooling(special_tokens=True, skip_first=True)
    vectors = LanguageVectors(random_vectors().vectors, 123, pooling)
    shift = Shift(vectors, AREA, "es", target="fi")
    shift.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shift.json", "shift.safetensors"]
    again = Shift.load(tmp_path)
    assert (again.area, again.dominant, again.target) == (AREA, "es", "fi")
    assert (again.vectors.n, again.vectors.pooling) == (123, pooling)
    assert set(again.vectors.vectors) == set(vectors.vectors)
    for code in vectors.vectors:
        assert torch.equal(again.vectors[code], vectors[code])
        assert again.vectors[code].dtype == torch.float32


@pytest.mark.parametrize(
    "facts",
    [
        "{",
        "[]",
        '"x"',
        '{"area": [1, 2]}',
        '{"area": [1], "dominant": "en", "target": null}',
        '{"area": ["a", 2], "dominant": "en", "target": null}',
        '{"area": 3, "dominant": "en", "target": null}',
        "\xff",
    ],
)
def test_a_damaged_shift_file_is_refused_by_its_folder(tmp_path, facts):
    SHIFT.save(tmp_path)
    (tmp_path / "shift.json").write_bytes(facts.encode("latin-1"))
    with refused(str(tmp_path), "shift.json"):
        Shift.load(tmp_path)


def test_a_shift_file_that_does_not_fit_its_vectors_is_refused(tmp_path):
    SHIFT.save(tmp_path)
    facts = json.loads((tmp_path / "shift.json").read_text())
    (tmp_path / "shift.json").write_text(json.dumps({**facts, "area": [2, 5]}))
    with refused("2-5"):
        Shift.load(tmp_path)
    (tmp_path / "shift.json").write_text(json.dumps({**facts, "dominant": "de"}))
    with refused("'de'"):
        Shift.load(tmp_path)
    (tmp_path / "shift.json").unlink()
    with refused("shift.json"):
        Shift.load(tmp_path)


def test_damaged_vectors_are_refused_by_their_path(tmp_path):
    from safetensors.torch import save_file

    SHIFT.save(tmp_path)
    path = tmp_path / "shift.safetensors"
    whole = path.read_bytes()
    for content in (whole[:-10], whole[:20], b"", b"not vectors at all"):
        path.write_bytes(content)
        with refused("shift.safetensors", "does not hold language vectors"):
            Shift.load(tmp_path)
    save_file({"en": torch.zeros(4, 32)}, path)
    with refused("shift.safetensors"):
        LanguageVectors.load(path)
    path.unlink()
    with refused("shift.safetensors"):
        Shift.load(tmp_path)


# Controls


def test_randomised_vectors_keep_the_distance_and_change_the_direction():
    vectors = random_vectors(width=512)
    random = vectors.randomised("en", seed=0)
    assert torch.equal(random["en"], vectors["en"])
    assert (random.n, random.pooling) == (vectors.n, vectors.pooling)
    moves = {}
    for code in ("es", "fi"):
        old, new = vectors[code] - vectors["en"], random[code] - vectors["en"]
        assert torch.allclose(new.norm(dim=-1), old.norm(dim=-1), rtol=1e-5)
        assert torch.cosine_similarity(old, new).abs().max() < 0.25
        moves[code] = new
    assert torch.cosine_similarity(moves["es"], moves["fi"]).abs().max() < 0.25
    assert torch.equal(vectors.randomised("en", seed=0)["es"], random["es"])
    other = vectors.randomised("en", seed=1)["es"] - vectors["en"]
    assert torch.cosine_similarity(other, moves["es"]).abs().max() < 0.25


def test_an_exact_shift_zeroes_the_mean_term_and_leaves_the_log_term():
    hf = tiny.tiny_model("llama").double()
    model = load_model(hf, tiny.tiny_tokenizer())
    rng = np.random.default_rng(3)
    letters = {"en": list("abcdefgh "), "es": list("ijklmnop ")}
    texts = {
        code: ["".join(rng.choice(abc, 12)) for _ in range(50)] for code, abc in letters.items()
    }

    def sentence_vectors(code, shift=None):
        vectors = []
        for text in texts[code]:
            inputs = model.pad([model.tokenizer(text, add_special_tokens=False)["input_ids"]])
            with shift.applied(model, code) if shift else contextlib.nullcontext():
                vectors.append([state[0].mean(dim=0) for state in streams(model, inputs)])
        return torch.stack([torch.stack(layers) for layers in vectors])

    own = {code: sentence_vectors(code) for code in texts}
    means = {code: states.mean(dim=0) for code, states in own.items()}
    shift = Shift(LanguageVectors(means, 50, Pooling()), AREA)
    moved = sentence_vectors("es", shift)
    a = AREA[0]
    before, after, dominant = (summarise(x[:, a]) for x in (own["es"], moved, own["en"]))
    assert mean_distance(before, dominant) > 1e-2
    assert mean_distance(after, dominant) < 1e-12
    log_term = affine_invariant(before, dominant)
    assert abs(affine_invariant(after, dominant) - log_term) < 1e-10 * log_term


def test_a_shift_that_was_read_is_written_with_the_same_bytes(tmp_path):
    vectors = {code: torch.randn(4, 8) for code in ("fi", "en", "es")}
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
    Shift(LanguageVectors(vectors, 10, Pooling()), (1, 2)).save(one)
    Shift.load(one).save(two)
    for name in ("shift.json", "shift.safetensors"):
        assert (two / name).read_bytes() == (one / name).read_bytes()
