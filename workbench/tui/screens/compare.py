"""Runs side by side: their curves in one chart for each metric, the settings that differ, their results. Live runs are followed."""

import time
from collections.abc import Sequence
from typing import ClassVar

import msgspec
from rich.style import Style
from textual import events, on
from textual.app import ComposeResult
from textual.containers import Container
from textual.strip import Strip

from workbench.problems import Problem
from workbench.recipes.recipe import Recipe
from workbench.runs import compare, family, views
from workbench.runs.compare import Side
from workbench.runs.summary import summarize
from workbench.runs.views import Look, View
from workbench.tui import keys
from workbench.tui.charts.chart import Chart, Moment
from workbench.tui.charts.plot import SERIES
from workbench.tui.drawing import palette, strips
from workbench.tui.keys import Key
from workbench.tui.models.overlay import Overlay
from workbench.tui.models.run_feed import Feed
from workbench.tui.panels import compare_lines
from workbench.tui.panels.key_bar import KeyBar
from workbench.tui.panels.lines import Lines
from workbench.tui.panels.overlay_board import OverlayBoard
from workbench.tui.panels.run_board import last_step
from workbench.tui.panels.side_by_side import SideBySide
from workbench.tui.screens.key_screen import KeyScreen

# 0.5 ms only lets the event loop handle a key between two slices.
READ, LOOK = 0.0005, 1.0
"""Seconds until the next slice while a log is not read to its end, and else until the next look at all logs."""
READING = 0.02
"""Seconds of reading in one slice, of all runs together."""
DRAWING = 1.0
"""Seconds between two drawings while the logs are being read."""


class CompareScreen(KeyScreen):
    """Opens from the list of runs, with the marked runs, and from the finder with those of a view."""

    DEFAULT_CSS = """
    CompareScreen #names { height: auto; max-height: 6; padding: 0 1; }
    CompareScreen #chosen { height: 1; padding: 0 1; }
    CompareScreen #both { height: 1fr; layout: horizontal; }
    CompareScreen #table { width: 45%; padding: 0 1; border-left: solid $frame; }
    CompareScreen.narrow #both { layout: vertical; }
    CompareScreen.narrow #charts { width: 100%; height: 10; }
    CompareScreen.narrow #table { width: 100%; height: 1fr; border-left: none; border-top: solid $frame; }
    CompareScreen #samples, CompareScreen.samples #both { display: none; }
    CompareScreen.samples #samples { display: block; }
    """
    KEYS: ClassVar[tuple[Key, ...]] = (
        Key("escape", "back", "back", "Go back: from the samples to the curves, remove cursor and zoom, to the list", "Esc"),
        Key("n", "line", "line", "Choose the next line, the best run first; the others become faint"),
        Key("N", "line_back", "", "Choose the line before"),
        Key("enter", "open", "open", "Open the run of the chosen line", "⏎"),
        Key("v", "split", "train/valid", "Show the curves of the next split"),
        Key("tab", "next", "more charts", "Show the next charts, where not all fit; or the next kind of sample", "Tab"),
        Key("c", "color", "colour", "Colour the runs by the next setting that differs, the one with the largest effect first"),
        Key("C", "color_back", "", "Colour them by the setting before"),
        Key("g", "group", "group", "Draw seeds of the same settings as one curve with a band; then the runs of each value of the colour"),
        Key("m", "samples", "samples", "Show the samples and matrices of the runs beside each other at the same step, or the curves again"),
        Key("y", "log_y", "log y", "Make all y-axes logarithmic, all linear, or each by its values"),
        Key("l", "log_x", "log x", "Make the x-axes logarithmic, or linear"),
        Key("a", "axis", "axis", "Draw the curves over steps, over epochs, or over seconds of training"),
        Key("z", "zoom_in", "zoom", "Look at half of the x-axis, around the cursor; the wheel does the same, and the mouse marks a part"),
        Key("Z", "zoom_out", "", "Look at twice as much of it"),
        Key("i", "skip", "skip start", "Leave out the first 1, 2, 5, 10 or 20 % of the steps"),
        Key("left", "left", "", "Move the cursor of the charts, or to older samples", "←"),
        Key("right", "right", "", "The same to the right", "→"),
        Key("minus", "less", "", "Smooth the curves less, down to not at all", "-"),
        Key("plus,equals_sign", "more", "", "Smooth the curves more", "+"),
        Key("up", "up", "", "Scroll the tables up", "↑"),
        Key("down", "down", "scroll", "Scroll the tables down", "↓"),
        Key("pageup", "page_up", "", "Scroll one page up", "PgUp"),
        Key("pagedown", "page_down", "", "Scroll one page down", "PgDn"),
        Key("w", "save", "save view", "Save these runs and this look as a view: the finder and `dlwb compare` know it by its name"),
        Key("x", "export", "export", "Export: one HTML page, the tables as CSV, LaTeX or Markdown"),
        *keys.ALWAYS,
    )
    BINDINGS = keys.bindings(KEYS)

    def __init__(self, feeds: Sequence[Feed], view: View | None = None) -> None:
        super().__init__()
        self.feeds = list(feeds)
        self.names = compare.names([feed.run for feed in feeds])
        self.recipes = [recipe_of(feed) for feed in feeds]
        self.origins = {feed.run.id: family.forked(feed.run) for feed in feeds}
        """What each of them was forked from."""
        self.view = view.name if view else ""
        self.overlay = Overlay(msgspec.structs.replace(view.look) if view else Look())
        self.board = self.make_board()
        self.samples = SideBySide(id="samples")
        self.sides: list[Side] = []
        self._drawn: tuple[object, ...] = ()
        self._colors: dict[int, Style] = {}
        self._asked = self._drawn_at = self._cost = 0.0
        self._whole = 0
        """How many logs are read to their ends."""

    def make_board(self) -> OverlayBoard:
        """The place of the curves."""
        return OverlayBoard(self.overlay, id="charts")

    def compose(self) -> ComposeResult:
        yield Lines(id="names")
        with Container(id="both"):
            yield self.board
            yield Lines(id="table")
        yield self.samples
        yield Lines(id="chosen")
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one("#names", Lines).source = self.name_lines
        self.query_one("#table", Lines).source = self.table_lines
        self.query_one("#chosen", Lines).source = self.chosen_lines
        self.call_after_refresh(self.look)

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        self.set_class(event.size.width < 100, "narrow")
        self._drawn = ()
        self.call_after_refresh(self.draw)

    # -- the path from the logs to the screen --------------------------------------------------------------------------------------

    def look(self) -> None:
        """Read a slice of the logs, and draw what is new; continue at once while there is more, else look again later."""
        # The timer may fire once more after the screen is gone.
        if not self.is_attached:
            return
        now = time.monotonic()
        if now > self._asked + LOOK:
            self._asked = now
            self.ask()
        # Those that are not read to their ends first; among them one after the other, so that soon a first curve stands.
        for feed in sorted(self.feeds, key=lambda feed: feed.caught_up):
            feed.read()
            if time.monotonic() > now + READING:
                break
        whole = sum(feed.caught_up for feed in self.feeds)
        caught_up, first = whole == len(self.feeds), whole > 0 and not self._whole
        self._whole = whole
        # The first whole curve at once. While the logs are read drawing takes a tenth of the time, however slow the machine is.
        if caught_up or first or now > self._drawn_at + max(DRAWING, 10 * self._cost):
            self.draw()
            self._drawn_at = time.monotonic()
            self._cost = self._drawn_at - now
        self.set_timer(LOOK if caught_up else READ, self.look)

    def ask(self) -> None:
        """Look at the states of the runs."""
        for feed in self.feeds:
            feed.ask()

    def content(self) -> tuple[object, ...]:
        """A value that changes with everything that is drawn."""
        own = (*(feed.history.version for feed in self.feeds), *(feed.state for feed in self.feeds))
        return (*own, *self.board.view, self.has_class("samples"), self.samples.kind, self.samples.at)

    def draw(self) -> None:
        """Update everything, if anything changed."""
        now = self.content()
        if now == self._drawn or not self.is_active or not self.size:
            return
        self._drawn = now
        self.sides = [
            Side(feed.run, name, recipe, feed.history, summarize(feed.history, 0))
            for feed, name, recipe in zip(self.feeds, self.names, self.recipes, strict=True)
        ]
        self.overlay.follow(self.sides)
        self.board.moments = self.moments()
        if not self.has_class("samples"):
            self.board.follow(max(map(last_step, self.feeds), default=0))
        elif self.samples.size:
            self.samples.follow(self.sides, self.overlay.order, self.overlay.chosen)
        else:
            # It was hidden: its size is known after the next layout.
            self._drawn = ()
            self.call_after_refresh(self.draw)
        names = self.query_one("#names", Lines)
        rows = max(1, len(self.name_lines(max(20, self.size.width - 2))))
        if names.styles.height is None or names.styles.height.value != rows:
            names.styles.height = rows
        for panel in (names, *self.query("#table, #chosen").results(Lines), *self.query(KeyBar)):
            panel.rebuild()

    def moments(self) -> list[Moment]:
        """Where forks among them left their parents."""
        names = dict(zip(self.origins, self.names, strict=True))
        left: dict[int, list[str]] = {}
        for run, origin in self.origins.items():
            if origin and origin.run in self.origins:
                left.setdefault(origin.step, []).append(names[run])
        return [Moment(step, f"fork {', '.join(forks)}") for step, forks in sorted(left.items())]

    # -- words -----------------------------------------------------------------------------------------------------------------

    def color(self, slot: int) -> Style:
        """The colour of a slot."""
        if slot not in self._colors:
            # Any chart: it knows the colours of series in this theme.
            if not (charts := self.query(Chart)):
                return palette.plain
            self._colors[slot] = charts.first().style_for(SERIES + slot) + Style(bgcolor=palette.plain.bgcolor)
        return self._colors[slot]

    def restyle(self) -> None:
        self._colors.clear()
        super().restyle()

    def name_lines(self, width: int) -> list[Strip]:
        """The lines at the top: what is compared."""
        return compare_lines.names(self.overlay, [feed.state for feed in self.feeds], width, self.color)

    def table_lines(self, width: int) -> list[Strip]:
        """The settings that differ, and the figures."""
        return compare_lines.table(self.overlay, width, self.color)

    def chosen_lines(self, width: int) -> list[Strip]:
        """The line above the keys: the chosen run, or how the curves are drawn."""
        if self.has_class("samples"):
            return [strips.line(width, [(self.samples.words, palette.dim)])]
        if self.overlay.chosen is not None and self.sides:
            return [compare_lines.chosen(self.overlay, self.board.tag, self.board.cursor, width, self.color)]
        view = f"view {self.view}" if self.view else ""
        return [strips.line(width, [("  ·  ".join(filter(None, (view, self.board.told()))), palette.faint)])]

    # -- keys ------------------------------------------------------------------------------------------------------------------

    def refusal(self, name: str) -> str:
        if name == "split" and len(self.board.splits()) < 2:
            return "All curves are of one split."
        if name in ("color", "color_back") and not self.overlay.settings:
            return "No setting differs, so there is nothing to colour the runs by."
        if name == "samples" and not any(side.history.samples for side in self.sides):
            return "None of the runs has samples or matrices."
        if name == "open" and self.overlay.chosen is None:
            return "First choose a line with n, or with a click on it."
        if name in ("zoom_in", "zoom_out", "left", "right") and not self.query(Chart):
            return "There is no curve yet."
        return ""

    def do_back(self) -> None:
        if self.has_class("samples"):
            self.do_samples()
        elif self.board.clear():
            self.draw()
        else:
            self.dismiss()

    def do_line(self) -> None:
        self._choose(1)

    def do_line_back(self) -> None:
        self._choose(-1)

    def _choose(self, by: int) -> None:
        self.overlay.choose(by)
        self.draw()
        # The table scrolls to its row.
        table = self.query_one("#table", Lines)
        rows = [row for row, strip in enumerate(self.table_lines(table.size.width)) if strip.text.startswith("▸")]
        if rows and not table.top <= rows[0] < table.top + table.size.height:
            table.scroll_by(rows[0] - table.top - table.size.height // 2)

    def do_open(self) -> None:
        if self.overlay.chosen is not None:
            self.services.open_run(self.feeds[self.overlay.chosen].run)

    def do_split(self) -> None:
        self.board.turn_split()
        self.draw()

    def do_next(self) -> None:
        if self.has_class("samples"):
            self.samples.turn(self.sides)
        else:
            self.board.page += 1
        self.draw()

    def do_color(self) -> None:
        self.board.turn_color(1)
        self.draw()

    def do_color_back(self) -> None:
        self.board.turn_color(-1)
        self.draw()

    def do_group(self) -> None:
        self.board.turn_groups()
        self.draw()

    def do_samples(self) -> None:
        self.toggle_class("samples")
        # The charts, or the samples, know their sizes only after the next layout.
        self._drawn = ()
        self.call_after_refresh(self.draw)

    def do_log_y(self) -> None:
        self.notify(f"y-axes: {self.board.turn_log_y()}", timeout=2)
        self.draw()

    def do_log_x(self) -> None:
        self.overlay.look.log_x = not self.overlay.look.log_x
        self.draw()

    def do_axis(self) -> None:
        self.board.turn_axis()
        self.notify(f"curves over {self.overlay.look.axis}s", timeout=2)
        self.draw()

    def do_skip(self) -> None:
        self.board.turn_skip()
        self.draw()

    def do_less(self) -> None:
        self.board.turn_smooth(-1)
        self.draw()

    def do_more(self) -> None:
        self.board.turn_smooth(1)
        self.draw()

    def do_zoom_in(self) -> None:
        self.board.zoom(0.5)
        self.draw()

    def do_zoom_out(self) -> None:
        self.board.zoom(2.0)
        self.draw()

    def do_left(self) -> None:
        self._move(-1)

    def do_right(self) -> None:
        self._move(1)

    def _move(self, by: int) -> None:
        if self.has_class("samples"):
            self.samples.move(by)
        else:
            self.board.move(by)
        self.draw()

    @on(OverlayBoard.Changed)
    def _changed(self) -> None:
        self.draw()

    # -- what leaves the screen ------------------------------------------------------------------------------------------------------

    def do_save(self) -> None:
        from workbench.tui.screens.name import NameScreen

        def keep(name: str) -> None:
            views.save(View(name=name, runs=[feed.run.id for feed in self.feeds], look=self.overlay.look))
            self.view = name

        text = "The finder (ctrl+p) opens it again, and `dlwb compare NAME` prints its tables. A view of the same name is replaced."
        first = self.view or (self.recipes[0].title and self.feeds[0].run.stem)
        self.app.push_screen(NameScreen("Save as a view", text, first, keep, "saves"), lambda name: self._saved(name or ""))

    def _saved(self, name: str) -> None:
        if name:
            self.services.say(f"Saved as the view {name}.")
            self._drawn = ()
            self.draw()

    def do_export(self) -> None:
        from workbench.runs.export.many import Many

        name = self.view or f"{self.feeds[0].run.stem}-and-{len(self.feeds) - 1}-more"
        self.services.export(Many([feed.run for feed in self.feeds], name), self.query_one("#table"))

    def do_up(self) -> None:
        self._scroll(-1)

    def do_down(self) -> None:
        self._scroll(1)

    def do_page_up(self) -> None:
        self._scroll(-10)

    def do_page_down(self) -> None:
        self._scroll(10)

    def _scroll(self, rows: int) -> None:
        self.query_one("#table", Lines).scroll_by(rows)


def recipe_of(feed: Feed) -> Recipe:
    """A run's recipe, or one with no more than its name where that is damaged."""
    try:
        return feed.run.recipe()
    except Problem:
        return Recipe(title=feed.run.stem, project="?")
