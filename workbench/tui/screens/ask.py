"""A small form over the run's screen: the request for a sample, or live changes of settings."""

from collections.abc import Mapping
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.screen import ModalScreen
from textual.widgets import Input

from workbench.recipes.schema_check import Schema
from workbench.tui import keys
from workbench.tui.keys import Key
from workbench.tui.models.recipe_form import Form
from workbench.tui.panels.form import OPEN, FormKeys, FormPanel
from workbench.tui.screens.key_screen import OwnScreen


class AskScreen(FormKeys, ModalScreen[dict[str, Any] | None], OwnScreen[dict[str, Any] | None]):
    """Returns the values, or None; with `changes` only the changed values."""

    DEFAULT_CSS = """
    AskScreen { align: center middle; background: $ground 60%; }
    AskScreen > FormPanel {
        width: 84; max-width: 96%; max-height: 90%; background: $ground; padding: 1 2; border: round $frame;
        border-title-color: $accent-color; border-title-style: bold; border-subtitle-color: $text-color;
    }
    """
    KEYS: ClassVar[tuple[Key, ...]] = (
        Key("escape", "close", "close", "Close the form and do nothing", "Esc"),
        Key("enter", "send", "", "Send these values", "⏎"),
        *OPEN,
    )
    BINDINGS = keys.bindings(KEYS)

    def __init__(self, title: str, send: str, schema: Schema, values: Mapping[str, Any], owner: str, *, changes: bool = False) -> None:
        super().__init__()
        self._changes = changes
        self.form = Form(schema, values, owner, "now" if changes else "")
        self._panel = FormPanel(self.form, typing=True)
        self._panel.border_title, self._panel.border_subtitle = f" {title} ", f" ⏎ {send}   ↑ ↓ another line   Esc close "

    def compose(self) -> ComposeResult:
        yield self._panel

    def on_resize(self) -> None:
        self._fit()

    @on(FormPanel.Changed)
    def _fit(self) -> None:
        """Make room for every field and the longest help."""
        # Border and padding take 4 rows and 6 columns; 84 and 96 % stand in the stylesheet above.
        self.panel.styles.height = 4 + self.panel.tallest(max(20, min(84, self.app.size.width * 96 // 100) - 6))

    def do_close(self) -> None:
        self.dismiss(None)

    @on(Input.Submitted)
    def do_send(self) -> None:
        if not self.panel.wrong():
            values = self.form.values or {}
            unchanged = {name for name, field in self.form.fields.items() if self._changes and values[name] == field.start}
            self.dismiss({name: value for name, value in values.items() if name not in unchanged})
