"""The ShifCon step by hand: its loss, its arms, and the vectors that follow the model."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from trainers import (
    AREA,
    CORPUS,
    RECORDS,
    TEXTS,
    TRAINED,
    At,
    a_model,
    a_trainer,
    same,
    trained,
    weights,
)

from shiftlens.language_vectors import LanguageVectors
from shiftlens.pooling import Pooling
from shiftlens.tokens import tokenize
from shiftlens.training.batches import TRANSLATION_MARK
from shiftlens.training.sampling import PairSampler

pytestmark = pytest.mark.usefixtures("one_thread")


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


def test_two_batches_of_four_are_one_batch_of_eight(tmp_path):
    options = {"steps": 3, "learning_rate": 0.05, "optim": "sgd", "max_grad_norm": 0.0}
    eight = trained(tmp_path / "8", "msft", batch_size=8, records=RECORDS[:8], **options)
    two = trained(
        tmp_path / "2x4", "msft", batch_size=4, accumulation=2, records=RECORDS[:8], **options
    )
    four = trained(tmp_path / "4", "msft", batch_size=4, records=RECORDS[:8], **options)
    assert max((eight[name] - two[name]).abs().max() for name in eight) <= 1e-5
    assert max((eight[name] - four[name]).abs().max() for name in eight) > 1e-3
