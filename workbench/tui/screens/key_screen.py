"""The base of every screen: its keys come from a table, and the app's services do all that reaches beyond the screen."""

from typing import ClassVar, cast

from textual import events
from textual.screen import Screen

from workbench import preferences
from workbench.tui.drawing import palette
from workbench.tui.keys import ALWAYS, Key
from workbench.tui.panels.lines import Lines
from workbench.tui.services import Services

TALL = 32
"""A terminal with so many rows has room for empty ones between the parts of a screen."""


class KeyScreen(Screen[None]):
    """A screen whose keys come from a table."""

    AUTO_FOCUS = ""  # without focus the screen itself gets every key; Textual would focus the first widget
    PASSING: ClassVar[bool] = False
    """Whether the screen closes when it opens a run."""
    KEYS: ClassVar[tuple[Key, ...]] = ALWAYS

    @property
    def services(self) -> Services:
        """The app, as its screens see it."""
        return cast(Services, self.app)

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.height >= TALL, "tall")

    def refusal(self, name: str) -> str:
        """Why an action is not possible now; "" when it is."""
        return ""

    def action_press(self, name: str) -> None:
        """Do the action of a key or of a click on the footer, or say why it is refused."""
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
        """Draw everything in the colours of the theme."""
        from workbench.tui.charts.canvas import Canvas  # imports NumPy, which the first list does not wait for

        for canvas in self.query(Canvas):
            canvas.restyle()
        for panel in self.query(Lines):
            panel.rebuild()

    def do_redraw(self) -> None:
        # Another program may have written over the screen: only now are unchanged cells sent too.
        self.services.frame.forget()
        self.refresh()

    def do_quit(self) -> None:
        live = self.services.library.live()
        words = "1 run goes on" if live == 1 else f"{live} runs go on"
        self.app.exit(message=f"{words}; dlwb shows them again." if live else None)
