"""A widget alone in an app, and what it paints: for the tests of charts and pictures."""

from textual.app import App, ComposeResult
from textual.geometry import Region

from workbench.tui.charts.canvas import Canvas


class Shown(App[None]):
    def __init__(self, widget: Canvas) -> None:
        super().__init__()
        self.widget = widget

    def compose(self) -> ComposeResult:
        yield self.widget


def frame(widget: Canvas) -> list[list[tuple[str, object]]]:
    """What the widget would paint whole, cell by cell; a space's front colour does not show."""
    rows = []
    for y in range(widget.size.height):
        row = []
        for text, style, _ in widget.render_line(y):
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
