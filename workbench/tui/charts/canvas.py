"""The base of the chart widgets: keeps the cells it has shown, and repaints only the rows that changed."""

from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from workbench.tui.charts.cells import Cells, changed
from workbench.tui.drawing import palette


class Canvas(Widget):
    """A widget whose content is `draw(width, height)`.

    Call `redraw()` when what it shows has changed; size and theme it follows by itself.
    """

    ALLOW_SELECT = False
    BACKGROUNDS = False
    """Whether its styles have backgrounds of their own."""

    _cells: Cells | None = None

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(name=name, id=id, classes=classes, markup=False)
        self._strips: dict[int, Strip] = {}
        self._styles_by_key: dict[int, Style] = {}

    def on_mount(self) -> None:
        self.restyle()

    def restyle(self) -> None:
        """Follow the theme. Where there are no more than 16 colours the stylesheets name those that stay apart."""
        self.set_class(palette.name == "sixteen" or self.terminal_colors not in ("truecolor", "256"), "-sixteen")

    @property
    def terminal_colors(self) -> str | None:
        """What the terminal can show: truecolor, 256, standard (16), or None for none at all."""
        return self.app.console.color_system

    def draw(self, width: int, height: int) -> Cells:
        """The whole content as cells. Pure: it looks at what the widget shows, and changes nothing."""
        raise NotImplementedError

    def style_for(self, key: int) -> Style:
        """The style that a key stands for; asked once per key and theme."""
        raise NotImplementedError

    def redraw(self) -> list[Region]:
        """Draw anew and repaint the rows that differ; returns their regions (none when it is not on the screen yet)."""
        old = self._cells
        width, height = self.size
        if old is None or (old.width, old.height) != (width, height):
            self._cells = None
            self.refresh()
            return []
        new = self.draw(width, height).mend()
        rows = changed(old, new)
        self._cells = new
        for y in rows:
            self._strips.pop(y, None)
        regions = [Region(0, y, width, 1) for y in rows]
        if regions:
            self.refresh(*regions)
        return regions

    def render_line(self, y: int) -> Strip:
        # Textual notes each repainted region here and expects a widget's own renderer to forget them.
        self._dirty_regions.clear()
        width, height = self.size
        cells = self._cells
        if cells is None or (cells.width, cells.height) != (width, height):
            cells = self._cells = self.draw(width, height).mend()
            self._strips.clear()
        if y >= cells.height:
            return Strip.blank(width, self.rich_style)
        strip = self._strips.get(y)
        if strip is None:
            strip = self._strips[y] = cells.strip(y, self._style, not self.BACKGROUNDS)
        return strip

    def notify_style_update(self) -> None:
        if self.BACKGROUNDS:
            # Colours may be worked into the cells themselves.
            self._cells = None
        self._strips.clear()
        self._styles_by_key.clear()
        super().notify_style_update()

    def _style(self, key: int) -> Style:
        style = self._styles_by_key.get(key)
        if style is None:
            style = self._styles_by_key[key] = self.style_for(key)
        return style
