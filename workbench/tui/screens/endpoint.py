"""One endpoint: traffic and latency by variant, drift, what happened. Its keys move traffic; it serves on without the screen."""

import time
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.strip import Strip
from textual.timer import Timer

from workbench.problems import Problem, one_line
from workbench.serving.endpoint import Endpoint
from workbench.tui import keys
from workbench.tui.keys import Key
from workbench.tui.models.background import Command
from workbench.tui.models.endpoint_feed import SPANS, EndpointFeed
from workbench.tui.panels import endpoint_lines
from workbench.tui.panels.endpoint_board import EndpointBoard
from workbench.tui.panels.key_bar import KeyBar
from workbench.tui.panels.lines import Lines
from workbench.tui.panels.rows import Rows
from workbench.tui.panels.tab_bar import TabBar
from workbench.tui.screens.key_screen import KeyScreen

POLL = 0.25
"""Seconds between two looks at the log and the state of a running endpoint."""
REST = 2.0
"""The same for one that does not run."""
QUICK = 0.05
"""The same while an answer is awaited."""
DRAW = 1.0
"""Seconds between two drawings, as often as an endpoint writes its figures."""
READ = 0.025
"""Seconds of one slice of an old log; keys are answered between slices."""
POINTS = 0.05
"""Of the traffic, that a key moves."""
RUNNING = ("more_traffic", "less_traffic", "roll_back", "version", "shadow", "try", "stop")
"""Keys that need an endpoint that runs."""


class EndpointScreen(KeyScreen):
    """Opens from the list of endpoints, and when a run becomes one."""

    KEYS: ClassVar[tuple[Key, ...]] = (
        Key("escape", "back", "back", "Go back: from the full screen to all panels, remove the cursor, to the list", "Esc"),
        Key(
            "right_square_bracket", "more_traffic", "more", "Five points of the traffic more for the variant under the cursor, at once", "]"
        ),
        Key("left_square_bracket", "less_traffic", "less", "Five points less for the variant under the cursor", "["),
        Key("u", "roll_back", "roll back", "Roll back: take a canary back, or return to the configuration before this one"),
        Key("v", "version", "version", "Add a version: a model of the store, its share, and for how long as a canary"),
        Key("m", "shadow", "shadow", "Give a model copies of all requests; nobody gets its answers, and disagreements are listed"),
        Key("t", "try", "try it", "Send a request to the variant under the cursor, and see every part of it and of the answer"),
        Key("d", "drift", "drift", "Show drift on the full screen, then new words, and back"),
        Key("b", "batch", "batch", "Answer every row of a file with the model under the cursor, in the background"),
        Key("x", "texts", "commands", "Show the lines that call it: curl, boto3, a Dockerfile"),
        Key("s", "stop", "stop", "Stop the endpoint, after a question; what is in flight is answered"),
        Key("r", "start", "start", "Start an endpoint that is stopped again"),
        Key("tab", "next", "panel", "Go to the next panel; in a small terminal, show it", "Tab"),
        Key("enter", "full", "full", "Show the panel in focus on the full screen, and back", "⏎"),
        Key("up", "up", "", "Go to the variant above", "↑"),
        Key("down", "down", "", "Go to the variant below", "↓"),
        Key("left", "left", "", "Move the cursor of the charts to the left: it reads all values at one second", "←"),
        Key("right", "right", "", "Move the cursor of the charts to the right", "→"),
        Key("minus", "shorter", "", "Show less time in the charts", "-"),
        Key("plus,equals_sign", "longer", "", "Show more time in the charts", "+"),
        Key("pageup", "page_up", "", "Scroll the panel of text in focus up, or the timeline", "PgUp"),
        Key("pagedown", "page_down", "", "Scroll it down", "PgDn"),
        *keys.ALWAYS,
    )
    BINDINGS = keys.bindings(KEYS)

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()
        self.endpoint = endpoint
        self.feed = EndpointFeed(endpoint)
        self.board = EndpointBoard(self.feed)
        self.header = Lines(id="header")
        self.job: Command | None = None
        """A batch that runs, or has ended."""
        self._drawn_at = time.monotonic()
        self._drawn: tuple[object, ...] = ()
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        yield self.header
        yield self.board
        yield KeyBar()

    def on_mount(self) -> None:
        self.header.source = self._header
        self.header.styles.height = 1
        self.call_after_refresh(self._look)

    # -- the path from the log to the screen ---------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Read a slice of the log; continue at once while there is more, else look again later."""
        if not self.is_attached:
            return
        feed = self.feed
        before = (feed.state, feed.number)
        feed.read(READ)
        if not feed.caught_up:
            self.set_timer(0.0005, self._look)
            return
        feed.look()
        told = self._tell_answers()
        self._push()
        if told or (feed.state, feed.number) != before or time.monotonic() - self._drawn_at >= DRAW or not self._drawn:
            self.draw()
        self._look_in(QUICK if feed.awaits() else POLL if feed.state.alive else REST)

    def _look_in(self, seconds: float) -> None:
        if self._timer:
            self._timer.stop()
        self._timer = self.set_timer(seconds, self._look)

    def _tell_answers(self) -> bool:
        answers = self.feed.answers()
        for verb, answer in answers:
            if not answer.ok:
                self.services.say(one_line(answer.message, 400) or "The endpoint refused this.", warning=True)
            elif verb != "weights":  # the table and the charts show them
                self.services.say(one_line(answer.message, 400))
        return bool(answers)

    def draw(self) -> None:
        """Update everything; only changes are painted."""
        feed, board = self.feed, self.board
        self._drawn_at = time.monotonic()
        job = self.job and (self.job.running, self.job.doing)
        now = (feed.history.version, feed.caught_up, feed.state, feed.number, feed.problem, feed.wanted, job, self.size, *board.view)
        # Of an endpoint that does not run nothing is computed while nothing changes.
        if (now == self._drawn and not feed.state.alive) or not (self.is_active and self.header.size):
            return
        self._drawn = now
        height = min(4, len(self._header(self.size.width)))
        if height != self.header.size.height:
            self.header.styles.height = height
        self.header.rebuild()
        board.follow()
        self.query_one(KeyBar).rebuild()

    def _header(self, width: int) -> list[Strip]:
        return endpoint_lines.header_lines(self.feed, width, self._job_words())

    def _job_words(self) -> str:
        if not self.job:
            return ""
        return f"{self.job.title}: {f'{self.job.doing} …' if self.job.running else self.job.outcome}"

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

    @on(EndpointBoard.Moved)
    @on(Rows.Moved)
    def _moved(self) -> None:
        if self._drawn:
            self.draw()

    # -- keys ------------------------------------------------------------------------------------------------------------------

    @property
    def variant(self) -> str:
        """The name of the variant under the cursor."""
        return self.board.rows.key

    def refusal(self, name: str) -> str:
        feed = self.feed
        if name in RUNNING and not feed.state.alive:
            return f"It is not running ({feed.state.state}): r starts it."
        if name in RUNNING and feed.state.host:
            return f"It runs on {feed.state.host}: use dlwb there."
        if name == "start" and feed.state.alive:
            return "It is running already."
        if name in ("more_traffic", "less_traffic"):
            config = feed.config
            if config and config.canary:
                return f"The canary {config.canary.variant} is under way: u takes it back."
            if config and self.variant == config.shadow:
                return f"{self.variant} is the shadow, which answers nobody."
            if not config or len(config.variants) - bool(config.shadow) < 2:
                return "It has one variant: v adds another version."
        if name == "full" and not self.board.focused:
            return "First choose a panel with tab; then Enter shows it on the full screen."
        if name in ("try", "batch") and not self.variant:
            return feed.problem or "It has no variant."
        return ""

    def _ask(self, verb: str, request: dict[str, object] | None = None) -> None:
        try:
            self.feed.send(verb, request)
        except Problem as problem:
            self.services.say(str(problem), warning=True)
        self._look_in(QUICK)

    def _push(self) -> None:
        try:
            self.feed.push()
        except Problem as problem:
            self.feed.wanted = {}
            self.services.say(str(problem), warning=True)

    def _shift(self, points: float) -> None:
        self.feed.shift(self.variant, points)
        self._push()
        self.board.rows.rebuild()
        self._look_in(QUICK)

    def do_more_traffic(self) -> None:
        self._shift(POINTS)

    def do_less_traffic(self) -> None:
        self._shift(-POINTS)

    def do_roll_back(self) -> None:
        self._ask("rollback")

    def do_version(self) -> None:
        from workbench.tui.screens.choose_model import add_version

        served = [plan.label for plan in self.feed.config.variants if plan.name != self.feed.config.shadow] if self.feed.config else []
        add_version(self, served, lambda request: self._ask("update", request))

    def do_shadow(self) -> None:
        from workbench.tui.screens.choose_model import choose_shadow

        config = self.feed.config
        served = [plan.label for plan in config.variants] if config else []
        choose_shadow(self, served, bool(config and config.shadow), lambda request: self._ask("update", request))

    def do_try(self) -> None:
        self.services.try_endpoint(self.endpoint, self.variant)

    def do_drift(self) -> None:
        board = self.board
        order = [("drift", True), ("words", True), ("", False)]
        now = (board.focused, board.full)
        board.focused, board.full = order[(order.index(now) + 1) % len(order)] if now in order else order[0]
        self.draw()

    def do_batch(self) -> None:
        from workbench.tui.screens.choose_model import answer_file

        label = next((plan.label for plan in self.feed.config.variants if plan.name == self.variant), "") if self.feed.config else ""
        answer_file(self, label, self._batch)

    def _batch(self, command: Command) -> None:
        self.job = command
        self.services.in_background(command)
        self.draw()

    def do_texts(self) -> None:
        self.services.endpoint_texts(self.endpoint)

    def do_stop(self) -> None:
        self.services.steer_endpoint(self.endpoint, "stop")

    def do_start(self) -> None:
        self.services.steer_endpoint(self.endpoint, "start")

    def do_back(self) -> None:
        board = self.board
        if board.full:
            board.full = False
        elif board.cursor is not None:
            board.cursor = None
        else:
            self.dismiss()
            return
        self.draw()

    def do_next(self) -> None:
        self.board.focus_next()
        self.draw()

    def do_full(self) -> None:
        self.board.full = not self.board.full
        self.draw()

    def do_up(self) -> None:
        self.board.rows.move(-1)

    def do_down(self) -> None:
        self.board.rows.move(1)

    def do_left(self) -> None:
        self.board.move(-1)
        self.draw()

    def do_right(self) -> None:
        self.board.move(1)
        self.draw()

    def do_shorter(self) -> None:
        self.board.span = max(0, self.board.span - 1)
        self.draw()

    def do_longer(self) -> None:
        self.board.span = min(len(SPANS) - 1, self.board.span + 1)
        self.draw()

    def do_page_up(self) -> None:
        self.board.scroll(-1)

    def do_page_down(self) -> None:
        self.board.scroll(1)
