"""Metrics against scipy, on logits of a small model."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy, rankdata

from shiftlens.errors import ShiftlensError
from shiftlens.patching.metrics import METRICS, check_finite, check_metric

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(scale=4, size=(7, 50))
CLEAN = RNG.normal(scale=4, size=(1, 50))
ANSWERS = [11, 3, 40]


def measured(metric, logits=LOGITS):
    given = torch.tensor(logits), torch.tensor(CLEAN), ANSWERS
    return METRICS[metric].value(*given).numpy()


EXPECTED = {
    "logit_difference": LOGITS[:, 11] - LOGITS[:, 3],
    "probability": softmax(LOGITS, axis=1)[:, 11],
    "kl": entropy(softmax(CLEAN, axis=1), softmax(LOGITS, axis=1), axis=1),
    "rank": rankdata(-LOGITS, axis=1)[:, 11],
    "language": softmax(LOGITS, axis=1)[:, 11] / softmax(LOGITS, axis=1)[:, ANSWERS].sum(1),
}


@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_is_that_of_scipy(metric):
    np.testing.assert_allclose(measured(metric), EXPECTED[metric], rtol=1e-10)
    assert measured(metric).std() > 0


@pytest.mark.parametrize("metric", METRICS)
def test_a_constant_added_to_the_logits_changes_nothing(metric):
    np.testing.assert_allclose(measured(metric, LOGITS + 3.0), measured(metric), atol=1e-9)


@pytest.mark.parametrize("metric", METRICS)
def test_float32_logits_are_measured_in_float64(metric):
    values = METRICS[metric].value(torch.tensor(LOGITS).float(), torch.tensor(CLEAN), ANSWERS)
    assert values.dtype == torch.float64
    np.testing.assert_allclose(values, EXPECTED[metric], rtol=1e-4)


def test_kl_of_the_clean_run_is_zero():
    np.testing.assert_allclose(measured("kl", CLEAN), 0, atol=1e-12)


def test_rank_1_is_the_most_probable():
    peaked = LOGITS.copy()
    peaked[:, 11] = 100
    assert (measured("rank", peaked) == 1).all()


def test_an_unknown_metric_and_too_few_answers_are_refused():
    with pytest.raises(ShiftlensError, match="unknown metric 'accuracy'; choose one of logit"):
        check_metric("accuracy", 2)
    with pytest.raises(ShiftlensError, match="'logit_difference' needs 2 answers, 1 given"):
        check_metric("logit_difference", 1)
    assert check_metric("kl", 0) is METRICS["kl"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_refused(value):
    logits = torch.tensor(LOGITS)
    assert check_finite(logits.bfloat16(), "clean").dtype == torch.float32
    logits[2, 5] = value
    with pytest.raises(ShiftlensError, match="patched run gives logits that are not finite"):
        check_finite(logits, "patched")
