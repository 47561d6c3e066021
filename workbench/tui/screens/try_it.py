"""Try a run: ask its network something and see what it answers. The base of the screens for pictures, texts and numbers."""

import time
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.strip import Strip
from textual.widget import Widget

from workbench.problems import Problem, one_line
from workbench.tui import keys
from workbench.tui.drawing import palette, strips
from workbench.tui.keys import Key
from workbench.tui.models.answering import Answering
from workbench.tui.models.run_feed import Feed
from workbench.tui.panels.key_bar import KeyBar
from workbench.tui.panels.lines import Lines
from workbench.tui.screens.key_screen import KeyScreen

TRYING: tuple[Key, ...] = (
    Key("R", "reload", "newer weights", "Take the best weights that a live run has by now; start what answers again, where it ended", "R"),
    *keys.ALWAYS,
)
"""The keys that every such screen has after its own."""


class TryScreen(KeyScreen):
    """Starts what answers, keeps at most one question waiting, the newest, and ends it when the screen is left."""

    KEYS: ClassVar[tuple[Key, ...]] = TRYING
    HINT: ClassVar[str] = ""
    """What to do here, shown until there is something better to say."""

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self.feed = feed
        self.answering = Answering(feed.run)
        self.ready: dict[str, Any] = {}
        """What it said of itself; empty until it has loaded."""
        self.note, self.trouble = "", ""
        self._doing, self._since = "", 0.0
        """What is loaded just now, and since when, by the monotonic clock."""
        self._question: dict[str, Any] | None = None
        self._asking = False

    def compose(self) -> ComposeResult:
        yield Lines(id="top")
        yield from self.compose_form()
        yield Lines(id="say")
        yield KeyBar()

    def compose_form(self) -> "list[Widget]":
        """What stands between the first line and the last ones."""
        return []

    def begun(self) -> None:
        """Called when it has loaded: `ready` is there."""

    def answered(self, outputs: dict[str, Any]) -> None:
        """Show what it answered to the newest question."""

    def on_mount(self) -> None:
        self.query_one("#top", Lines).source = self._top
        self.query_one("#say", Lines).source = self._say
        self.set_interval(1, lambda: None if self.ready or self.trouble else self.tell())
        self.run_worker(self._start(), exclusive=True, group="answering")

    async def on_unmount(self) -> None:
        await self.answering.close()

    async def _start(self) -> None:
        await self.answering.close()
        self.trouble, self._since = "", time.monotonic()
        self._load("starting Python")
        try:
            self.ready = await self.answering.start(self._load)
        except (Problem, OSError) as problem:
            self._fail(problem)
            return
        self.begun()
        self.tell()
        await self._ask()
        self._fail(await self.answering.ended())

    def _load(self, doing: str) -> None:
        self._doing = one_line(doing, 60)
        self.tell()

    def ask(self, **question: Any) -> None:
        """Ask this next, or as soon as it has loaded; a question that still waits is dropped."""
        self._question = question
        if self.ready and not self._asking:
            self.run_worker(self._ask(), group="asking")

    async def _ask(self) -> None:
        if self._asking:
            return
        self._asking = True
        try:
            while self._question is not None:
                question, self._question = self._question, None
                try:
                    answer = await self.answering.ask(**question)
                except Problem as problem:
                    self._fail(problem)
                    continue
                self.trouble = ""
                if "step" in answer:
                    newer = answer["step"] != self.ready.get("step")
                    self.ready["step"] = answer["step"]
                    self.notify(f"Weights of step {answer['step']:,}" + ("" if newer else ", as before"), timeout=3)
                    self.reloaded()
                else:
                    self.answered(answer.get("outputs") or {})
                self.tell()
        finally:
            self._asking = False

    def reloaded(self) -> None:
        """Called when there are other weights: ask again what was asked."""

    def _fail(self, problem: Exception) -> None:
        if "ended" in str(problem):
            self.ready = {}
        self.trouble = str(problem)
        self.tell()

    def tell(self) -> None:
        """Bring the first and the last lines up to date, where the screen is still there."""
        for panel in self.query(Lines).filter("#top, #say, KeyBar"):
            panel.rebuild()

    def _top(self, width: int) -> list[Strip]:
        recipe = self.feed.run.stem
        if self.ready:
            state = (f"weights of step {self.ready.get('step', 0):,} ", palette.good)
        else:
            loading = f"{self._doing} … {time.monotonic() - self._since:.0f} s "
            state = ("nothing answers ", palette.bad) if self.trouble else (loading, palette.warn)
        demo = str(self.ready.get("demo") or "")
        parts = [(" Try it  ", palette.heading), (one_line(recipe, 60), palette.bold), (f"  DEMO: {demo}" if demo else "", palette.warn)]
        return [strips.line(width, parts, [state])]

    def _say(self, width: int) -> list[Strip]:
        if self.trouble:
            return strips.paragraph(one_line(self.trouble, 400), width, palette.bad)
        return strips.paragraph(one_line(self.note or self.HINT, 400), width, palette.plain if self.note else palette.dim)

    def do_reload(self) -> None:
        if self.ready:
            self.ask(reload=True)
        else:
            self.run_worker(self._start(), exclusive=True, group="answering")

    def do_back(self) -> None:
        self.app.pop_screen()
