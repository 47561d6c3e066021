"""Draws the series of a chart as braille lines and points, with crosses where values are not finite."""

import numpy as np

from workbench.tui.charts import braille
from workbench.tui.charts.plot import BAD, FAINT, SERIES, TINT, TINTS, Trace
from workbench.tui.charts.plot_layout import Area
from workbench.tui.charts.pyramid import Columns

FEW = 12
"""Most points that are drawn as marks: more of them would hide one another, and the lines."""


def draw_series(area: Area, trace: Trace) -> bool:
    """Draw one series; returns whether any dot is visible."""
    width, height = area.width * 2, area.rows * 4
    key = (FAINT if trace.faint else SERIES) + trace.slot
    if trace.pyramid is None:
        x, y = (trace.x, trace.y) if trace.points else braille.clipped(trace.x, trace.y, area.x, area.y)
        draw_dots = braille.points if trace.points else braille.polyline
        dots = draw_dots(x, y, area.x, area.y, width, height)
        area.ink(dots, key)
        return bool(dots.any())
    columns = (trace.smooth or trace.pyramid).columns(area.x, width)
    area.ink(braille.line(columns, area.x, area.y, height), key)
    if not trace.smooth:
        _not_finite(area, columns)
    return bool(columns.count.any())


def draw_band(area: Area, trace: Trace) -> None:
    """Tint the cells between the smallest and the largest of what a line is the mean of, below all that is drawn in them."""
    if trace.band is None:
        return
    low, high = (edge.columns(area.x, area.width) for edge in trace.band)
    filled = np.flatnonzero((low.low == low.low) & (high.high == high.high))
    if not len(filled):
        return
    columns = np.arange(filled[0], filled[-1] + 1)
    # In halves of cells: a band that fills less than half of a cell does not tint it.
    bottom = np.interp(columns, filled, braille.rows_of(low.low[filled], area.y, area.rows * 2))
    top = np.interp(columns, filled, braille.rows_of(high.high[filled], area.y, area.rows * 2))
    level = np.arange(area.rows)[:, None] * 2
    tinted = np.zeros((area.rows, area.width), np.bool_)
    tinted[:, columns] = (level + 0.5 >= top) & (level + 0.5 <= bottom)
    keys = area.cells.keys[area.top : area.top + area.rows, area.left : area.left + area.width]
    # Where bands lie over each other the colours are mixed.
    for shift in TINTS:
        free = tinted & ((keys >> np.uint64(shift)) & np.uint64(TINT) == 0)
        keys[free] |= np.uint64((trace.slot + 1) << shift)
        tinted &= ~free


def draw_marks(area: Area, trace: Trace) -> None:
    """Draw each of a few points, or the one point of a line, as a mark: among lines a person does not see a single dot."""
    x, y = (trace.pyramid.x, trace.pyramid.y) if trace.pyramid else (trace.x, trace.y)
    if trace.faint or trace.smooth or len(x) > (FEW if trace.points else 1):
        return
    for point_x, point_y in zip(x.tolist(), y.tolist(), strict=True):
        if area.x.low <= point_x <= area.x.high and area.y.low <= point_y <= area.y.high:
            area.cells.write(area.left + area.column(point_x), area.top + area.row(point_y), "●", SERIES + trace.slot)


def draw_unsmoothed(area: Area, trace: Trace) -> None:
    """Draw the values behind a smoothed line in faint, with their crosses."""
    if trace.smooth and trace.pyramid:
        columns = trace.pyramid.columns(area.x, area.width * 2)
        area.ink(braille.line(columns, area.x, area.y, area.rows * 4), FAINT + trace.slot)
        _not_finite(area, columns)


def _not_finite(area: Area, columns: Columns) -> None:
    """Draw a cross where values are not finite: on the axis for NaN, at the top or bottom edge for infinity."""
    bottom = area.top + area.rows - 1
    for places, row in ((columns.missing, bottom + area.footer), (columns.above, area.top), (columns.below, bottom)):
        if not places.any():
            continue
        # Not np.unique: its first call imports numpy.ma, a tenth of the time to open a run.
        for column in sorted(set((np.flatnonzero(places) // 2).tolist())):
            area.cells.write(area.left + column, row, "×", BAD)
