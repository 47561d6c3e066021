"""The line between charts and samples: the names of all panels below; visible panels are bright. A click shows a panel."""

from collections.abc import Sequence

from rich.cells import cell_len
from textual import events
from textual.message import Message
from textual.strip import Strip

from workbench.tui.drawing import palette, strips
from workbench.tui.panels.lines import Lines


class TabBar(Lines):
    """`follow` gives it the tabs."""

    class Chosen(Message):
        """A click on a name."""

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
        """Show (name, label) of every tab, with the visible names, the name in focus, and notes for the right edge."""
        self._tabs, self._shown, self._focus, self._notes = tabs, shown, focus, notes
        self.rebuild()

    @property
    def _note(self) -> str:
        return "─" + "".join(f" {note} ─" for note in self._notes)

    def lines(self, width: int) -> list[Strip]:
        parts: list[strips.Part] = [("─", palette.faint)]
        shown = self._fitting(width)
        for name, label in shown:
            style = palette.heading if name == self._focus else palette.bold if name in self._shown else palette.faint
            parts += [(f" {label} ", style), ("─", palette.faint)]
        if shown and shown[-1] != self._tabs[-1]:
            parts.append((" … ─", palette.faint))
        used = sum(cell_len(text) for text, _ in parts)
        fill = "─" * max(0, width - used - cell_len(self._note))
        return [strips.line(width, [*parts, (fill, palette.faint)], [(self._note, palette.faint)])]

    def _fitting(self, width: int) -> list[tuple[str, str]]:
        """The tabs that fit: the visible panels, with as many before and after them as there is room for beside the notes."""
        tabs = list(self._tabs)
        room = width - cell_len(self._note) - 1

        def too_many() -> bool:
            cut = bool(tabs) and tabs[-1] != self._tabs[-1]
            return len(tabs) > 1 and sum(cell_len(label) + 3 for _, label in tabs) + 4 * cut > room

        while too_many() and tabs[0][0] not in self._shown:
            tabs.pop(0)
        while too_many() and tabs[-1][0] not in self._shown:
            tabs.pop()
        return tabs

    def on_click(self, event: events.Click) -> None:
        column = 1
        for name, label in self._fitting(self.size.width):
            column += cell_len(label) + 3
            if event.x < column:
                self.post_message(self.Chosen(name))
                return
