"""Sites of two texts under several kinds of tokenizers."""

import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from several_tokenizers import DEMO, EN, FI, HF, MODELS

from shiftlens.errors import ShiftlensError
from shiftlens.models import LanguageModel
from shiftlens.patching import Site, align_texts
from shiftlens.patching.alignment import find_sites
from shiftlens.patching.prompts import read_pair


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]


def spelled(model, text, positions):
    """The text of some tokens, by decoding them."""
    ids = model.tokenizer(text)["input_ids"]
    return model.tokenizer.decode([ids[n] for n in positions]).strip()


def test_a_pair_of_words_is_all_tokens_of_both_words(model):
    clean, corrupt = "How much is five plus three?", "Paljonko on viisi plus kolme?"
    if model.name == "pieces":
        clean, corrupt = EN.replace("12", "much"), FI.replace("12", "on")
    one, other = clean.split()[3], corrupt.split()[2]
    [site] = align_texts(model, clean, corrupt, "words", [(one, other)])
    assert spelled(model, corrupt, site.corrupt) == other == site.label
    if len(site.clean) == len(set(site.clean)):
        assert spelled(model, clean, site.clean).endswith(one[-1])
    assert site.clean[-1] - site.clean[0] < len(one)


def test_words_of_unequal_length_are_paired_from_the_last_token():
    model = MODELS["letters"]
    long, short = "it is seven of", "se on 7 ja"
    [site] = align_texts(model, long, short, "words", [("seven", "7")])
    assert site == Site("7", (11,), (7,))
    [site] = align_texts(model, short, long, "words", [("on", "seven")])
    assert site == Site("seven", (4, 4, 4, 4, 5), (7, 8, 9, 10, 11))


def test_bytes_of_one_letter_are_all_of_the_word():
    model = MODELS["bytes"]
    text = "on größer ja"
    [site] = align_texts(model, text, text, "words", [("größer", "größer")])
    assert site.clean == site.corrupt
    assert spelled(model, text, site.corrupt) == "größer"
    broken = [t for t in read_pair(model, text, text)[0].tokens if t in "öß"]
    assert len(broken) >= 2


def test_the_kth_pair_means_the_kth_occurrence():
    model = MODELS["letters"]
    sites = align_texts(model, "a b a", "x y x", "words", [("a", "x"), ("a", "x"), ("a", "y")])
    assert [site.clean for site in sites] == [(1,), (5,), (5,)]
    assert [site.corrupt for site in sites] == [(1,), (5,), (3,)]


def test_a_word_is_found_as_a_whole_word_first():
    model = MODELS["letters"]
    [site] = align_texts(model, "seventy seven", "seven", "words", [("seven", "seven")])
    assert site.clean == (9, 10, 11, 12, 13)
    [part] = align_texts(model, "seventy", "seven", "words", [("seven", "seven")])
    assert part.clean == (1, 2, 3, 4, 5)


def test_a_word_of_a_script_without_spaces_is_found():
    [site] = align_texts(
        DEMO, "How much is five plus three?", "五足す三はいくつですか？", "words", [("five", "五")]
    )
    assert (site.clean, site.corrupt) == ((4,), (1,))


def test_spans_are_what_both_texts_share_in_order(model):
    sites = align_texts(model, EN, FI, "spans")
    assert [site.label for site in sites] == ["plus", "12", "?"]
    for site in sites:
        assert len(site.clean) == len(site.corrupt)
        if site.label != "?" and model.name not in ("demo", "pieces"):
            assert spelled(model, EN, site.clean) == site.label
            assert spelled(model, FI, site.corrupt) == site.label


def test_last_counts_from_the_end_and_leaves_out_special_tokens():
    sites = align_texts(MODELS["letters"], "abcdef", "xyz", "last")
    assert sites == [Site("x", (4,), (1,)), Site("y", (5,), (2,)), Site("z", (6,), (3,))]
    assert align_texts(MODELS["letters"], "xyz", "abcdef", "last") == [
        Site("d", (1,), (4,)),
        Site("e", (2,), (5,)),
        Site("f", (3,), (6,)),
    ]


def test_auto_is_positions_or_last():
    model = MODELS["letters"]
    assert align_texts(model, "abc", "xyz", "auto") == align_texts(model, "abc", "xyz", "positions")
    assert align_texts(model, "abc", "xyz", "auto")[0] == Site("<s>", (0,), (0,))
    assert align_texts(model, "abcd", "xy", "auto") == align_texts(model, "abcd", "xy", "last")


def test_a_token_behind_the_text_is_no_part_of_it():
    model = LanguageModel(HF, tiny.tiny_tokenizer(eos=True), "closed")
    clean, _ = read_pair(model, "abc", "abc")
    assert clean.tokens == ("<s>", "a", "b", "c")
    assert clean.special == (True, False, False, False)


@given(
    st.text(st.sampled_from("ab ñ7?"), min_size=1), st.text(st.sampled_from("ab ñ7?"), min_size=1)
)
def test_sites_lie_in_their_texts_and_give_each_position_once(clean, corrupt):
    model, texts = MODELS["bytes"], (clean, corrupt)
    try:
        pair = read_pair(model, *texts)
        sites = [
            site for how in ("last", "spans") for site in align_texts(model, clean, corrupt, how)
        ]
    except ShiftlensError:
        return
    assert find_sites(*pair, sites) == sites


@pytest.mark.parametrize(
    ("how", "words", "message"),
    [
        ("middle", None, "unknown alignment 'middle'"),
        ("positions", None, "27 tokens and the corrupt one 31"),
        ("words", None, "needs pairs"),
        ("words", [("eight", "plus")], "clean text 'How much is seven plus 12.' .* 'eight'"),
        ("words", [("plus", "")], "does not hold the word ''"),
    ],
)
def test_what_cannot_be_aligned_is_refused(how, words, message):
    with pytest.raises(ShiftlensError, match=message):
        align_texts(MODELS["letters"], EN, FI, how, words)


def test_texts_with_nothing_in_common_have_no_spans():
    with pytest.raises(ShiftlensError, match="share no word"):
        align_texts(MODELS["letters"], "one two", "yksi kaksi", "spans")


@pytest.mark.parametrize(
    "site",
    [
        Site("far", (1,), (40,)),
        Site("negative", (-1,), (3,)),
        Site("uneven", (1, 2), (3,)),
        Site("twice", (1, 2), (3, 3)),
        Site("empty", (), ()),
    ],
)
def test_sites_that_do_not_fit_are_refused(site):
    with pytest.raises(ShiftlensError, match="does not fit texts of 27 and 31 tokens"):
        find_sites(*read_pair(MODELS["letters"], EN, FI), [site])


def test_no_sites_are_refused():
    with pytest.raises(ShiftlensError, match="no site"):
        find_sites(*read_pair(MODELS["letters"], EN, FI), [])
