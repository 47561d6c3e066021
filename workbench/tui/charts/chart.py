"""The chart widget: series over steps, curves and scatters as braille lines. The run's screen shows one per metric."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from rich.style import Style
from textual.geometry import Region
from textual.reactive import reactive

from workbench.events import Curve, Scatter
from workbench.history import Series
from workbench.tui.charts.canvas import Canvas
from workbench.tui.charts.cells import Cells
from workbench.tui.charts.plot import (
    AXIS,
    BAD,
    LABEL,
    MARK,
    REFERENCE,
    SERIES,
    SLOTS,
    TITLE,
    Moment,
    Plot,
    Reference,
    Trace,
    draw,
)
from workbench.tui.charts.pyramid import Pyramid, monotonic

__all__ = ["Chart", "Line", "Moment", "Reference", "curve_line", "scatter_lines"]

_PARTS = {TITLE: "title", LABEL: "label", AXIS: "axis", REFERENCE: "reference", MARK: "mark", BAD: "bad"}
_OWN_SLOTS = {"train": 0, "valid": 1, "test": 2}


@dataclass(frozen=True, slots=True)
class Line:
    """One series to show: its name in the legend, its data, and a colour slot from 0 (None: by its name, and then for good)."""

    name: str
    data: Series | tuple[ArrayLike, ArrayLike]
    slot: int | None = None
    points: bool = False


def curve_line(name: str, event: Curve, slot: int | None = None) -> Line:
    """A Curve as a line; forecast and truth are two of them in one chart."""
    return Line(name, (event.x, event.y), slot)


def scatter_lines(event: Scatter) -> list[Line]:
    """A Scatter as points, one colour per label in the order of first appearance."""
    if len(event.labels) != len(event.x):
        return [Line("", (event.x, event.y), points=True)]
    labels = np.array(event.labels)
    x, y = np.asarray(event.x, np.float64), np.asarray(event.y, np.float64)
    return [Line(label, (x[labels == label], y[labels == label]), points=True) for label in dict.fromkeys(event.labels)]


def _identity(line: Line) -> tuple[int, ...]:
    return (id(line.data),) if isinstance(line.data, Series) else (id(line.data[0]), id(line.data[1]))


class Chart(Canvas):
    """Series over one x-axis, with title, legend and axes. `show` as often as there is something new: only changed cells are repainted."""

    COMPONENT_CLASSES = {
        "chart--title",
        "chart--label",
        "chart--axis",
        "chart--reference",
        "chart--mark",
        "chart--bad",
        *(f"chart--series-{slot}" for slot in range(1, SLOTS + 1)),
    }
    DEFAULT_CSS = """
    Chart {
        height: 1fr; width: 1fr; min-height: 1;
        & > .chart--title { color: $foreground; text-style: bold; }
        & > .chart--label { color: $foreground 60%; }
        & > .chart--axis { color: $foreground 30%; }
        & > .chart--reference { color: $foreground 55%; }
        & > .chart--mark { color: $foreground 45%; }
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

    log_y: reactive[bool | None] = reactive(False, init=False)

    def __init__(self, title: str = "", *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._plot = Plot(title=title)
        self._pyramids: dict[tuple[int, ...], tuple[object, Pyramid]] = {}
        """By the identity of the data, which are held so that it stays theirs."""
        self._slots: dict[str, int] = {}

    def show(
        self,
        lines: Sequence[Line],
        *,
        title: str | None = None,
        end: float | None = 0.0,
        references: Sequence[Reference] = (),
        moments: Sequence[Moment] = (),
        labels: tuple[str, str] = ("", ""),
    ) -> list[Region]:
        """Show these lines, later ones on top, and repaint what changed; returns the repainted regions.

        `end` is the planned last x (0: not known, None: as far as the data go, for curves and scatters). A Series is read from where the
        last call left off, and stays the caller's; other data are compared by identity, so give new arrays for new content.
        """
        old = self._plot
        self._choose_slots(lines)
        self._plot = Plot(
            [self._trace(line) for line in lines],
            old.title if title is None else title,
            end,
            tuple(references),
            tuple(moments),
            labels,
            self.log_y,
        )
        shown = {_identity(line) for line in lines}
        self._pyramids = {key: kept for key, kept in self._pyramids.items() if key in shown}
        return self.redraw()

    def draw(self, width: int, height: int) -> Cells:
        return draw(self._plot, width, height)

    def style_for(self, key: int) -> Style:
        part = _PARTS.get(key) or f"series-{key - SERIES + 1}"
        return self.get_component_rich_style(f"chart--{part}") if key else self.rich_style

    def watch_log_y(self, log_y: bool | None) -> None:
        self._plot.log_y = log_y
        self.redraw()

    def _trace(self, line: Line) -> Trace:
        slot = self._slots[line.name] if line.slot is None else line.slot % SLOTS
        key = _identity(line)
        if isinstance(line.data, Series):
            _, pyramid = self._pyramids.setdefault(key, (line.data, Pyramid()))
            pyramid.follow(line.data)
            return Trace(line.name, slot, pyramid, value=float(line.data.values[-1]) if len(line.data) else None)
        x, y = (np.asarray(values, np.float64).ravel() for values in line.data)
        size = min(len(x), len(y))
        x, y = x[:size], y[:size]
        if not line.points and monotonic(x):
            if key not in self._pyramids:
                self._pyramids[key] = (line.data, Pyramid(x, y))
            return Trace(line.name, slot, self._pyramids[key][1])
        return Trace(line.name, slot, None, x, y, line.points)

    def _choose_slots(self, lines: Sequence[Line]) -> None:
        """Give each new name a colour for good: its split's own if that is free, else the next free one."""
        new = dict.fromkeys(line.name for line in lines if line.slot is None and line.name not in self._slots)
        for name in sorted(new, key=lambda name: name not in _OWN_SLOTS):
            taken = set(self._slots.values())
            free = [slot for slot in range(SLOTS) if slot not in taken] or [len(self._slots) % SLOTS]
            wanted = _OWN_SLOTS.get(name, -1)
            self._slots[name] = wanted if wanted in free else free[0]
