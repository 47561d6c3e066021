"""A widget alone in an app, and what it paints: for the tests of charts and pictures."""

from array import array
from collections.abc import Iterable

from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.strip import Strip

from workbench.runs.history import Series
from workbench.tui.charts.canvas import Canvas


class Shown(App[None]):
    def __init__(self, widget: Canvas) -> None:
        super().__init__()
        self.widget = widget

    def compose(self) -> ComposeResult:
        yield self.widget


def frame(widget: Canvas) -> list[list[tuple[str, object]]]:
    """What the widget would paint whole, cell by cell; a space's front colour does not show."""
    return _cells(widget.render_line(y) for y in range(widget.size.height))


def fresh(widget: Canvas) -> list[list[tuple[str, object]]]:
    """What it would paint if it had never painted before."""
    cells = widget.draw(*widget.size).mend()
    return _cells(cells.strip(y, widget.style_for, not widget.BACKGROUNDS) for y in range(cells.height))


def _cells(strips: Iterable[Strip]) -> list[list[tuple[str, object]]]:
    rows = []
    for strip in strips:
        row = []
        for text, style, _ in strip:
            for character in text:
                row.append((character, style.bgcolor if character == " " else style))
        rows.append(row)
    return rows


def patched(old: list, new: list, regions: list[Region]) -> list:
    result = [list(row) for row in old]
    for region in regions:
        for y in range(region.y, region.bottom):
            result[y][region.x : region.right] = new[y][region.x : region.right]
    return result


def series(steps: list[float], values: list[float]) -> Series:
    """A scalar with these points."""
    found = Series()
    found.steps, found.values, found.epochs = array("d", steps), array("d", values), array("d", steps)
    return found
