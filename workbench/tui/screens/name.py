"""Asks for a name over the screen below: the name of a copied recipe."""

from collections.abc import Callable
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from workbench.problems import Problem
from workbench.tui import keys
from workbench.tui.drawing import palette, strips
from workbench.tui.keys import Key
from workbench.tui.panels.form import Entry
from workbench.tui.panels.lines import Lines
from workbench.tui.screens.key_screen import OwnScreen


class NameScreen(ModalScreen[str], OwnScreen[str]):
    """Returns the name after `take` accepts it, or "" when a person leaves."""

    DEFAULT_CSS = """
    NameScreen { align: center middle; background: $ground 60%; }
    NameScreen > Vertical { width: 76; max-width: 96%; height: auto; padding: 1 2; background: $ground; border: round $accent-color; }
    NameScreen Lines { height: 4; }
    NameScreen Entry { padding: 0 1; }
    NameScreen #wrong { height: 3; padding: 1 0 0 0; }
    """
    KEYS: ClassVar[tuple[Key, ...]] = (Key("escape", "back", "back", "Go back without a name", "Esc"),)
    BINDINGS = keys.bindings(KEYS)

    def __init__(self, title: str, text: str, name: str, take: Callable[[str], None], does: str = "copies") -> None:
        """`take` uses the name, and raises Problem where this is not possible; `does` says what Enter does."""
        super().__init__()
        self._title, self._text, self._first, self._take, self._does = title, text, name, take, does

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Lines(id="what")
            yield Entry(self._first)
            yield Lines(id="wrong")

    def on_mount(self) -> None:
        self.query_one("#what", Lines).source = lambda width: [
            strips.line(width, [(self._title, palette.heading)]),
            strips.line(width, []),
            *strips.paragraph(self._text, width, palette.plain),
        ]
        self._say(f"Enter {self._does}, Esc goes back.")
        self.set_focus(self.query_one(Entry))

    def on_resize(self, event: events.Resize) -> None:
        self.query_one("#what", Lines).rebuild()

    def _say(self, text: str, wrong: bool = False) -> None:
        panel = self.query_one("#wrong", Lines)
        panel.source = lambda width: strips.paragraph(text, width, palette.bad if wrong else palette.dim)
        panel.rebuild()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        name = event.value.strip()
        if not self.is_active:
            return  # Enter pressed twice quickly
        try:
            self._take(name)
        except Problem as problem:
            self._say(str(problem), wrong=True)
        else:
            self.dismiss(name)

    def press(self, name: str) -> None:
        """A key or a click."""
        self.dismiss("")
