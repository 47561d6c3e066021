"""Smoothed curves: the average itself, point by point, in any portions; when it is used; and that the raw line stays, faint."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from painted import Shown
from test_charts import series

from workbench.tui.charts.chart import Chart, Line
from workbench.tui.charts.draw_plot import draw
from workbench.tui.charts.plot import FAINT, SERIES, Plot, Trace
from workbench.tui.charts.plot_marks import apart
from workbench.tui.charts.pyramid import Pyramid
from workbench.tui.charts.smoothing import FEW, Smoothed, span


def plain(values: list[float], points: int) -> list[float]:
    """The average as it is defined."""
    weight, total, known, found = math.exp(-1 / points), 0.0, 0.0, []
    for value in values:
        finite = math.isfinite(value)
        total, known = weight * total + (value if finite else 0.0), weight * known + finite
        found.append(total / known if known else math.inf)
    return found


@given(
    st.lists(st.one_of(st.floats(-1e3, 1e3), st.sampled_from([math.nan, math.inf])), min_size=1, max_size=400),
    st.sampled_from([2, 16, 256]),
    st.lists(st.integers(1, 150), min_size=1, max_size=8),
)
@settings(max_examples=60, deadline=None)
def test_it_is_the_debiased_average_in_whatever_portions_it_comes(values, points, portions) -> None:
    raw, smoothed = Pyramid(), Smoothed(points)
    done = 0
    for portion in [*portions, len(values)]:
        raw.append(range(done, min(done + portion, len(values))), values[done : done + portion])
        done = min(done + portion, len(values))
        smoothed.follow(raw)
    np.testing.assert_allclose(smoothed.pyramid.y, plain(values, points), rtol=1e-9, atol=1e-9)


def test_it_starts_anew_where_the_series_was_rewound() -> None:
    one = series(list(range(300)), [1.0] * 300)
    raw, smoothed = Pyramid(), Smoothed(16)
    raw.follow(one)
    smoothed.follow(raw)
    one.rewind(100)
    one.steps.extend(range(101, 400))
    one.values.extend([3.0] * 299)
    raw.follow(one)
    np.testing.assert_allclose(smoothed.follow(raw).y, plain([1.0] * 101 + [3.0] * 299, 16), rtol=1e-9)


def test_few_points_are_shown_as_they_are_and_the_reach_does_not_follow_every_point() -> None:
    few, many = np.arange(0.0, 1000.0, 1000 / (FEW - 2)), np.arange(1000.0)
    assert span(few, 1000, 0.1) == 0 and span(many, 1000, 0.0) == 0
    assert span(many, 1000, 0.02) == 16
    reaches = [span(np.arange(float(count)), 100_000, 0.01) for count in range(10, 5_000, 10)]
    assert len(set(reaches)) == 1
    assert span(np.arange(100.0), 1_000_000, 0.01) > 0, "early in a long run it is smoothed as later"


def test_the_raw_line_stays_faint_below_the_smoothed_one() -> None:
    noise = np.random.default_rng(0).normal(size=2000)
    raw = Pyramid(np.arange(2000), noise)
    smooth = Smoothed(64).follow(raw)
    cells = draw(Plot([Trace("train", 0, raw, smooth=smooth)], "loss", end=2000), 80, 20)
    inked = {key: int((cells.keys == key).sum()) for key in (FAINT, SERIES)}
    assert inked[FAINT] > 3 * inked[SERIES] > 0
    rows = np.flatnonzero((cells.keys[1:-1] == SERIES).any(axis=1))
    assert np.ptp(rows) < 8, "the bright line keeps to the middle of the noise"


@given(st.lists(st.integers(0, 20), min_size=1, max_size=21).map(sorted))
def test_labels_beside_the_cursor_never_share_a_row(rows) -> None:
    found = apart(rows, 21)
    assert len(set(found)) == len(rows) and found == sorted(found) and found[0] >= 0 and found[-1] < 21
    if len(set(rows)) == len(rows):
        assert found == rows, "labels that do not meet stay where they are"


@pytest.mark.parametrize("width", [20, 40, 80])
def test_the_cursor_reads_the_last_value_up_to_its_step(width) -> None:
    train, valid = Pyramid(range(0, 100, 2), np.arange(50) / 10), Pyramid([0, 50], [0.5, 4.5])
    plot = Plot([Trace("train", 0, train, value=4.9), Trace("valid", 1, valid, value=4.5)], "loss", end=100, cursor=41)
    text = draw(plot, width, 12).text()
    assert text.count("2") and "0.5000" in text and "4.500" not in text and "4.900" not in text
    assert "41" in text.splitlines()[-1]
    assert "│" in text


async def test_the_cursor_goes_from_point_to_point() -> None:
    chart = Chart("loss")
    async with Shown(chart).run_test(size=(60, 10)):
        chart.show([Line("train", series(list(range(0, 1000, 100)), list(range(10))))], end=1000)
        assert chart.moved(None, -1) == 900 and chart.moved(900, -1) == 800, "a column is less than a point: the next one"
        assert chart.moved(900, 1) == 900 and chart.moved(0, 30) > 300 and chart.moved(430, 0) == 400
        assert Chart("empty").moved(None, 1) is None
