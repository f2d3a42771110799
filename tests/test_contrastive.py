"""The contrastive losses against numpy, and the pass that they read against a full one."""

import numpy as np
import pytest
import tiny
import torch
from scipy.special import log_softmax

from shiftlens.corpora import Corpus
from shiftlens.errors import ShiftlensError
from shiftlens.language_vectors import LanguageVectors
from shiftlens.loading import load_model
from shiftlens.pooling import Pooling
from shiftlens.shift import Shift
from shiftlens.tokens import tokenize
from shiftlens.training.contrastive import (
    FORMS,
    contrast_states,
    contrastive_loss,
    detached_l2,
    infonce,
    recentred_infonce,
)
from shiftlens.training.sampling import PairBatch, PairSampler

TEXTS = {
    "en": [f"the {n} cats of {'abcdefghijkl'[n]}" + " sat" * (n % 3) for n in range(12)],
    "es": [f"los {n} gatos de {'abcdefghijkl'[n]}" + "." * (n % 4) for n in range(12)],
    "fi": [f"{n} kissaa {'abcdefghijkl'[n]}" for n in range(12)],
}
CORPUS = Corpus.from_texts(TEXTS)
BLOCKS = 5
AREA = (2, 4)


pytestmark = pytest.mark.usefixtures("one_thread")


def llama_of(blocks=BLOCKS, **options):
    return load_model(
        tiny.tiny_model("llama", num_hidden_layers=blocks, **options), tiny.tiny_tokenizer()
    )


def a_shift(area=AREA, blocks=BLOCKS):
    generator = torch.Generator().manual_seed(5)
    vectors = {code: 0.5 * torch.randn(blocks + 1, 32, generator=generator) for code in TEXTS}
    return Shift(LanguageVectors(vectors, 10, Pooling()), area)


def sampler_of(model, pairs=4, seed=0, step=0):
    return PairSampler(tokenize(model, CORPUS, Pooling()), "en", pairs, seed, step)


def sides(n=6, width=9, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, width, generator=generator, dtype=torch.float64) for _ in range(2)]


def infonce_by_hand(dominant, other, temperature):
    e, t = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (dominant, other))
    z = e @ t.T / temperature
    forward, backward = log_softmax(z, axis=1), log_softmax(z, axis=0)
    return -(np.diag(forward).mean() + np.diag(backward).mean()) / 2


# The losses


@pytest.mark.parametrize("temperature", [0.05, 0.2, 1.0])
def test_infonce_is_the_symmetric_cross_entropy_of_the_cosines(temperature):
    for seed in range(3):
        e, t = sides(seed=seed)
        expected = infonce_by_hand(e.numpy(), t.numpy(), temperature)
        assert abs(infonce(e, t, temperature).item() - expected) < 1e-12


def test_the_default_temperature_is_a_fifth():
    e, t = sides()
    assert infonce(e, t) == infonce(e, t, 0.2) != infonce(e, t, 0.1)


def test_permuting_the_pairs_raises_infonce():
    e, noise = sides()
    t = e + 0.1 * noise
    right = infonce(e, t)
    for seed in range(5):
        order = torch.randperm(len(t), generator=torch.Generator().manual_seed(seed))
        assert not torch.equal(order, torch.arange(len(t)))
        assert infonce(e, t[order]) > right + 1
        assert torch.allclose(infonce(e[order], t[order]), right)


def test_infonce_does_not_care_which_side_is_which_nor_for_lengths():
    e, t = sides()
    loss = infonce(e, t)
    assert torch.allclose(infonce(t, e), loss, rtol=1e-12)
    lengths = torch.linspace(0.1, 50, len(e), dtype=torch.float64)[:, None]
    assert torch.allclose(infonce(e * lengths, t / lengths), loss, rtol=1e-12)
    assert not torch.allclose(infonce(e + 1, t), loss)


@pytest.mark.parametrize("n", [2, 7, 32])
def test_infonce_is_log_n_where_nothing_is_told_apart(n):
    e, _ = sides(n)
    same = torch.ones(n, 9, dtype=torch.float64)
    for pair in ((same, same), (e, same), (same, e)):
        loss = infonce(*pair).item()
        if pair[0] is pair[1]:
            assert abs(loss - np.log(n)) < 1e-12
        else:
            assert loss > np.log(n)
    assert infonce(torch.eye(n), torch.eye(n), 0.01) < 1e-6


def test_recentred_infonce_moves_the_other_side_onto_the_dominant_mean():
    e, t = sides()
    moved = t.numpy() - t.numpy().mean(0) + e.numpy().mean(0)
    expected = infonce_by_hand(e.numpy(), moved, 1.0)
    assert abs(recentred_infonce(e, t).item() - expected) < 1e-12
    assert abs(recentred_infonce(e, t, 0.3).item() - infonce_by_hand(e.numpy(), moved, 0.3)) < 1e-12
    assert abs(recentred_infonce(e, t + 100).item() - expected) < 1e-10
    assert abs(infonce(e, t, 1.0).item() - expected) > 1e-3


def test_detached_l2_is_the_share_of_the_dominant_spread():
    e, t = sides()
    a, b = e.numpy(), t.numpy()
    expected = ((b - a) ** 2).sum() / ((a - a.mean(0)) ** 2).sum()
    assert abs(detached_l2(e, t).item() - expected) < 1e-12
    assert detached_l2(e, e.clone()) == 0
    assert torch.allclose(detached_l2(10 * e, 10 * t), detached_l2(e, t))


def test_detached_l2_pulls_the_other_side_only():
    e, t = (side.requires_grad_() for side in sides())
    detached_l2(e, t).backward()
    assert e.grad is None
    spread = (e - e.mean(0)).square().sum()
    assert torch.allclose(t.grad, 2 * (t - e) / spread)
    for loss in (infonce, recentred_infonce):
        loss(e, t).backward()
        assert e.grad.abs().max() > 0
        e.grad = None


# The pass


def full_states(model, batch, shift):
    """Shifted layers 1..L of the two sides by a full unpadded pass of each text, with graph."""
    stack = model.hf.get_submodule(model.blocks_path)
    rows = []
    for language, ids in zip(batch.languages, batch.ids, strict=True):
        seen = []

        def keep(_, __, output, language=language, seen=seen):
            layer = len(seen) + 1
            state = output[0] if isinstance(output, tuple) else output
            if shift and language != "en" and layer in shift.area:
                sign = 1 if layer == shift.area[0] else -1
                vectors = shift.vectors
                state = state - sign * (vectors[language][layer] - vectors["en"][layer])
            seen.append(state.reshape(-1, 32))
            return (state, *output[1:]) if isinstance(output, tuple) else state

        handles = [block.register_forward_hook(keep) for block in stack]
        model.hf(torch.tensor([ids]))
        for handle in handles:
            handle.remove()
        rows.append(seen)
    return rows


@pytest.fixture(params=tiny.ARCHITECTURES)
def five_blocks(request):
    name = request.param
    count = next(
        (key for key in ("n_layer", "num_layers") if key in tiny.OVERRIDES[name]),
        "num_hidden_layers",
    )
    return load_model(tiny.tiny_model(name, **{count: BLOCKS}), tiny.tiny_tokenizer())


def test_contrasted_states_are_those_of_the_shifted_full_pass(five_blocks):
    batch, shift = next(sampler_of(five_blocks)), a_shift()
    with torch.no_grad():
        expected = full_states(five_blocks, batch, shift)
        layers = range(*AREA)
        states = contrast_states(five_blocks, batch, layers, shift.action(batch.languages))
        plain = contrast_states(five_blocks, batch, layers, None)
    assert len(states) == 2
    for layer, (means, last), (plain_means, _) in zip(layers, states, plain, strict=True):
        for row in range(8):
            full = expected[row][layer - 1]
            scale = max(1, full.abs().max())
            assert (means[row] - full[1:].mean(0)).abs().max() <= 1e-5 * scale
            assert (last[row] - full[-1]).abs().max() <= 1e-5 * scale
        assert torch.equal(means[:4], plain_means[:4])
        assert (means[4:] - plain_means[4:]).abs().amax(1).min() > 1e-2


def test_unshifted_states_are_those_of_the_plain_pass(five_blocks):
    batch = next(sampler_of(five_blocks))
    with torch.no_grad():
        expected = full_states(five_blocks, batch, None)
        states = contrast_states(five_blocks, batch, [1, 3], None)
    for layer, (means, _) in zip([1, 3], states, strict=True):
        for row in range(8):
            full = expected[row][layer - 1]
            assert (means[row] - full[1:].mean(0)).abs().max() <= 1e-5 * max(1, full.abs().max())


def test_the_loss_is_the_mean_over_the_layers_from_a_to_before_b():
    model, shift = llama_of(), a_shift()
    batch = next(sampler_of(model))
    action = shift.action(batch.languages)
    with torch.no_grad():
        rows = full_states(model, batch, shift)
        plain = full_states(model, batch, None)

        def loss(form):
            return contrastive_loss(model, batch, AREA, form, action, temperature=0.3).item()

        seen = {form: loss(form) for form in FORMS}

    def by_layer(rows, layer):
        means = np.stack([row[layer - 1][1:].double().mean(0).numpy() for row in rows])
        last = np.stack([row[layer - 1][-1].double().numpy() for row in rows])
        return means, last

    infonces, recentred, l2, anchored = [], [], [], []
    for layer in range(1, BLOCKS + 1):
        means, last = by_layer(rows, layer)
        infonces.append(infonce_by_hand(means[:4], means[4:], 0.3))
        for side in (means, last):
            e, t = side[:4], side[4:]
            l2.append(((t - e) ** 2).sum() / ((e - e.mean(0)) ** 2).sum())
            anchored.append(infonce_by_hand(e, t, 0.3))
        e, t = np.split(by_layer(plain, layer)[0], 2)
        recentred.append(infonce_by_hand(e, t - t.mean(0) + e.mean(0), 0.3))
    assert abs(seen["infonce"] - np.mean(infonces[1:3])) < 1e-5
    assert abs(seen["recentred"] - np.mean(recentred[1:3])) < 1e-5
    assert abs(seen["l2"] - np.mean(l2[2:6])) < 1e-5
    assert abs(seen["anchored"] - np.mean(anchored[2:6])) < 1e-5
    for wrong in (slice(0, 2), slice(1, 4), slice(2, 3), slice(2, 4), slice(1, 2)):
        assert abs(np.mean(infonces[wrong]) - seen["infonce"]) > 1e-4


def gradient(model, loss):
    model.hf.zero_grad()
    loss.backward()
    return torch.cat(
        [
            (torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1).clone()
            for p in model.hf.parameters()
        ]
    )


def test_the_gradient_is_that_of_the_shifted_pass_and_not_of_the_plain_one():
    model, shift = llama_of(), a_shift()
    batch = next(sampler_of(model))
    rows = full_states(model, batch, shift)
    losses = []
    for layer in range(*AREA):
        means = torch.stack([row[layer - 1][1:].mean(0) for row in rows])
        losses.append(infonce(means[:4], means[4:], 0.2))
    expected = gradient(model, torch.stack(losses).mean())
    seen = gradient(
        model, contrastive_loss(model, batch, AREA, shift=shift.action(batch.languages))
    )
    plain = gradient(model, contrastive_loss(model, batch, AREA))
    assert (seen - expected).norm() < 1e-4 * expected.norm()
    assert (plain - expected).norm() > 0.1 * expected.norm()


def test_no_gradient_of_the_anchored_form_is_the_dominant_side_s():
    model, shift = llama_of(), a_shift()
    batch = next(sampler_of(model))
    rows = full_states(model, batch, shift)
    losses = []
    for layer in range(*AREA):
        means = torch.stack([row[layer - 1][1:].mean(0) for row in rows])
        last = torch.stack([row[layer - 1][-1] for row in rows])
        losses += [infonce(side[:4].detach(), side[4:], 0.2) for side in (means, last)]
    expected = gradient(model, torch.stack(losses).mean())
    action = shift.action(batch.languages)
    seen = gradient(model, contrastive_loss(model, batch, AREA, "anchored", action))
    assert (seen - expected).norm() < 1e-4 * expected.norm()


def test_the_pass_ends_at_the_last_contrasted_layer():
    model, shift = llama_of(), a_shift()
    batch = next(sampler_of(model))
    calls = []
    watched = {f"block {n}": block for n, block in enumerate(model.hf.model.layers, 1)}
    watched |= {"norm": model.hf.model.norm, "unembedding": model.hf.lm_head}
    handles = [
        module.register_forward_pre_hook(lambda *_, name=name: calls.append(name))
        for name, module in watched.items()
    ]
    model.hf(**model.pad(batch.ids))
    assert calls == list(watched)
    for form in FORMS:
        for action in (shift.action(batch.languages), None):
            calls.clear()
            contrastive_loss(model, batch, AREA, form, action)
            assert calls == ["block 1", "block 2", "block 3"]
    calls.clear()
    contrastive_loss(model, batch, (1, 2))
    assert calls == ["block 1"]
    for handle in handles:
        handle.remove()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.hf.modules())


def test_hooks_are_gone_after_an_error_in_the_pass(llama):
    batch = next(sampler_of(llama))
    wrong = a_shift((1, 2), 3).action(batch.languages[:3])
    with pytest.raises(ShiftlensError, match="3 languages"):
        contrastive_loss(llama, batch, (1, 2), shift=wrong)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in llama.hf.modules())


# The pairs


def text_of(model, ids):
    return model.tokenizer.decode(ids, skip_special_tokens=True)


def test_pairs_are_translations_with_the_dominant_side_first(llama):
    batch = next(sampler_of(llama, pairs=5))
    assert isinstance(batch, PairBatch) and len(batch) == 5
    assert batch.languages[:5] == ("en",) * 5 and "en" not in batch.languages[5:]
    texts = [text_of(llama, ids) for ids in batch.ids]
    for n in range(5):
        sentence = TEXTS["en"].index(texts[n])
        assert texts[5 + n] == TEXTS[batch.languages[5 + n]][sentence]
    assert [len(flags) for flags in batch.pooled] == [len(ids) for ids in batch.ids]
    assert all(flags[0] is False and all(flags[1:]) for flags in batch.pooled)


def test_every_epoch_visits_each_sentence_once_in_another_order(llama):
    sampler = sampler_of(llama, pairs=4)
    orders, languages = [], []
    for _ in range(6):
        seen = []
        for _ in range(3):
            batch = next(sampler)
            texts = [text_of(llama, ids) for ids in batch.ids[:4]]
            assert len(set(texts)) == 4
            seen += texts
            languages += batch.languages[4:]
        assert sorted(seen) == sorted(TEXTS["en"])
        orders.append(tuple(seen))
    assert len(set(orders)) == 6
    assert {"es", "fi"} == set(languages)
    assert 15 < languages.count("es") < 57


def test_sentences_left_over_by_an_epoch_come_in_another(llama):
    sampler = sampler_of(llama, pairs=5)
    visited = set()
    for _ in range(8):
        seen = [text_of(llama, ids) for _ in range(2) for ids in next(sampler).ids[:5]]
        assert len(set(seen)) == 10
        visited |= set(seen)
    assert visited == set(TEXTS["en"])


def test_the_step_is_the_whole_state_of_the_sampler(llama):
    whole = sampler_of(llama, seed=3)
    batches = [next(whole) for _ in range(8)]
    assert whole.step == 8
    for start in (0, 2, 5):
        resumed = sampler_of(llama, seed=3, step=start)
        assert [next(resumed) for _ in range(8 - start)] == batches[start:]
    rewound = sampler_of(llama, seed=3, step=7)
    rewound.step = 1
    assert next(rewound) == batches[1]
    assert batches[0] not in batches[1:]
    other = sampler_of(llama, seed=4)
    assert [next(other) for _ in range(8)] != batches


def test_a_batch_can_be_of_one_language(llama):
    tokens = tokenize(llama, CORPUS, Pooling())
    sampler = PairSampler(tokens, "en", 3, 0, one_language=True)
    seen = [set(next(sampler).languages[3:]) for _ in range(20)]
    assert all(len(languages) == 1 for languages in seen)
    assert set().union(*seen) == set(tokens) - {"en"}


@pytest.mark.parametrize("pairs", [0, 1, 13])
def test_a_batch_the_sentences_cannot_fill_is_refused(llama, pairs):
    with pytest.raises(ShiftlensError, match=f"{pairs} pairs .*12"):
        sampler_of(llama, pairs=pairs)
    assert len(next(sampler_of(llama, pairs=12))) == 12
