"""The base of the lists: rows with a cursor, a pane about the row under the cursor, a filter, and the keys to the other lists."""

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Container
from textual.strip import Strip
from textual.timer import Timer

from workbench.tui import keys
from workbench.tui.keys import Key
from workbench.tui.panels.key_bar import KeyBar
from workbench.tui.panels.lines import Lines
from workbench.tui.panels.list_bar import LISTS, ListBar
from workbench.tui.panels.rows import WALK, Row, Rows, Walker
from workbench.tui.screens.key_screen import KeyScreen

if TYPE_CHECKING:
    from textual.widgets import Input

    from workbench.tui.models.library import Library

SLICE = 0.01
"""Seconds of one piece of reading; between two pieces keys are answered."""
# About as often as a run logs: a more frequent look would rarely show anything new.
PAUSE = 1.5
"""Seconds between two looks at all runs."""
NARROW = 100

MOVING = (
    *(Key(number, f"to_{name}", "", f"Show the list of {name}") for number, name in LISTS),
    Key("tab", "switch", "next list", "Show the next list", "Tab"),
    Key("slash", "filter", "filter", "Show only rows with these words", "/"),
    *WALK,
    Key("ctrl+d", "more", "", "Scroll the pane of details", "^d"),
    Key("escape", "back", "", "Clear the filter", "Esc"),
    *keys.ALWAYS,
)
"""The keys of every list, after the list's own keys."""


class ListScreen(Walker, KeyScreen):
    """A list. Subclasses make its rows and its pane (`make_rows`, `pane_lines`) and do its keys' actions."""

    NAME: ClassVar[str]
    """Its name in LISTS."""
    BELOW: ClassVar[bool] = False
    """Whether the pane is a few lines below the rows, and not beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.words = ""
        """The filter."""
        self._work: Iterator[None] = iter(())
        self._timer: Timer | None = None
        self._idle: Timer | None = None

    @property
    def library(self) -> "Library":
        return self.services.library

    @property
    def pane(self) -> Lines:
        return self.query_one("#pane", Lines)

    def make_rows(self, width: int) -> Sequence[Row]:
        """The rows that match the filter, for a width."""
        return []

    def pane_lines(self, width: int) -> Sequence[Strip]:
        """The lines about the row under the cursor."""
        return []

    def first(self) -> str:
        """The key of the row with the cursor at first; "" for the top row."""
        return ""

    def rested(self) -> None:
        """Called when the cursor moves to another row, and when the screen opens."""

    def compose(self) -> ComposeResult:
        yield ListBar(self.NAME)
        with Container(id="views", classes="below" if self.BELOW else ""):
            yield Rows()
            yield Lines(id="pane")
        yield KeyBar()

    def on_mount(self) -> None:
        self.library.load_recipes()
        self.rows.first = self.first()
        self.rows.make = self.make_rows
        self.pane.source = lambda width: self.pane_lines(max(8, width - 1))
        self._arrange()
        # Runs are read only after the list of recipes is painted.
        self.call_after_refresh(self._look)

    def _look(self) -> None:
        if self.is_active:
            self._work = self.library.refresh()
            self._go_on()

    def _go_on(self) -> None:
        # A generator and a timer, not a thread: the lists are drawn between two pieces, never in the middle of one.
        deadline = time.perf_counter() + SLICE
        for _ in self._work:
            if time.perf_counter() > deadline:
                self._timer = self.set_timer(0.001, self._go_on)
                return
        # Textual repaints the whole terminal when a screen below the top screen changes.
        if self.is_active:
            self.fill()
            self._timer = self.set_timer(PAUSE, self._look)
            if not self._idle:
                self._idle = self.set_timer(0.05, self.idle)

    def idle(self) -> None:
        """Called once, when the list is painted and all runs are read."""
        self.services.warm_up()

    # -- what stands where -----------------------------------------------------------------------------------------------------

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        self._arrange()

    def on_screen_resume(self) -> None:
        if not self.query(Rows):
            return  # Esc and q at once: the program closes, and this list is empty already
        if self._timer:
            self._timer.stop()
            self._look()
        self.rested()

    def _arrange(self) -> None:
        self.query_one("#views").set_class(self.size.width < NARROW, "narrow")
        self.fill()

    def fill(self) -> None:
        """Draw the list and the pane again; only the changed rows are painted."""
        self.rows.rebuild()
        self.pane.rebuild()
        self.query_one(ListBar).follow(self.words)
        self.query_one(KeyBar).rebuild()

    @on(Rows.Moved)
    def _moved(self) -> None:
        self.pane.top = 0
        self.pane.rebuild()
        self.query_one(KeyBar).rebuild()
        self.rested()

    @on(Rows.Chosen)
    def _clicked(self) -> None:
        self.action_press("open")

    # -- keys ------------------------------------------------------------------------------------------------------------------

    def do_to_recipes(self) -> None:
        self.services.show_list("recipes")

    def do_to_runs(self) -> None:
        self.services.show_list("runs")

    def do_to_data(self) -> None:
        self.services.show_list("data")

    def do_to_endpoints(self) -> None:
        self.services.show_list("endpoints")

    def do_switch(self) -> None:
        names = [name for _, name in LISTS]
        self.services.show_list(names[(names.index(self.NAME) + 1) % len(names)])

    def do_more(self) -> None:
        pane = self.pane
        pane.scroll_by(-pane.top if pane.top >= pane.bottom else max(1, pane.size.height - 2))

    # -- the filter --------------------------------------------------------------------------------------------------------------

    def do_filter(self) -> None:
        from workbench.tui.panels.form import Entry

        # Made at its first use: importing Textual's Input takes longer than painting the first list.
        if not self.query("#filter"):
            self.mount(Entry(id="filter", placeholder="words"), before=self.query_one(KeyBar))
        field = self.query_one("#filter", Entry)
        field.add_class("open")
        self.set_focus(field)

    def do_back(self) -> None:
        for field in self.query("#filter"):
            field.remove_class("open")
            field.value = ""  # type: ignore[attr-defined]
        self.set_focus(None)
        self.words = ""
        self.fill()

    def on_input_changed(self, event: "Input.Changed") -> None:
        if event.input.id == "filter":
            self.words, before = event.value, self.rows.key
            self.fill()
            if self.rows.key != before:
                self.do_first()

    def on_input_submitted(self, event: "Input.Submitted") -> None:
        event.input.remove_class("open")
        self.set_focus(None)
