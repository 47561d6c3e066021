"""Lines: a widget that shows lines of cells, scrolls, and repaints only changed rows. The base of every panel of text."""

from collections.abc import Callable, Sequence

from rich.segment import Segment
from textual import events
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from workbench.tui.drawing import palette


class Lines(Widget):
    """Shows the lines of the last `show`. With more lines than rows it scrolls, and a bar at the right edge shows the position."""

    DEFAULT_CSS = "Lines { width: 1fr; height: 1fr; background: $ground; }"

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        # markup=False: the lines hold text from projects and files.
        super().__init__(name=name, id=id, classes=classes, markup=False)
        self._lines: list[Strip] = []
        self._painted: list[Strip] = []
        self._painted_size = Size(0, 0)
        self.source: Callable[[int], Sequence[Strip]] | None = None
        self.top = 0

    def lines(self, width: int) -> Sequence[Strip]:
        """The content for a width: from `source`, or from the last `show`. Panels override it."""
        return self.source(width) if self.source else self._lines

    def rebuild(self) -> None:
        """Call `lines` again and repaint what differs."""
        self.show(self.lines(self.size.width))

    def show(self, lines: Sequence[Strip]) -> None:
        """Replace the content; repaint only the rows that change."""
        self._lines = list(lines)
        self.top = min(self.top, self.bottom)
        self._paint()

    @property
    def bottom(self) -> int:
        """The largest `top`: with it the last line is on the last row."""
        return max(0, len(self._lines) - self.size.height)

    def scroll_by(self, rows: int) -> None:
        """Move the view."""
        self.top = max(0, min(self.bottom, self.top + rows))
        self._paint()

    def row(self, index: int, width: int) -> Strip:
        """One line of the content as it is painted."""
        return self._lines[index] if index < len(self._lines) else Strip.blank(width, palette.plain)

    def _paint(self) -> None:
        width, height = size = self.size
        if not width or not height:
            return
        before, self._painted = self._painted, self._visible(width, height)
        if size != self._painted_size:
            self._painted_size = size
            self.refresh()
            return
        # Whole rows: the frame diff finds the cells that the terminal does not show yet.
        regions = [Region(0, y, width, 1) for y, (old, new) in enumerate(zip(before, self._painted, strict=True)) if old != new]
        if regions:
            self.refresh(*regions)

    def _visible(self, width: int, height: int) -> list[Strip]:
        shown = [self.row(self.top + y, width).adjust_cell_length(width, palette.plain) for y in range(height)]
        if self.bottom and width > 4:
            # The bar's length is to the height as the visible part is to the whole.
            size = max(1, height * height // len(self._lines))
            first = (height - size) * self.top // self.bottom
            for y in range(height):
                mark = Segment("▐" if first <= y < first + size else " ", palette.faint)
                shown[y] = Strip([*shown[y].crop(0, width - 1), mark], width)
        return shown

    def render_line(self, y: int) -> Strip:
        # As in `Canvas`: Textual collects regions here and expects the renderer to clear them.
        self._dirty_regions.clear()
        if self.size != self._painted_size:
            # After a change of size the first requested line makes all lines: to wait for the Resize event would flash an empty panel.
            self._painted_size = self.size
            self._lines = list(self.lines(self.size.width))
            self.settle()
            self._painted = self._visible(*self.size)
        return self._painted[y] if y < len(self._painted) else Strip.blank(self.size.width, palette.plain)

    def settle(self) -> None:
        """Bring the view into the range of the content; panels override it to keep their place when the size changes."""
        self.top = min(self.top, self.bottom)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.scroll_by(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.scroll_by(-3)
