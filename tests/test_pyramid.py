"""The points of a series in columns, whatever their number, and the braille that is drawn from them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from painted import series

from workbench.tui.charts import braille
from workbench.tui.charts.axes import Scale, y_scale
from workbench.tui.charts.pyramid import Pyramid

# ── The pyramid ───────────────────────────────────────────────────────────────────────────────────────────────────────

values_of_any_kind = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([math.nan, math.inf, -math.inf]))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), values_of_any_kind), max_size=700), st.integers(1, 40), st.integers(1, 300))
def test_columns_are_what_a_plain_count_finds(points: list[tuple[int, float]], width: int, chunk: int) -> None:
    """Whatever the chunks it came in, and however uneven x is, each column has exactly its own points."""
    x, y = np.cumsum([step for step, _ in points]).astype(float), np.array([value for _, value in points])
    pyramid = Pyramid()
    for start in range(0, len(x), chunk):
        pyramid.append(x[start : start + chunk], y[start : start + chunk])
    low, high = 0.0, float(x[-1] if len(x) else 0) * 0.9 + 1
    found = pyramid.columns(Scale(low, high), width)
    edges = [*(low + (high - low) * (np.arange(width) / width)), math.nextafter(high, math.inf)]
    for column in range(width):
        inside = y[(x >= edges[column]) & (x < edges[column + 1])]
        numbers = inside[np.isfinite(inside)]
        assert found.count[column] == len(inside)
        assert found.missing[column] == np.isnan(inside).any() and found.above[column] == (inside == np.inf).any()
        if len(numbers):
            assert (found.low[column], found.high[column]) == (numbers.min(), numbers.max())
        else:
            assert math.isnan(found.low[column])
    window = y[(x >= 3) & (x <= high / 2) & np.isfinite(y)]
    assert pyramid.bounds(3, high / 2) == ((window.min(), window.max()) if len(window) else None)


def test_a_series_may_grow_while_it_is_followed_and_its_rewind_is_seen() -> None:
    one = series([1, 2, 3], [0.1, 0.2, 9.0])
    pyramid = Pyramid()
    pyramid.follow(one)
    for step in range(4, 400):
        one.steps.append(step)  # would raise BufferError if a view of it were kept
        one.values.append(0.5)
        one.epochs.append(0.0)
        pyramid.follow(one)
    assert len(pyramid) == 399 and pyramid.bounds() == (0.1, 9.0)
    one.rewind(2)
    pyramid.follow(one)
    assert len(pyramid) == 2 and pyramid.bounds() == (0.1, 0.2)
    one.rewind(1)
    for step in range(2, 9):
        one.steps.append(step)
        one.values.append(5.0)
    pyramid.follow(one)
    assert pyramid.y.tolist() == [0.1] + [5.0] * 7, "rewound and grown past its old length between two looks"
    pyramid.follow(series([7], [7.0]))
    assert pyramid.x.tolist() == [7.0]


def test_only_new_points_are_taken_in(monkeypatch: pytest.MonkeyPatch) -> None:
    one, taken = series(list(range(1000)), [0.0] * 1000), []
    pyramid = Pyramid()
    pyramid.follow(one)
    append = pyramid.append
    monkeypatch.setattr(pyramid, "append", lambda x, y: (taken.append(len(x)), append(x, y)))
    one.steps.extend([1000, 1001])
    one.values.extend([0, 0])
    pyramid.follow(one)
    pyramid.follow(one)
    assert taken == [2]


# ── Braille ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def dots(pyramid: Pyramid, x: Scale, y: Scale, width: int, height: int) -> np.ndarray:
    return braille.line(pyramid.columns(x, width), x, y, height)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 50), values_of_any_kind), min_size=1, max_size=300), st.booleans())
def test_every_finite_point_has_its_dot(points: list[tuple[float, float]], log: bool) -> None:
    x_values = np.array([across for across, _ in points]).cumsum()
    y_values = np.array([value for _, value in points])
    known = y_values[np.isfinite(y_values)]
    x = Scale(0.0, max(float(x_values[-1]), 1.0))
    positive = known[known > 0]
    y = y_scale(min(positive, default=1), max(positive, default=1), True) if log else y_scale(min(known, default=0), max(known, default=0))
    found = dots(Pyramid(x_values, y_values), x, y, 60, 40)
    columns = np.searchsorted(x.low + (x.high - x.low) * (np.arange(60) / 60), x_values, "right") - 1
    for column, value in zip(columns, y_values, strict=True):
        if math.isfinite(value):
            assert found[braille.rows_of(np.array([value]), y, 40)[0], column]
        elif math.isnan(value) and np.isnan(y_values[(columns == column) | (columns == column ^ 1)]).all():
            assert not found[:, column].any(), "a column of NaN alone is a gap (but for the other half of a lone point's cell)"


def test_a_spike_among_a_million_points_is_seen() -> None:
    y_values = np.full(1_000_000, 0.5)
    for place in (0, 1, 499_999, 654_321, 999_999):
        y_values[:] = 0.5
        y_values[place] = 1.0
        found = dots(Pyramid(np.arange(1e6), y_values), Scale(0, 1e6), Scale(0, 1), 120, 40)
        assert found[0].nonzero()[0].tolist() == [place * 120 // 1_000_000]


def test_pack_sets_the_bits_of_unicode_braille() -> None:
    for row in range(4):
        for column in range(2):
            one = np.zeros((4, 2), bool)
            one[row, column] = True
            assert chr(0x2800 + int(braille.pack(one)[0, 0])) == "⠁⠂⠄⡀⠈⠐⠠⢀"[row + 4 * column]


def test_a_free_polyline_and_its_gaps() -> None:
    scale = Scale(0, 1)
    square = np.array([0, 1, 1, 0, 0.0]), np.array([0, 0, 1, 1, 0.0])
    found = braille.polyline(*square, scale, scale, 20, 20)
    assert found[0].all() and found[-1].all() and found[:, 0].all() and found[:, -1].all() and not found[5:-5, 5:-5].any()
    square[1][2] = math.nan
    assert braille.polyline(*square, scale, scale, 20, 20).sum() < 45
