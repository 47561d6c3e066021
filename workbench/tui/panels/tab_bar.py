"""The line between charts and samples: the names of all panels below; those on the screen are bright. A click shows one."""

from collections.abc import Sequence

from rich.cells import cell_len
from textual import events
from textual.message import Message
from textual.strip import Strip

from workbench.tui import palette, strips
from workbench.tui.panels.lines import Lines


class TabBar(Lines):
    """`follow` says what there is."""

    class Chosen(Message):
        """A name was clicked."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.tab = name

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self._tabs: list[tuple[str, str]] = []
        self._shown: frozenset[str] = frozenset()
        self._focus = ""
        self._notes: Sequence[str] = ()

    def follow(self, tabs: list[tuple[str, str]], shown: frozenset[str], focus: str, notes: Sequence[str] = ()) -> None:
        """(name, label) of every tab, the names that are on the screen, the one in focus, and notes for the right edge, if they fit."""
        self._tabs, self._shown, self._focus, self._notes = tabs, shown, focus, notes
        self.rebuild()

    def lines(self, width: int) -> list[Strip]:
        parts: list[strips.Part] = [("─", palette.faint)]
        for name, label in self._fitting(width):
            style = palette.heading if name == self._focus else palette.bold if name in self._shown else palette.faint
            parts += [(f" {label} ", style), ("─", palette.faint)]
        used = sum(cell_len(text) for text, _ in parts)
        note = "─"
        for each in self._notes:
            if used + cell_len(each) + 3 + cell_len(note) <= width:
                note += f" {each} ─"
        return [strips.line(width, [*parts, ("─" * max(0, width - used - cell_len(note)), palette.faint)], [(note, palette.faint)])]

    def _fitting(self, width: int) -> list[tuple[str, str]]:
        """The tabs from the first one that leaves room for those on the screen."""
        tabs = list(self._tabs)
        while len(tabs) > 1 and tabs[0][0] not in self._shown:
            if sum(cell_len(label) + 3 for _, label in tabs) + 2 <= width:
                break
            tabs.pop(0)
        return tabs

    def on_click(self, event: events.Click) -> None:
        column = 1
        for name, label in self._fitting(self.size.width):
            column += cell_len(label) + 3
            if event.x < column:
                self.post_message(self.Chosen(name))
                return
