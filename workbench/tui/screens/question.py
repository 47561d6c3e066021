"""A question with two answers over the screen below: kill this run? trust this file?"""

import math
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.screen import ModalScreen

from workbench.formatting import duration
from workbench.problems import one_line
from workbench.runs import own
from workbench.runs.run import Run
from workbench.tui import keys
from workbench.tui.drawing import palette, strips
from workbench.tui.keys import Key
from workbench.tui.panels.lines import Lines
from workbench.tui.screens.key_screen import OwnScreen

if TYPE_CHECKING:
    from workbench.launch import tuning
    from workbench.launch.comparing import Outlook

FEW, SHORT = 5, 600.0
"""A comparison of so many runs, of so many seconds together, starts without a question."""
UNKNOWN = "How long it takes is not known: nothing like it ran here yet. The recipe's text may say it."
READ = 0.4
"""Seconds before Enter or a click is an answer: the second of two quick ones was not meant for a question that nobody has read."""
LINGER = 0.15
"""Seconds that it stays after Enter or a click, to take the second of two quick ones, which the screen below would obey."""


class QuestionScreen(ModalScreen[bool], OwnScreen[bool]):
    """Returns the answer."""

    DEFAULT_CSS = """
    QuestionScreen { align: center middle; background: $ground 60%; }
    QuestionScreen > Lines {
        width: 76; max-width: 96%; height: auto; max-height: 90%; padding: 1 2; background: $ground; border: round $warn;
    }
    """
    KEYS: ClassVar[tuple[Key, ...]] = (
        Key("y", "yes", "yes", "Yes"),
        Key("enter", "enter", "", "Yes", "⏎"),
        Key("n,escape,q", "no", "no", "No", "n Esc"),
    )
    BINDINGS = keys.bindings(KEYS)

    def __init__(self, title: str, text: list[tuple[str, bool]], yes: str) -> None:
        """`text` holds paragraphs, each with whether it is bold; `yes` names the action of yes."""
        super().__init__()
        self._title = title
        self._text = text
        self._yes = yes

    def compose(self) -> ComposeResult:
        yield Lines()

    def on_resize(self, event: events.Resize) -> None:
        panel = self.query_one(Lines)
        width = min(76, event.size.width * 96 // 100) - 6
        lines = [strips.line(width, [(self._title, palette.heading)])]
        for text, strong in self._text:
            lines += [strips.line(width, []), *strips.paragraph(text, width, palette.bold if strong else palette.plain)]
        answers = [(" y ", palette.badge), (f" {self._yes}    ", palette.plain), (" n ", palette.heading), (" no", palette.dim)]
        lines += [strips.line(width, []), strips.line(width, answers)]
        panel.styles.height = len(lines) + 4
        panel.show(lines)

    def on_mount(self) -> None:
        self._since = time.monotonic()

    def press(self, name: str) -> None:
        """A key."""
        if name != "enter":
            self.dismiss(name != "no")
        elif self._read:
            self._answer(True)

    def _answer(self, answer: bool) -> None:
        self._since = math.inf
        self.set_timer(LINGER, partial(self._close, answer))

    def _close(self, answer: bool) -> None:
        self.dismiss(answer)

    @property
    def _read(self) -> bool:
        return time.monotonic() - self._since > READ

    def on_click(self, event: events.Click) -> None:
        panel = self.query_one(Lines)
        # The answers are the last line; " y " and " n " take part of it.
        if event.screen_y == panel.content_region.bottom - 1 and self._read:
            self._answer(event.screen_x - panel.content_region.x < 5 + len(self._yes))


def kill_question(run: Run) -> QuestionScreen:
    """Before a run is killed."""
    text = "The run ends at once without a checkpoint: the work since the last checkpoint is lost. Stopping (s) saves one first."
    if own.is_own_run(run):
        text = "The script ends at once: what it has not saved itself is lost. Stopping (s) asks it first."
    return QuestionScreen("Kill this run?", [(run.id, True), (text, False)], "kill it")


def compare_question(outlook: "Outlook") -> QuestionScreen | None:
    """Before a comparison of many or long runs starts; None where it needs no question."""
    if outlook.runs <= FEW and (outlook.seconds is None or outlook.seconds <= SHORT):
        return None
    seeds = f"{outlook.seeds} seed{'s' * (outlook.seeds != 1)}"
    runs = f"{outlook.variants} variants with {seeds} each." if outlook.variants > 1 else f"One recipe with {seeds}."
    took = (
        f"One after the other they take about {duration(outlook.seconds)}, by past runs here." if outlook.seconds is not None else UNKNOWN
    )
    goes_on = "They go on when you quit dlwb; s stops them, and r later trains what is missing."
    return QuestionScreen(f"Start {outlook.runs} runs?", [(f"{runs} {took}", True), (goes_on, False)], "start")


def tune_question(outlook: "tuning.Outlook") -> QuestionScreen | None:
    """Before a tuning of many or long runs starts; None where it needs no question."""
    if outlook.runs <= FEW and (outlook.seconds is None or outlook.seconds <= SHORT):
        return None
    runs = f"{outlook.trials} trials, {outlook.parallel} at once, and the best of them with {outlook.seeds} new seeds."
    took = f"They take about {duration(outlook.seconds)}, by past runs here." if outlook.seconds is not None else UNKNOWN
    goes_on = "They go on when you quit dlwb; s stops them, and r later goes on."
    return QuestionScreen(f"Start {outlook.runs} runs?", [(f"{runs} {took}", True), (goes_on, False)], "start")


def trust_question(file: Path) -> QuestionScreen:
    """Before a person's own code runs for the first time."""
    from workbench.recipes import trust

    text = (
        "This recipe runs Python code that is not part of dlwb. The code can do all that you can do. dlwb asks again when the file changes."
    )
    return QuestionScreen(
        "Trust this file?",
        [(one_line(str(file.absolute())), True), (f"SHA-256 {trust.sha256(file)}", False), (text, False)],
        "trust and start",
    )
