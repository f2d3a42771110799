import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shiftlens.area import choose_area
from shiftlens.errors import ShiftlensError


def curve(*inner, ends=(0.0, 0.0)):
    """Distances of layers 0..L from those of 1..L-1; the ends would win if they could."""
    return dict(enumerate([ends[0], *inner, ends[1]]))


def rule(distance, share):
    """The area rule said another way, in exact arithmetic over every possible answer."""
    n_layers = len(distance) - 1
    inner = range(1, n_layers)
    width = min(max(2, round(share * n_layers)), len(inner))
    lowest = tuple(
        layer
        for layer in inner
        if sum((distance[other], other) < (distance[layer], layer) for other in inner) < width
    )
    windows = [tuple(range(a, a + width)) for a in inner if a + width <= n_layers]
    if lowest in windows:
        return lowest[0], lowest[-1], lowest, True
    best = min(windows, key=lambda window: (sum(map(distance.get, window)), window[0]))
    return best[0], best[-1], lowest, False


@st.composite
def curves(draw):
    n_layers = draw(st.integers(3, 40))
    steps = draw(st.sampled_from([3, 2**20]))
    values = st.integers(0, steps).map(lambda step: step / 1024)  # their sums are exact
    return {layer: draw(values) for layer in range(n_layers + 1)}


@settings(deadline=None)
@given(curves(), st.floats(0.01, 0.99))
def test_the_area_is_that_of_a_search_over_all_windows(distance, share):
    area = choose_area(distance, share)
    assert (area.start, area.stop, area.lowest, area.contiguous) == rule(distance, share)
    assert 1 <= area.start < area.stop <= len(distance) - 2


@pytest.mark.parametrize(
    ("n_layers", "share", "width"),
    [
        (3, 0.3, 2),
        (3, 0.9, 2),
        (6, 0.3, 2),
        (6, 0.5, 3),
        (6, 0.99, 5),
        (12, 0.1, 2),
        (12, 0.3, 4),
        (12, 0.5, 6),
        (32, 0.05, 2),
        (32, 0.3, 10),
        (32, 0.5, 16),
    ],
)
@pytest.mark.parametrize("direction", ["rising", "falling"])
def test_a_monotone_curve_gives_the_width_at_its_low_end_without_the_ends(
    n_layers, share, width, direction
):
    distance = {i: float(i if direction == "rising" else -i) for i in range(n_layers + 1)}
    area = choose_area(distance, share)
    expected = (1, width) if direction == "rising" else (n_layers - width, n_layers - 1)
    assert (area.start, area.stop) == expected
    assert area.lowest == tuple(range(area.start, area.stop + 1))
    assert area.contiguous
    assert area.share == share


def test_the_lowest_layers_side_by_side_are_the_area():
    area = choose_area(curve(5, 3, 1, 2, 4))
    assert (area.start, area.stop, area.lowest, area.contiguous) == (3, 4, (3, 4), True)
    assert str(area) == "layers 3-4 (the closest layers)"


def test_the_window_of_smallest_mean_stands_in_for_lowest_layers_that_are_apart():
    area = choose_area(curve(1, 9, 3, 3, 2))
    assert (area.start, area.stop, area.lowest, area.contiguous) == (4, 5, (1, 5), False)
    assert "closest layers [1, 5] are not adjacent" in str(area)


def test_a_window_need_not_hold_the_lowest_layer():
    area = choose_area(curve(0, 9, 4, 4, 9, 1), 0.3)
    assert (area.start, area.stop, area.lowest) == (3, 4, (1, 6))


def test_ties_go_to_the_earlier_layers():
    assert choose_area(curve(1, 1, 1, 1, 1)).lowest == (1, 2)
    tied_windows = choose_area(curve(1, 2, 9, 9, 2, 1))
    assert (tied_windows.start, tied_windows.stop, tied_windows.contiguous) == (1, 2, False)


def test_windows_that_tie_but_for_rounding_go_to_the_earlier_layers():
    a, b, c = 0.1, 0.2, 0.3
    assert a + b + c != c + b + a
    area = choose_area(curve(a, b, c, 9, c, b, a, 9, 9), 0.3)
    assert (area.start, area.stop, area.contiguous) == (1, 3, False)
    area = choose_area(curve(c, b, a, 9, a, b, c, 9, 9), 0.3)
    assert (area.start, area.stop, area.contiguous) == (1, 3, False)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.3, 30, math.nan])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(ShiftlensError, match=f"between 0 and 1, not {share}"):
        choose_area(curve(1, 2, 3), share)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_distance_that_is_not_finite_is_refused_with_its_layer(bad):
    with pytest.raises(ShiftlensError, match="layer 2"):
        choose_area(curve(1, bad, 3, 4))


def test_a_layer_without_distance_is_refused():
    with pytest.raises(ShiftlensError, match="layer 3"):
        choose_area({0: 1, 1: 1, 2: 1, 4: 1})


def test_the_distances_of_layer_0_and_layer_l_do_not_count():
    expected = choose_area(curve(3, 1, 2, 5))
    assert choose_area(curve(3, 1, 2, 5, ends=(math.nan, math.inf))) == expected


@pytest.mark.parametrize("n_layers", [1, 2])
def test_a_model_too_shallow_for_an_area_is_refused(n_layers):
    with pytest.raises(ShiftlensError, match=f"a model of {n_layers} blocks has no layer area"):
        choose_area(dict.fromkeys(range(n_layers + 1), 1.0))


def test_no_distances_are_refused():
    with pytest.raises(ShiftlensError, match="a model of 0 blocks"):
        choose_area({})
