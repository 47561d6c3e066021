"""The home screen: the list of recipes and the list of runs, one at a time, with a pane about what is under the cursor."""

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Container
from textual.strip import Strip
from textual.timer import Timer

from workbench.tui import keys, listing, steer
from workbench.tui.keys import Key, KeyScreen
from workbench.tui.panels.detail import recipe_lines, run_lines
from workbench.tui.panels.key_bar import KeyBar
from workbench.tui.panels.lines import Lines
from workbench.tui.panels.rows import Rows

if TYPE_CHECKING:
    from textual.widgets import Input

    from workbench.tui.library import Entry, Library, Shelved

SLICE = 0.01
"""Seconds of one piece of reading, so that keys are answered in between."""
PAUSE = 1.5
"""Seconds between two looks at all runs."""
REST = 0.1
"""Seconds that the cursor rests on a run before its log is read ahead."""
NARROW = 100


class HomeScreen(KeyScreen):
    """Shown first."""

    KEYS: ClassVar[tuple[Key, ...]] = (
        Key("enter", "open", "open", "Start the recipe on the best device, or open the run", "⏎"),
        Key("1", "recipes", "", "The list of recipes"),
        Key("2", "runs", "", "The list of runs, live and ended"),
        Key("tab", "switch", "other list", "The other list", "Tab"),
        Key("slash", "filter", "filter", "Show only rows with these words", "/"),
        Key("s", "stop", "stop", "Stop the run under the cursor: it finishes its step and saves"),
        Key("k", "kill", "kill", "Kill the run under the cursor, after asking"),
        Key("r", "resume", "resume", "Resume the run under the cursor"),
        Key("up", "up", "", "One row up", "↑"),
        Key("down", "down", "", "One row down", "↓"),
        Key("pageup", "page_up", "", "A page up", "PgUp"),
        Key("pagedown", "page_down", "", "A page down", "PgDn"),
        Key("home", "first", "", "The first row", "Home"),
        Key("end", "last", "", "The last row", "End"),
        Key("space", "more", "", "Scroll the pane of details", "Space"),
        Key("escape", "back", "", "Clear the filter", "Esc"),
        *keys.ALWAYS,
    )
    BINDINGS = keys.bindings(KEYS)

    def __init__(self) -> None:
        super().__init__()
        self.view = "recipes"
        self.words = ""
        self._work: Iterator[None] = iter(())
        self._timer: Timer | None = None
        self._idle: Timer | None = None
        self._ahead: Iterator[None] = iter(())
        self._ahead_timer: Timer | None = None

    @property
    def library(self) -> "Library":
        return self.app.library

    def compose(self) -> ComposeResult:
        yield Lines(id="top")
        with Container(id="views"):
            yield Rows(id="recipes")
            yield Rows(id="runs")
            yield Lines(id="pane")
        yield KeyBar()

    def on_mount(self) -> None:
        self.library.load_recipes()
        self.query_one("#recipes", Rows).make = lambda width: listing.recipe_rows(self.library, width, self.words)
        self.query_one("#runs", Rows).make = lambda width: listing.run_rows(self.library, width, self.words)
        self.query_one("#pane", Lines).source = self._pane_lines
        self.query_one("#top", Lines).source = lambda width: [listing.top_line(self.library, self.view, self.words, width)]
        self._arrange()
        # The past runs are read once the list of recipes stands on the screen.
        self.call_after_refresh(self._look)

    def _look(self) -> None:
        if self.is_active:
            self._work = self.library.refresh()
            self._go_on()

    def _go_on(self) -> None:
        deadline = time.perf_counter() + SLICE
        for _ in self._work:
            if time.perf_counter() > deadline:
                self._timer = self.set_timer(0.001, self._go_on)
                return
        # Textual repaints the whole terminal when a screen below the top one changes.
        if self.is_active:
            self.fill()
            self._timer = self.set_timer(PAUSE, self._look)
            if not self._idle:
                self._idle = self.set_timer(0.05, self.app.warm_up)

    # -- what stands where -----------------------------------------------------------------------------------------------------

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        self._arrange()

    def on_screen_resume(self) -> None:
        if self._timer:
            self._timer.stop()
            self._look()

    def _arrange(self) -> None:
        views = self.query_one("#views")
        views.set_class(self.size.width < NARROW, "narrow")
        views.set_class(self.view == "runs", "runs")
        for name in ("recipes", "runs"):
            self.query_one(f"#{name}").display = name == self.view
        self.fill()

    @property
    def rows(self) -> Rows:
        return self.query_one(f"#{self.view}", Rows)

    def fill(self) -> None:
        """Write both the list and the pane anew; only what changed is painted."""
        self.rows.rebuild()
        self.query_one("#pane", Lines).rebuild()
        self.query_one("#top", Lines).rebuild()
        self.query_one(KeyBar).rebuild()

    def _pane_lines(self, width: int) -> Sequence[Strip]:
        recipe, entry = self._chosen()
        width = max(8, width - 1)
        if self.view == "recipes":
            return recipe_lines(recipe, self.library, width) if recipe else []
        return run_lines(entry, width) if entry else listing.no_runs(width)

    def _chosen(self) -> "tuple[Shelved | None, Entry | None]":
        key = self.rows.key
        if self.view == "runs":
            return None, self.library.entries.get(key)
        return next((each for each in self.library.shelf if str(each.path) == key), None), None

    @on(Rows.Moved)
    def _moved(self) -> None:
        pane = self.query_one("#pane", Lines)
        pane.top = 0
        pane.rebuild()
        self.query_one(KeyBar).rebuild()
        self._rest()

    def _rest(self) -> None:
        """The log of the run that the cursor rests on is read before it is asked for."""
        if self._ahead_timer:
            self._ahead_timer.stop()
        if self.view == "runs":
            self._ahead = self.library.ahead(self.rows.key)
            self._ahead_timer = self.set_timer(REST, self._read_ahead)

    def _read_ahead(self) -> None:
        if self.is_active and next(self._ahead, self) is None:
            self._ahead_timer = self.set_timer(0.002, self._read_ahead)

    @on(Rows.Chosen)
    def _clicked(self) -> None:
        self.action_press("open")

    # -- keys ------------------------------------------------------------------------------------------------------------------

    def refusal(self, name: str) -> str:
        recipe, entry = self._chosen()
        if name == "open":
            if recipe and not recipe.loaded:
                return "This recipe has mistakes; the pane lists them."
            return "" if recipe or entry else "There is nothing here to open."
        if name in ("stop", "kill", "resume"):
            if not entry:
                return f"Only a run can be told to {name}: press 2 for the list of runs."
            return steer.refusal(entry.state, name)
        return ""

    def do_open(self) -> None:
        recipe, entry = self._chosen()
        if recipe and recipe.loaded:
            self.app.start(recipe.loaded)
        elif entry:
            self.app.open_run(entry.run)

    def do_recipes(self) -> None:
        self.view = "recipes"
        self._arrange()

    def do_runs(self) -> None:
        self.view = "runs"
        self._arrange()
        self._rest()

    def do_switch(self) -> None:
        self.do_runs() if self.view == "recipes" else self.do_recipes()

    def do_stop(self) -> None:
        self._steer("stop")

    def do_resume(self) -> None:
        self._steer("resume")

    def do_kill(self) -> None:
        self._steer("kill")

    def _steer(self, verb: str) -> None:
        entry = self._chosen()[1]
        if entry:
            self.app.steer(entry.run, verb)

    def do_up(self) -> None:
        self.rows.move(-1)

    def do_down(self) -> None:
        self.rows.move(1)

    def do_page_up(self) -> None:
        self.rows.move(-max(1, self.rows.size.height - 2))

    def do_page_down(self) -> None:
        self.rows.move(max(1, self.rows.size.height - 2))

    def do_first(self) -> None:
        self.rows.move(-(10**9))

    def do_last(self) -> None:
        self.rows.move(10**9)

    def do_more(self) -> None:
        pane = self.query_one("#pane", Lines)
        pane.scroll_by(-pane.top if pane.top >= pane.bottom else max(1, pane.size.height - 2))

    # -- the filter --------------------------------------------------------------------------------------------------------------

    def do_filter(self) -> None:
        from textual.widgets import Input

        if not self.query("#filter"):
            self.mount(Input(id="filter", placeholder="words", select_on_focus=False, compact=True))
        field = self.query_one("#filter", Input)
        field.add_class("open")
        field.focus()

    def do_back(self) -> None:
        for field in self.query("#filter"):
            field.remove_class("open")
            field.value = ""  # type: ignore[attr-defined]
        self.set_focus(None)
        self.words = ""
        self.fill()

    def on_input_changed(self, event: "Input.Changed") -> None:
        self.words = event.value
        self.fill()

    def on_input_submitted(self) -> None:
        self.query_one("#filter").remove_class("open")
        self.set_focus(None)
