"""The first line of the lists: their names, the filter, and the number of living runs and endpoints. A click on a name shows that list."""

from typing import cast

from rich.cells import cell_len
from textual import events
from textual.strip import Strip

from workbench.tui.drawing import palette, strips
from workbench.tui.panels.lines import Lines
from workbench.tui.services import Services

LISTS = (("1", "recipes"), ("2", "runs"), ("3", "data"), ("4", "endpoints"))
"""Key and name of every list."""
TITLE = " dlwb  "


class ListBar(Lines):
    """`follow` gives it the filter."""

    DEFAULT_CSS = "ListBar { height: 1; }"

    def __init__(self, shown: str) -> None:
        super().__init__()
        self._list = shown
        self._words = ""

    def follow(self, words: str) -> None:
        """Draw it again, with this filter."""
        self._words = words
        self.rebuild()

    def _tabs(self) -> list[tuple[str, list[strips.Part]]]:
        library = cast(Services, self.app).library
        tabs: list[tuple[str, list[strips.Part]]] = []
        for number, name in LISTS:
            is_shown = name == self._list
            parts = [
                (f" {number} ", palette.accent if is_shown else palette.faint),
                (name.capitalize(), palette.bold if is_shown else palette.dim),
                (f" {library.count(name)} ", palette.dim if is_shown else palette.faint),
            ]
            tabs.append((name, parts))
        return tabs

    def lines(self, width: int) -> list[Strip]:
        parts: list[strips.Part] = [(TITLE[:-1], palette.heading), (TITLE[-1:], palette.plain)]
        for _, tab in self._tabs():
            parts += tab
        if self._words:
            parts.append((f"  / {self._words}", palette.warn))
        library = cast(Services, self.app).library
        live, serving = library.live(), library.serving()
        right: list[strips.Part] = [(f"● {live} live ", palette.good)] if live else []
        right += [(f"● {serving} serving ", palette.good)] if serving else []
        return [strips.line(width, parts, right)]

    def on_click(self, event: events.Click) -> None:
        column = len(TITLE)
        for name, parts in self._tabs():
            column += sum(cell_len(text) for text, _ in parts)
            if len(TITLE) <= event.x < column:
                cast(Services, self.app).show_list(name)
                return
