"""What cannot be patched, and what the user is told."""

import numpy as np
import pytest
import tiny
import torch

from shiftlens import LanguageSubspace
from shiftlens.errors import ShiftlensError
from shiftlens.loading import load_model
from shiftlens.patching import patch, patched_answer

CLEAN, CORRUPT = "hello, a cat ", "no, he is "
ANSWERS = ["e", "h"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clean": " "}, "clean text is empty"),
        ({"corrupt": ""}, "corrupt text is empty"),
        ({"corrupt": "a" * 70}, "corrupt text has 71 tokens but the model has 64"),
        ({"component": "mlp"}, "unknown component 'mlp'"),
        ({"metric": "loss"}, "unknown metric 'loss'"),
        ({"align": "middle"}, "unknown alignment 'middle'"),
        ({"align": "positions"}, "14 tokens and the corrupt one 11"),
        ({"align": []}, "no site"),
        ({"layers": [4]}, "layer 4 does not exist: resid has 0..3"),
        ({"layers": [0], "component": "head"}, "layer 0 does not exist: head has 1..3"),
        ({"layers": []}, "no layer is given"),
        ({"answers": ["e"]}, "needs 2 answers, 1 given"),
        ({"answers": ["e", "e."]}, "begin with the same token"),
        ({"max_rows": 0}, "max_rows is 0"),
        ({"max_rows": 1.5}, "max_rows is 1.5; give a whole number"),
        ({"clean": None}, "the clean text is None; give a string"),
        ({"corrupt": b"no"}, "the corrupt text is b'no'; give a string"),
        ({"clean": "a\ud800"}, "the clean text holds half a character at 1"),
        ({"answers": None}, "answers are None"),
        ({"answers": ["e", 2]}, "answer 2 is 2; give a string"),
        ({"answers": ["e", " "]}, "answer 2 is empty"),
        ({"answers": ["e", "e"]}, "an answer is given twice"),
        ({"metric": ["kl"]}, "unknown metric"),
        ({"align": 5}, "align is 5"),
        ({"align": [("hello", "no", "x")]}, "is not a pair of words"),
        ({"align": ["ab"]}, "'ab' is not a pair of words"),
        ({"layers": 2}, "layers are 2"),
        ({"layers": [1.5]}, r"layers are \[1.5\]"),
        ({"subspace": np.eye(32), "part": "inside"}, "a mapping from layers to bases"),
        ({"subspace": {1: "abc"}, "part": "inside"}, "at layer 1 is 'abc'"),
        ({"subspace": {1: LanguageSubspace()}, "part": "inside"}, "an array or a fitted subspace"),
        ({"part": "half"}, "unknown part 'half'"),
        ({"part": "inside"}, "a subspace goes with"),
        ({"subspace": {1: np.eye(32)}}, "a subspace goes with"),
        ({"subspace": {1: np.eye(16)}, "part": "inside"}, r"layer 1 has shape \(16, 16\)"),
        ({"subspace": {1: np.ones((32, 2))}, "part": "inside"}, "not orthonormal"),
        ({"subspace": {1: np.full((32, 2), np.nan)}, "part": "inside"}, "not orthonormal"),
        ({"subspace": {1: np.eye(32)}, "part": "outside", "layers": [2]}, "no basis at layer 2"),
        (
            {"subspace": {1: np.eye(32)}, "part": "inside", "component": "mlp_out"},
            "of component 'resid', not of 'mlp_out'",
        ),
    ],
)
def test_what_cannot_be_patched_is_refused(llama, options, message):
    given = {"clean": CLEAN, "corrupt": CORRUPT, "answers": ANSWERS, **options}
    with pytest.raises(ShiftlensError, match=message):
        patch(llama, **given)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": 4}, "layer 4 does not exist"),
        ({"layer": 0, "component": "attn_out"}, "layer 0 does not exist"),
        ({"site": 10}, r"no site 10; the texts have sites 0..9"),
        ({"site": -11}, "no site -11"),
        ({"site": 1.5}, "site is 1.5; give a whole number"),
        ({"layer": None}, r"layers are \[None\]"),
        ({"top": 0}, "top is 0"),
        ({"max_new_tokens": -3}, "max_new_tokens is -3"),
        ({"head": 1}, "'resid' has no heads"),
        ({"component": "head", "head": 4}, "no head 4: component 'head' has heads 0..3"),
        ({"component": "head"}, "no head None"),
    ],
)
def test_a_patch_that_does_not_exist_is_refused(llama, options, message):
    given = {"layer": 1, "site": 0, **options}
    with pytest.raises(ShiftlensError, match=message):
        patched_answer(llama, CLEAN, CORRUPT, **given)


@pytest.mark.parametrize("name", tiny.ENCODERS)
def test_an_encoder_is_refused(name):
    model = load_model(tiny.tiny_model(name), tiny.tiny_tokenizer(eos=True))
    with pytest.raises(ShiftlensError, match="needs a causal language model"):
        patch(model, CLEAN, CORRUPT, ANSWERS)


def test_logits_that_are_not_finite_are_refused(llama):
    with torch.no_grad():
        llama.hf.lm_head.weight[5] = float("nan")
    with pytest.raises(ShiftlensError, match="clean run gives logits that are not finite"):
        patch(llama, CLEAN, CORRUPT, ANSWERS)


def test_a_model_that_is_not_loaded_and_a_column_that_is_not_there_are_refused(llama):
    with pytest.raises(ShiftlensError, match=r"give load_model\('demo'\)"):
        patch("demo", CLEAN, CORRUPT, ANSWERS)
    with pytest.raises(ShiftlensError, match="no column 'bla'"):
        patch(llama, CLEAN, CORRUPT, ANSWERS, layers=[1]).grid("bla")


def test_white_space_that_hides_an_answer_is_named():
    demo = load_model("demo")
    text = "Mikä luku tulee luvun kaksi jälkeen? "
    with pytest.raises(ShiftlensError, match="strip the white space at the end"):
        patch(demo, text, text, ["kuusi", "kolme"])


def test_a_fitted_subspace_is_its_directions(llama):
    states = np.random.default_rng(0).normal(size=(40, 32))
    subspace = LanguageSubspace(n_components=5).fit(states)
    results = [
        patch(llama, CLEAN, CORRUPT, ANSWERS, subspace={2: basis}, part="inside").table["value"]
        for basis in (subspace, subspace.components_.T)
    ]
    assert results[0].equals(results[1])
    assert results[0].nunique() > 3


@pytest.mark.parametrize("part", ["inside", "outside"])
def test_an_answer_is_that_of_the_same_patch_in_a_subspace(llama, part):
    basis = np.linalg.qr(np.random.default_rng(1).normal(size=(32, 6)))[0]
    options = {"subspace": {2: basis}, "part": part}
    table = patch(llama, CLEAN, CORRUPT, ANSWERS, metric="probability", **options).table
    for site in (0, -1):
        answer = patched_answer(llama, CLEAN, CORRUPT, layer=2, site=site, top=200, **options)
        shown = dict(answer.patched.top)
        assert shown[ANSWERS[0]] == pytest.approx(table["value"].iloc[site], abs=1e-6)
    with pytest.raises(ShiftlensError, match="no basis at layer 1"):
        patched_answer(llama, CLEAN, CORRUPT, layer=1, site=0, **options)
