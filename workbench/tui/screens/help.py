"""The help: every key of the screen below it, from the table that also dispatches the keys."""

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.geometry import Size
from textual.screen import ModalScreen

from workbench.tui import keys
from workbench.tui.drawing import palette, strips
from workbench.tui.keys import Key
from workbench.tui.panels.lines import Lines
from workbench.tui.screens.key_screen import OwnScreen

CAP_WIDTH = 12


class HelpScreen(ModalScreen[None], OwnScreen[None]):
    """Shows a key table."""

    DEFAULT_CSS = """
    HelpScreen { align: center middle; background: $ground; }
    HelpScreen > Lines {
        width: 76; max-width: 96%; height: auto; max-height: 96%; padding: 0 2; background: $ground; border: round $accent-color;
    }
    """
    KEYS: ClassVar[tuple[Key, ...]] = (
        Key(
            "escape,enter,question_mark,f1,q,ctrl+c", "close", "close", "Close this help", "Esc ? q"
        ),  # people try different keys to leave a help
        Key("up", "up", "", "Scroll up", "↑"),
        Key("down", "down", "", "Scroll down", "↓"),
    )
    BINDINGS = keys.bindings(KEYS)

    def __init__(self, table: tuple[Key, ...]) -> None:
        super().__init__()
        self.table = table

    def compose(self) -> ComposeResult:
        # It has its final size from the beginning: each change of a layout paints the whole terminal once more.
        yield self._fill(Lines(), self.app.size)

    def on_resize(self, event: events.Resize) -> None:
        self._fill(self.query_one(Lines), event.size)

    def _fill(self, panel: Lines, size: Size) -> Lines:
        width = min(76, size.width * 96 // 100) - 6
        lines = [
            strips.line(width, [("Keys", palette.heading), ("   a click on a key in the footer does the same", palette.faint)]),
            strips.line(width, []),
        ]
        for key in (*self.table, self.KEYS[0]):
            for place, text in enumerate(strips.wrap(key.help, width - CAP_WIDTH - 2)):
                cap = strips.fit(key.cap if not place else "", CAP_WIDTH)
                lines.append(strips.line(width, [(cap, palette.accent), (text, palette.plain)]))
        panel.border_title = "help"
        panel.styles.height = len(lines) + 2
        panel.show(lines)
        return panel

    def press(self, name: str) -> None:
        """A key."""
        if name == "close":
            self.dismiss(None)
        else:
            self.query_one(Lines).scroll_by(-1 if name == "up" else 1)
