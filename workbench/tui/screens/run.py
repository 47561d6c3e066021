"""One run: its curves and samples during training and after. Everything comes from its log; the run does not depend on the screen."""

import time
from typing import Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.timer import Timer

from workbench import formatting
from workbench.problems import Problem, one_line
from workbench.recipes.recipe import Recipe
from workbench.runs import own
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
from workbench.tui.screens.copying import edit_copy
from workbench.tui.screens.key_screen import KeyScreen

# A person sees the effect of a key within a quarter of a second.
POLL = 0.25
"""Seconds between two looks at the log and state of a live run."""
REST = 2.0
"""The same for an ended run, which somebody may resume."""
DRAW = 1.0
"""Seconds between two drawings, so that a run that logs fast sends no more bytes over SSH than one that logs slowly."""
FIRST = 1.0
"""The same while an old log is read: each drawing delays the full picture, and most logs are read in less time."""
STEP = 0.05
"""Seconds between two looks while a single step is awaited: a person who holds the key sees about ten of them a second."""
READ = 0.025
"""Seconds of one slice of such a log. Keys are answered between slices; smaller slices cost more turns of the event loop."""

ASKED = {"sample": "sample", "step": "train_step"}
"""Which of the project's methods a command asks for."""


class RunScreen(KeyScreen):
    """Opens from the list of runs, and after a start."""

    KEYS: ClassVar[tuple[Key, ...]] = (
        Key("escape", "back", "back", "Go back: from the full screen to all panels, remove the cursor, to the lists", "Esc"),
        Key("p", "pause", "pause", "Pause the run at its next step"),
        Key("r", "resume", "resume", "Resume a paused run at once, or an ended run from its last checkpoint"),
        Key("greater_than_sign", "step", "step", "Make one training step of a paused run and show what it did; held, step after step", ">"),
        Key("b", "branch", "branch", "Go on from the checkpoint at the cursor: fork a new run from it, or roll this one back to it"),
        Key("f", "again", "again", "Start a new run: first change these settings in a form"),
        Key("s", "stop", "stop", "Stop the run: it finishes its step and saves a checkpoint; before its first step the start is canceled"),
        Key("k", "kill", "kill", "Kill the run, after a question: work since the last checkpoint is lost"),
        Key("n", "sample", "sample", "Take a sample now, with the last request"),
        Key("N,i", "request", "ask", "Take a sample with a prompt, a temperature, or other settings of the project", "N i"),
        Key("c", "change", "change", "Change settings during training: learning rate, number of steps, intervals"),
        Key("t", "try", "try it", "Try the network: draw a digit, give a picture, type a text"),
        Key("T", "explore", "explore", "Explore the best weights: change what the samples are asked with, and see the answer at once"),
        Key("v", "serve", "serve", "Make an endpoint of the run: export its best weights and serve them"),
        Key("y", "log_y", "log y", "Make all y-axes logarithmic, all linear, or each by its values"),
        Key("tab", "next", "panel", "Go to the next panel", "Tab"),
        Key("enter", "full", "full", "Show the panel in focus on the full screen, and back", "⏎"),
        Key(
            "left",
            "left",
            "",
            "Move the cursor of the charts, a matrix's cell, or a ROC curve's threshold; else show an older sample",
            "←",
        ),
        Key("right", "right", "", "The same to the right; else show a newer sample", "→"),
        Key("up", "up", "", "Move a matrix's cell up; else scroll the panel in focus up", "↑"),
        Key("down", "down", "", "The same down", "↓"),
        Key("pageup", "page_up", "", "Move up in large steps", "PgUp"),
        Key("pagedown", "page_down", "", "Move down in large steps", "PgDn"),
        Key("comma", "older", "", "Show an older sample in the panel in focus", ","),
        Key("full_stop", "newer", "", "Show a newer sample", "."),
        Key("minus", "less", "", "Smooth the curves less, down to not at all", "-"),
        Key("plus,equals_sign", "more", "", "Smooth the curves more", "+"),
        Key("e", "edit", "edit", "Copy the lesson's Python file and its recipe as your own, and edit the copy in $EDITOR"),
        Key("x", "export", "export", "Export: one HTML page, CSV, the visible picture or text, the path"),
        *keys.ALWAYS,
    )
    BINDINGS = keys.bindings(KEYS)

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self.feed = feed
        try:
            self.recipe = feed.run.recipe()
        # A damaged run still opens: its log may be whole.
        except Problem:
            self.recipe = Recipe(title=feed.run.stem, project="?")
        self.board = RunBoard(feed, self.recipe)
        self.header = RunHeader(feed, self.recipe)
        self._drawn_at = time.monotonic()
        self._drawn: tuple[object, ...] = ()
        self._whole = False
        """Whether the log was read to its end and drawn once."""
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        yield self.header
        yield self.board
        yield KeyBar()

    def on_mount(self) -> None:
        self.call_after_refresh(self._look)

    # -- the path from the log to the screen ---------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Read a slice of the log; continue at once while there is more, else look again later."""
        if not self.is_attached:
            return
        feed, before = self.feed, self.feed.state
        feed.read(READ)
        since = time.monotonic() - self._drawn_at
        if not feed.caught_up:
            if since > FIRST:
                self.draw()
            # Not 0: a key or a resize that waits in the queue comes first.
            self.set_timer(0.0005, self._look)
            return
        feed.ask()
        answered = self._tell_answers()
        if feed.state != before or since >= DRAW or answered or not self._whole:
            self.draw()
        self._look_in(STEP if feed.awaits("step") else POLL if feed.state.alive or feed.launching else REST)

    def _look_in(self, seconds: float) -> None:
        if self._timer:
            self._timer.stop()
        self._timer = self.set_timer(seconds, self._look)

    def _tell_answers(self) -> bool:
        """Report the answers to commands that were sent from here; returns whether there was one."""
        answers = self.feed.answers()
        for verb, answer in answers:
            if answer.ok and verb in ASKED:
                self.board.asked = ASKED[verb], answer.step
            if not answer.ok:
                self.services.say(one_line(answer.message, 400) or "The run refused the command.", warning=True)
            elif verb in ("sample", "set"):
                self.services.say(f"{'Sampled' if verb == 'sample' else 'Changed'} at step {formatting.count(answer.step)}.")
        return bool(answers)

    def draw(self) -> None:
        """Update everything; only changes are painted, and of an ended run nothing is computed while nothing changes."""
        feed, board = self.feed, self.board
        self._drawn_at = time.monotonic()
        now = (feed.history.version, feed.caught_up, feed.state, feed.problem, feed.tail.remark, self.size, *board.view)
        # Textual repaints the whole terminal when a screen below the top screen changes. A live run is always drawn: its clock runs.
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
        if reason := own.refusal(self.recipe, name):
            return reason
        verb = {"request": "sample", "change": "set"}.get(name, name)
        if verb in run_actions.VERBS:
            reason = run_actions.refusal(self.feed.state, verb)
            return requests.refusal(self.feed.run, self.recipe) if name == "request" and not reason else reason
        if name == "explore":
            return requests.refusal(self.feed.run, self.recipe) or answering.no_weights(self.feed.run)
        if name == "serve":
            return run_actions.no_endpoint(self.feed.run, self.feed.state)
        if name == "edit" and not self.feed.run.about().get("recipe"):
            return "This run does not say which recipe it was started from."
        if name == "try":
            return answering.refusal(self.feed.run, self.recipe)
        if name in ("older", "newer") and not isinstance(self.board.target(), SamplePanel):
            return "This panel has no samples: tab goes to the next panel."
        if name == "full" and not self.board.focused:
            return "First choose a panel with tab; then Enter shows it on the full screen."
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
            self.dismiss()

    def do_pause(self) -> None:
        self.services.steer(self.feed.run, "pause")

    def do_again(self) -> None:
        self.services.again(self.feed.run)

    def do_branch(self) -> None:
        cursor = self.board.cursor
        self.services.branch(self.feed.run, None if cursor is None else int(cursor))

    def do_resume(self) -> None:
        self.services.steer(self.feed.run, "resume")

    def do_step(self) -> None:
        # One at a time: of the presses of a held key, the first one after the last answer counts, so nothing piles up.
        if not self.feed.awaits("step"):
            self.services.steer(self.feed.run, "step", {"steps": 1})
            self._look_in(STEP)

    def do_stop(self) -> None:
        self.services.steer(self.feed.run, "stop")

    def do_kill(self) -> None:
        self.services.steer(self.feed.run, "kill")

    def do_sample(self) -> None:
        self.services.steer(self.feed.run, "sample", self.feed.request)

    def do_request(self) -> None:
        schema = requests.request_schema(self.feed.run, self.recipe)
        self.app.push_screen(AskScreen("Take a sample now", "sample", schema, self.feed.request, "this request"), self._requested)

    def _requested(self, request: dict[str, Any] | None) -> None:
        if request is not None:
            self.feed.request = request
            self.services.steer(self.feed.run, "sample", request)

    def do_change(self) -> None:
        schema, values = requests.live_settings(self.feed.run, self.recipe, self.feed.history.settings())
        self.app.push_screen(
            AskScreen("Change settings during training", "change", schema, values, "live settings", changes=True), self._changed
        )

    def _changed(self, settings: dict[str, Any] | None) -> None:
        if settings:
            self.services.steer(self.feed.run, "set", settings)
        elif settings is not None:
            self.services.say("No setting was changed.")

    def do_export(self) -> None:
        self.services.export(self.feed.run, self.board.target())

    def do_try(self) -> None:
        self.services.try_run(self.feed.run, self.recipe)

    def do_serve(self) -> None:
        self.services.serve(self.feed.run)

    def do_explore(self) -> None:
        self.services.explore(self.feed.run)

    def do_edit(self) -> None:
        edit_copy(self, str(self.feed.run.about().get("recipe")))

    def do_log_y(self) -> None:
        self.board.log_y = {None: True, True: False, False: None}[self.board.log_y]
        kind = {None: "each by its values", True: "all logarithmic", False: "all linear"}[self.board.log_y]
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
