"""Statistics over paired seeds find what is there, and the figure shows them."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from scipy import stats

from shiftlens.arms import ARMS
from shiftlens.effects import (
    arm_means,
    better_arm,
    gains,
    group_accuracy,
    paired_differences,
    t_interval,
    window_correlations,
    window_gains,
)
from shiftlens.errors import ShiftlensError
from shiftlens.plots.arms import arm_comparison, arm_name

GROUPS = {"dominant": ("en",), "low": ("fi", "tr")}


def table_of(accuracies, area="2-5", n=1000):
    """A grid's table with these accuracies: arm -> language -> one value a seed."""
    return pd.DataFrame(
        {"arm": arm, "area": area, "seed": seed, "language": language, "task": task, "n": n,
         "correct": round(n * value)}
        for arm, languages in accuracies.items()
        for language, values in languages.items()
        for seed, value in enumerate(values)
        for task in ("larger", "plus")
    )  # fmt: skip


def noisy(means, effect, seeds=10, scale=0.02, seed=0):
    """Accuracies of two arms that share their seeds' luck; arm b has ``effect`` on fi and tr."""
    rng = np.random.default_rng(seed)
    luck = rng.normal(0, scale, seeds)
    return {
        arm: {
            language: mean + luck + rng.normal(0, scale / 4, seeds) + gain * (language != "en")
            for language, mean in means.items()
        }
        for arm, gain in (("a", 0.0), ("b", effect))
    }


MEANS = {"en": 0.9, "fi": 0.5, "tr": 0.4}


def test_the_t_interval_is_scipys():
    x = np.random.default_rng(1).normal(3, 2, 7)
    found = t_interval(x, 0.9)
    expected = stats.ttest_1samp(x, 0).confidence_interval(0.9)
    assert found["low"] == pytest.approx(expected.low, rel=1e-12)
    assert found["high"] == pytest.approx(expected.high, rel=1e-12)
    assert (found["mean"], found["seeds"]) == (pytest.approx(x.mean()), 7)
    assert t_interval([2.0, 2.0]) == {"mean": 2, "low": 2, "high": 2, "seeds": 2}
    assert np.isnan(t_interval([2.0])["low"])


def test_group_accuracy_is_the_mean_over_the_groups_records():
    table = table_of({"a": {"en": [1.0], "fi": [0.6], "tr": [0.1]}})
    table.loc[table["language"] == "tr", ["n", "correct"]] = [3000, 300]
    accuracy = group_accuracy(table, GROUPS)
    assert accuracy.loc[("a", "2-5", 0)].to_dict() == pytest.approx(
        {"dominant": 1.0, "low": (2 * 600 + 2 * 300) / (2 * 1000 + 2 * 3000)}
    )
    with pytest.raises(ShiftlensError, match="'mid' has no records"):
        group_accuracy(table, {"mid": ("de",)})


def test_paired_differences_are_the_paired_t_tests():
    accuracy = group_accuracy(table_of(noisy(MEANS, 0.03)), GROUPS)
    found = paired_differences(accuracy, [("b", "a")]).set_index("group").loc["low"]
    a, b = (accuracy.xs(arm, level="arm")["low"] for arm in "ab")
    expected = stats.ttest_rel(b, a).confidence_interval()
    assert (found["low"], found["high"]) == pytest.approx((expected.low, expected.high))
    shuffled = accuracy.sample(frac=1, random_state=0)
    again = paired_differences(shuffled, [("b", "a")]).set_index("group").loc["low"]
    assert again["mean"] == pytest.approx(found["mean"])
    assert again["high"] == pytest.approx(found["high"])


def test_a_planted_effect_is_found_and_a_null_effect_is_not():
    def excludes_zero(effect, seed):
        accuracy = group_accuracy(table_of(noisy(MEANS, effect, seed=seed)), GROUPS)
        found = paired_differences(accuracy, [("b", "a")]).set_index("group").loc["low"]
        return not found["low"] <= 0 <= found["high"]

    assert all(excludes_zero(0.02, seed) for seed in range(50))
    false_alarms = sum(excludes_zero(0.0, seed) for seed in range(100))
    assert stats.binomtest(false_alarms, 100, 0.05).pvalue > 0.01


def test_gains_are_the_papers_and_the_trials_own():
    published = {
        "msft": {"en": [0.598] * 2, "fi": [0.295] * 2, "tr": [0.295] * 2},
        "shifcon": {"en": [0.582] * 2, "fi": [0.351] * 2, "tr": [0.351] * 2},
    }
    accuracy = group_accuracy(table_of(published), GROUPS)
    found = gains(accuracy, ["shifcon"], "msft", "low", "dominant").set_index("measure")["mean"]
    assert found["relative gain"] == pytest.approx(0.190, abs=1e-3)
    assert found["gap closed"] == pytest.approx(0.185, abs=1e-3)
    assert found["relative change, dominant"] == pytest.approx(-0.027, abs=1e-3)


def test_the_better_arm_is_that_of_the_higher_mean_on_the_group():
    accuracy = group_accuracy(table_of(noisy(MEANS, 0.05)), GROUPS)
    assert better_arm(accuracy, ("a", "b"), "low") == "b"
    assert better_arm(accuracy, ("a", "a"), "low") == "a"


def windows_of(effect_by_area, seeds=3):
    tables = []
    for number, (area, effect) in enumerate(effect_by_area.items()):
        b = noisy(MEANS, effect, seeds, 0.005, number)["b"]
        tables.append(table_of({"shifcon": b}, area))
    return group_accuracy(pd.concat(tables), GROUPS)


AREAS = [f"{a}-{b}" for a in range(1, 6) for b in range(a + 1, 6)]
CURVES = {
    "near": {layer: float(layer**2) for layer in range(7)},
    "flat": dict.fromkeys(range(7), 1),
}


def test_a_window_that_lies_nearer_and_gains_more_is_seen_and_seeds_are_paired():
    reference = {arm: values for arm, values in noisy(MEANS, 0, 10, 0.005).items() if arm == "a"}
    reference = group_accuracy(table_of(reference), GROUPS)
    distance = {area: np.mean(np.arange(int(area[0]), int(area[2]) + 1) ** 2) for area in AREAS}
    found = window_gains(
        windows_of({a: 0.3 - d / 60 for a, d in distance.items()}), reference, "low", CURVES
    ).set_index("area")
    assert len(found) == 10
    assert found["near"].to_dict() == pytest.approx(distance)
    assert found.loc["2-5", "near"] == (4 + 9 + 16 + 25) / 4
    assert set(found["seeds"]) == {3}
    rho = window_correlations(found, ["near", "width"]).set_index("predictor")
    assert rho.loc["near", "rho"] < -0.9
    expected = stats.spearmanr(found["width"], found["mean"])
    assert rho.loc["width", "rho"] == pytest.approx(expected.statistic)
    assert rho.loc["near", "windows"] == 10


def test_tables_that_cannot_be_compared_are_refused():
    accuracy = group_accuracy(table_of(noisy(MEANS, 0.0)), GROUPS)
    with pytest.raises(ShiftlensError, match="no results of the arm 'c'; there are a, b"):
        paired_differences(accuracy, [("c", "a")])
    apart = accuracy.drop(
        [("a", "2-5", s) for s in range(5)] + [("b", "2-5", s) for s in range(5, 10)]
    )
    with pytest.raises(ShiftlensError, match="no seed in common"):
        paired_differences(apart, [("b", "a")])
    other = group_accuracy(table_of(noisy(MEANS, 0.0), "1-2"), GROUPS)
    with pytest.raises(ShiftlensError, match="one area at a time"):
        paired_differences(pd.concat([accuracy, other]), [("b", "a")])


def drawn(seed=0, arms=tuple(ARMS), areas=AREAS):
    rng = np.random.default_rng(seed)
    values = {arm: {c: m + rng.normal(0, 0.01, 3) for c, m in MEANS.items()} for arm in arms}
    windows = pd.DataFrame({"area": areas, "mean": rng.normal(0.05, 0.05, len(areas))})
    windows = windows.assign(low=windows["mean"] - 0.02, high=windows["mean"] + 0.02)
    means = arm_means(group_accuracy(table_of(values), GROUPS))
    return means, windows.assign(affine_invariant=rng.uniform(8, 400, len(areas)))


@pytest.mark.parametrize("case", [{}, {"seed": 1}, {"arms": ("msft", "shifcon"), "areas": ["1-2"]}])
def test_the_figure_cuts_no_text_and_lays_none_over_another(case):
    figure = arm_comparison(
        *drawn(**case), area="2-5", note="shaded: area of the arms; Spearman's ρ = -0.43"
    )
    unseen = set()
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        unseen |= {
            tick.label1 for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high
        }
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    texts = [text for text in texts if text not in unseen]
    boxes = [text.get_window_extent() for text in texts]
    for text, box in zip(texts, boxes, strict=True):
        assert box.x0 >= -1 and box.x1 <= figure.bbox.x1 + 1, text
        assert box.y0 >= -1 and box.y1 <= figure.bbox.y1 + 1, text
    overlaps = [
        (texts[i].get_text(), texts[j].get_text())
        for i in range(len(boxes))
        for j in range(i)
        if boxes[i].overlaps(boxes[j])
    ]
    assert overlaps == []


def test_the_figure_shows_the_tables_values_nearest_window_on_top():
    means, windows = drawn()
    left, right = arm_comparison(means, windows).axes
    low = means[means["group"] == "low"]
    data, _, [bars] = left.containers[list(GROUPS).index("low")]
    np.testing.assert_allclose(data.get_xdata(), 100 * low["mean"])
    ends = np.array(bars.get_segments())[:, :, 0]
    np.testing.assert_allclose(ends, 100 * low[["low", "high"]].to_numpy())
    assert [text.get_text() for text in left.get_yticklabels()] == [arm_name(arm) for arm in ARMS]
    ordered = windows.sort_values("affine_invariant")
    np.testing.assert_allclose(right.containers[0][0].get_xdata(), 100 * ordered["mean"])
    nearest = right.get_yticklabels()[0].get_text()
    assert nearest.startswith(ordered["area"].iloc[0].replace("-", "–"))
    assert right.yaxis_inverted()
    with pytest.raises(ShiftlensError, match=r"windows lacks the column.*shifcon"):
        arm_comparison(means, windows, metric="shifcon")
