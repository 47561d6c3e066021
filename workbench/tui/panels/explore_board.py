"""The panels of an answer: one for each of its tags, in the lesson's order, on one page where they fit."""

from pathlib import Path

from textual.app import ComposeResult
from textual.geometry import Region, Size
from textual.widget import Widget

from workbench.runs.history import History
from workbench.tui.panels.board import Board, Plan, Wanted
from workbench.tui.panels.lines import Lines
from workbench.tui.panels.packing import Need, need_of, packed
from workbench.tui.panels.run_board import SAMPLE
from workbench.tui.panels.samples import SamplePanel, panels_of
from workbench.tui.panels.source import SourcePanel

SOURCE = "source"
SOURCE_NEED = Need(64, 12, 1)
"""A line of code without breaks, and a method with what stands around it."""


class ExploreBoard(Board):
    """`follow` gives it an answer."""

    DEFAULT_CSS = "ExploreBoard { padding: 0 1; }"

    def __init__(self, source: Path) -> None:
        """`source` is the lesson's own Python file: its last panel."""
        super().__init__()
        self._source = source
        self.focused = ""
        """The panel on which the arrow keys act; "" while they act on the controls."""
        self.full = False
        self._history = History()
        self._needs: dict[str, Need] = {}
        self.wanted = Wanted((), (), "")

    def compose(self) -> ComposeResult:
        yield SourcePanel(self._source, "sample", name=SOURCE)

    def place(self, size: Size) -> Plan:
        width, height = size
        if self.wanted.full:
            return Plan({self.wanted.focus: Region(0, 0, width, height)}, ())
        if not (width and height) or not (self._needs or self.wanted.focus):
            return Plan({}, ())  # no code flashes up before the first answer
        return Plan(packed({**self._needs, SOURCE: SOURCE_NEED}, width, height, self.wanted.focus), ())

    def follow(self, history: History) -> None:
        """Make and remove panels, lay them out, and draw the visible ones."""
        self._history = history
        panels = {SAMPLE + name: tags for name, tags in panels_of(history).items()}
        present = {child.name: child for child in self.children}
        for name, child in present.items():
            if name not in panels and name != SOURCE:
                child.remove()
        # An answer has no folder of artifacts: its events hold all that they show.
        self.mount_all([SamplePanel(name, Path("/dev/null"), timeless=True) for name in panels if name not in present])
        if self.focused not in panels and self.focused != SOURCE:
            self.focused, self.full = "", False
        needs = {name: need_of(history.samples[tags[0]].latest) for name, tags in panels.items()}
        if self.sized(needs) | self.rearrange(Wanted((*panels, SOURCE), (), self.focused, self.full)):
            self.call_after_refresh(self.draw)
        else:
            self.draw()

    def sized(self, needs: dict[str, Need]) -> bool:
        """Take the sizes that the panels of an answer need; returns whether a panel moves."""
        if needs == self._needs:
            return False
        before, self._needs = self.place(self.size), needs
        self._clear_arrangement_cache()
        if self.place(self.size) == before:
            return False
        self.refresh(layout=True)
        return True

    def draw(self) -> None:
        """Draw the visible panels."""
        tags = {SAMPLE + name: tags for name, tags in panels_of(self._history).items()}
        regions = self.place(self.size).regions
        for child in self.children:
            if isinstance(child, SamplePanel) and child.name in regions:
                child.follow(self._history, tags.get(child.name or "", []), focused=child.name == self.focused)
            elif isinstance(child, SourcePanel) and child.name in regions:
                child.follow("sample")

    def on_resize(self) -> None:
        self.draw()

    def panel(self, name: str) -> Widget | None:
        """The panel of this name."""
        return next((child for child in self.children if child.name == name), None)

    @property
    def hidden(self) -> int:
        """How many panels of the answer are on other pages."""
        regions = self.place(self.size).regions
        return sum(name not in regions for name in self.wanted.charts if name != SOURCE)

    def focus_next(self) -> None:
        """From the controls to the first panel, to the next ones, and back."""
        ring = ["", *self.wanted.charts]
        place = ring.index(self.focused) if self.focused in ring else 0
        self.focused = ring[(place + 1) % len(ring)]

    def move(self, across: int, down: int, *, page: bool = False) -> None:
        """The arrow keys on the panel in focus: a matrix's cell, a threshold, text."""
        panel = self.panel(self.focused)
        if isinstance(panel, SamplePanel):
            panel.move(across, down, page=page)
        elif isinstance(panel, Lines):
            panel.scroll_by(down * (max(1, panel.size.height - 1) if page else 1))

    def clear(self) -> bool:
        """Remove the choice of a matrix's cell; returns whether there was one."""
        panel = self.panel(self.focused)
        return isinstance(panel, SamplePanel) and panel.clear()
