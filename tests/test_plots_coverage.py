import numpy as np
import pandas as pd
import pytest
from matplotlib.container import ErrorbarContainer

from shiftlens.errors import ShiftlensError
from shiftlens.plots import interval_coverage, metric_label

METRICS = ["grassmann", "mexa", "my_metric"]
KINDS = ["jackknife", "bootstrap"]


def table():
    rows = [
        {"case": case, "metric": metric, "interval": kind}
        for case in ("few", "many")
        for kind in KINDS
        for metric in METRICS
    ]
    shares = np.linspace(0.3, 0.9, len(rows))
    return pd.DataFrame(rows).assign(share=shares, low=shares - 0.2, high=shares + 0.05)


def drawn(axes):
    """The points and bars of each kind of interval, in per cent."""
    found = {}
    for container in axes.containers:
        assert isinstance(container, ErrorbarContainer)
        line, _, bars = container
        ends = [segment[:, 0].tolist() for segment in bars[0].get_segments()]
        found[container.get_label()] = (line.get_xdata().tolist(), line.get_ydata().tolist(), ends)
    return found


def test_every_share_is_drawn_with_its_interval_in_its_metrics_row():
    rows = table()
    figure = interval_coverage(rows)
    assert [axes.get_title() for axes in figure.axes] == ["few", "many"]
    for axes in figure.axes:
        assert list(drawn(axes)) == KINDS
        for kind, (shares, heights, ends) in drawn(axes).items():
            own = rows[(rows["case"] == axes.get_title()) & (rows["interval"] == kind)]
            assert shares == pytest.approx(100 * own["share"])
            assert np.round(heights).tolist() == [0, 1, 2]
            np.testing.assert_allclose(ends, 100 * own[["low", "high"]])
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == [metric_label(name).words for name in METRICS]


@pytest.mark.parametrize("level", [0.95, 0.8])
def test_the_level_that_is_claimed_is_a_line_in_every_panel(level):
    for axes in interval_coverage(table(), level).axes:
        assert axes.lines[0].get_xdata() == [100 * level] * 2


def test_a_metric_may_lack_a_kind_of_interval_and_one_kind_lies_on_the_row():
    rows = table()
    few = rows[(rows["metric"] != "mexa") | (rows["interval"] == "jackknife")]
    assert np.round(drawn(interval_coverage(few).axes[0])["bootstrap"][1]).tolist() == [0, 2]
    alone = rows[rows["interval"] == "jackknife"]
    assert drawn(interval_coverage(alone).axes[1])["jackknife"][1] == [0, 1, 2]


def test_no_text_leaves_the_page_or_meets_another():
    figure = interval_coverage(table())
    legend = figure.legends[0].get_window_extent()
    for axes in figure.axes:
        label = axes.xaxis.label.get_window_extent()
        assert label.y0 > legend.y1
        assert axes.get_tightbbox().x1 <= figure.bbox.x1
    assert figure.axes[0].get_tightbbox().x0 >= 0
    assert figure.axes[0].get_tightbbox().x1 < figure.axes[1].get_tightbbox().x0


def test_a_table_that_cannot_be_drawn_is_refused():
    with pytest.raises(ShiftlensError, match=r"lacks the column\(s\) low, high"):
        interval_coverage(table().drop(columns=["low", "high"]))
    with pytest.raises(ShiftlensError, match="no rows"):
        interval_coverage(table().iloc[:0])
