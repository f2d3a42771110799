"""Which token is of which language, against a Counter."""

from collections import Counter

import numpy as np
import pytest
import torch
from by_hand import load
from hypothesis import given, settings
from hypothesis import strategies as st

import shiftlens as sl
from shiftlens.corpora import Corpus
from shiftlens.errors import ShiftlensError
from shiftlens.lens import AMBIGUOUS, UNSEEN, TokenLanguages

MODEL = load()
LETTERS = st.text("abcdefgh", min_size=1, max_size=12)


def counted(texts, threshold, least):
    """The group of each token seen, by a Counter over characters (a token each)."""
    counts = {code: Counter("".join(own)) for code, own in texts.items()}
    shares = {code: {t: n / sum(c.values()) for t, n in c.items()} for code, c in counts.items()}
    groups = {}
    for token in set().union(*counts.values()):
        total = sum(own.get(token, 0) for own in shares.values())
        best = max(shares, key=lambda code: shares[code].get(token, 0))
        clear = shares[best].get(token, 0) / total >= threshold
        seen = sum(own[token] for own in counts.values())
        groups[token] = UNSEEN if seen < least else best if clear else AMBIGUOUS
    return groups


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.tuples(LETTERS, LETTERS, LETTERS), min_size=1, max_size=4),
    threshold=st.sampled_from([0.51, 0.7, 0.9, 1.0]),
    least=st.integers(1, 4),
)
def test_the_groups_are_those_of_a_counter(texts, threshold, least):
    columns = dict(zip(("en", "es", "fi"), map(list, zip(*texts, strict=True)), strict=True))
    groups = counted(columns, threshold, least)
    lacking = [code for code in columns if code not in groups.values()]
    corpus = Corpus.from_texts(columns)
    if lacking:
        with pytest.raises(ShiftlensError, match=f"no token is of language '{lacking[0]}' alone"):
            TokenLanguages.of_corpus(MODEL, corpus, threshold, least)
        return
    found = TokenLanguages.of_corpus(MODEL, corpus, threshold, least)
    names = [found.groups[number] for number in found.group]
    assert len(names) == 120
    ids = {token: MODEL.tokenizer.convert_tokens_to_ids(token) for token in groups}
    assert {token: names[ids[token]] for token in groups} == groups
    others = [name for number, name in enumerate(names) if number not in ids.values()]
    assert set(others) == {UNSEEN}
    assert found.sizes == {name: names.count(name) for name in found.groups}


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40))
def test_masses_are_sums_over_groups_and_sum_to_one(seed, groups):
    rng = np.random.default_rng(seed)
    group = rng.integers(groups + 2, size=300)
    tokens = TokenLanguages(tuple(f"l{n}" for n in range(groups)), torch.from_numpy(group))
    probabilities = rng.dirichlet(np.full(300, 0.05), size=4)
    found = tokens.mass(torch.from_numpy(probabilities)).numpy()
    for number in range(groups + 2):
        np.testing.assert_allclose(
            found[:, number], probabilities[:, group == number].sum(1), atol=1e-9
        )
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-9)


def test_special_tokens_are_never_a_languages_own():
    demo = sl.load_model("demo")
    found = TokenLanguages.of_corpus(demo, sl.load_corpus("demo"))
    unseen = found.groups.index(UNSEEN)
    assert all(found.group[token] == unseen for token in demo.tokenizer.all_special_ids)
    assert len(found.group) == demo.hf.get_output_embeddings().weight.shape[0]
    for code, word in {"en": "number", "fi": "luku", "de": "Zahl"}.items():
        ids = demo.tokenizer(f" {word}", add_special_tokens=False)["input_ids"]
        assert [found.groups[found.group[token]] for token in ids] == [code]


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        ({"en": ["a"], "es": ["b"]}, {"threshold": 0.5}, "threshold is 0.5"),
        ({"en": ["a"], "es": ["b"]}, {"threshold": 1.5}, "threshold is 1.5"),
        ({"en": ["a"], "es": ["b"]}, {"least": 0}, "least is 0"),
        ({"en": ["a"]}, {}, "'en' alone; give at least two"),
        ({"en": ["aab"], "es": ["aab"]}, {}, "no token is of language 'en' alone"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(texts, options, message):
    with pytest.raises(ShiftlensError, match=message):
        TokenLanguages.of_corpus(MODEL, Corpus.from_texts(texts), **options)
