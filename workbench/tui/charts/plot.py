"""Draws one whole chart as cells: title, legend, axes, series, bars, changes. Pure functions; used by the Chart widget and by tests."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from workbench.tui.charts import braille
from workbench.tui.charts.axes import Scale, number, tick_label, ticks, widened, x_end, y_scale
from workbench.tui.charts.cells import SPACE, Cells, cut, text_width
from workbench.tui.charts.pyramid import Columns, Pyramid

TITLE, LABEL, AXIS, REFERENCE, MARK, BAD, CURSOR, SERIES = 1, 2, 3, 4, 5, 6, 7, 8
SLOTS = 8
"""Colours of series; keys SERIES + 0 … SERIES + SLOTS - 1."""
FAINT = SERIES + SLOTS
"""The same colours faint, from here on: of the values that a smoothed line stands for."""
MEETING = 4
"""Columns that series share from which they go along with one another, and don't only cross."""
STRAIGHT = 2
"""Points of a straight line."""
FOCUS = FAINT + SLOTS
"""The title of the chart that keys act on."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A horizontal line at a value: a bar to pass, what the course got."""

    value: float
    label: str = ""


@dataclass(frozen=True, slots=True)
class Moment:
    """A vertical line at an x: a live change, the step that was kept."""

    x: float
    label: str = ""


@dataclass(frozen=True, slots=True)
class Spot:
    """One point that is pointed out: the working point on a ROC."""

    x: float
    y: float


@dataclass(slots=True)
class Trace:
    """One series as it is drawn: a pyramid where x never falls, else the arrays; `slot` is its colour, from 0."""

    name: str
    slot: int
    pyramid: Pyramid | None = None
    x: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    y: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    points: bool = False
    faint: bool = False
    """An older state of a line: drawn faint, and not named."""
    value: float | None = None
    """The latest value, for the legend."""
    smooth: Pyramid | None = None
    """Its smoothed values: drawn bright, over its own, which then are faint."""

    def at(self, x: float) -> tuple[float, float | None] | None:
        """The last value up to an x (infinity where it is not finite), and the smoothed one there; None before its first."""
        if self.pyramid is None:
            return None
        index = int(np.searchsorted(self.pyramid.x, x, "right")) - 1
        return (float(self.pyramid.y[index]), float(self.smooth.y[index]) if self.smooth else None) if index >= 0 else None


@dataclass(slots=True)
class Plot:
    """Everything that one chart shows."""

    traces: Sequence[Trace] = ()
    title: str = ""
    end: float | None = 0.0
    """Where x ends: the planned length; 0 = not known, grows in steps; None = as far as the data go (curves, scatters)."""
    references: Sequence[Reference] = ()
    moments: Sequence[Moment] = ()
    labels: tuple[str, str] = ("", "")
    log_y: bool | None = False
    """Whether the y-axis is logarithmic; None: where all values are positive and the largest is LOG_FROM times the smallest."""
    cursor: float | None = None
    """An x to read the values at."""
    spot: Spot | None = None
    focused: bool = False
    """Keys act on it: its title says so."""


def draw(plot: Plot, width: int, height: int) -> Cells:
    """The chart in `width` x `height` cells; whatever does not fit is left out, the curve last of all."""
    cells = Cells(width, height)
    if width < 1 or height < 1:
        return cells
    area = _area(cells, plot)
    if area.top or height == 1:
        _header(cells, plot, area.rows, max(1, area.top))
    if area.rows < 1:
        return cells
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
    _reference_lines(area, plot)
    for moment in plot.moments:
        _moment(area, moment)
    for trace in plot.traces:
        if trace.smooth and trace.pyramid:
            columns = trace.pyramid.columns(area.x.low, area.x.high, area.width * 2)
            area.ink(braille.line(columns, area.x, area.y, area.rows * 4), FAINT + trace.slot)
            _not_finite(area, columns)
    drawn = False
    for trace in sorted(plot.traces, key=lambda trace: trace.points):  # points stand on the lines
        drawn = _trace(area, trace) or drawn
    _reference_labels(area, plot)
    for moment in plot.moments:
        _moment_label(area, moment)
    if plot.cursor is not None:
        _cursor(area, plot, plot.cursor)
    if plot.spot:
        cells.write(area.left + area.column(plot.spot.x), area.top + area.row(plot.spot.y), "●", CURSOR)
    if area.footer:
        _x_labels(area, plot.labels[0])
    if not drawn and not any(len(trace.pyramid or trace.x) for trace in plot.traces):
        text = cut("no values yet", area.width)
        cells.write(area.left + (area.width - len(text)) // 2, area.top + area.rows // 2, text, LABEL)
    return cells


def x_at(plot: Plot, width: int, height: int, column: float) -> float:
    """The x that stands at a column of the chart in this size; what lies beside the curves counts as their edge."""
    area = _area(Cells(width, height), plot)
    share = (column + 0.5 - area.left) / max(1, area.width)
    return area.x.low + (area.x.high - area.x.low) * min(1.0, max(0.0, share))


def x_step(plot: Plot, width: int, height: int) -> float:
    """How far apart two columns are."""
    area = _area(Cells(width, height), plot)
    return (area.x.high - area.x.low) / max(1, area.width)


@dataclass(slots=True)
class _Area:
    """The part of the cells that the curves may use, and its two scales."""

    cells: Cells
    left: int
    top: int
    width: int
    rows: int
    x: Scale
    y: Scale
    footer: int
    """Rows of the x-axis below: 0 or 1."""
    marks: list[tuple[float, str]]
    """The ticks of y, with their labels."""
    shared: NDArray[np.int_] = field(init=False)
    """How many series more than one a cell has."""

    def __post_init__(self) -> None:
        self.shared = np.zeros((self.rows, self.width), np.int_)

    def row(self, value: float) -> int:
        """The cell row of a value, from the top of the area."""
        return int(braille.rows_of(np.array([value]), self.y, self.rows * 4)[0]) // 4

    def column(self, value: float) -> int:
        """The cell column of an x, from the left of the area."""
        return min(int(self.x.fraction(value) * self.width), self.width - 1)

    def ink(self, dots: braille.Dots, key: int) -> None:
        """Lay dots over what is there: a cell that gets a dot belongs to them alone, so that colours do not bleed.

        Where series go along with one another they take turns, two cells each, so that all are seen.
        """
        codes = braille.pack(dots)
        used = codes != 0
        area = (slice(self.top, self.top + self.rows), slice(self.left, self.left + self.width))
        if SERIES <= key < FAINT:
            met = used & (self.cells.keys[area] >= SERIES) & (self.cells.keys[area] < FAINT)
            met &= _lasting(met.any(0))
            self.shared[met] += 1
            used &= ~met | (np.arange(self.width) // 2 % (self.shared + 1) == self.shared)
        self.cells.codes[area][used] = codes[used].astype(np.uint32) + braille.BLANK
        self.cells.keys[area][used] = key

    def free(self, x: int, y: int, width: int) -> bool:
        """Whether so many cells of a row are still empty."""
        return x >= 0 and x + width <= self.cells.width and bool((self.cells.codes[y, x : x + width] == SPACE).all())


def _lasting(columns: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without runs shorter than MEETING."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], columns, [False]])))
    found = np.zeros_like(columns)
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        found[start:end] = end - start >= MEETING
    return found


def _area(cells: Cells, plot: Plot) -> _Area:
    """What remains for the curves beside title and axes."""
    width, height = cells.width, cells.height
    top = _legend_rows(plot, width, height) if height >= 3 else 0
    footer = 0 if height < 5 or width < 12 else 1
    rows = height - top - footer if height > 1 else 0
    x = _x_scale(plot)
    y = _y_scale(plot, x)
    marks = ticks(y, max(1.0, rows / 3))
    step = marks[1] - marks[0] if len(marks) > 1 and not y.log else 0.0
    labels = [tick_label(mark, step) for mark in marks]
    gutter = max(4, *(len(label) for label in labels)) if width >= 20 else 0
    left = gutter + 1 if gutter else 0
    return _Area(cells, left, top, width - left, rows, x, y, footer, list(zip(marks, labels, strict=True)))


LEGIBLE = 6
"""Letters of a name that must be left when it is cut."""
TALL = 8
"""Rows from which a chart spares a second one for its legend, where one has no room for the names."""


def _bare(names: Sequence[str]) -> list[str]:
    """Names without the first words that they share."""
    bare = list(names)
    while len(bare) > 1 and all(" " in name for name in bare) and len({name.split(" ", 1)[0] for name in bare}) == 1:
        bare = [name.split(" ", 1)[1] for name in bare]
    return bare


def _room(plot: Plot, width: int, whole: bool) -> int:
    """What the title, whole or cut, leaves of the first row."""
    return width - min(text_width(plot.title), width if whole else max(8, width // 3)) - 2


def _legend_rows(plot: Plot, width: int, height: int) -> int:
    """1, or 2 where the names alone do not fit beside the title; never by the values, so that nothing moves when they do."""
    names = _bare([trace.name for trace in plot.traces if not trace.faint])
    return 2 if height >= TALL and _wide(names) > _room(plot, width, whole=True) else 1


def _header(cells: Cells, plot: Plot, rows: int, top: int) -> None:
    """Title on the left, names with latest values on the right; for want of room they give up shared words, values, names, series.

    Under a cursor the values stand beside it, if there are `rows` enough. In two rows (`top`) the legend goes on below the title.
    """
    beside = plot.cursor is not None and rows >= len(plot.traces)
    traces = [trace for trace in plot.traces if not trace.faint]
    values = ["" if trace.value is None or (beside and trace.name) else number(trace.value) for trace in traces]
    names = [trace.name for trace in traces]
    rooms = [_room(plot, cells.width, whole=top > 1), cells.width][:top]
    room, bare, none = sum(rooms), _bare(names), [""] * len(names)
    valued = (room - sum(text_width(value) + 3 for value in values) + 2) // max(1, len(names))
    alone = (room + 2) // max(1, len(names)) - 2
    forms = [(names, values), (bare, values)]
    if valued >= LEGIBLE and top == 1:
        forms.append((_cut(bare, valued), values))
    forms.append((bare, none))
    forms += [(_cut(bare, letters), none) for letters in range(alone, LEGIBLE - 1, -1)]  # the ends of rows may lose some
    forms.append((["" if value else name for name, value in zip(bare, values, strict=True)], values))
    lines: list[list[str]] = []
    for form in forms:
        words = [f"{name} {value}".strip() for name, value in zip(*form, strict=True)]
        lines = _filled(words, rooms)
        if sum(map(len, lines)) == len(words):
            break
    left = iter(traces)
    for row, line in enumerate(lines):
        x = cells.width - _wide(line)
        if not row:
            cells.write(0, 0, cut(plot.title, max(0, min(x - 2, cells.width) if line else cells.width)), FOCUS if plot.focused else TITLE)
        for word, trace in zip(line, left, strict=False):
            key = BAD if trace.value is not None and not math.isfinite(trace.value) else SERIES + trace.slot
            x = cells.write(x, row, word, key) + 2


def _cut(names: Sequence[str], room: int) -> list[str]:
    """Names in so much room each: their beginnings, or where these are alike the last words."""
    begun = [cut(name, room) for name in names]
    return begun if len(set(begun)) == len(names) else [cut(name.rsplit(" ", 1)[-1], room) for name in names]


def _filled(words: Sequence[str], rooms: Sequence[int]) -> list[list[str]]:
    """Words in rows of so much room each, as many as fit."""
    left, lines = list(words), []
    for room in rooms:
        line: list[str] = []
        while left and _wide([*line, left[0]]) <= room:
            line.append(left.pop(0))
        lines.append(line)
    return lines


def _wide(words: Sequence[str]) -> int:
    """The cells that words take, two spaces between them."""
    return sum(text_width(word) + 2 for word in words) - 2


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[np.isfinite(values)]


def _telling(plot: Plot) -> Sequence[Trace]:
    """The traces that the axes are made for."""
    if not any(trace.points and len(trace.x) for trace in plot.traces):
        return plot.traces
    return [trace for trace in plot.traces if trace.points or (not trace.faint and max(len(trace.x), len(trace.pyramid or ())) > STRAIGHT)]


def _x_scale(plot: Plot) -> Scale:
    # A straight line among points may lead far out (a decision line): the points, and longer curves, say what is shown.
    traces = _telling(plot)
    ends = [(float(xs[0]), float(xs[-1])) for trace in traces if trace.pyramid and len(xs := trace.pyramid.x)]
    ends += [(float(found.min()), float(found.max())) for trace in traces if len(found := _finite(trace.x))]
    low = min((start for start, _ in ends), default=0.0)
    high = max((end for _, end in ends), default=0.0)
    if plot.end is None:
        if any(trace.points for trace in plot.traces):
            low, high = widened(low, high)
            return Scale(low - 0.03 * (high - low), high + 0.03 * (high - low))
        return Scale(*widened(low, high))
    return Scale(*widened(min(0.0, low), plot.end if 0 < high <= plot.end or (plot.end and not high) else x_end(high)))


LOG_FROM = 100
"""A range so wide would hide all but its largest values on a linear axis."""


def _y_scale(plot: Plot, x: Scale) -> Scale:
    low, high, least = math.inf, -math.inf, math.inf
    for trace in _telling(plot):
        if trace.pyramid is not None:
            found = trace.pyramid.bounds(x.low, x.high)
            if found:
                low, high = min(low, found[0]), max(high, found[1])
                if plot.log_y and found[0] <= 0:
                    values = trace.pyramid.y
                    least = min(least, float(values[values > 0].min(initial=math.inf)))
        else:
            finite = _finite(trace.y)
            if len(finite):
                low, high = min(low, float(finite.min())), max(high, float(finite.max()))
                least = min(least, float(finite[finite > 0].min(initial=math.inf)))
    if low > high:
        known = [reference.value for reference in plot.references if math.isfinite(reference.value)]
        low, high = (min(known), max(known)) if known else (0.0, 1.0)
    if plot.log_y or (plot.log_y is None and 0 < low * LOG_FROM < high):
        low = min(low if low > 0 else math.inf, least)
        if not 0 < low < math.inf:
            return y_scale(0.1, 1.0, log=True)
        high = max(high, low)
        for reference in plot.references:
            if low / 100 <= reference.value <= high * 100:
                low, high = min(low, reference.value), max(high, reference.value)
        return y_scale(low, high, log=True)
    if plot.references:
        low, high = widened(low, high)
        span = high - low
        for reference in plot.references:
            if low - span <= reference.value <= high + span:
                low, high = min(low, reference.value), max(high, reference.value)
    return y_scale(low, high)


def _x_labels(area: _Area, label: str) -> None:
    """The numbers below, and the axis' name; a number gives way to a cross that stands there."""
    cells, y = area.cells, area.top + area.rows
    marks = ticks(area.x, max(1.0, area.width / 9))
    step = marks[1] - marks[0] if len(marks) > 1 else 0.0
    end = area.left + area.width
    free = area.left
    label = label if 3 * text_width(label) < area.width else ""
    name_start = end - text_width(label) - 1 if label else end
    for mark in marks:
        text = tick_label(mark, step)
        x = area.left + area.column(mark) - (len(text) - 1) // 2
        x = max(area.left, min(x, end - len(text)))
        if x >= free and x + len(text) <= name_start and (cells.keys[y, x : x + len(text)] == AXIS).all():
            cells.write(x, y, text, LABEL)
            free = x + len(text) + 1
    if label and name_start >= free - 1:
        cells.write(name_start, y, f" {label}", LABEL)


def _reference_lines(area: _Area, plot: Plot) -> None:
    for reference in plot.references:
        if not math.isfinite(reference.value):
            continue
        if area.y.low <= reference.value <= area.y.high:
            dots: braille.Dots = np.zeros((area.rows * 4, area.width * 2), np.bool_)
            line = braille.rows_of(np.array([reference.value]), area.y, area.rows * 4)[0]
            dots[line] = np.arange(area.width * 2) % 4 < 2
            area.ink(dots, REFERENCE)


def _reference_labels(area: _Area, plot: Plot) -> None:
    """At the end of each line, or beside it where curves are in the way; nowhere where they are all around."""
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


def _moment(area: _Area, moment: Moment) -> None:
    if not area.x.low <= moment.x <= area.x.high:
        return
    x = area.left + area.column(moment.x)
    for row in range(area.rows):
        if area.free(x, area.top + row, 1):
            area.cells.write(x, area.top + row, "┊", MARK)


def _moment_label(area: _Area, moment: Moment) -> None:
    """What was changed, beside its line, where the curves leave room for it near the top."""
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


def _trace(area: _Area, trace: Trace) -> bool:
    """Draw one series; returns whether anything is seen of it."""
    width, height = area.width * 2, area.rows * 4
    key = SERIES + trace.slot
    if trace.pyramid is None:
        x, y = (trace.x, trace.y) if trace.points else braille.clipped(trace.x, trace.y, area.x, area.y)
        draw_dots = braille.points if trace.points else braille.polyline
        dots = draw_dots(x, y, area.x, area.y, width, height)
        area.ink(dots, FAINT + trace.slot if trace.faint else key)
        return bool(dots.any())
    columns = (trace.smooth or trace.pyramid).columns(area.x.low, area.x.high, width)
    area.ink(braille.line(columns, area.x, area.y, height), key)
    if not trace.smooth:
        _not_finite(area, columns)
    return bool(columns.count.any())


def _not_finite(area: _Area, columns: Columns) -> None:
    """A cross where values are not finite: on the axis for NaN, at the top or bottom edge for an infinity."""
    bottom = area.top + area.rows - 1
    for places, row in ((columns.missing, bottom + area.footer), (columns.above, area.top), (columns.below, bottom)):
        for column in np.unique(np.flatnonzero(places) // 2).tolist():
            area.cells.write(area.left + column, row, "×", BAD)


def _cursor(area: _Area, plot: Plot, at: float) -> None:
    """A hairline with the value of each series beside it, each on a row of its own, as near to its height as the others let it be."""
    if not area.x.low <= at <= area.x.high:
        return
    cells, column = area.cells, area.column(at)
    for row in range(area.rows):
        if area.free(area.left + column, area.top + row, 1):
            cells.write(area.left + column, area.top + row, "│", CURSOR)
    if area.footer:
        text = f"{at:,.0f}" if at == round(at) else number(at)
        x = area.left + max(0, min(column - len(text) // 2, area.width - len(text)))
        cells.write(x, area.top + area.rows, cut(text, area.width), CURSOR)
    labels: list[tuple[int, str, int]] = []
    for trace in plot.traces:
        found = trace.at(at)
        if found is None:
            continue
        value, smooth = found
        whole = math.isfinite(value)
        text = number(value) if whole else "not finite"
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
    """Rising rows moved as little as need be so that no two are the same and all lie in 0 … height - 1."""
    found: list[int] = []
    for row in rows:
        found.append(max(row, found[-1] + 1) if found else row)
    last = height
    for place in range(len(found) - 1, -1, -1):
        last = found[place] = min(found[place], last - 1)
    return found
