"""The base of the screens that ask: they send inputs to a run's network, or requests to a lesson, and show the answers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.strip import Strip
from textual.widget import Widget

from workbench.problems import Problem, one_line
from workbench.tui import keys
from workbench.tui.drawing import palette, strips
from workbench.tui.keys import Key
from workbench.tui.models.answering import Answering
from workbench.tui.panels.key_bar import KeyBar
from workbench.tui.panels.lines import Lines
from workbench.tui.screens.key_screen import KeyScreen

if TYPE_CHECKING:
    from workbench.recipes.load import Loaded
    from workbench.runs.run import Run

TRYING: tuple[Key, ...] = (
    Key(
        "R",
        "reload",
        "reload",
        "Load the best weights of a live run so far; if the network's process has ended, start it again",
        "R",
    ),
    *keys.ALWAYS,
)
"""The keys of every such screen, after its own keys."""


class TryScreen(KeyScreen):
    """Starts the process that answers, keeps only the newest question waiting, and ends the process when the screen closes."""

    KEYS: ClassVar[tuple[Key, ...]] = TRYING
    HEADING: ClassVar[str] = "Try it"
    HINT: ClassVar[str] = ""
    """Instructions, visible until there is another message."""

    def __init__(self, source: Run | Loaded) -> None:
        super().__init__()
        self.source = source
        self.answering = Answering(source)
        self.ready: dict[str, Any] = {}
        """The description from the process; empty until the weights are loaded."""
        self.note, self.trouble = "", ""
        self._doing, self._since = "", 0.0
        """The present stage of loading, and its start by the monotonic clock."""
        self._question: dict[str, Any] | None = None
        self._asking = False

    def compose(self) -> ComposeResult:
        yield Lines(id="top")
        yield from self.compose_form()
        yield Lines(id="say")
        yield KeyBar()

    def compose_form(self) -> list[Widget]:
        """The widgets between the first line and the last lines."""
        return []

    def begun(self) -> None:
        """Called when the weights are loaded and `ready` is set."""

    def answered(self, outputs: dict[str, Any]) -> None:
        """Show the answer to the newest question."""

    def on_mount(self) -> None:
        self.query_one("#top", Lines).source = self._top
        self.query_one("#say", Lines).source = self._say
        # The first line counts the seconds of loading.
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
        # The worker waits here for the rest of the screen's life: a process that dies is noticed at once, without a question.
        self._fail(await self.answering.ended())

    def _load(self, doing: str) -> None:
        self._doing = one_line(doing, 60)
        self.tell()

    def ask(self, **question: Any) -> None:
        """Ask this next, or as soon as the weights are loaded; it replaces a question that still waits."""
        self._question = question
        if self._asking:
            self.answering.hurry()
        elif self.ready:
            self.run_worker(self._ask(), group="asking")

    async def _ask(self) -> None:
        if self._asking:
            return
        self._asking = True
        try:
            # Somebody who draws asks faster than a network answers: only the newest drawing counts.
            while self._question is not None:
                question, self._question = self._question, None
                try:
                    answer = await self.answering.ask(self.heard, **question)
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
                    self.heard(answer)
                self.tell()
        finally:
            self._asking = False

    def heard(self, answer: dict[str, Any]) -> None:
        """Show an answer, or the part of it that is known."""
        self.answered(answer.get("outputs") or {})
        self.tell()

    def reloaded(self) -> None:
        """Called when other weights are loaded: ask the last question again."""

    def _fail(self, problem: Exception) -> None:
        # The sentence of `Answering.ended`: only then is the process gone, and R must start another.
        if "ended" in str(problem):
            self.ready = {}
        self.trouble = str(problem)
        self.tell()

    def tell(self) -> None:
        """Update the first and the last lines, if the screen still exists."""
        for panel in self.query(Lines).filter("#top, #say, KeyBar"):
            panel.rebuild()

    def _top(self, width: int) -> list[Strip]:
        if self.ready:
            state = (self.state(), palette.good)
        else:
            loading = f"{self._doing} … {time.monotonic() - self._since:.0f} s "
            state = ("not loaded ", palette.bad) if self.trouble else (loading, palette.warn)
        demo = str(self.ready.get("demo") or "")
        parts = [(f" {self.HEADING}  ", palette.heading), (one_line(self.source.stem, 60), palette.bold)]
        parts.append((f"  DEMO: {demo}" if demo else "", palette.warn))
        return [strips.line(width, parts, [state])]

    def state(self) -> str:
        """What answers, at the right of the first line."""
        return f"weights of step {self.ready.get('step', 0):,} "

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
        self.dismiss()
