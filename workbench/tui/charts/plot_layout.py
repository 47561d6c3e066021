"""The layout of a chart: the area for the curves beside title and axes, its two scales, the numbers along x."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from workbench.tui.charts import braille
from workbench.tui.charts.axes import Scale, clock_label, clock_ticks, tick_label, ticks, widened, x_end, y_scale
from workbench.tui.charts.cells import SPACE, Cells, text_width
from workbench.tui.charts.legend import legend_rows
from workbench.tui.charts.plot import AXIS, FAINT, LABEL, SERIES, STRAIGHT, Plot, Trace

MEETING = 4
"""Two series that share at least so many columns run along each other; with fewer they only cross."""

COUNTED = 1000
"""Most points of a curve whose x is looked at: whether all are whole numbers."""
LOG_FROM = 100
"""From this ratio of largest to smallest value on, a linear axis would hide all but the largest values."""


@dataclass(slots=True)
class Area:
    """The part of the cells for the curves, and its two scales."""

    cells: Cells
    left: int
    top: int
    width: int
    rows: int
    x: Scale
    y: Scale
    footer: int
    """Rows of the x-axis below: 0 or 1."""
    whole: bool
    """Whether x counts something: its ticks are then whole numbers."""
    marks: list[tuple[float, str]]
    """The ticks of the y-axis, with their labels."""
    shared: NDArray[np.int_] = field(init=False)
    """For each cell, the number of series beyond the first."""

    def __post_init__(self) -> None:
        self.shared = np.zeros((self.rows, self.width), np.int_)

    def row(self, value: float) -> int:
        """The cell row of a value, from the top of the area."""
        return int(braille.rows_of(np.array([value]), self.y, self.rows * 4)[0]) // 4

    def column(self, value: float) -> int:
        """The cell column of an x, from the left of the area."""
        return min(int(self.x.fraction(value) * self.width), self.width - 1)

    def ink(self, dots: braille.Dots, key: int) -> None:
        """Draw dots over the cells: a cell with a new dot loses its old ones, so that two colours never mix in one cell.

        Series that run along each other take turns, two cells each, so that all stay visible.
        """
        codes = braille.pack(dots)
        used = codes != 0
        # A cell has one foreground colour: dots of two series in it would all take the later one.
        area = (slice(self.top, self.top + self.rows), slice(self.left, self.left + self.width))
        if SERIES <= key < FAINT:
            met = used & (self.cells.keys[area] >= SERIES) & (self.cells.keys[area] < FAINT)
            met &= _lasting(met.any(0))
            self.shared[met] += 1
            used &= ~met | (np.arange(self.width) // 2 % (self.shared + 1) == self.shared)
        new = codes.astype(np.uint32) + braille.BLANK
        if key >= FAINT:
            # Of many faint lines of one colour all stay: whoever draws them does not tell them apart.
            alike = used & (self.cells.keys[area] == key) & (self.cells.codes[area] > braille.BLANK)
            new[alike] |= self.cells.codes[area][alike]
        self.cells.codes[area][used] = new[used]
        self.cells.keys[area][used] = key

    def free(self, x: int, y: int, width: int) -> bool:
        """Whether `width` cells of a row are still empty."""
        return x >= 0 and x + width <= self.cells.width and bool((self.cells.codes[y, x : x + width] == SPACE).all())


def _lasting(columns: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The columns without runs that are shorter than MEETING."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], columns, [False]])))
    lasting = np.zeros_like(columns)
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        lasting[start:end] = end - start >= MEETING
    return lasting


def layout(cells: Cells, plot: Plot) -> Area:
    """The area that remains for the curves beside title and axes."""
    width, height = cells.width, cells.height
    # In very little room title, axis and gutter go: the curve is what counts.
    top = legend_rows(plot, width, height) if height >= 3 else 0
    footer = 0 if height < 5 or width < 12 else 1
    rows = height - top - footer if height > 1 else 0
    x = _x_scale(plot)
    y = _y_scale(plot, x)
    marks = ticks(y, max(1.0, rows / 3))
    step = marks[1] - marks[0] if len(marks) > 1 and not y.log else 0.0
    labels = [tick_label(mark, step) for mark in marks]
    # At least 4 cells, so that the charts of a column line up.
    gutter = max(4, *(len(label) for label in labels)) if width >= 20 else 0
    left = gutter + 1 if gutter else 0
    return Area(cells, left, top, width - left, rows, x, y, footer, _whole(plot), list(zip(marks, labels, strict=True)))


def _whole(plot: Plot) -> bool:
    """Whether every x of some curves is a whole number."""
    if plot.end is not None:
        return False
    grids = [trace.pyramid.x if trace.pyramid else trace.x for trace in plot.traces if not trace.points]
    return bool(grids) and all(len(x) <= COUNTED and bool((x == np.rint(x)).all()) for x in grids) and any(len(x) > STRAIGHT for x in grids)


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[np.isfinite(values)]


def _telling(plot: Plot) -> Sequence[Trace]:
    """The traces that decide the axes."""
    if not any(trace.points and len(trace.x) for trace in plot.traces):
        return plot.traces
    return [trace for trace in plot.traces if trace.points or (not trace.faint and max(len(trace.x), len(trace.pyramid or ())) > STRAIGHT)]


def _x_scale(plot: Plot) -> Scale:
    # A straight line among points (a decision boundary) may lead far out: the points and the longer curves decide the axis.
    traces = _telling(plot)
    ends = [(float(xs[0]), float(xs[-1])) for trace in traces if trace.pyramid and len(xs := trace.pyramid.x)]
    ends += [(float(finite.min()), float(finite.max())) for trace in traces if len(finite := _finite(trace.x))]
    low = min((start for start, _ in ends), default=0.0)
    high = max((end for _, end in ends), default=0.0)
    if plot.end is None:
        if any(trace.points for trace in plot.traces):
            low, high = widened(low, high)
            # Points on the very edge would be cut to half a dot.
            return Scale(low - 0.03 * (high - low), high + 0.03 * (high - low))
        return Scale(*widened(low, high))
    if plot.log_x:
        # The smallest positive x: what is logged at step 0 has no place on the axis.
        grids = [trace.pyramid.x for trace in traces if trace.pyramid]
        least = min((float(x[place]) for x in grids if (place := int(np.searchsorted(x, 0, "right"))) < len(x)), default=1.0)
        end = plot.end if plot.end and (plot.begin is not None or 0 < high <= plot.end) else high
        least = max(least, plot.begin or 0.0)
        return Scale(least, end if end > least * 1.001 else 10 * least, log=True)
    if plot.begin is not None and plot.end:
        return Scale(*widened(plot.begin, plot.end))
    # A run may train on beyond its plan: then the axis grows in steps as without one.
    return Scale(*widened(min(0.0, low), plot.end if 0 < high <= plot.end or (plot.end and not high) else x_end(high)))


def _y_scale(plot: Plot, x: Scale) -> Scale:
    low, high, least = math.inf, -math.inf, math.inf
    for trace in _telling(plot):
        for pyramid in (trace.pyramid, *(trace.band or ())):
            if pyramid is None:
                continue
            bounds = pyramid.bounds(x.low, x.high)
            if bounds:
                low, high = min(low, bounds[0]), max(high, bounds[1])
                # A log axis begins at the smallest positive value.
                if plot.log_y and bounds[0] <= 0:
                    values = pyramid.y
                    least = min(least, float(values[values > 0].min(initial=math.inf)))
        if trace.pyramid is None:
            finite = _finite(trace.y)
            if len(finite):
                low, high = min(low, float(finite.min())), max(high, float(finite.max()))
                least = min(least, float(finite[finite > 0].min(initial=math.inf)))
    if low > high:
        limits = [reference.value for reference in plot.references if math.isfinite(reference.value)]
        low, high = (min(limits), max(limits)) if limits else (0.0, 1.0)
    if plot.log_y or (plot.log_y is None and 0 < low * LOG_FROM < high):
        low = min(low if low > 0 else math.inf, least)
        if not 0 < low < math.inf:
            return y_scale(0.1, 1.0, log=True)
        high = max(high, low)
        for reference in plot.references:
            # A bar within two decades is shown; one far away would squeeze the curve, and gets an arrow instead: see `reference_labels`.
            if low / 100 <= reference.value <= high * 100:
                low, high = min(low, reference.value), max(high, reference.value)
        return y_scale(low, high, log=True)
    if plot.references:
        low, high = widened(low, high)
        # The same on a linear axis: within one range above or below.
        span = high - low
        for reference in plot.references:
            if low - span <= reference.value <= high + span:
                low, high = min(low, reference.value), max(high, reference.value)
    return y_scale(low, high)


def x_labels(area: Area, label: str, clock: float | None = None) -> None:
    """Write the numbers below the x-axis, or with `clock` times of the day, and its name; where a cross is, there is no number."""
    cells, y = area.cells, area.top + area.rows
    parts = max(1.0, area.width / 9)
    marks = ticks(area.x, parts, whole=area.whole) if clock is None else clock_ticks(area.x, parts, clock)
    step = marks[1] - marks[0] if len(marks) > 1 and not area.x.log else 0.0
    end = area.left + area.width
    free = area.left
    label = label if 3 * text_width(label) < area.width else ""
    name_start = end - text_width(label) - 1 if label else end
    for mark in marks:
        text = tick_label(mark, step) if clock is None else clock_label(clock + mark, step)
        x = area.left + area.column(mark) - (len(text) - 1) // 2
        x = max(area.left, min(x, end - len(text)))
        if x >= free and x + len(text) <= name_start and (cells.keys[y, x : x + len(text)] == AXIS).all():
            cells.write(x, y, text, LABEL)
            free = x + len(text) + 1
    if label and name_start >= free - 1:
        cells.write(name_start, y, f" {label}", LABEL)
