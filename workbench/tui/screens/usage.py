"""Device-hours: bars by day, recipe, device, tuning and endpoint, and what is left of the budget. `s` changes the time that is counted."""

import time
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.containers import Container
from textual.strip import Strip

from workbench.problems import Problem
from workbench.runs import usage
from workbench.runs.usage import Use
from workbench.tui import keys
from workbench.tui.drawing import palette, strips
from workbench.tui.keys import Key
from workbench.tui.panels import usage_lines
from workbench.tui.panels.key_bar import KeyBar
from workbench.tui.panels.lines import Lines
from workbench.tui.screens.key_screen import KeyScreen

WIDE = 100
"""From so many cells on, the tables stand beside the days."""
SPANS = {"all time": "", "the last 30 days": "30d", "the last 7 days": "7d", "today": "today"}
AGAIN = 30.0
"""Seconds between two looks: runs that train use more."""


class UsageScreen(KeyScreen):
    """The screen; a thread reads the runs."""

    DEFAULT_CSS = """
    UsageScreen #head { height: 2; margin: 0 1 1 0; }
    UsageScreen #tables { height: 1fr; layout: vertical; }
    UsageScreen #tables.wide { layout: horizontal; }
    UsageScreen #days { height: 10; margin: 0 1; }
    UsageScreen #tables.wide #days { height: 1fr; width: 2fr; margin: 0 4 0 1; }
    UsageScreen #groups { height: 1fr; margin: 0 1; }
    UsageScreen #tables.wide #groups { width: 3fr; }
    """
    KEYS: ClassVar[tuple[Key, ...]] = (
        Key("s", "span", "time", "Count another time: all, 30 days, 7 days, today"),
        Key("up", "up", "", "Scroll up", "↑"),
        Key("down", "down", "scroll", "Scroll down", "↓"),
        Key("escape,U", "back", "back", "Go back to the list of runs", "Esc"),
        *keys.ALWAYS,
    )
    BINDINGS = keys.bindings(KEYS)

    def __init__(self) -> None:
        super().__init__()
        self._all: list[Use] | None = None
        """What was used; None until it is read."""
        self._problem = ""
        self._span = next(iter(SPANS))

    def compose(self) -> ComposeResult:
        yield Lines(id="head")
        with Container(id="tables"):
            yield Lines(id="days")
            yield Lines(id="groups")
        yield KeyBar()

    def on_mount(self) -> None:
        self._lines("head").source = self._head
        self._lines("days").source = self._days
        self._lines("groups").source = self._groups
        self.look()
        self.set_interval(AGAIN, self.look)

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        self.query_one("#tables").set_class(event.size.width >= WIDE, "wide")

    def look(self) -> None:
        """Read all runs again, in a thread."""
        app = self.app

        def read() -> None:
            from workbench.serving.usage import collect

            found: list[Use] | None = None
            problem = ""
            try:
                found = collect()
            except (Problem, OSError) as error:
                problem = str(error)
            if app.is_running:
                app.call_from_thread(self._show, found, problem)

        self.run_worker(read, thread=True, exclusive=True, exit_on_error=True)

    def _show(self, uses: list[Use] | None, problem: str) -> None:
        self._all, self._problem = (self._all if uses is None else uses), problem
        for lines in self.query(Lines):
            lines.rebuild()

    def _lines(self, name: str) -> Lines:
        return self.query_one(f"#{name}", Lines)

    @property
    def _uses(self) -> list[Use]:
        uses, span = self._all or [], SPANS[self._span]
        return usage.since(uses, usage.moment(span)) if span else uses

    def _head(self, width: int) -> list[Strip]:
        if self._all is None or self._problem:
            text = self._problem or "Reading what the runs used …"
            return strips.paragraph(text, width, palette.bad if self._problem else palette.dim, margin=1)
        # A budget is of all time, whatever the bars show.
        return usage_lines.head_lines(self._uses, usage.budget(self._all), self._span, width)

    def _days(self, width: int) -> list[Strip]:
        count = usage_lines.DAYS if self.size.width >= WIDE else usage_lines.FEW_DAYS
        return usage_lines.day_lines(self._uses, max(8, width), time.time(), count) if self._all else []

    def _groups(self, width: int) -> list[Strip]:
        if self._all is None:
            return []
        if not self._uses:
            return strips.paragraph("Nothing was used in this time.", width, palette.dim)
        return usage_lines.group_lines(self._uses, max(8, width - 1))

    def do_span(self) -> None:
        names = list(SPANS)
        self._span = names[(names.index(self._span) + 1) % len(names)]
        for lines in self.query(Lines):
            lines.rebuild()

    def do_up(self) -> None:
        self._lines("groups").scroll_by(-1)

    def do_down(self) -> None:
        self._lines("groups").scroll_by(1)

    def do_back(self) -> None:
        self.dismiss()
