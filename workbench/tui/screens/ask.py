"""A small form over the run's screen: what a sample should be made of, or settings to change while the run goes on."""

from collections.abc import Mapping
from typing import Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.screen import ModalScreen

from workbench.tui import keys
from workbench.tui.drawing import palette, strips
from workbench.tui.keys import Key
from workbench.tui.panels.fields import Fields, Schema, collect, fields
from workbench.tui.panels.lines import Lines


class AskScreen(ModalScreen[dict[str, Any] | None]):
    """Dismisses with the values, or None; with `changes` only with those that were changed."""

    DEFAULT_CSS = """
    AskScreen { align: center middle; background: $ground 60%; }
    AskScreen > Lines, AskScreen > Fields { width: 84; max-width: 96%; background: $ground; padding: 0 2; }
    AskScreen > .head { height: 3; border-top: round $frame; border-left: round $frame; border-right: round $frame; }
    AskScreen > Fields { border-left: round $frame; border-right: round $frame; max-height: 70%; }
    AskScreen > .foot { height: 3; border-bottom: round $frame; border-left: round $frame; border-right: round $frame; }
    """
    KEYS: ClassVar[tuple[Key, ...]] = (Key("escape", "close", "close", "Close it, nothing is done", "Esc"),)
    BINDINGS = keys.bindings(KEYS)

    def __init__(self, title: str, send: str, schema: Schema, values: Mapping[str, Any], owner: str, *, changes: bool = False) -> None:
        super().__init__()
        self._title, self._send, self._schema, self._owner, self._changes = title, send, schema, owner, changes
        self.fields = Fields(fields(schema, values))

    def compose(self) -> ComposeResult:
        yield Lines(classes="head")
        yield self.fields
        yield Lines(classes="foot")

    def on_mount(self) -> None:
        head, foot = self.query(Lines).filter(".head, .foot")
        head.source = lambda width: [strips.line(width, [(self._title, palette.heading)])]
        hint: list[strips.Part] = [
            (" ⏎ ", palette.badge),
            (f" {self._send}    ", palette.plain),
            (" Esc ", palette.heading),
            ("close", palette.dim),
        ]
        move: list[strips.Part] = [("↑ ↓ ", palette.faint), ("another line", palette.faint)]
        foot.source = lambda width: [strips.line(width, []), strips.line(width, hint, move)]
        self.set_focus(self.fields)
        self._fit()

    def on_resize(self, event: events.Resize) -> None:
        self._fit()

    def _fit(self) -> None:
        """Room for every field, and for the longest help."""
        width = max(20, min(84, self.app.size.width * 96 // 100) - 6)
        helps = [len(strips.wrap(field.help, width - 3)) if field.help else 0 for field in self.fields.fields]
        problems = sum(len(strips.wrap(field.problem, width - 3)) for field in self.fields.fields if field.problem)
        self.fields.styles.height = len(self.fields.fields) + max(helps, default=0) + problems

    @on(Fields.Submitted)
    def _submitted(self) -> None:
        values = collect(self.fields.fields, self._schema, self._owner)
        if values is None:
            wrong = next(place for place, field in enumerate(self.fields.fields) if field.problem)
            self.fields.go(wrong)
            self._fit()
            return
        if self._changes:
            values = {field.name: values[field.name] for field in self.fields.fields if values[field.name] != field.start}
        self.dismiss(values)

    def action_press(self, name: str) -> None:
        """Escape."""
        self.dismiss(None)
