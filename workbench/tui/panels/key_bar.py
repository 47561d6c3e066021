"""The footer: the keys that work here, from the screen's table; a click does what the key does. Keys that cannot be used now are faint."""

from rich.cells import cell_len
from textual import events
from textual.strip import Strip

from workbench.tui import palette, strips
from workbench.tui.keys import Key, KeyScreen
from workbench.tui.panels.lines import Lines


class KeyBar(Lines):
    """One line."""

    def _shown(self) -> list[tuple[Key, str]]:
        screen = self.screen
        if not isinstance(screen, KeyScreen):
            return []
        return [(key, f" {key.cap} ") for key in screen.KEYS if key.label]

    def lines(self, width: int) -> list[Strip]:
        parts: list[strips.Part] = []
        used = 0
        for key, cap in self._shown():
            refused = bool(self.screen.refusal(key.name))  # type: ignore[attr-defined]
            used += cell_len(cap) + cell_len(key.label) + 1
            if used > width:
                break
            parts += [(cap, palette.faint if refused else palette.heading), (key.label, palette.faint if refused else palette.dim)]
            parts.append((" ", palette.plain))
        return [strips.line(width, parts)]

    def on_click(self, event: events.Click) -> None:
        column = 0
        for key, cap in self._shown():
            column += cell_len(cap) + cell_len(key.label) + 1
            if event.x < column:
                self.screen.action_press(key.name)  # type: ignore[attr-defined]
                return
