import math
from collections import Counter

import pytest

from shiftlens.text_scores import text_scores


def chrf_by_hand(answer, reference, longest=6, beta=2):
    """chrF of one sentence as its paper defines it, spaces aside."""
    precisions, recalls = [], []
    for n in range(1, longest + 1):
        own, right = (
            Counter(text[i : i + n] for i in range(len(text) - n + 1))
            for text in (answer.replace(" ", ""), reference.replace(" ", ""))
        )
        if own and right:
            shared = (own & right).total()
            precisions.append(shared / own.total())
            recalls.append(shared / right.total())
    p, r = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    return 100 * (1 + beta**2) * p * r / (beta**2 * p + r)


def test_chrf_is_that_of_its_paper():
    answer, reference = "paka ameketi chini", "paka amelala chini"
    scores = text_scores("sw", [answer], [reference])
    assert scores["chrf"] == pytest.approx(chrf_by_hand(answer, reference), abs=1e-6)


def test_bleu_is_the_geometric_mean_of_the_shares_of_n_grams():
    scores = text_scores("sw", ["a b c d e x"], ["a b c d e y"])
    expected = 100 * math.prod([5 / 6, 4 / 5, 3 / 4, 2 / 3]) ** 0.25
    assert scores["bleu"] == pytest.approx(expected)
    assert text_scores("sw", ["same text as that"], ["same text as that"])["bleu"] == (
        pytest.approx(100)
    )


def test_scripts_without_spaces_are_counted_by_character():
    for code, answer, reference in (
        ("ja", "今日は暑い日です", "今日は寒い日です"),
        ("th", "วันนี้อากาศร้อนมาก", "วันนี้อากาศหนาวมาก"),
        ("zh", "今天天气非常热啊", "今天天气非常冷啊"),
    ):
        assert text_scores(code, [answer], [reference])["bleu"] > 20
        assert text_scores("sw", [answer], [reference])["bleu"] < 20
