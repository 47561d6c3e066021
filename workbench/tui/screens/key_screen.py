"""The base of every screen: its keys come from a table, and what reaches beyond it is asked of the app's services."""

from typing import ClassVar, cast

from textual import events
from textual.screen import Screen

from workbench import preferences
from workbench.tui.drawing import palette
from workbench.tui.keys import ALWAYS, Key
from workbench.tui.panels.lines import Lines
from workbench.tui.services import Services

TALL = 32
"""Rows from which there is room for empty ones."""


class KeyScreen(Screen[None]):
    """A screen whose keys come from a table."""

    AUTO_FOCUS = ""
    PASSING: ClassVar[bool] = False
    """It has done its work once a run is opened from it."""
    KEYS: ClassVar[tuple[Key, ...]] = ALWAYS

    @property
    def services(self) -> Services:
        """What the app does for its screens."""
        return cast(Services, self.app)

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.height >= TALL, "tall")

    def refusal(self, name: str) -> str:
        """Why a key cannot be used now; "" when it can."""
        return ""

    def action_press(self, name: str) -> None:
        """What every key and every click on the footer comes to."""
        reason = self.refusal(name)
        if reason:
            self.notify(reason, severity="warning", markup=False, timeout=4)
        else:
            getattr(self, f"do_{name}")()

    def do_help(self) -> None:
        self.services.open_help(self.KEYS)

    def do_palette(self) -> None:
        self.services.open_finder()

    def do_theme(self) -> None:
        themes = list(palette.THEMES)
        self.services.wear(themes[(themes.index(palette.name) + 1) % len(themes)])
        preferences.put("theme", palette.name)
        self.notify(f"Colours: {palette.name}", timeout=2)

    def restyle(self) -> None:
        """Draw everything in the theme's colours."""
        from workbench.tui.charts.canvas import Canvas  # with NumPy: the first list is painted before

        for canvas in self.query(Canvas):
            canvas.restyle()
        for panel in self.query(Lines):
            panel.rebuild()

    def do_redraw(self) -> None:
        self.services.frame.forget()
        self.refresh()

    def do_quit(self) -> None:
        live = self.services.library.live()
        words = "1 run goes on" if live == 1 else f"{live} runs go on"
        self.app.exit(message=f"{words}; dlwb shows what they do." if live else None)
