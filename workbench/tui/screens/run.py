"""One run: its curves and samples while it trains, and after. Everything comes from its log; closing the screen changes nothing."""

import time
from typing import Any, ClassVar

import msgspec
from textual import events, on
from textual.app import ComposeResult

from workbench import formatting
from workbench.problems import one_line
from workbench.recipes.recipe import Recipe
from workbench.runs.summary import summarize
from workbench.tui import keys
from workbench.tui.charts.smoothing import SHARES
from workbench.tui.keys import Key
from workbench.tui.models import answering, requests, run_actions
from workbench.tui.models.run_feed import Feed
from workbench.tui.panels.key_bar import KeyBar
from workbench.tui.panels.run_board import RunBoard
from workbench.tui.panels.run_header import RunHeader
from workbench.tui.panels.samples import SamplePanel
from workbench.tui.panels.tab_bar import TabBar
from workbench.tui.screens.ask import AskScreen
from workbench.tui.screens.key_screen import KeyScreen

POLL = 0.25
"""Seconds between two looks at a live run's log and state."""
REST = 2.0
"""The same for one that has ended: somebody may resume it."""
DRAW = 1.0
"""Seconds between two drawings, so that a run that logs fast costs no more over SSH than one that logs slowly."""
FIRST = 1.0
"""The same while an old log is read: each drawing holds up the whole picture, which most logs have sooner."""
READ = 0.025
"""Seconds of one slice of such a log: a key is answered between two, and each costs a turn of the event loop."""


class RunScreen(KeyScreen):
    """Opened from either list."""

    KEYS: ClassVar[tuple[Key, ...]] = (
        Key("escape", "back", "back", "From a panel on the whole screen back to all; remove the cursor; back to the lists", "Esc"),
        Key("p", "pause", "pause", "Pause it at its next step"),
        Key("r", "resume", "resume", "Go on: a paused run at once, an ended one from its last checkpoint"),
        Key("f", "again", "again", "Start it again: its settings in a form, to be changed before"),
        Key("s", "stop", "stop", "Stop it: it finishes its step and saves; before its first step nothing of it is left"),
        Key("k", "kill", "kill", "Kill it, after asking: what was not saved is lost"),
        Key("n", "sample", "sample", "Sample now, by the last request"),
        Key("N,i", "request", "ask", "Sample with a prompt, a temperature, or what else the project takes", "N i"),
        Key("c", "change", "change", "Change settings while it goes on: the learning rate, how long, how often"),
        Key("t", "try", "try it", "Ask its network: draw a digit, give a picture, type a text"),
        Key("y", "log_y", "log y", "All y-axes logarithmic, all linear, or each as its values are"),
        Key("tab", "next", "panel", "The next panel", "Tab"),
        Key("enter", "full", "full", "The panel in focus on the whole screen, and back", "⏎"),
        Key(
            "left",
            "left",
            "",
            "A chart's cursor, which reads all charts at its step; a matrix's cell; a ROC's threshold; else an older sample",
            "←",
        ),
        Key("right", "right", "", "The same to the right; a newer sample", "→"),
        Key("up", "up", "", "A matrix's cell; else scroll the panel in focus up", "↑"),
        Key("down", "down", "", "The same down", "↓"),
        Key("pageup", "page_up", "", "The same in big steps", "PgUp"),
        Key("pagedown", "page_down", "", "The same in big steps", "PgDn"),
        Key("comma", "older", "", "An older sample of the panel in focus", ","),
        Key("full_stop", "newer", "", "A newer sample", "."),
        Key("minus", "less", "", "Smooth the curves less, at last not at all", "-"),
        Key("plus,equals_sign", "more", "", "Smooth the curves more", "+"),
        Key("x", "export", "export", "Get it out: one HTML page, CSV, the picture or the text shown, the path"),
        *keys.ALWAYS,
    )
    BINDINGS = keys.bindings(KEYS)

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self.feed = feed
        try:
            self.recipe = feed.run.recipe()
        except (OSError, ValueError, msgspec.MsgspecError):
            self.recipe = Recipe(title=feed.run.stem, project="?")
        self.board = RunBoard(feed, self.recipe)
        self.header = RunHeader(feed, self.recipe)
        self._drawn_at = time.monotonic()
        self._drawn: tuple[object, ...] = ()
        self._whole = False
        """Whether the log has been read to its end and that was drawn."""

    def compose(self) -> ComposeResult:
        yield self.header
        yield self.board
        yield KeyBar()

    def on_mount(self) -> None:
        self.call_after_refresh(self._look)

    # -- the path from the log to the screen ---------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Read a slice; go on at once while there is more, else look again in a while."""
        if not self.is_attached:
            return
        feed, before = self.feed, self.feed.state
        feed.read(READ)
        since = time.monotonic() - self._drawn_at
        if not feed.caught_up:
            if since > FIRST:
                self.draw()
            self.set_timer(0.0005, self._look)
            return
        feed.ask()
        self._tell_answers()
        if feed.state != before or since >= DRAW or not self._whole:
            self.draw()
        self.set_timer(POLL if feed.state.alive or feed.launching else REST, self._look)

    def _tell_answers(self) -> None:
        """Say what became of what was asked from here."""
        for verb, answer in self.feed.answers():
            if not answer.ok:
                self.services.say(one_line(answer.message, 400) or "It was refused.", warning=True)
            elif verb in ("sample", "set"):
                self.services.say(f"{'Sampled' if verb == 'sample' else 'Changed'} at step {formatting.count(answer.step)}.")

    def draw(self) -> None:
        """Bring everything up to date; only what changed is painted, and an ended run, where nothing changes, is not even looked at."""
        feed, board = self.feed, self.board
        self._drawn_at = time.monotonic()
        now = (feed.history.version, feed.caught_up, feed.state, feed.problem, self.size, *board.view)
        # Textual repaints the whole terminal when a screen below the top one changes.
        if (now == self._drawn and not feed.state.alive) or not (self.is_active and self.header.size):
            return
        self._drawn, self._whole = now, feed.caught_up
        summary = summarize(feed.history, 0)
        self.header.follow(summary)
        board.follow(summary)
        self.query_one(KeyBar).rebuild()

    def on_screen_resume(self) -> None:
        if self._drawn:
            self.draw()

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        if self._drawn:
            self.call_after_refresh(self.draw)

    @on(TabBar.Chosen)
    def _chosen(self, event: TabBar.Chosen) -> None:
        self.board.focused = event.tab
        self.draw()

    # -- keys ------------------------------------------------------------------------------------------------------------------

    def refusal(self, name: str) -> str:
        verb = {"request": "sample", "change": "set"}.get(name, name)
        if verb in run_actions.VERBS:
            reason = run_actions.refusal(self.feed.state, verb)
            return requests.refusal(self.feed.run, self.recipe) if name == "request" and not reason else reason
        if name == "try":
            return answering.refusal(self.feed.run, self.recipe)
        if name in ("older", "newer") and not isinstance(self.board.target(), SamplePanel):
            return "This panel has no samples: tab goes to the next one."
        if name == "full" and not self.board.focused:
            return "Tab chooses a panel first; Enter then shows it on the whole screen."
        return ""

    @on(RunBoard.Moved)
    def _moved(self) -> None:
        self.draw()

    def do_back(self) -> None:
        if self.board.full:
            self.do_full()
        elif self.board.clear():
            self.draw()
        else:
            self.app.pop_screen()

    def do_pause(self) -> None:
        self.services.steer(self.feed.run, "pause")

    def do_again(self) -> None:
        self.services.again(self.feed.run)

    def do_resume(self) -> None:
        self.services.steer(self.feed.run, "resume")

    def do_stop(self) -> None:
        self.services.steer(self.feed.run, "stop")

    def do_kill(self) -> None:
        self.services.steer(self.feed.run, "kill")

    def do_sample(self) -> None:
        self.services.steer(self.feed.run, "sample", self.feed.request)

    def do_request(self) -> None:
        schema = requests.request_schema(self.feed.run, self.recipe)
        self.app.push_screen(AskScreen("Sample now", "sample", schema, self.feed.request, "this request"), self._requested)

    def _requested(self, request: dict[str, Any] | None) -> None:
        if request is not None:
            self.feed.request = request
            self.services.steer(self.feed.run, "sample", request)

    def do_change(self) -> None:
        schema, values = requests.live_settings(self.feed.run, self.recipe, self.feed.history.settings())
        self.app.push_screen(AskScreen("Change while it goes on", "change", schema, values, "live settings", changes=True), self._changed)

    def _changed(self, settings: dict[str, Any] | None) -> None:
        if settings:
            self.services.steer(self.feed.run, "set", settings)
        elif settings is not None:
            self.services.say("Nothing was changed.")

    def do_export(self) -> None:
        self.services.export(self.feed.run, self.board.target())

    def do_try(self) -> None:
        self.services.try_run(self.feed.run, self.recipe)

    def do_log_y(self) -> None:
        self.board.log_y = {None: True, True: False, False: None}[self.board.log_y]
        kind = {None: "each as its values are", True: "all logarithmic", False: "all linear"}[self.board.log_y]
        self.notify(f"y-axes: {kind}", timeout=2)
        self.draw()

    def do_next(self) -> None:
        self.board.focus_next()
        self.draw()

    def do_full(self) -> None:
        self.board.full = not self.board.full
        self.draw()

    def do_older(self) -> None:
        self._scrub(1)

    def do_newer(self) -> None:
        self._scrub(-1)

    def _scrub(self, steps: int) -> None:
        target = self.board.target()
        if isinstance(target, SamplePanel):
            target.back(steps)

    def do_left(self) -> None:
        self._move(-1, 0)

    def do_right(self) -> None:
        self._move(1, 0)

    def do_up(self) -> None:
        self._move(0, -1)

    def do_down(self) -> None:
        self._move(0, 1)

    def do_page_up(self) -> None:
        self._move(0, -1, page=True)

    def do_page_down(self) -> None:
        self._move(0, 1, page=True)

    def _move(self, across: int, down: int, *, page: bool = False) -> None:
        self.board.move(across, down, page=page)
        self.draw()

    def do_less(self) -> None:
        self._smooth(-1)

    def do_more(self) -> None:
        self._smooth(1)

    def _smooth(self, by: int) -> None:
        self.board.smooth = max(0, min(len(SHARES) - 1, self.board.smooth + by))
        share = SHARES[self.board.smooth]
        self.notify(f"Smoothed over {100 * share:g} % of the axis" if share else "Not smoothed", timeout=2)
        self.draw()
