"""Draws one whole chart as cells: title, legend, axes, series, bars, changes. Pure functions for the Chart widget and for tests."""

import math

from workbench.tui.charts.cells import Cells, cut
from workbench.tui.charts.legend import header
from workbench.tui.charts.plot import AXIS, CURSOR, LABEL, Plot
from workbench.tui.charts.plot_layout import Area, layout, x_labels
from workbench.tui.charts.plot_marks import draw_cursor, moment_label, moment_line, reference_labels, reference_lines
from workbench.tui.charts.plot_series import draw_band, draw_marks, draw_series, draw_unsmoothed

NEAR = 2
"""Rows between a click and a line that it means."""


def draw(plot: Plot, width: int, height: int) -> Cells:
    """The chart in `width` x `height` cells; parts that do not fit are left out, the curve last."""
    cells = Cells(width, height)
    if width < 1 or height < 1:
        return cells
    area = layout(cells, plot)
    if area.top or height == 1:
        header(cells, plot, area.rows, max(1, area.top))
    if area.rows < 1:
        return cells
    # The order matters from here on: each layer may cover the ones before, and labels look for cells that are still empty.
    _axes(cells, area)
    reference_lines(area, plot)
    for moment in plot.moments:
        moment_line(area, moment)
    for trace in plot.traces:
        draw_unsmoothed(area, trace)
    drawn = False
    for trace in sorted(plot.traces, key=lambda trace: trace.points and not trace.faint):  # points after lines, so that they stay visible
        drawn = draw_series(area, trace) or drawn
    for trace in plot.traces:
        draw_marks(area, trace)
    reference_labels(area, plot)
    for moment in plot.moments:
        moment_label(area, moment)
    if plot.cursor is not None:
        draw_cursor(area, plot, plot.cursor)
    if plot.spot:
        cells.write(area.left + area.column(plot.spot.x), area.top + area.row(plot.spot.y), "●", CURSOR)
    if area.footer:
        x_labels(area, plot.labels[0], plot.clock)
    # Last: what is drawn into a cell later would take its tint away.
    for trace in plot.traces:
        draw_band(area, trace)
    if not drawn and not any(len(trace.pyramid or trace.x) for trace in plot.traces):
        text = cut("no values yet", area.width)
        cells.write(area.left + (area.width - len(text)) // 2, area.top + area.rows // 2, text, LABEL)
    return cells


def _axes(cells: Cells, area: Area) -> None:
    if area.left:
        gutter = area.left - 1
        cells.fill(gutter, area.top, 1, area.rows, "│", AXIS)
        for mark, label in area.marks:
            row = area.top + area.row(mark)
            cells.write(gutter - len(label), row, label, LABEL)
            cells.write(gutter, row, "┤", AXIS)
    if area.footer:
        cells.fill(area.left, area.top + area.rows, area.width, 1, "─", AXIS)
        if area.left:
            cells.write(area.left - 1, area.top + area.rows, "└", AXIS)


def x_at(plot: Plot, width: int, height: int, column: float) -> float:
    """The x at a column of the chart in this size; columns beside the curves count as their edge."""
    area = layout(Cells(width, height), plot)
    # The middle of the cell.
    share = (column + 0.5 - area.left) / max(1, area.width)
    x: float = area.x.at(min(1.0, max(0.0, share))).tolist()
    return x


def x_beside(plot: Plot, width: int, height: int, x: float, columns: int) -> float:
    """The x that lies so many columns beside another one."""
    area = layout(Cells(width, height), plot)
    if area.x.log:
        return x * math.exp(math.log(area.x.high / area.x.low) * columns / max(1, area.width))
    return x + columns * (area.x.high - area.x.low) / max(1, area.width)


def line_at(plot: Plot, width: int, height: int, column: int, row: int) -> str:
    """The name of the series that is nearest to a cell, at most NEAR rows away; "" where there is none."""
    area = layout(Cells(width, height), plot)
    x = x_at(plot, width, height, column)
    near: list[tuple[int, int, str]] = []
    for place, trace in enumerate(plot.traces):
        reading = trace.at(x)
        value = reading and (reading[0] if reading[1] is None else reading[1])
        if value is not None and math.isfinite(value):
            # Of two at the same place the one on top.
            near.append((abs(area.top + area.row(value) - row), -place, trace.name))
    return min(near)[2] if near and min(near)[0] <= NEAR else ""
