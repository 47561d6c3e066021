"""Parallel coordinates: an axis for each setting, a braille line for each trial, the best on top. Pure drawing, and its widget."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from rich.style import Style
from textual.geometry import Region

from workbench.tui.charts import braille
from workbench.tui.charts.axes import Scale
from workbench.tui.charts.canvas import Canvas
from workbench.tui.charts.cells import SPACE, Cells, cut, text_width

TITLE, NAME, LABEL, AXIS, NOTE, FOCUS, SHADE = 1, 2, 3, 4, 5, 6, 10
SHADES = 4
"""Colours of the lines: dim for what was pruned, then from the worst third to the best; keys SHADE … SHADE + SHADES - 1."""
BEST, CHOSEN = SHADE + SHADES, SHADE + SHADES + 1
UNIT = Scale(0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: its name, and what stands at its ends."""

    name: str
    low: str
    high: str


@dataclass(frozen=True, slots=True)
class Way:
    """One line: its place on each axis, 0 at the lower end and 1 at the upper, NaN where it has none; and the key of its colour."""

    places: Sequence[float]
    key: int


def draw(axes: Sequence[Axis], ways: Sequence[Way], title: str, note: str, width: int, height: int, *, focused: bool = False) -> Cells:
    """All of it in `width` x `height` cells; later ways are on top."""
    cells = Cells(width, height)
    if width < 1 or height < 1:
        return cells
    if height >= 4:
        end = cells.write(0, 0, cut(title, width), FOCUS if focused else TITLE)
        if end + text_width(note) + 2 <= width:
            cells.write(width - text_width(note), 0, note, NOTE)
    top = 2 if height >= 7 else 1 if height >= 4 else 0
    columns = np.rint(np.linspace(0, width - 1, len(axes))).astype(int).tolist()
    standing = _named(columns, [axis.name for axis in axes], width)
    # Names that would meet stand in two rows, in turn.
    turns = 2 if height >= 9 and any(end > start for (_, end), (start, _) in pairwise(standing)) else 1
    names = turns if height >= 5 else 0
    rows = height - top - names - (height >= 7)
    if len(axes) < 2 or rows < 1 or width < 8 * len(axes):
        cells.write(0, min(top, height - 1), cut("no room for so many axes" if len(axes) > 1 else "no trials yet", width), NOTE)
        return cells
    room = width // (len(axes) - 1)
    for number, (column, axis) in enumerate(zip(columns, axes, strict=True)):
        cells.fill(column, top, 1, rows, "│", AXIS)
        if height >= 7:
            _beside(cells, column, 1, axis.high, LABEL, room - 2)
            _beside(cells, column, top + rows, axis.low, LABEL, room - 2)
        if names:
            _beside(cells, column, height - names + number % names, axis.name, NAME, room * names - 2)
    # Neighbours of one colour are drawn together: a turn of the loop costs more than a line.
    groups: list[tuple[int, list[Sequence[float]]]] = []
    for way in ways:
        if not groups or groups[-1][0] != way.key:
            groups.append((way.key, []))
        groups[-1][1].append(way.places)
    x = np.linspace(0, 1, len(axes))
    for key, places in groups:
        _ink(cells, np.array(places, np.float64), x, top, rows, key)
    return cells


def _ink(cells: Cells, places: NDArray[np.float64], x: NDArray[np.float64], top: int, rows: int, key: int) -> None:
    # A NaN between two ways, so that they are not joined.
    gap = np.full((len(places), 1), np.nan)
    across = np.hstack([np.broadcast_to(x, places.shape), gap]).ravel()
    dots = braille.polyline(across, np.hstack([places, gap]).ravel(), UNIT, UNIT, cells.width * 2, rows * 4)
    codes = braille.pack(dots)
    used = codes != 0
    area = slice(top, top + rows)
    # Of one colour the dots of two lines may share a cell; a line of another colour replaces what lies below it.
    same = used & (cells.keys[area] == key) & (cells.codes[area] >= braille.BLANK)
    codes[same] |= (cells.codes[area][same] - braille.BLANK).astype(np.uint8)
    cells.codes[area][used] = codes[used].astype(np.uint32) + braille.BLANK
    cells.keys[area][used] = key


def _named(columns: Sequence[int], names: Sequence[str], width: int) -> list[tuple[int, int]]:
    """Where each name begins, and where the next one may, in one row."""
    starts = [max(0, min(width - text_width(name), column - text_width(name) // 2)) for column, name in zip(columns, names, strict=True)]
    return [(start, start + text_width(name) + 1) for start, name in zip(starts, names, strict=True)]


def _beside(cells: Cells, column: int, row: int, text: str, key: int, room: int) -> None:
    """Write a text at an axis: centred, but inside the chart, and in no more cells than there are between two axes."""
    text = cut(text, max(3, room))
    [(start, _)] = _named([column], [text], cells.width)
    if (cells.codes[row, start : start + text_width(text)] == SPACE).all():
        cells.write(start, row, text, key)


class ParallelView(Canvas):
    """One drawing of this kind; call `show` whenever something is new."""

    COMPONENT_CLASSES = {
        "parallel--title",
        "parallel--focus",
        "parallel--name",
        "parallel--label",
        "parallel--axis",
        "parallel--shade-0",
        "parallel--shade-1",
        "parallel--shade-2",
        "parallel--shade-3",
        "parallel--best",
        "parallel--chosen",
    }
    DEFAULT_CSS = """
    ParallelView {
        height: 1fr; width: 1fr; min-height: 1;
        & > .parallel--title { color: $foreground; text-style: bold; }
        & > .parallel--focus { color: $accent-color; text-style: bold; }
        & > .parallel--name { color: $foreground 85%; }
        & > .parallel--label { color: $foreground 55%; }
        & > .parallel--axis { color: $foreground 35%; }
        & > .parallel--shade-0 { color: $foreground 18%; }
        & > .parallel--shade-1 { color: #57a5f2 35%; }
        & > .parallel--shade-2 { color: #57a5f2 60%; }
        & > .parallel--shade-3 { color: #57a5f2; }
        & > .parallel--best { color: #7fc96b; text-style: bold; }
        & > .parallel--chosen { color: #f2a65a; text-style: bold; }
        &:light > .parallel--shade-1 { color: #1668b8 40%; }
        &:light > .parallel--shade-2 { color: #1668b8 65%; }
        &:light > .parallel--shade-3 { color: #1668b8; }
        &:light > .parallel--best { color: #2f7d1f; text-style: bold; }
        &:light > .parallel--chosen { color: #b3590b; text-style: bold; }
        &.-sixteen > .parallel--label { color: #aaaaaa; }
        &.-sixteen > .parallel--axis { color: #555555; }
        &.-sixteen > .parallel--shade-0 { color: #555555; }
        &.-sixteen > .parallel--shade-1 { color: #0000aa; }
        &.-sixteen > .parallel--shade-2 { color: #00aaaa; }
        &.-sixteen > .parallel--shade-3 { color: #55ffff; }
        &.-sixteen > .parallel--best { color: #55ff55; }
        &.-sixteen > .parallel--chosen { color: #ffff55; }
    }
    """

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._axes: Sequence[Axis] = ()
        self._ways: Sequence[Way] = ()
        self._words = ("", "")
        self._focused = False

    def show(self, axes: Sequence[Axis], ways: Sequence[Way], *, title: str, note: str = "", focused: bool = False) -> list[Region]:
        """Show these axes and ways; returns the repainted regions."""
        before = (self._axes, self._ways, self._words, self._focused)
        self._axes, self._ways, self._words, self._focused = tuple(axes), tuple(ways), (title, note), focused
        return [] if before == (self._axes, self._ways, self._words, self._focused) else self.redraw()

    def draw(self, width: int, height: int) -> Cells:
        return draw(self._axes, self._ways, *self._words, width, height, focused=self._focused)

    def style_for(self, key: int) -> Style:
        names = {TITLE: "title", FOCUS: "focus", NAME: "name", LABEL: "label", NOTE: "label", AXIS: "axis", BEST: "best", CHOSEN: "chosen"}
        part = names.get(key) or f"shade-{key - SHADE}"
        return self.get_component_rich_style(f"parallel--{part}") if key else self.rich_style
