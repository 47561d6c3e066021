"""Draws the marks around a chart's series: bars to pass, changes, the cursor with its values."""

import math
from collections.abc import Sequence

import numpy as np

from workbench.tui.charts import braille
from workbench.tui.charts.axes import clock_label, number
from workbench.tui.charts.cells import SPACE, cut, text_width
from workbench.tui.charts.plot import BAD, CURSOR, MARK, REFERENCE, SERIES, Moment, Plot
from workbench.tui.charts.plot_layout import Area


def reference_lines(area: Area, plot: Plot) -> None:
    for reference in plot.references:
        if not math.isfinite(reference.value):
            continue
        if area.y.low <= reference.value <= area.y.high:
            dots: braille.Dots = np.zeros((area.rows * 4, area.width * 2), np.bool_)
            line = braille.rows_of(np.array([reference.value]), area.y, area.rows * 4)[0]
            # Dashes of two dots, so that a bar cannot be taken for a constant series.
            dots[line] = np.arange(area.width * 2) % 4 < 2
            area.ink(dots, REFERENCE)


def reference_labels(area: Area, plot: Plot) -> None:
    """Write the label of each reference line at its end, or a row or two beside it where curves are in the way, or nowhere."""
    for reference in plot.references:
        if not math.isfinite(reference.value):
            continue
        away = "" if area.y.low <= reference.value <= area.y.high else " ↑" if reference.value > area.y.high else " ↓"
        label = cut(f"{away} {reference.label} {reference.value:.6g}", max(0, area.width - 2))
        x, row = area.left + area.width - text_width(label), area.row(reference.value)
        for y in (row, row + 1, row - 1, row + 2, row - 2):
            place = area.top + y, slice(x, area.left + area.width)
            if 0 <= y < area.rows and ((area.cells.codes[place] == SPACE) | (area.cells.keys[place] == REFERENCE)).all():
                area.cells.write(x, area.top + y, label, REFERENCE)
                break


def moment_line(area: Area, moment: Moment) -> None:
    if not area.x.low <= moment.x <= area.x.high:
        return
    x = area.left + area.column(moment.x)
    for row in range(area.rows):
        if area.free(x, area.top + row, 1):
            area.cells.write(x, area.top + row, "┊", MARK)


def moment_label(area: Area, moment: Moment) -> None:
    """Write what was changed beside its line, where the curves leave room near the top."""
    if not area.x.low <= moment.x <= area.x.high:
        return
    x = area.left + area.column(moment.x)
    label = cut(moment.label, 24)
    width = text_width(label)
    for row in range(area.top, area.top + min(3, area.rows)) if label else ():
        for start, first in ((x + 1, x + 1), (x - width, x - width - 1)):
            if first >= area.left and area.free(first, row, width + 1):
                area.cells.write(start, row, label, MARK)
                return


def draw_cursor(area: Area, plot: Plot, at: float) -> None:
    """A thin vertical line with the value of each series beside it, each on its own row, as near as possible to the point."""
    if not area.x.low <= at <= area.x.high:
        return
    cells, column = area.cells, area.column(at)
    for row in range(area.rows):
        if area.free(area.left + column, area.top + row, 1):
            cells.write(area.left + column, area.top + row, "│", CURSOR)
    if area.footer:
        text = f"{at:,.0f}" if at == round(at) else number(at)
        text = text if plot.clock is None else clock_label(plot.clock + at)
        x = area.left + max(0, min(column - len(text) // 2, area.width - len(text)))
        cells.write(x, area.top + area.rows, cut(text, area.width), CURSOR)
    labels: list[tuple[int, str, int]] = []
    for trace in plot.traces:
        reading = trace.at(at) if trace.named else None
        if reading is None:
            continue
        value, smooth = reading
        whole = math.isfinite(value)
        text = number(value) if whole else "not finite"
        # Narrower charts have no room for names: the colour tells the series.
        if area.width >= 56:
            text = f"{trace.name} {text}".strip() if len(plot.traces) > 1 else text
            text += f" ~{number(smooth)}" if smooth is not None and math.isfinite(smooth) else ""
        labels.append((area.row(value) if whole else area.rows - 1, text, SERIES + trace.slot if whole else BAD))
    if len(labels) > area.rows:
        return
    labels.sort(key=lambda label: label[0])
    longest = max((text_width(text) for _, text, _ in labels), default=0)
    right = column + longest + 3 <= area.width
    for row, (_, text, key) in zip(apart([row for row, _, _ in labels], area.rows), labels, strict=True):
        text = cut(f" {text} ", area.width - column - 1 if right else column)
        cells.write(area.left + (column + 1 if right else column - text_width(text)), area.top + row, text, key)


def apart(rows: Sequence[int], height: int) -> list[int]:
    """Sorted rows, moved as little as possible so that no two are equal and all lie in 0 … height - 1."""
    # Down where rows collide, then up from the bottom edge where that pushed some out.
    spread: list[int] = []
    for row in rows:
        spread.append(max(row, spread[-1] + 1) if spread else row)
    last = height
    for place in range(len(spread) - 1, -1, -1):
        last = spread[place] = min(spread[place], last - 1)
    return spread
