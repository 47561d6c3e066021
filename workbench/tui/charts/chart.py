"""The chart widget: series over steps, curves and scatter plots as braille lines. The run's screen shows one for each metric."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rich.style import Style
from textual import events
from textual.color import Color
from textual.geometry import Region
from textual.message import Message
from textual.reactive import reactive

from workbench.events import Curve, Scatter
from workbench.runs.history import Series
from workbench.tui.charts import ramp
from workbench.tui.charts.canvas import Canvas
from workbench.tui.charts.cells import Cells
from workbench.tui.charts.draw_plot import draw, line_at, x_at, x_beside
from workbench.tui.charts.plot import (
    AXIS,
    BAD,
    CURSOR,
    FAINT,
    FOCUS,
    LABEL,
    MARK,
    REFERENCE,
    ROOM,
    SERIES,
    SLOTS,
    TINT,
    TINTS,
    TITLE,
    Moment,
    Plot,
    Reference,
    Spot,
    Trace,
)
from workbench.tui.charts.pyramid import Pyramid, monotonic
from workbench.tui.charts.smoothing import Smoothed, span
from workbench.tui.drawing import palette

__all__ = ["Chart", "Line", "Moment", "Reference", "Spot", "curve_line", "scatter_lines"]

_PARTS = {TITLE: "title", LABEL: "label", AXIS: "axis", REFERENCE: "reference", MARK: "mark", BAD: "bad", CURSOR: "cursor", FOCUS: "focus"}
# Older lines and unsmoothed values should be seen, and not be taken for the line itself.
FAINTNESS = 0.38
"""The share of its own colour in a faint line; the rest is the background's."""
TINTED = 0.22
"""The same of the background of a band."""
DRAG = 3
"""Columns from which on a move with the button down is a drag; less is a click of a hand that is not still."""
# The splits keep their colours across all charts of all runs.
_OWN_SLOTS = {"train": 0, "valid": 1, "test": 2, "positive": 0, "negative": 1}
_SIDES = {"positive", "negative"}
"""Points of these names have the colours of a matrix with negative numbers, in which sides of a plane are drawn."""


@dataclass(frozen=True, slots=True)
class Line:
    """One series to show: its name in the legend, its data, and a colour slot from 0 (None: chosen by its name, once)."""

    name: str
    data: Series | tuple[ArrayLike, ArrayLike]
    slot: int | None = None
    points: bool = False
    faint: bool = False
    """Whether it is an older state of a line, or a single run behind a mean."""
    band: tuple[ArrayLike, ArrayLike] | None = None
    """The smallest and the largest values at the same x, where the line is a mean."""
    named: bool = True
    """Whether its name stands in the legend."""


def curve_line(name: str, event: Curve, slot: int | None = None, *, faint: bool = False) -> Line:
    """A Curve as a line; forecast and truth are two lines in one chart."""
    return Line(name, (event.x, event.y), slot, faint=faint)


def scatter_lines(event: Scatter) -> list[Line]:
    """A Scatter as points, one colour for each label in the order of first appearance."""
    if len(event.labels) != len(event.x):
        return [Line("", (event.x, event.y), points=True)]
    labels = np.array(event.labels)
    x, y = np.asarray(event.x, np.float64), np.asarray(event.y, np.float64)
    return [Line(label, (x[labels == label], y[labels == label]), points=True) for label in dict.fromkeys(event.labels)]


def _identity(line: Line) -> tuple[int, ...]:
    return (id(line.data),) if isinstance(line.data, Series) else (id(line.data[0]), id(line.data[1]), *map(id, line.band or ()))


class Chart(Canvas):
    """Series over one x-axis, with title, legend and axes. Call `show` whenever data are new: it repaints only changed cells."""

    COMPONENT_CLASSES = {
        "chart--title",
        "chart--focus",
        "chart--label",
        "chart--axis",
        "chart--reference",
        "chart--mark",
        "chart--bad",
        "chart--cursor",
        *(f"chart--series-{slot}" for slot in range(1, SLOTS + 1)),
    }
    DEFAULT_CSS = """
    Chart {
        height: 1fr; width: 1fr; min-height: 1;
        & > .chart--title { color: $foreground; text-style: bold; }
        & > .chart--focus { color: $foreground; text-style: bold underline; }
        & > .chart--label { color: $foreground 60%; }
        & > .chart--axis { color: $foreground 30%; }
        & > .chart--reference { color: $foreground 55%; }
        & > .chart--mark { color: $foreground 45%; }
        & > .chart--cursor { color: $foreground; }
        & > .chart--bad { color: #ff5c57; text-style: bold; }
        & > .chart--series-1 { color: #57a5f2; }
        & > .chart--series-2 { color: #f2a65a; }
        & > .chart--series-3 { color: #7fc96b; }
        & > .chart--series-4 { color: #c78ff0; }
        & > .chart--series-5 { color: #f06f9b; }
        & > .chart--series-6 { color: #e3d158; }
        & > .chart--series-7 { color: #4fd1c5; }
        & > .chart--series-8 { color: #aab4c2; }
        &:light > .chart--bad { color: #c4231c; }
        &:light > .chart--series-1 { color: #1668b8; }
        &:light > .chart--series-2 { color: #b3590b; }
        &:light > .chart--series-3 { color: #2f7d1f; }
        &:light > .chart--series-4 { color: #8136b3; }
        &:light > .chart--series-5 { color: #bd2560; }
        &:light > .chart--series-6 { color: #7a6a00; }
        &:light > .chart--series-7 { color: #0b7d72; }
        &:light > .chart--series-8 { color: #56606d; }
        &.-sixteen > .chart--label { color: #aaaaaa; }
        &.-sixteen > .chart--axis { color: #555555; }
        &.-sixteen > .chart--reference { color: #aaaaaa; }
        &.-sixteen > .chart--mark { color: #555555; }
        &.-sixteen > .chart--bad { color: #ff5555; }
        &.-sixteen > .chart--series-1 { color: #55ffff; }
        &.-sixteen > .chart--series-2 { color: #ffff55; }
        &.-sixteen > .chart--series-3 { color: #55ff55; }
        &.-sixteen > .chart--series-4 { color: #ff55ff; }
        &.-sixteen > .chart--series-5 { color: #5555ff; }
        &.-sixteen > .chart--series-6 { color: #aa5500; }
        &.-sixteen > .chart--series-7 { color: #00aaaa; }
        &.-sixteen > .chart--series-8 { color: #ffffff; }
    }
    """

    class Pointed(Message):
        """The mouse points at an x: a click, or a move with the button down."""

        def __init__(self, chart: "Chart", x: float, line: str = "") -> None:
            super().__init__()
            self.chart = chart
            self.x = x
            self.line = line
            """The name of the line that a click is on, or beside; "" of a move."""

    class Dragged(Message):
        """The mouse went from one x to another one with its button down, and let go."""

        def __init__(self, chart: "Chart", start: float, end: float) -> None:
            super().__init__()
            self.chart = chart
            self.start, self.end = sorted((start, end))

    class Wheeled(Message):
        """The wheel turned at an x: up is -1."""

        def __init__(self, chart: "Chart", x: float, down: int) -> None:
            super().__init__()
            self.chart = chart
            self.x, self.down = x, down

    log_y: reactive[bool | None] = reactive(False, init=False)

    def __init__(self, title: str = "", *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._plot = Plot(title=title)
        self._pyramids: dict[tuple[int, ...], tuple[object, Pyramid]] = {}
        """By the identity of the data. The data are kept here too, so that Python does not give their id to another object."""
        self._bands: dict[tuple[int, ...], tuple[Pyramid, Pyramid]] = {}
        self._smoothed: dict[tuple[int, ...], Smoothed] = {}
        self._slots: dict[str, int] = {}
        self._pressed = 0.0
        self._lines: tuple[Line, ...] = ()
        """The lines on screen, kept for the same reason."""
        self._drawn: tuple[object, ...] = ()
        """The content of the last drawing, to skip equal ones."""

    def show(
        self,
        lines: Sequence[Line],
        *,
        title: str | None = None,
        end: float | None = 0.0,
        begin: float | None = None,
        clock: float | None = None,
        references: Sequence[Reference] = (),
        moments: Sequence[Moment] = (),
        labels: tuple[str, str] = ("", ""),
        smooth: float = 0.0,
        cursor: float | None = None,
        spot: Spot | None = None,
        focused: bool = False,
        log_x: bool = False,
    ) -> list[Region]:
        """Show these lines, later ones on top, and repaint what changes; returns the repainted regions.

        `end` is the planned last x (0: not known; None: the end of the data, for curves and scatter plots), `begin` the first one shown;
        with `clock`, the Unix time at x = 0, times of the day stand below the axis. A Series is read on from the
        last call and stays the caller's; other data are compared by identity, so give new arrays for new content. `smooth` is the reach
        of the smoothing as a share of the x-axis; `cursor` is an x to read values at; `spot` is one marked point. Where nothing is new,
        nothing is drawn.
        """
        old = self._plot
        self._choose_slots(lines)
        among_points = any(line.points for line in lines)
        self._plot = Plot(
            [self._trace(line, smooth, end or 0.0, among_points) for line in lines],
            old.title if title is None else title,
            end,
            tuple(references),
            tuple(moments),
            labels,
            self.log_y,
            cursor,
            spot,
            focused,
            begin,
            clock,
            log_x,
        )
        # A blank cell of a band has a colour of its own.
        self.BACKGROUNDS = any(line.band is not None for line in lines)
        shown = {_identity(line) for line in lines}
        self._smoothed = {key: smoothed for key, smoothed in self._smoothed.items() if key in shown}
        self._pyramids = {key: pyramid for key, pyramid in self._pyramids.items() if key in shown}
        self._bands = {key: band for key, band in self._bands.items() if key in shown}
        before, self._lines, self._drawn = self._drawn, tuple(lines), self._content(lines, smooth)
        return [] if self._drawn == before and self._cells is not None else self.redraw()

    def _content(self, lines: Sequence[Line], smooth: float) -> tuple[object, ...]:
        """A value that is equal for equal drawings: growing series by their length, other data by identity."""
        plot = self._plot
        shown = [
            (_identity(line), line.name, line.points, line.faint, line.named, trace.slot, trace.pyramid and trace.pyramid.state)
            for line, trace in zip(lines, plot.traces, strict=True)
        ]
        return (shown, smooth, *(getattr(plot, part.name) for part in fields(plot) if part.name != "traces"))

    def draw(self, width: int, height: int) -> Cells:
        return draw(self._plot, width, height)

    def style_for(self, key: int) -> Style:
        if key >> TINTS[0]:
            return self.style_for(key & ((1 << TINTS[0]) - 1)) + self._tint([key >> shift & TINT for shift in TINTS])
        if FAINT <= key < FAINT + ROOM:
            return self._faint(key - FAINT)
        if SERIES + SLOTS <= key < FAINT:
            return self.rich_style + Style(color=self._ramp(key - SERIES).rich_color)
        part = _PARTS.get(key) or f"series-{key - SERIES + 1}"
        return self.get_component_rich_style(f"chart--{part}") if key else self.rich_style

    def _tint(self, slots: Sequence[int]) -> Style:
        """The background of a band; with 16 colours there is none between the ground and the lines."""
        if self.has_class("-sixteen"):
            return Style(bgcolor="bright_black")
        ground = self.background_colors[1]
        for slot in filter(None, slots):
            ground = ground.blend(self._color(slot - 1), TINTED)
        return Style(bgcolor=ground.rich_color)

    def _color(self, slot: int) -> Color:
        return self.get_component_styles(f"chart--series-{slot + 1}").color if slot < SLOTS else self._ramp(slot)

    def _ramp(self, slot: int) -> Color:
        return Color.parse(ramp.color(slot, dark=palette.THEMES[palette.name].dark, sixteen=self.has_class("-sixteen")))

    def _faint(self, slot: int) -> Style:
        """A series' colour mixed with the background; with 16 colours, the grey of the axis."""
        if self.has_class("-sixteen"):
            return self.get_component_rich_style("chart--axis")
        return self.rich_style + Style(color=self.background_colors[1].blend(self._color(slot), FAINTNESS).rich_color)

    def moved(self, cursor: float | None, columns: int) -> float | None:
        """The cursor after a move by so many columns: always on a point, and at least on the next one; None where there is no point."""
        grids = [trace.pyramid.x for trace in self._plot.traces if trace.pyramid]
        if not grids:
            return None
        if cursor is None:
            return max(float(x[-1]) for x in grids)
        # A column may hold many points, or many columns none: aim by columns, then take the nearest point beyond the cursor.
        target = x_beside(self._plot, *self.size, cursor, columns)
        candidates: list[float] = []
        for x in grids:
            places = [*np.searchsorted(x, [target, cursor], "right"), *(np.searchsorted(x, [target, cursor], "left") - 1)]
            candidates += x[np.clip(places, 0, len(x) - 1)].tolist()
        return min((x for x in candidates if (x - cursor) * columns > 0 or not columns), key=lambda x: abs(x - target), default=cursor)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        # Moves then come here even beyond the chart's edge, until the button is up.
        self.capture_mouse()
        self._pressed = event.x
        self.post_message(self.Pointed(self, self._at(event.x), line_at(self._plot, *self.size, event.x, event.y)))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self.app.mouse_captured is self:
            self.post_message(self.Pointed(self, self._at(event.x)))

    def on_mouse_up(self, event: events.MouseUp) -> None:
        captured = self.app.mouse_captured is self
        self.release_mouse()
        if captured and abs(event.x - self._pressed) >= DRAG:
            self.post_message(self.Dragged(self, self._at(self._pressed), self._at(event.x)))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self.post_message(self.Wheeled(self, self._at(event.x), -1))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self.post_message(self.Wheeled(self, self._at(event.x), 1))

    def _at(self, column: float) -> float:
        """The x at a column of this widget."""
        return x_at(self._plot, *self.size, column)

    @property
    def window(self) -> tuple[float, float]:
        """The first and the last x on the axis."""
        return self._at(-math.inf), self._at(math.inf)

    @property
    def reach(self) -> float:
        """The largest x of its series."""
        return max((float(trace.pyramid.x[-1]) for trace in self._plot.traces if trace.pyramid), default=0.0)

    def watch_log_y(self, log_y: bool | None) -> None:
        self._plot.log_y = log_y
        self.redraw()

    def _trace(self, line: Line, smooth: float, end: float, among_points: bool) -> Trace:
        slot = self._slots[line.name] if line.slot is None else line.slot % ROOM
        key = _identity(line)
        if isinstance(line.data, Series):
            _, pyramid = self._pyramids.setdefault(key, (line.data, Pyramid()))
            # Only what is new is read: a redraw of a long run costs no more than of a short one.
            pyramid.follow(line.data)
            value = float(line.data.values[-1]) if len(line.data) else None
            smoothed = self._smooth(key, pyramid, smooth, end)
            return Trace(line.name, slot, pyramid, faint=line.faint, value=value, smooth=smoothed, named=line.named)
        x, y = (np.asarray(values, np.float64).ravel() for values in line.data)
        size = min(len(x), len(y))
        x, y = x[:size], y[:size]
        # Among points the pyramid would drop the faint style and the cut at the axes, which free lines have.
        if not line.points and not among_points and monotonic(x):
            if key not in self._pyramids:
                self._pyramids[key] = ((line.data, line.band), Pyramid(x, y))
            return Trace(line.name, slot, self._pyramids[key][1], faint=line.faint, band=self._band(line, key, x), named=line.named)
        return Trace(line.name, slot, None, x, y, line.points, line.faint)

    def _band(self, line: Line, key: tuple[int, ...], x: NDArray[np.float64]) -> tuple[Pyramid, Pyramid] | None:
        if line.band is None:
            return None
        if key not in self._bands:
            low, high = (Pyramid(x, edge) for edge in line.band)
            self._bands[key] = low, high
        return self._bands[key]

    def _smooth(self, key: tuple[int, ...], pyramid: Pyramid, share: float, end: float) -> Pyramid | None:
        points = span(pyramid.x, end, share)
        if not points:
            return None
        if key not in self._smoothed or self._smoothed[key].points != points:
            self._smoothed[key] = Smoothed(points)
        return self._smoothed[key].follow(pyramid)

    def _choose_slots(self, lines: Sequence[Line]) -> None:
        """Give each new name a colour and keep it: its split's own if that is free, else the next free one."""
        new = dict.fromkeys(line.name for line in lines if line.slot is None and line.name not in self._slots)
        for name in sorted(new, key=lambda name: name not in _OWN_SLOTS):
            occupied = set(self._slots.values())
            # The other side may come later.
            if name not in _SIDES and not _SIDES.isdisjoint(self._slots):
                occupied |= {_OWN_SLOTS[side] for side in _SIDES}
            # With more names than colours, colours repeat.
            free = [slot for slot in range(SLOTS) if slot not in occupied] or [len(self._slots) % SLOTS]
            preferred = _OWN_SLOTS.get(name, -1)
            self._slots[name] = preferred if preferred in free else free[0]
