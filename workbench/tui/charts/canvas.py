"""The base of the chart widgets: keeps the cells that it shows, and repaints only the rows that change."""

from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from workbench.tui.charts.cells import Cells, changed
from workbench.tui.drawing import palette


class Canvas(Widget):
    """A widget whose content is `draw(width, height)`.

    Call `redraw()` when the content changes; the widget follows changes of size and theme by itself.
    """

    ALLOW_SELECT = False  # dragging moves a cursor or draws; it must not select text
    BACKGROUNDS = False
    """Whether its styles have their own backgrounds."""

    _cells: Cells | None = None

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(name=name, id=id, classes=classes, markup=False)
        self._strips: dict[int, Strip] = {}
        self._styles_by_key: dict[int, Style] = {}

    def on_mount(self) -> None:
        self.restyle()

    def restyle(self) -> None:
        """Follow the theme. With 16 colours the stylesheets name colours that stay distinct."""
        self.set_class(palette.name == "sixteen" or self.terminal_colors not in ("truecolor", "256"), "-sixteen")

    @property
    def terminal_colors(self) -> str | None:
        """The colours of the terminal: truecolor, 256, standard (16), or None for no colours."""
        return self.app.console.color_system

    def draw(self, width: int, height: int) -> Cells:
        """The whole content as cells. Pure: it reads the widget and changes nothing."""
        raise NotImplementedError

    def _whole(self, width: int, height: int) -> Cells:
        # In a very small terminal a layout leaves a widget no columns; no drawing has to think of that.
        return self.draw(width, height).mend() if width and height else Cells(width, height)

    def style_for(self, key: int) -> Style:
        """The style of a key; called once for each key and theme."""
        raise NotImplementedError

    def redraw(self) -> list[Region]:
        """Draw again and repaint the rows that differ; returns their regions (none before the first paint)."""
        old = self._cells
        width, height = self.size
        # Nothing to compare with: Textual asks for all lines, and `render_line` draws.
        if old is None or (old.width, old.height) != (width, height):
            self._cells = None
            self.refresh()
            return []
        new = self._whole(width, height)
        rows = changed(old, new)
        self._cells = new
        for y in rows:
            self._strips.pop(y, None)
        regions = [Region(0, y, width, 1) for y in rows]
        if regions:
            self.refresh(*regions)
        return regions

    def render_line(self, y: int) -> Strip:
        # Textual collects the repainted regions here and expects the widget's own renderer to clear them; else the set only grows.
        self._dirty_regions.clear()
        width, height = self.size
        cells = self._cells
        # Textual may ask for lines after a change of size and before any Resize event.
        if cells is None or (cells.width, cells.height) != (width, height):
            cells = self._cells = self._whole(width, height)
            self._strips.clear()
        if y >= cells.height:
            return Strip.blank(width, self.rich_style)
        strip = self._strips.get(y)
        if strip is None:
            strip = self._strips[y] = cells.strip(y, self._style, not self.BACKGROUNDS)
        return strip

    def notify_style_update(self) -> None:
        if self.BACKGROUNDS:
            # The cells may hold colours themselves (a matrix is shaded against the theme's background).
            self._cells = None
        self._strips.clear()
        self._styles_by_key.clear()
        super().notify_style_update()

    def _style(self, key: int) -> Style:
        style = self._styles_by_key.get(key)
        if style is None:
            style = self._styles_by_key[key] = self.style_for(key)
        return style
