"""Arrays to braille dots, two columns and four rows in each cell. Pure functions for plots."""

import numpy as np
from numpy.typing import NDArray

from workbench.tui.charts.axes import Scale
from workbench.tui.charts.pyramid import Columns

Dots = NDArray[np.bool_]
Rows = NDArray[np.int64]
Values = NDArray[np.float64]

BLANK = 0x2800
# The bit of each dot in a cell, row by row (Unicode 15, section 21.1: dots 1-3 and 7 on the left, 4-6 and 8 on the right). The odd
# order is history: dots 7 and 8 came later.
BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
# A chart has far fewer dots; this bounds time and memory when a wild curve crosses the area again and again.
_LONGEST = 500_000
"""Most dots of one free polyline; a longer one is thinned."""


def pack(dots: Dots) -> NDArray[np.uint8]:
    """Braille patterns of shape (rows, columns) from dots of shape (4 * rows, 2 * columns); 0 is an empty cell."""
    ink = dots.view(np.uint8)
    codes = np.zeros((dots.shape[0] // 4, dots.shape[1] // 2), np.uint8)
    for row, pair in enumerate(BITS):
        for column, bit in enumerate(pair):
            codes |= ink[row::4, column::2] * np.uint8(bit)
    return codes


def rows_of(values: NDArray[np.float64], scale: Scale, height: int) -> Rows:
    """The dot row of each value, 0 at the top of `height`; the ends of the scale are in the middle of the outermost rows."""
    return (height - 1) - np.rint(scale.fraction(values) * (height - 1)).astype(np.int64)


def line(columns: Columns, x: Scale, y: Scale, height: int) -> Dots:
    """One series as dots of shape (height, columns): in each column a vertical span from its smallest to its largest value.

    Neighbouring columns are joined, and a straight line bridges empty columns between two points; a value that is not finite makes a
    gap. A single point is drawn as four dots.
    """
    width = len(columns.count)
    # An empty span: top below bottom, so that the comparison at the end draws nothing.
    top, bottom = np.full(width, height, np.int64), np.full(width, -1, np.int64)
    filled = np.flatnonzero(columns.low == columns.low)  # not NaN: the column has a finite value
    if len(filled):
        top[filled] = rows_of(columns.high[filled], y, height)
        bottom[filled] = rows_of(columns.low[filled], y, height)
    joined = _bridge(columns, x, y, top, bottom, height)
    # Copies: both sides of a gap are extended below, each by half, and must see the spans as they were.
    low, high = bottom[:-1].copy(), top[1:].copy()
    falls = joined & (low < high - 1)
    low_up, high_up = top[:-1].copy(), bottom[1:].copy()
    rises = joined & (low_up > high_up + 1)
    middle = (low + high) // 2
    np.copyto(bottom[:-1], np.maximum(bottom[:-1], middle), where=falls)
    np.copyto(top[1:], np.minimum(top[1:], middle + 1), where=falls)
    middle = (low_up + high_up) // 2
    np.copyto(bottom[1:], np.maximum(bottom[1:], middle), where=rises)
    np.copyto(top[:-1], np.minimum(top[:-1], middle + 1), where=rises)
    level = np.arange(height)[:, None]
    dots: Dots = (level >= top) & (level <= bottom)
    # A single dot among 8 in a cell is nearly invisible.
    alone = filled[~np.concatenate([joined, [False]])[filled] & ~np.concatenate([[False], joined])[filled]]
    for column in alone[top[alone] == bottom[alone]].tolist():
        block(dots, int(top[column]), column)
    return dots


def block(dots: Dots, row: int, column: int) -> None:
    """Make one dot a square of four inside its cell, so that a person sees a single point."""
    # The neighbour with the last bit flipped lies in the same cell, so that no second cell takes the colour.
    rows, columns = (row, row ^ 1), (column, column ^ 1)
    for dot_row in rows:
        for dot_column in columns:
            if dot_row < dots.shape[0] and dot_column < dots.shape[1]:
                dots[dot_row, dot_column] = True


def _bridge(columns: Columns, x: Scale, y: Scale, top: Rows, bottom: Rows, height: int) -> Dots:
    """Fill the empty columns between joined points; returns, for each column but the last, whether it is joined to the next."""
    width = len(columns.count)
    used = np.flatnonzero(columns.count)
    # The points just outside the window count as columns -1 and `width`, so that lines run on to the edges.
    place = np.concatenate([[-1], used, [width]])
    first_x = np.concatenate([[columns.before[0]], columns.first_x[used], [columns.after[0]]])
    last_x = np.concatenate([[columns.before[0]], columns.last_x[used], [columns.after[0]]])
    first_y = np.concatenate([[columns.before[1]], columns.first[used], [columns.after[1]]])
    last_y = np.concatenate([[columns.before[1]], columns.last[used], [columns.after[1]]])
    whole = np.isfinite(last_y[:-1]) & np.isfinite(first_y[1:])
    every = np.arange(width)
    pair = np.searchsorted(place, every, "right") - 1
    joined: Dots = whole[pair]
    empty = every[(columns.count == 0) & joined]
    if len(empty):
        pairs = pair[empty]
        # Along a logarithmic axis a line is straight on the screen; a point at 0 lies a dot to its left.
        along = (lambda values: np.log10(np.maximum(values, x.low / 10))) if x.log else np.asarray
        centre = along(x.at((empty + 0.5) / width))
        after, before = along(first_x[pairs + 1]), along(last_x[pairs])
        span = after - before
        share = np.clip((centre - before) / np.where(span > 0, span, 1.0), 0.0, 1.0)
        start, end = y.fraction(last_y[pairs]), y.fraction(first_y[pairs + 1])
        top[empty] = bottom[empty] = (height - 1) - np.rint((start + (end - start) * share) * (height - 1)).astype(int)
    return joined[:-1]


def points(x_values: NDArray[np.float64], y_values: NDArray[np.float64], x: Scale, y: Scale, width: int, height: int) -> Dots:
    """Single points as dots of shape (height, width), without points that are not finite."""
    dots: Dots = np.zeros((height, width), np.bool_)
    finite = np.isfinite(x_values) & np.isfinite(y_values)
    columns = np.minimum((x.fraction(x_values[finite]) * width).astype(int), width - 1)
    dots[rows_of(y_values[finite], y, height), columns] = True
    return dots


def polyline(x_values: NDArray[np.float64], y_values: NDArray[np.float64], x: Scale, y: Scale, width: int, height: int) -> Dots:
    """Points joined in their order as dots of shape (height, width); x may fall, and a point that is not finite makes a gap."""
    dots = points(x_values, y_values, x, y, width, height)
    across = x.fraction(x_values) * (width - 1)
    down = (1.0 - y.fraction(y_values)) * (height - 1)
    whole = np.flatnonzero(np.isfinite(across[:-1] + across[1:] + down[:-1] + down[1:]))
    if not len(whole):
        return dots
    run, fall = across[whole + 1] - across[whole], down[whole + 1] - down[whole]
    # As many dots as the longer side needs: no hole in the line, and all segments in one array without a loop.
    lengths = np.ceil(np.maximum(np.abs(run), np.abs(fall))).astype(np.int64) + 1
    if lengths.sum() > _LONGEST:
        lengths = np.minimum(lengths, max(1, _LONGEST // len(lengths)))
    segment = np.repeat(np.arange(len(whole)), lengths)
    share = (np.arange(len(segment)) - np.repeat(np.cumsum(lengths) - lengths, lengths)) / lengths[segment]
    columns = np.rint(across[whole[segment]] + run[segment] * share).astype(int)
    dots[np.rint(down[whole[segment]] + fall[segment] * share).astype(int), columns] = True
    return dots


def clipped(x_values: Values, y_values: Values, x: Scale, y: Scale) -> tuple[Values, Values]:
    """Joined points, cut where they leave the two scales (Liang and Barsky 1984): each segment by itself, with a NaN after it.

    A scale alone would draw the outside part along its edge.
    """
    with np.errstate(all="ignore"):  # a segment along an axis divides by 0; the largest values overflow
        start = np.stack([x_values[:-1], y_values[:-1]])
        way = np.stack([x_values[1:], y_values[1:]]) - start
        low, high = np.array([[x.low], [y.low]]), np.array([[x.high], [y.high]])
        to_low, to_high = (low - start) / way, (high - start) / way
        still = way == 0
        inside = (start >= low) & (start <= high)
        # A segment that does not move along an axis and lies outside never enters: 2 is beyond its end, 1.
        enter = np.where(still, np.where(inside, 0.0, 2.0), np.minimum(to_low, to_high)).max(axis=0, initial=0.0)
        leave = np.where(still, 1.0, np.maximum(to_low, to_high)).min(axis=0, initial=1.0)
        visible = enter <= leave
        ends = [start[:, visible] + way[:, visible] * share[visible] for share in (enter, leave)]
    joined = np.stack([*ends, np.full_like(ends[0], np.nan)], axis=2)  # (2, segments, 3)
    return joined[0].ravel(), joined[1].ravel()
