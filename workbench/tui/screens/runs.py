"""The list of runs, live and ended, with a few lines about the one under the cursor."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.strip import Strip
from textual.timer import Timer

from workbench.tui import keys, listing, steer
from workbench.tui.keys import Key
from workbench.tui.panels.detail import run_lines
from workbench.tui.panels.rows import Row
from workbench.tui.screens.list import MOVING, ListScreen

if TYPE_CHECKING:
    from workbench.tui.library import Entry

REST = 0.1
"""Seconds that the cursor rests on a run before its log is read ahead."""


class RunsScreen(ListScreen):
    """Enter opens."""

    NAME = "runs"
    BELOW = True
    KEYS: ClassVar[tuple[Key, ...]] = (
        Key("enter", "open", "open", "Open the run", "⏎"),
        Key("s", "stop", "stop", "Stop the run under the cursor: it finishes its step and saves"),
        Key("k", "kill", "kill", "Kill the run under the cursor, after asking"),
        Key("r", "resume", "resume", "Resume the run under the cursor"),
        *MOVING,
    )
    BINDINGS = keys.bindings(KEYS)

    def __init__(self) -> None:
        super().__init__()
        self._ahead: Iterator[None] = iter(())
        self._ahead_timer: Timer | None = None

    @property
    def chosen(self) -> "Entry | None":
        """The run under the cursor."""
        return self.library.entries.get(self.rows.key)

    def make_rows(self, width: int) -> Sequence[Row]:
        return listing.run_rows(self.library, width, self.words)

    def pane_lines(self, width: int) -> Sequence[Strip]:
        chosen = self.chosen
        return run_lines(chosen, width) if chosen else listing.no_runs(width)

    def rested(self) -> None:
        """The log of the run that the cursor rests on is read before it is asked for."""
        if self._ahead_timer:
            self._ahead_timer.stop()
        self._ahead = self.library.ahead(self.rows.key)
        self._ahead_timer = self.set_timer(REST, self._read_ahead)

    def _read_ahead(self) -> None:
        if self.is_active and next(self._ahead, self) is None:
            self._ahead_timer = self.set_timer(0.002, self._read_ahead)

    def refusal(self, name: str) -> str:
        chosen = self.chosen
        if name == "open":
            return "" if chosen else "There is no run here to open."
        if name in steer.VERBS:
            return steer.refusal(chosen.state, name) if chosen else f"There is no run here to {name}."
        return ""

    def do_open(self) -> None:
        if self.chosen:
            self.app.open_run(self.chosen.run)

    def do_stop(self) -> None:
        self._steer("stop")

    def do_resume(self) -> None:
        self._steer("resume")

    def do_kill(self) -> None:
        self._steer("kill")

    def _steer(self, verb: str) -> None:
        if self.chosen:
            self.app.steer(self.chosen.run, verb)
